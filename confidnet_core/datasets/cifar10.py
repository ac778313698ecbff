"""CIFAR-10: photographs of 32x32 pixels in 10 classes. They are read from the published pickles or their archive.

Krizhevsky 2009, "Learning multiple layers of features from tiny images"; www.cs.toronto.edu/~kriz/cifar.html.
"""

from confidnet_core.config.ranges import PositiveInt, SplitSeed
from confidnet_core.data import Dataset
from confidnet_core.datasets._cifar import read_cifar
from confidnet_core.datasets._collections import ChannelStatistics


def cifar10(
    *,
    val: PositiveInt = 5000,
    split_seed: SplitSeed = 42,
    mean: ChannelStatistics | None = None,
    std: ChannelStatistics | None = None,
) -> Dataset:
    """Return images (60000, 3, 32, 32): those of the training files, then those of the test file.

    val: the number of training images drawn at random for "val"; with the defaults they are those of ConfidNet's published split
    mean, std: of each channel, for pixels scaled to [0, 1]: a list, or imagenet; by default those published with ConfidNet
    `Dataset.source` says whether the content is CIFAR-10 as published; other files of the same format are accepted.
    Raises ValueError for a file that is damaged or does not fit the others.
    """
    from torchvision.datasets import CIFAR10  # imported here, since it takes seconds and the list of data sets does not need it

    return read_cifar("cifar10", "CIFAR-10", CIFAR10, val=val, split_seed=split_seed, mean=mean, std=std)
