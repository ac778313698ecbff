"""Images of other data sets, made to fit a classifier's input: their size and channels, and nothing else, are changed."""

from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from confidnet_core.data import Dataset
from confidnet_core.files import atomic_write, write_json

BYTES_PER_BLOCK = 2**26  # of images that are converted at once


def save_foreign_images(foreign_folder: Path, datasets: Iterable[tuple[str, Dataset]], image_shape: tuple[int, int, int]) -> None:
    """Write images of data sets as NAME.npy, and facts.json with their number and source; all files or none.

    They are the test images, and all images of a data set that has none to train on.
    datasets: pairs of name and data set; image_shape: (channels, height, width) that the classifier reads
    Raises ValueError, with the name, for images that cannot be made to fit.
    """
    facts_by_name = {}
    with atomic_write(foreign_folder) as temporary_folder:
        temporary_folder.mkdir(parents=True)
        for name, dataset in datasets:
            try:
                images = fit_images(dataset.split("test")[0] if len(dataset.splits["train"]) else dataset.images, image_shape)
            except ValueError as error:
                raise ValueError(f"foreign.{name}: {error}") from None
            np.save(temporary_folder / f"{name}.npy", images)
            shape, digest = list(dataset.image_shape), sha256(images.data).hexdigest()
            facts = {"images": len(images), "source": dataset.source, "image_shape": shape, "sha256": digest}
            facts_by_name[name] = facts | {"notes": list(dataset.notes)}
        write_json(temporary_folder / "facts.json", facts_by_name)


def fit_images(images: UInt8[np.ndarray, "n c h w"], image_shape: tuple[int, int, int]) -> UInt8[np.ndarray, "n k r s"]:
    """Return images resized to `image_shape` (channels, height, width), bilinearly, averaging where they shrink.

    Grey images are repeated in three channels, and colours become grey by ITU-R 601-2 (0.299 red, 0.587 green, 0.114 blue).
    Raises ValueError for another number of channels than 1 and 3, unless the images have as many.
    """
    channels, height, width = image_shape
    if images.shape[1] != channels and {images.shape[1], channels} != {1, 3}:
        channels_text = f"the images have {images.shape[1]} channels, and those of the classifier {channels}"
        raise ValueError(f"{channels_text}; expected as many, or 1 and 3")
    fitted = np.empty((len(images), *image_shape), np.uint8)
    images_per_block = max(1, BYTES_PER_BLOCK // max(1, images[:1].nbytes))
    for start in range(0, len(images), images_per_block):
        block = slice(start, start + images_per_block)
        fitted[block] = _fit_block(np.asarray(images[block]), channels, height, width)
    return fitted


def _fit_block(images: np.ndarray, channels: int, height: int, width: int) -> np.ndarray:
    from torch import from_numpy  # imported here, since it takes two seconds and the data sets do without
    from torch.nn.functional import interpolate

    if images.shape[1] == 3 and channels == 1:
        rows = images.transpose(0, 2, 3, 1).reshape(-1, images.shape[3], 3)  # one tall picture, whose pixels are converted one by one
        images = np.asarray(Image.fromarray(np.ascontiguousarray(rows)).convert("L")).reshape(len(images), 1, *images.shape[2:])
    if images.shape[2:] != (height, width):
        resized = interpolate(from_numpy(np.array(images)).float(), (height, width), mode="bilinear", antialias=True)
        images = resized.round().clamp(0, 255).byte().numpy()
    return np.broadcast_to(images, (len(images), channels, height, width))
