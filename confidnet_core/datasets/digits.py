"""Handwritten digits of 8x8 pixels. They are bundled with scikit-learn and need no download.

Alpaydin & Kaynak 1998, UCI "Optical Recognition of Handwritten Digits", its test part of 1,797 images.
"""

import numpy as np

from confidnet_core.config.ranges import PositiveInt, SplitSeed
from confidnet_core.data import Dataset
from confidnet_core.datasets._collections import ChannelStatistics, statistics_of_settings


def digits(
    *,
    train: PositiveInt = 300,
    val: PositiveInt = 597,
    test: PositiveInt = 900,
    split_seed: SplitSeed = 0,
    mean: ChannelStatistics | None = None,
    std: ChannelStatistics | None = None,
) -> Dataset:
    """Return images (1797, 1, 8, 8), whose pixels 0..16 are scaled to 0..255. The splits are consecutive parts of one permutation.

    mean, std: of the one channel, for pixels scaled to [0, 1], as a list; by default those of the training images
    Raises ValueError for split sizes that sum to more than 1,797.
    """
    from sklearn.datasets import load_digits  # imported here, since it takes a second and every stage imports the data sets

    pixels, labels = map(np.asarray, load_digits(return_X_y=True))
    if train + val + test > len(labels):
        raise ValueError(f"digits: train + val + test is {train} + {val} + {test}, more than the {len(labels)} images there are")

    images = np.rint(pixels * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    shuffled_indices = np.random.default_rng(split_seed).permutation(len(labels))
    splits: dict[str, np.ndarray] = dict(
        zip(("train", "val", "test"), np.split(shuffled_indices, np.cumsum([train, val, test]))[:3], strict=True)
    )
    training_pixels = images[splits["train"]] / 255
    training_statistics = (float(training_pixels.mean()),), (float(training_pixels.std()),)
    channel_mean, channel_std = statistics_of_settings("digits", 1, mean, std) or training_statistics
    return Dataset(
        images=images,
        labels=labels.astype(np.uint8),
        splits=splits,
        classes=tuple("0123456789"),
        mean=channel_mean,
        std=channel_std,
        source="scikit-learn's bundled digits, 1,797 images of 8x8",
    )
