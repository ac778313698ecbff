"""The maps of a segmentation as files: for each image its classes, confidence, probability, what is accepted, and an overlay."""

import colorsys
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from confidnet_core.serving.predicting import BatchAnswers

GOLDEN_RATIO = (5**0.5 - 1) / 2  # steps of hue by it give any number of colours that differ
REJECTED_BRIGHTNESS = 0.35


def map_path(folder: Path, name: str) -> Path:
    """Return the path below `folder` of the files of an image, to which .classes.png and so on is added.

    name: of the image; its folders are kept, without the root of an absolute path, and with "up" for ".."
    """
    parts = [{"..": "up"}.get(part, part) for part in PurePosixPath(name).parts if part not in ("/", "//", ".")]
    return folder.joinpath(*parts)


def write_maps(folder: Path, batch: BatchAnswers, class_count: int) -> None:
    """Write the five files of each image that was answered.

    .classes.png      class indices, 8 bits, or 16 for more than 256 classes
    .confidence.npy   the score, float32 (height, width)
    .probability.png  the probability of being correct, 16 bits: 65535 is 1
    .accepted.png     255 where the pixel is accepted, else 0
    .overlay.png      the image with the classes in colours; pixels that are not accepted are dark and without colour
    """
    answers, colours = batch.answers, class_colours(class_count)
    for index, name in enumerate(batch.answered_names):
        path = map_path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        classes, accepted = answers["class_index"][index], answers["accepted"][index]
        np.save(f"{path}.confidence.npy", answers["confidence"][index].astype(np.float32))
        pictures = {
            "classes": classes.astype(np.uint8 if class_count <= 256 else np.uint16),
            "probability": np.rint(answers["probability"][index] * 65535).astype(np.uint16),
            "accepted": accepted.astype(np.uint8) * 255,
            "overlay": overlay(batch.images[index], colours[classes], accepted),
        }
        for kind, pixels in pictures.items():
            Image.fromarray(pixels).save(f"{path}.{kind}.png")


def class_colours(class_count: int) -> UInt8[np.ndarray, "classes 3"]:
    """Return one colour a class, red, green and blue."""
    colours = [colorsys.hsv_to_rgb(index * GOLDEN_RATIO % 1, 0.9 - 0.3 * (index % 2), 1) for index in range(class_count)]
    return np.rint(np.array(colours) * 255).astype(np.uint8)


def overlay(
    image: UInt8[np.ndarray, "channels h w"], pixel_colours: UInt8[np.ndarray, "h w 3"], accepted: np.ndarray
) -> UInt8[np.ndarray, "h w 3"]:
    """Return an image half covered by the colours of its classes, and dark where no class is accepted. accepted: bool (h, w)"""
    grey_or_colour = image[:3] if len(image) >= 3 else image[:1].repeat(3, axis=0)
    background = grey_or_colour.transpose(1, 2, 0).astype(np.float32)
    covered = (background + pixel_colours) / 2
    grey = background.mean(-1, keepdims=True) * REJECTED_BRIGHTNESS
    return np.rint(np.where(accepted[..., None], covered, grey)).astype(np.uint8)
