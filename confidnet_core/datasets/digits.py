"""Handwritten digits of 8x8 pixels. Bundled with scikit-learn: the data set that needs no download.

Alpaydin & Kaynak 1998, UCI "Optical Recognition of Handwritten Digits", its test part of 1,797 images.
"""

import numpy as np

from confidnet_core.config.ranges import PositiveInt, SplitSeed
from confidnet_core.data import Dataset


def digits(*, train: PositiveInt = 300, val: PositiveInt = 597, test: PositiveInt = 900, split_seed: SplitSeed = 0) -> Dataset:
    """Images (1797, 1, 8, 8), pixels 0..16 spread over 0..255; splits are the first images of one permutation.

    The mean and standard deviation are those of the training images. ValueError for a sum of sizes above 1,797.
    """
    from sklearn.datasets import load_digits  # here, because it takes a second and every stage reads the list of data sets

    pixels, labels = map(np.asarray, load_digits(return_X_y=True))
    if train + val + test > len(labels):
        raise ValueError(f"digits: train + val + test is {train} + {val} + {test}, more than the {len(labels)} images there are")

    images = np.rint(pixels * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    order = np.random.default_rng(split_seed).permutation(len(labels))
    splits: dict[str, np.ndarray] = dict(zip(("train", "val", "test"), np.split(order, np.cumsum([train, val, test]))[:3], strict=True))
    seen = images[splits["train"]] / 255
    return Dataset(
        images=images,
        labels=labels.astype(np.uint8),
        splits=splits,
        classes=tuple("0123456789"),
        mean=(float(seen.mean()),),
        std=(float(seen.std()),),
        source="scikit-learn's bundled digits, 1,797 images of 8x8",
    )
