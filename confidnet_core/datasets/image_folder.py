"""Your own images in class folders. They lie in a folder or .zip as train/CLASS/..., test/CLASS/... and optionally val/CLASS/...

Each split has the layout of torchvision.datasets.ImageFolder.
"""

from typing import Literal

import numpy as np
from PIL import Image

from confidnet_core.config.ranges import PathText, PositiveInt, SplitSeed, ValidationSize
from confidnet_core.config.registry import suggestion
from confidnet_core.data import TRAIN_VAL_TEST, Dataset
from confidnet_core.datasets._images import (
    DIGEST_BYTES,
    IMAGE_SUFFIXES,
    FileTree,
    channel_statistics,
    content_digest,
    decode_image,
    describe_source,
    open_tree,
    read_in_threads,
    split_indices,
    warn_of_leaks,
)

NAME = "image_folder"
MAX_CLASSES = 255  # labels have 8 bits


def image_folder(
    *, folder: PathText, height: PositiveInt, width: PositiveInt, val: ValidationSize = 0, split_seed: SplitSeed = 42, grey: bool = False
) -> Dataset:
    """Return images (n, 3, HEIGHT, WIDTH), or with 1 channel if `grey`, in the order of splits, classes and names.

    folder: an absolute path, or one below $CONFIDNET_DATA or data/raw. The classes are the sorted folders of train.
    height, width: the size to which images are stretched. An axis is reduced to the exact mean of the area that a pixel covers, and
        enlarged linearly. Images are turned by their EXIF orientation; transparent pixels become white, and 16 bits become 8.
    val: where there is no val split, the number or the fraction of the training images that are drawn for it at random, from any class
    Mean and standard deviation are those of the training images.
    Raises ValueError naming val, the folder, or the file that is out of place or damaged. Prints a warning where test files are also in
    train or val.
    """
    with open_tree(folder, {"train"}) as tree:
        classes, names, labels, counts = _list_labelled_images(tree)
        splits = split_indices(NAME, tree, counts, val, split_seed)
        _check_training_classes(classes, labels[splits["train"]])
        images, digests = _read_images_and_digests(tree, names, height, width, "L" if grey else "RGB")
    warn_of_leaks(NAME, digests, splits)
    mean, std = channel_statistics(images, splits["train"])
    return Dataset(images, labels, splits, classes, mean, std, describe_source("image folder", folder, splits, drawn=not counts[1]))


def _list_labelled_images(tree: FileTree) -> tuple[tuple[str, ...], list[str], np.ndarray, list[int]]:
    """Return the class names, the names and the labels of all images, and the number of images of each split."""
    images = {split: _images_by_class(tree, split) for split in TRAIN_VAL_TEST}
    classes = tuple(sorted(images["train"]))
    _check_class_folders(tree, classes, images)
    names = [name for split in TRAIN_VAL_TEST for label in classes for name in images[split].get(label, ())]
    sizes = np.array([[len(images[split].get(label, ())) for label in classes] for split in TRAIN_VAL_TEST])
    labels = np.tile(np.arange(len(classes), dtype=np.uint8), len(TRAIN_VAL_TEST)).repeat(sizes.ravel())
    return classes, names, labels, sizes.sum(1).tolist()


def _images_by_class(tree: FileTree, split: str) -> dict[str, list[str]]:
    """Return {class: names of its images} of a split. A class has all images below its folder, in any depth."""
    images: dict[str, list[str]] = {}
    for name in tree.names:
        top, _, inner = name.partition("/")
        label, separator, _ = inner.partition("/")
        is_image = name.lower().endswith(IMAGE_SUFFIXES)
        if top == split and separator:
            images.setdefault(label, []).extend([name] * is_image)
        elif top == split and is_image:
            raise ValueError(f"{tree.path_of(name)} lies in no class folder; expected {split}/CLASS/{label}")
    return images


def _check_class_folders(tree: FileTree, classes: tuple[str, ...], images: dict[str, dict[str, list[str]]]) -> None:
    if not 2 <= len(classes) <= MAX_CLASSES:
        problem = f"{tree.path_of('train')} holds {len(classes)} class folders; expected 2 to {MAX_CLASSES}, train/CLASS/"
        raise ValueError(f"{problem}; {tree.prefix} holds {tree.top_level()}")
    for label in classes:
        if not images["train"][label]:
            raise ValueError(f"{tree.path_of(f'train/{label}')} holds no images; expected files that end in {', '.join(IMAGE_SUFFIXES)}")
    for split in ("val", "test"):
        for label in sorted(images[split].keys() - set(classes)):
            raise ValueError(f"{tree.path_of(f'{split}/{label}')} is of a class that train lacks{suggestion(label, classes)}")
    if not any(images["test"].values()):
        raise ValueError(f"{tree.path_of('test')} holds no images; expected test/CLASS/; {tree.prefix} holds {tree.top_level()}")


def _check_training_classes(classes: tuple[str, ...], labels: np.ndarray) -> None:
    """Raise ValueError for a class without a training image."""
    for label in np.flatnonzero(np.bincount(labels, minlength=len(classes)) == 0):
        raise ValueError(f"{NAME}: all training images of {classes[label]} were drawn for val; draw fewer, or by another split_seed")


def _read_images_and_digests(tree: FileTree, names: list[str], height: int, width: int, mode: Literal["RGB", "L"]) -> list[np.ndarray]:
    """Return all images, uint8 (n, channels, height, width), and a digest of each image's file."""

    def read(index: int) -> tuple[np.ndarray, np.ndarray]:
        data = tree.read(names[index])
        pixels = np.asarray(_resized_image(decode_image(data, tree.path_of(names[index]), mode), height, width))
        return np.atleast_3d(pixels).transpose(2, 0, 1), content_digest(data)

    return read_in_threads(
        read, len(names), (len(mode), height, width), (DIGEST_BYTES,)
    )  # the name of a mode has a letter for each channel


def _resized_image(image: Image.Image, height: int, width: int) -> Image.Image:
    """Return an image whose axes are each reduced to the exact mean of the area that a pixel covers, or enlarged linearly."""
    rows, columns = min(height, image.height), min(width, image.width)
    if image.height % rows or image.width % columns:
        pixels = np.asarray(image)
        sums = _scaled_area_sums(_scaled_area_sums(pixels, columns).swapaxes(0, 1), rows).swapaxes(0, 1)
        area = image.height * image.width
        image = Image.fromarray(((2 * sums + area) // (2 * area)).astype(np.uint8))
    else:
        image = image.reduce((image.width // columns, image.height // rows))
    return image.resize((width, height), Image.Resampling.BILINEAR)


def _scaled_area_sums(values: np.ndarray, parts: int) -> np.ndarray:
    """Divide the second axis into `parts` equal parts; return `parts` times the sum of each, counting a value at a border by its fraction.

    The sums are integers, hence exact. Pillow's box filter counts a border value wholly or not at all: it drops rows where 36 become 32.
    """
    size = values.shape[1]
    borders, fraction = np.divmod(np.arange(parts + 1) * size, parts)  # `fraction` / parts of the value at a border lies before it
    before_border = fraction.reshape(-1, *[1] * (values.ndim - 2)) * values[:, np.minimum(borders, size - 1)]
    return parts * np.add.reduceat(values, borders[:-1], axis=1, dtype=np.int64) + before_border[:, 1:] - before_border[:, :-1]
