"""Resizing of images by the mean of areas, and of label maps by nearest neighbour."""

import numpy as np
from PIL import Image


def resize_by_area_average(image: Image.Image, height: int, width: int) -> Image.Image:
    """Resize an image by averaging areas: exact if sizes divide, else Pillow's box filter, which counts a border pixel wholly or not."""
    if image.width % width == 0 and image.height % height == 0:
        return image.reduce((image.width // width, image.height // height))
    return image.resize((width, height), Image.Resampling.BOX)


def resize_labels_nearest(labels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize a label map by nearest neighbour, in integer arithmetic, so that no rounding decides between two pixels."""
    old_and_new_sizes = zip(labels.shape, (height, width), strict=True)
    source_rows, source_columns = ((2 * np.arange(new_size) + 1) * old_size // (2 * new_size) for old_size, new_size in old_and_new_sizes)
    return labels[np.ix_(source_rows, source_columns)]


def resize_by_exact_area(image: Image.Image, height: int, width: int) -> Image.Image:
    """Resize an image: reduce each axis to the exact mean of the area that a new pixel covers, or enlarge it linearly."""
    reduced_height, reduced_width = min(height, image.height), min(width, image.width)
    if image.height % reduced_height or image.width % reduced_width:
        pixels = np.asarray(image)
        area_sums = _scaled_area_sums(_scaled_area_sums(pixels, reduced_width).swapaxes(0, 1), reduced_height).swapaxes(0, 1)
        image_area = image.height * image.width
        image = Image.fromarray(((2 * area_sums + image_area) // (2 * image_area)).astype(np.uint8))
    else:
        image = image.reduce((image.width // reduced_width, image.height // reduced_height))
    return image.resize((width, height), Image.Resampling.BILINEAR)


def _scaled_area_sums(pixel_values: np.ndarray, reduced_axis_size: int) -> np.ndarray:
    """Divide the second axis into equal parts; return `reduced_axis_size` times the sum of each part, int64.

    A value at a border counts by the fraction that lies in the part. The sums are integers, hence exact. Pillow's box filter counts a
    border value wholly or not at all: it drops rows where 36 become 32.
    """
    axis_size = pixel_values.shape[1]
    # Of the value at a border, the fraction border_remainders / reduced_axis_size lies before the border.
    border_indices, border_remainders = np.divmod(np.arange(reduced_axis_size + 1) * axis_size, reduced_axis_size)
    sum_before_border = (
        border_remainders.reshape(-1, *[1] * (pixel_values.ndim - 2)) * pixel_values[:, np.minimum(border_indices, axis_size - 1)]
    )
    return (
        reduced_axis_size * np.add.reduceat(pixel_values, border_indices[:-1], axis=1, dtype=np.int64)
        + sum_before_border[:, 1:]
        - sum_before_border[:, :-1]
    )
