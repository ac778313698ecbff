"""Squares of two photographs, for `foreign`. They are bundled with scikit-learn, and need no download: a temple and a flower.

They are scikit-learn's "china.jpg" and "flower.jpg", of 640x427 pixels each.
"""

import numpy as np

from confidnet_core.config.ranges import ImageSide
from confidnet_core.data import Dataset


def sample_photos(*, side: ImageSide = 32) -> Dataset:
    """Return images (n, 3, SIDE, SIDE), squares side by side from the top left of each photograph, of which every second one is val.

    side: in pixels; 32 gives 260 squares of each photograph. Raises ValueError for a side above 427, the height of the photographs.
    """
    from sklearn.datasets import load_sample_images  # imported here, since it takes a second and every stage imports the data sets

    squares = [square for photo in load_sample_images().images for square in _squares(np.asarray(photo), side)]
    if not squares:
        raise ValueError(f"sample_photos: side is {side}; expected at most 427, the height of the photographs")
    images = np.concatenate(squares)
    labels = np.repeat(np.arange(2, dtype=np.uint8), len(images) // 2)
    indices = np.arange(len(images))
    return Dataset(
        images=images,
        labels=labels,
        splits={"train": indices[:0], "val": indices[::2], "test": indices[1::2]},
        classes=("temple", "flower"),
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        source=f"scikit-learn's two sample photographs, {len(images)} squares of {side}x{side}",
    )


def _squares(photo: np.ndarray, side: int) -> list[np.ndarray]:
    """Return the squares of a photograph (height, width, 3) as one array (n, 3, side, side) in a list, which is empty where none fits."""
    rows, columns = photo.shape[0] // side, photo.shape[1] // side
    if not rows * columns:
        return []
    tiles = photo[: rows * side, : columns * side].reshape(rows, side, columns, side, 3)
    return [np.ascontiguousarray(tiles.transpose(0, 2, 4, 1, 3).reshape(-1, 3, side, side))]
