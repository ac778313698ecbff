"""CIFAR-100: photographs of 32x32 pixels in 100 classes. From the published pickles or their archive.

Krizhevsky 2009, "Learning multiple layers of features from tiny images"; www.cs.toronto.edu/~kriz/cifar.html.
"""

from confidnet_core.config.ranges import PositiveInt, SplitSeed
from confidnet_core.data import Dataset
from confidnet_core.datasets._cifar import read_cifar


def cifar100(*, val: PositiveInt = 5000, split_seed: SplitSeed = 42) -> Dataset:
    """Images (60000, 3, 32, 32): the training files', of which VAL drawn at random are "val", then the test file's.

    With the defaults, val holds the very images of ConfidNet's published split. `source` says whether the content is CIFAR-100 as
    published; other files of that format are taken too. ValueError for a file that is damaged or does not fit the others.
    """
    from torchvision.datasets import CIFAR100  # here, because it takes seconds and reading a list of data sets does not need it

    return read_cifar("cifar100", "CIFAR-100", CIFAR100, val=val, split_seed=split_seed)
