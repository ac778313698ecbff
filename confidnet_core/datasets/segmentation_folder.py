"""Your own images with a mask each. They lie in a folder or .zip, in one of four layouts.

    train/ trainannot/    images/train/ masks/train/    train/images/ train/masks/    and the same for test and, if there is one, val
    images/ masks/        with the lists train.txt, test.txt and perhaps val.txt, which the other layouts may have, too

A list has one line for each image. Where the mask has another name, it stands in the last column, as in the lists of the SegNet tutorial.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import PurePosixPath
from typing import Annotated, Any

import numpy as np
from PIL import Image
from pydantic import Field

from confidnet_core.config.ranges import Byte, PathText, PositiveInt, SplitSeed, ValidationSize
from confidnet_core.data import TRAIN_VAL_TEST, Dataset
from confidnet_core.datasets._images import (
    DIGEST_BYTES,
    IMAGE_SUFFIXES,
    FileTree,
    area_average,
    channel_statistics,
    check_sizes,
    content_digest,
    decode_image,
    describe_source,
    naming_errors,
    open_tree,
    parse_listing,
    read_in_threads,
    resize_nearest,
    split_indices,
    warn_of_leaks,
)

NAME = "segmentation_folder"
MASK_SUFFIXES = (".png", ".bmp", ".gif", ".tif", ".tiff")  # without JPEG, which changes values
LAYOUTS = (
    ("{}/images", "{}/masks"),
    ("{}", "{}annot"),
    ("images/{}", "masks/{}"),
    ("images", "masks"),
)  # folders of a split's images and masks
MAX_CLASSES = 255  # labels have 8 bits, and 255 may be void


Colour = Annotated[Sequence[Byte], Field(min_length=3, max_length=3)]
Classes = Annotated[
    Sequence[str] | dict[str, Byte | Colour],
    Field(min_length=2, max_length=MAX_CLASSES, description=f"2 to {MAX_CLASSES} names, or names with values"),
]
Void = Byte | Sequence[Byte | Colour] | None  # a value, a colour, or a list of these


@dataclass(frozen=True)
class Legend:
    """The label of each value or colour that a mask may hold. The label of void is the number of classes."""

    classes: tuple[str, ...]
    labels: np.ndarray  # int16, at a value, 0 to 255, or at a colour, red << 16 | green << 8 | blue; -1 if unknown
    void: int | None

    @property
    def in_colours(self) -> bool:
        return len(self.labels) > 256


def segmentation_folder(
    *,
    folder: PathText,
    height: PositiveInt,
    width: PositiveInt,
    classes: Classes,
    void: Void = None,
    val: ValidationSize = 0,
    split_seed: SplitSeed = 42,
) -> Dataset:
    """Return images (n, 3, HEIGHT, WIDTH), resized by area average, and labels (n, HEIGHT, WIDTH), resized by nearest neighbour.

    classes: names in the order of the masks' values, from 0; or each name with its value, {cell: 255}, or colour, {road: [128, 64, 128]}
    void: the value or colour of unlabelled pixels, or a list of them
    folder, val, split_seed: as for image_folder, and so are the decoding of images, their mean and standard deviation
    A split is in the order of its list, or without a list, in the order of the names.
    Raises ValueError naming the setting, the folder, or the file that is missing, in two splits, damaged, of another size than its image,
    or holds a value that is neither a class nor void. Prints a warning where test images are also in train or val.
    """
    legend = parse_legend(classes, void)
    with open_tree(folder, {"train", "images"}) as tree:
        pairs = list_pairs(tree)
        counts = [len(pairs[split]) for split in TRAIN_VAL_TEST]
        splits = split_indices(NAME, tree, counts, val, split_seed)
        ordered_pairs = [pair for split in TRAIN_VAL_TEST for pair in pairs[split]]
        images, labels, digests = _read_samples(tree, ordered_pairs, height, width, legend)
    warn_of_leaks(NAME, digests, splits)
    mean, std = channel_statistics(images, splits["train"])
    description = describe_source("segmentation folder", folder, splits, drawn=not counts[1])
    return Dataset(images, labels, splits, legend.classes, mean, std, description, legend.void)


def parse_legend(classes: Classes, void: Void) -> Legend:
    """Return the legend of the settings `classes` and `void`. Raises ValueError naming a value or colour that is invalid or used twice."""
    values = classes if isinstance(classes, dict) else {name: value for value, name in enumerate(classes)}
    if not 2 <= len(classes) <= MAX_CLASSES or len(values) < len(classes) or not all(isinstance(name, str) for name in values):
        raise ValueError(f"{NAME}: classes is {classes}; expected 2 to {MAX_CLASSES} names, each once")
    in_colours = isinstance(next(iter(values.values())), Sequence)
    labels = np.full(2**24 if in_colours else 2**8, -1, np.int16)
    for label, (name, value) in enumerate(values.items()):
        _assign_label(labels, f"classes.{name}", value, label)
    voids: list[Any] = [] if void is None else list(void) if isinstance(void, Sequence) else [void]
    if in_colours and voids and not isinstance(voids[0], Sequence):
        voids = [voids]  # a single colour
    for value in voids:
        _assign_label(labels, "void", value, len(values))
    return Legend(tuple(values), labels, len(values) if voids else None)


def _assign_label(labels: np.ndarray, key: str, value: int | Sequence[int], label: int) -> None:
    """Enter the label of a mask's value or colour into the table `labels`. `key` names the setting in messages."""
    in_colours = len(labels) > 256
    numbers = list(value) if in_colours and isinstance(value, Sequence) else [value]
    valid = [number for number in numbers if type(number) is int and 0 <= number <= 255]
    if not len(valid) == len(numbers) == (3 if in_colours else 1):
        expected = "a colour, [red, green, blue] of 0 to 255" if in_colours else "a value from 0 to 255"
        raise ValueError(f"{NAME}: {key} is {value!r}; expected {expected}, as the first class has")
    index = int.from_bytes(valid, "big")
    if labels[index] not in (-1, label):
        raise ValueError(f"{NAME}: {key} is {value}, and so is another class; give each its own")
    labels[index] = label


def list_pairs(tree: FileTree) -> dict[str, list[tuple[str, str]]]:
    """Return {split: names of image and mask of each sample}. Raises ValueError naming what is missing or in two splits."""
    layout = next((layout for layout in LAYOUTS if _files_below(tree, layout[0].format("train"))), None)
    if layout is None:
        expected = ", or ".join(" and ".join(f"{part.format('train')}/" for part in layout) for layout in LAYOUTS)
        raise ValueError(f"{tree.prefix} holds {tree.top_level()}; expected {expected} with lists")
    pairs = {split: _pairs_of_split(tree, split, *layout) for split in TRAIN_VAL_TEST}
    split_of_image: dict[str, str] = {}
    for split in TRAIN_VAL_TEST:
        if not pairs[split] and split != "val":
            raise ValueError(
                f"{tree.path_of(layout[0].format(split))} holds no images; expected files that end in {', '.join(IMAGE_SUFFIXES)}"
            )
        for image, _ in pairs[split]:
            if image in split_of_image:
                listing = tree.path_of(f"{split}.txt")
                raise ValueError(f"{listing} lists {image}, which {split_of_image[image]}.txt already did; an image is in one split, once")
            split_of_image[image] = split
    return pairs


def _files_below(tree: FileTree, folder: str) -> list[str]:
    return [name for name in tree.names if name.startswith(f"{folder}/")]


def _pairs_of_split(tree: FileTree, split: str, *layout: str) -> list[tuple[str, str]]:
    """Return the image and mask names in a split's list; without a list, those of all files in its folders that have the same stem."""
    folders = [folder.format(split) for folder in layout]
    images, masks = (
        _files_by_stem(tree, folder, endings) for folder, endings in zip(folders, (IMAGE_SUFFIXES, MASK_SUFFIXES), strict=True)
    )
    listing = f"{split}.txt"
    if listing in tree.names:
        data = tree.read(listing)
        with naming_errors(tree.path_of(listing)):
            text = data.decode("utf-8-sig")
        lines = parse_listing(text, tree.path_of(listing))
        return [
            (_find_listed_file(tree, images, image, folders[0], listing), _find_listed_file(tree, masks, mask, folders[1], listing))
            for image, mask in lines
        ]
    if folders == list(layout):
        if split == "val":
            return []
        raise ValueError(f"{tree.path_of(listing)} does not exist; expected the list of the split's images, one a line")
    for key in sorted(images.keys() ^ masks.keys()):
        without, other = (images, folders[1]) if key in images else (masks, folders[0])
        raise ValueError(
            f"{tree.path_of(without[key])} has no partner {key} in {other}/; expected one, or a list {listing} of those to use"
        )
    return [(images[key], masks[key]) for key in sorted(images)]


def _files_by_stem(tree: FileTree, folder: str, endings: tuple[str, ...]) -> dict[str, str]:
    """Return {path in the folder without suffix: file name} of a folder's files; lists, images and masks differ in their suffixes."""
    files: dict[str, str] = {}
    for name in _files_below(tree, folder):
        if name.lower().endswith(endings):
            stem = _name_without_suffix(name.removeprefix(f"{folder}/"))
            if stem in files:
                raise ValueError(f"{tree.path_of(name)} and {files[stem]} differ in their ending only; remove the one that is not meant")
            files[stem] = name
    return files


def _name_without_suffix(name: str) -> str:
    return str(PurePosixPath(name).with_suffix("")) if name.lower().endswith(IMAGE_SUFFIXES) else name


def _find_listed_file(tree: FileTree, files: dict[str, str], entry: str, folder: str, listing: str) -> str:
    """Return the file whose path is the end of an entry in a list; an entry may begin with folders of its author's computer."""
    parts = _name_without_suffix(entry).split("/")
    for start in range(len(parts)):
        if file := files.get("/".join(parts[start:])):
            return file
    raise ValueError(f"{tree.path_of(listing)} lists {entry}, but {tree.path_of(folder)} holds no {parts[-1]} with the ending of an image")


def _read_samples(tree: FileTree, pairs: list[tuple[str, str]], height: int, width: int, legend: Legend) -> list[np.ndarray]:
    """Return all images, their labels, and a digest of each image's file."""

    def read(index: int) -> tuple[np.ndarray, ...]:
        image_file, mask_file = map(tree.path_of, pairs[index])
        data, mask_data = map(tree.read, pairs[index])
        image = decode_image(data, image_file)
        with naming_errors(mask_file):
            mask = Image.open(BytesIO(mask_data))
            mask.load()
        check_sizes(image, image_file, mask, mask_file)
        pixels = np.asarray(area_average(image, height, width))
        return pixels.transpose(2, 0, 1), resize_nearest(_labels_of_mask(mask, mask_file, legend), height, width), content_digest(data)

    return read_in_threads(read, len(pairs), (3, height, width), (height, width), (DIGEST_BYTES,))


def _labels_of_mask(mask: Image.Image, file: str, legend: Legend) -> np.ndarray:
    """Return the label of each pixel of a mask, uint8. Raises ValueError for a value or colour that the legend lacks."""
    values = _label_indices_of_mask(mask, file, legend.in_colours)
    labels = legend.labels[values]
    if labels.min() < 0:
        unknown = np.unique(values[labels < 0]).tolist()
        examples = [list(value.to_bytes(3, "big")) if legend.in_colours else value for value in unknown[:5]]
        what = "colours" if legend.in_colours else "values"
        raise ValueError(f"{file} holds the {what} {str(examples)[1:-1]}{', ...' * (len(unknown) > 5)}; name them under classes or void")
    return labels.astype(np.uint8)


def _label_indices_of_mask(mask: Image.Image, file: str, in_colours: bool) -> np.ndarray:
    """Return for each pixel of a mask its index in `Legend.labels`. Raises ValueError for a mask of another mode."""
    if mask.mode not in ("1", "L", "P", *(("LA", "RGB", "RGBA") * in_colours)):
        expected = "8 bits a channel" if in_colours else "8 bits, grey or with a palette; for colours, give each class its own"
        raise ValueError(f"{file} is of mode {mask.mode}; expected {expected}")
    if not in_colours:
        return np.asarray(mask.convert("L") if mask.mode == "1" else mask)
    red, green, blue = np.moveaxis(np.asarray(mask.convert("RGB")).astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue
