"""Your own images with a mask each. In a folder or a .zip, in one of four layouts.

    train/ trainannot/    images/train/ masks/train/    train/images/ train/masks/    and the same for test and, if there is one, val
    images/ masks/        with the lists train.txt, test.txt and perhaps val.txt, which the other layouts may have, too

A list has a line an image, with its mask in the last column where that is named otherwise, as CamVid's in the SegNet tutorial.
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
from confidnet_core.data import SPLITS, Dataset
from confidnet_core.datasets._images import (
    DIGEST,
    IMAGES,
    Tree,
    area_average,
    check_sizes,
    decoded,
    digest,
    in_threads,
    listed,
    naming,
    nearest,
    opened,
    source,
    split_indices,
    statistics,
    warn_of_leaks,
)

NAME = "segmentation_folder"
MASKS = (".png", ".bmp", ".gif", ".tif", ".tiff")  # a mask's pixels are exact, so never JPEG
LAYOUTS = (("{}/images", "{}/masks"), ("{}", "{}annot"), ("images/{}", "masks/{}"), ("images", "masks"))  # of a split's files
LARGEST = 255  # number of classes, since labels have 8 bits and one of them may be void


Colour = Annotated[Sequence[Byte], Field(min_length=3, max_length=3)]
Classes = Annotated[
    Sequence[str] | dict[str, Byte | Colour],
    Field(min_length=2, max_length=LARGEST, description=f"2 to {LARGEST} names, or names with values"),
]
Void = Byte | Sequence[Byte | Colour] | None  # a list of values or colours, or a colour alone


@dataclass(frozen=True)
class Legend:
    """The class that each value or colour of a mask stands for. The label of void is the number of classes."""

    classes: tuple[str, ...]
    labels: np.ndarray  # int16: of each value, 0 to 255, or of each colour, red << 16 | green << 8 | blue; -1 where there is none
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
    """Images (n, 3, HEIGHT, WIDTH), reduced by area average, and labels (n, HEIGHT, WIDTH), taken from the nearest pixel.

    CLASSES: names in the order of the masks' values, from 0; or each name with its value, {cell: 255}, or colour, {road: [128, 64,
    128]}. VOID: the value or colour of unlabelled pixels, or a list of them. FOLDER, VAL and SPLIT_SEED, and how images are decoded
    and measured: as for image_folder. A split is in the order of its list, or else of names.
    ValueError naming the setting, the folder, or the file that is missing, in two splits, damaged, of another size than its image,
    or holds what is neither a class nor void. Prints a warning where images of test are in train or val, too.
    """
    legend = read_legend(classes, void)
    with opened(folder, {"train", "images"}) as tree:
        pairs = list_pairs(tree)
        counts = [len(pairs[split]) for split in SPLITS]
        splits = split_indices(NAME, tree, counts, val, split_seed)
        images, labels, digests = _read(tree, [pair for split in SPLITS for pair in pairs[split]], height, width, legend)
    warn_of_leaks(NAME, digests, splits)
    mean, std = statistics(images, splits["train"])
    description = source("segmentation folder", folder, splits, drawn=not counts[1])
    return Dataset(images, labels, splits, legend.classes, mean, std, description, legend.void)


def read_legend(classes: Classes, void: Void) -> Legend:
    """ValueError naming the class, or void, whose value or colour cannot be, or is another class's, too."""
    values = classes if isinstance(classes, dict) else {name: value for value, name in enumerate(classes)}
    if not 2 <= len(classes) <= LARGEST or len(values) < len(classes) or not all(isinstance(name, str) for name in values):
        raise ValueError(f"{NAME}: classes is {classes}; expected 2 to {LARGEST} names, each once")
    in_colours = isinstance(next(iter(values.values())), Sequence)
    labels = np.full(2**24 if in_colours else 2**8, -1, np.int16)
    for label, (name, value) in enumerate(values.items()):
        _enter(labels, f"classes.{name}", value, label)
    voids: list[Any] = [] if void is None else list(void) if isinstance(void, Sequence) else [void]
    if in_colours and voids and not isinstance(voids[0], Sequence):
        voids = [voids]  # a single colour
    for value in voids:
        _enter(labels, "void", value, len(values))
    return Legend(tuple(values), labels, len(values) if voids else None)


def _enter(labels: np.ndarray, key: str, value: int | Sequence[int], label: int) -> None:
    in_colours = len(labels) > 256
    given = list(value) if in_colours and isinstance(value, Sequence) else [value]
    parts = [part for part in given if type(part) is int and 0 <= part <= 255]
    if not len(parts) == len(given) == (3 if in_colours else 1):
        expected = "a colour, [red, green, blue] of 0 to 255" if in_colours else "a value from 0 to 255"
        raise ValueError(f"{NAME}: {key} is {value!r}; expected {expected}, as the first class has")
    number = int.from_bytes(parts, "big")
    if labels[number] not in (-1, label):
        raise ValueError(f"{NAME}: {key} is {value}, and so is another class; give each its own")
    labels[number] = label


def list_pairs(tree: Tree) -> dict[str, list[tuple[str, str]]]:
    """The names of image and mask of each sample. ValueError naming what is missing, or in two splits."""
    layout = next((layout for layout in LAYOUTS if _below(tree, layout[0].format("train"))), None)
    if layout is None:
        expected = ", or ".join(" and ".join(f"{part.format('train')}/" for part in layout) for layout in LAYOUTS)
        raise ValueError(f"{tree.prefix} holds {tree.content()}; expected {expected} with lists")
    pairs = {split: _pairs(tree, split, *layout) for split in SPLITS}
    seen: dict[str, str] = {}
    for split in SPLITS:
        if not pairs[split] and split != "val":
            raise ValueError(f"{tree.where(layout[0].format(split))} holds no images; expected files that end in {', '.join(IMAGES)}")
        for image, _ in pairs[split]:
            if image in seen:
                listing = tree.where(f"{split}.txt")
                raise ValueError(f"{listing} lists {image}, which {seen[image]}.txt already did; an image is in one split, once")
            seen[image] = split
    return pairs


def _below(tree: Tree, folder: str) -> list[str]:
    return [name for name in tree.names if name.startswith(f"{folder}/")]


def _pairs(tree: Tree, split: str, *layout: str) -> list[tuple[str, str]]:
    """By the split's list if there is one, else all images of the split's folder, by equal names but for their endings."""
    folders = [folder.format(split) for folder in layout]
    images, masks = (_by_key(tree, folder, endings) for folder, endings in zip(folders, (IMAGES, MASKS), strict=True))
    listing = f"{split}.txt"
    if listing in tree.names:
        data = tree.read(listing)
        with naming(tree.where(listing)):
            text = data.decode("utf-8-sig")
        lines = listed(text, tree.where(listing))
        return [(_find(tree, images, image, folders[0], listing), _find(tree, masks, mask, folders[1], listing)) for image, mask in lines]
    if folders == list(layout):
        if split == "val":
            return []
        raise ValueError(f"{tree.where(listing)} does not exist; expected the list of the split's images, one a line")
    for key in sorted(images.keys() ^ masks.keys()):
        without, other = (images, folders[1]) if key in images else (masks, folders[0])
        raise ValueError(f"{tree.where(without[key])} has no partner {key} in {other}/; expected one, or a list {listing} of those to use")
    return [(images[key], masks[key]) for key in sorted(images)]


def _by_key(tree: Tree, folder: str, endings: tuple[str, ...]) -> dict[str, str]:
    """The files below a folder by their path in it, without its ending: lists, images and masks differ in that."""
    found: dict[str, str] = {}
    for name in _below(tree, folder):
        if name.lower().endswith(endings):
            key = _key(name.removeprefix(f"{folder}/"))
            if key in found:
                raise ValueError(f"{tree.where(name)} and {found[key]} differ in their ending only; remove the one that is not meant")
            found[key] = name
    return found


def _key(name: str) -> str:
    return str(PurePosixPath(name).with_suffix("")) if name.lower().endswith(IMAGES) else name


def _find(tree: Tree, files: dict[str, str], entry: str, folder: str, listing: str) -> str:
    """The file of which an entry's end is the path: it may begin with folders of its author's, which exist nowhere else."""
    parts = _key(entry).split("/")
    for start in range(len(parts)):
        if found := files.get("/".join(parts[start:])):
            return found
    raise ValueError(f"{tree.where(listing)} lists {entry}, but {tree.where(folder)} holds no {parts[-1]} with the ending of an image")


def _read(tree: Tree, pairs: list[tuple[str, str]], height: int, width: int, legend: Legend) -> list[np.ndarray]:
    """The images, their labels, and a digest of each image's file."""

    def read(index: int) -> tuple[np.ndarray, ...]:
        image_file, mask_file = map(tree.where, pairs[index])
        data, mask_data = map(tree.read, pairs[index])
        image = decoded(data, image_file)
        with naming(mask_file):
            mask = Image.open(BytesIO(mask_data))
            mask.load()
        check_sizes(image, image_file, mask, mask_file)
        pixels = np.asarray(area_average(image, height, width))
        return pixels.transpose(2, 0, 1), nearest(_labels(mask, mask_file, legend), height, width), digest(data)

    return in_threads(read, len(pairs), (3, height, width), (height, width), (DIGEST,))


def _labels(mask: Image.Image, file: str, legend: Legend) -> np.ndarray:
    values = _values(mask, file, legend.in_colours)
    labels = legend.labels[values]
    if labels.min() < 0:
        unknown = np.unique(values[labels < 0]).tolist()
        examples = [list(value.to_bytes(3, "big")) if legend.in_colours else value for value in unknown[:5]]
        what = "colours" if legend.in_colours else "values"
        raise ValueError(f"{file} holds the {what} {str(examples)[1:-1]}{', ...' * (len(unknown) > 5)}; name them under classes or void")
    return labels.astype(np.uint8)


def _values(mask: Image.Image, file: str, in_colours: bool) -> np.ndarray:
    """Each pixel's number in a legend."""
    if mask.mode not in ("1", "L", "P", *(("LA", "RGB", "RGBA") * in_colours)):
        expected = "8 bits a channel" if in_colours else "8 bits, grey or with a palette; for colours, give each class its own"
        raise ValueError(f"{file} is of mode {mask.mode}; expected {expected}")
    if not in_colours:
        return np.asarray(mask.convert("L") if mask.mode == "1" else mask)
    red, green, blue = np.moveaxis(np.asarray(mask.convert("RGB")).astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue
