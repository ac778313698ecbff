"""Your own images in class folders. In a folder or a .zip: train/CLASS/..., test/CLASS/... and, where there is one, val/CLASS/...

Each split is laid out as for torchvision.datasets.ImageFolder.
"""

from typing import Literal

import numpy as np
from PIL import Image

from confidnet_core.config.ranges import PathText, PositiveInt, SplitSeed, ValidationSize
from confidnet_core.config.registry import suggestion
from confidnet_core.data import SPLITS, Dataset
from confidnet_core.datasets._images import (
    DIGEST,
    IMAGES,
    Tree,
    decoded,
    digest,
    in_threads,
    opened,
    source,
    split_indices,
    statistics,
    warn_of_leaks,
)

NAME = "image_folder"
LARGEST = 255  # number of classes, since labels have 8 bits


def image_folder(
    *, folder: PathText, height: PositiveInt, width: PositiveInt, val: ValidationSize = 0, split_seed: SplitSeed = 42, grey: bool = False
) -> Dataset:
    """Images (n, 3, HEIGHT, WIDTH), 1 channel if GREY, stretched to that size, in the order of splits, classes and names.

    FOLDER is taken as it is if absolute, else looked for in $CONFIDNET_DATA or data/raw. The classes are the sorted folders of
    train. Where there are no images in val, val are VAL of the training images, a number or a share, drawn at random whatever
    their class. An axis is reduced to the exact mean of the area that a pixel covers and enlarged linearly. Images are turned as
    their EXIF data says; what is transparent becomes white, 16 bits become 8. Mean and standard deviation are those of the training
    images.
    ValueError naming val, the folder, or the file that is out of place or damaged. Prints a warning where files of test
    are in train or val, too.
    """
    with opened(folder, {"train"}) as tree:
        classes, names, labels, counts = _listing(tree)
        splits = split_indices(NAME, tree, counts, val, split_seed)
        _check_train(classes, labels[splits["train"]])
        images, digests = _read(tree, names, height, width, "L" if grey else "RGB")
    warn_of_leaks(NAME, digests, splits)
    mean, std = statistics(images, splits["train"])
    return Dataset(images, labels, splits, classes, mean, std, source("image folder", folder, splits, drawn=not counts[1]))


def _listing(tree: Tree) -> tuple[tuple[str, ...], list[str], np.ndarray, list[int]]:
    """The classes, the names of all images with their labels, and how many of them are train's, val's and test's."""
    found = {split: _by_class(tree, split) for split in SPLITS}
    classes = tuple(sorted(found["train"]))
    _check(tree, classes, found)
    names = [name for split in SPLITS for label in classes for name in found[split].get(label, ())]
    sizes = np.array([[len(found[split].get(label, ())) for label in classes] for split in SPLITS])
    labels = np.tile(np.arange(len(classes), dtype=np.uint8), len(SPLITS)).repeat(sizes.ravel())
    return classes, names, labels, sizes.sum(1).tolist()


def _by_class(tree: Tree, split: str) -> dict[str, list[str]]:
    """Images in any depth below a class's folder are its own."""
    found: dict[str, list[str]] = {}
    for name in tree.names:
        top, _, inner = name.partition("/")
        label, below, _ = inner.partition("/")
        image = name.lower().endswith(IMAGES)
        if top == split and below:
            found.setdefault(label, []).extend([name] * image)
        elif top == split and image:
            raise ValueError(f"{tree.where(name)} lies in no class folder; expected {split}/CLASS/{label}")
    return found


def _check(tree: Tree, classes: tuple[str, ...], found: dict[str, dict[str, list[str]]]) -> None:
    if not 2 <= len(classes) <= LARGEST:
        problem = f"{tree.where('train')} holds {len(classes)} class folders; expected 2 to {LARGEST}, train/CLASS/"
        raise ValueError(f"{problem}; {tree.prefix} holds {tree.content()}")
    for label in classes:
        if not found["train"][label]:
            raise ValueError(f"{tree.where(f'train/{label}')} holds no images; expected files that end in {', '.join(IMAGES)}")
    for split in ("val", "test"):
        for label in sorted(found[split].keys() - set(classes)):
            raise ValueError(f"{tree.where(f'{split}/{label}')} is of a class that train lacks{suggestion(label, classes)}")
    if not any(found["test"].values()):
        raise ValueError(f"{tree.where('test')} holds no images; expected test/CLASS/; {tree.prefix} holds {tree.content()}")


def _check_train(classes: tuple[str, ...], labels: np.ndarray) -> None:
    for label in np.flatnonzero(np.bincount(labels, minlength=len(classes)) == 0):
        raise ValueError(f"{NAME}: all training images of {classes[label]} were drawn for val; draw fewer, or by another split_seed")


def _read(tree: Tree, names: list[str], height: int, width: int, mode: Literal["RGB", "L"]) -> list[np.ndarray]:
    """The images, and a digest of each one's file."""

    def read(index: int) -> tuple[np.ndarray, np.ndarray]:
        data = tree.read(names[index])
        pixels = np.asarray(_fitted(decoded(data, tree.where(names[index]), mode), height, width))
        return np.atleast_3d(pixels).transpose(2, 0, 1), digest(data)

    return in_threads(read, len(names), (len(mode), height, width), (DIGEST,))  # a mode has a letter for each channel


def _fitted(image: Image.Image, height: int, width: int) -> Image.Image:
    rows, columns = min(height, image.height), min(width, image.width)
    if image.height % rows or image.width % columns:
        pixels = np.asarray(image)
        sums = _covered(_covered(pixels, columns).swapaxes(0, 1), rows).swapaxes(0, 1)
        area = image.height * image.width
        image = Image.fromarray(((2 * sums + area) // (2 * area)).astype(np.uint8))
    else:
        image = image.reduce((image.width // columns, image.height // rows))
    return image.resize((width, height), Image.Resampling.BILINEAR)


def _covered(values: np.ndarray, wanted: int) -> np.ndarray:
    """WANTED times the sums of what each of WANTED equal parts of the second axis covers, shares of the values at its ends included.

    In integers, hence exact. Pillow's box filter counts a value at an end wholly or not at all, a dropped row where 36 become 32.
    """
    size = values.shape[1]
    ends, share = np.divmod(np.arange(wanted + 1) * size, wanted)
    before = share.reshape(-1, *[1] * (values.ndim - 2)) * values[:, np.minimum(ends, size - 1)]  # the part before an end, of its value
    return wanted * np.add.reduceat(values, ends[:-1], axis=1, dtype=np.int64) + before[:, 1:] - before[:, :-1]
