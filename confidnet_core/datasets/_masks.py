"""Mask files: the classes of their pixels by a legend, and the reading of an image together with its mask.

A mask is read where its format keeps values: grey of 1 to 16 bits, whole numbers in 32 bits, with a palette, or in colours. Transparency
is not read.
"""

import numpy as np
from PIL import Image, ImageFile

from confidnet_core.datasets._file_tree import name_file_in_errors
from confidnet_core.datasets._image_formats import LOSSY_FORMATS, SUFFIXES_OF_FORMAT, open_image
from confidnet_core.datasets._images import exif_orientation, turned_by_orientation, upright_image
from confidnet_core.datasets._mask_legend import MAX_MASK_VALUE, MaskLegend

MASK_SUFFIXES = tuple(suffix for name in ("PNG", "BMP", "GIF", "TIFF", "TGA") for suffix in SUFFIXES_OF_FORMAT[name])
LOSSY_SUFFIXES = tuple(suffix for name in LOSSY_FORMATS for suffix in SUFFIXES_OF_FORMAT.get(name, ()))
LOSSY_COMPRESSIONS = ("jpeg", "tiff_jpeg", "webp")  # of a TIFF
LOSSLESS_REMEDY = "save masks as PNG"
COLOUR_MODES, GREY_MODES = ("RGB", "RGBA", "RGBX"), ("1", "L", "LA", "P", "PA")
DEEP_GREY_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")


def read_image_and_labels(
    image_bytes: bytes, image_file: str, mask_bytes: bytes, mask_file: str, mask_legend: MaskLegend
) -> tuple[Image.Image, np.ndarray, bool]:
    """Return an image in RGB, upright by its EXIF orientation, the label of each of its pixels, uint8 (h, w), and a bool.

    A mask without an orientation of its own, as wide and high as its image is stored, is read as a mask of the stored pixels and
    turned with the image: then the bool is True. One of the upright image's size is left as it is.
    Raises ValueError, naming the file, for one that is damaged, masks of another size or orientation, and values that the legend lacks.
    """
    image, image_orientation = upright_image(image_bytes, image_file)
    with name_file_in_errors(mask_file):
        mask = open_image(mask_bytes, mask_file)
        is_lossy = mask.format in LOSSY_FORMATS or mask.info.get("compression") in LOSSY_COMPRESSIONS
        step = grey_step(mask)
        mask_orientation = exif_orientation(mask)
        mask.load()
        is_turned_by_pillow = mask_orientation != exif_orientation(mask)
    if is_lossy:
        raise ValueError(f"{mask_file} is compressed as {mask.format}, which changes the values of a mask; {LOSSLESS_REMEDY}")
    if mask_orientation not in (1, image_orientation):
        problem_text = f"{mask_file} has the EXIF orientation {mask_orientation}, but its image {image_file} {image_orientation}"
        raise ValueError(f"{problem_text}; save both upright, without one")
    stored_size = image.size[::-1] if image_orientation >= 5 else image.size
    is_turned_with_image = mask_orientation == 1 != image_orientation and mask.size == stored_size
    labels = mask_to_labels(mask, mask_file, mask_legend, step)
    if is_turned_with_image or (mask_orientation != 1 and not is_turned_by_pillow):
        labels = np.asarray(turned_by_orientation(Image.fromarray(labels), image_orientation))
    if labels.shape[::-1] != image.size:
        raise ValueError(f"{mask_file} is {mask.width}x{mask.height}, but its image {image_file} {image.width}x{image.height}")
    return image, labels, is_turned_with_image


def mask_to_labels(mask: Image.Image, mask_file: str, mask_legend: MaskLegend, grey_step: int = 1) -> np.ndarray:
    """Return the class label of each pixel of a mask, uint8 (h, w). Raises ValueError for a value or colour that the legend lacks.

    grey_step: between the values that Pillow gives to a mask of 1, 2 or 4 bits, whose numbers it spreads over 0 to 255. The numbers count
    as they are stored, or else as they are spread.
    """
    mask_value_indices = _value_indices_of_mask(mask, mask_file, mask_legend.uses_colours)
    labels = mask_legend.label_of_mask_value[mask_value_indices // grey_step]
    if grey_step > 1 and labels.min() < 0:
        spread_labels = mask_legend.label_of_mask_value[mask_value_indices]
        labels = labels if spread_labels.min() < 0 else spread_labels
    if labels.min() < 0:
        unknown_mask_values = np.unique((mask_value_indices // grey_step)[labels < 0]).tolist()
        example_mask_values = [list(index.to_bytes(3, "big")) if mask_legend.uses_colours else index for index in unknown_mask_values[:5]]
        example_values_text = str(example_mask_values)[1:-1] + ", ..." * (len(unknown_mask_values) > 5)
        value_kind = "colours" if mask_legend.uses_colours else "values"
        raise ValueError(f"{mask_file} holds the {value_kind} {example_values_text}; name them under classes or void")
    return labels.astype(np.uint8)


def grey_step(mask: ImageFile.ImageFile) -> int:
    """Return the step between the values of a grey mask of 1, 2 or 4 bits, of which only the head has been read; 1 for others."""
    if mask.mode == "1":
        return 255
    decoder_arguments = mask.tile[0].args if mask.tile and mask.mode == "L" else ""
    raw_mode = decoder_arguments if isinstance(decoder_arguments, str) else next(iter(decoder_arguments or ()), "")
    return {"L;2": 85, "L;4": 17}.get(str(raw_mode)[:3], 1)


def _value_indices_of_mask(mask: Image.Image, mask_file: str, uses_colours: bool) -> np.ndarray:
    """Return for each pixel the index of its value or colour in `MaskLegend.label_of_mask_value`.

    Raises ValueError for a mask of another mode, and for one in colours where values are expected.
    """
    if mask.mode not in (*GREY_MODES, *COLOUR_MODES, *(() if uses_colours else DEEP_GREY_MODES)):
        expected_text = "colours of 8 bits a channel" if uses_colours else "grey, or a palette"
        raise ValueError(f"{mask_file} is of mode {mask.mode}; expected {expected_text}")
    if uses_colours:
        red, green, blue = np.moveaxis(np.asarray(mask.convert("RGB")).astype(np.int32), -1, 0)
        return red << 16 | green << 8 | blue
    if mask.mode in COLOUR_MODES:
        red, green, blue = np.moveaxis(np.asarray(mask)[..., :3], -1, 0)
        if not (np.array_equal(red, green) and np.array_equal(green, blue)):
            row, column = np.argwhere((red != green) | (green != blue))[0].tolist()
            colour_text = [int(channel[row, column]) for channel in (red, green, blue)]
            raise ValueError(f"{mask_file} is in colours, such as {colour_text}; expected grey, or under classes a colour for each")
        return red
    values = np.asarray(mask.convert("L") if mask.mode == "1" else mask)
    values = values[..., 0] if mask.mode in ("LA", "PA") else values
    is_valid = (values == np.floor(values)) & (values >= 0) & (values <= MAX_MASK_VALUE)
    if not is_valid.all():
        raise ValueError(f"{mask_file} holds {values[~is_valid][0]}; expected whole numbers from 0 to {MAX_MASK_VALUE}")
    return values.astype(np.int64) if values.dtype.kind != "u" else values
