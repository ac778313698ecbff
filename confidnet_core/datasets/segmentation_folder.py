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
    CONTENT_DIGEST_BYTES,
    IMAGE_SUFFIXES,
    FileTree,
    assign_splits,
    channel_statistics,
    content_digest,
    decode_image,
    describe_source,
    name_file_in_errors,
    open_file_tree,
    parse_listing,
    read_in_threads,
    require_equal_sizes,
    resize_by_area_average,
    resize_labels_nearest,
    warn_of_leaks,
)

DATA_SET_NAME = "segmentation_folder"
MASK_SUFFIXES = (".png", ".bmp", ".gif", ".tif", ".tiff")  # without JPEG, which changes values
# The folder of a split's images and that of its masks, with {} for the name of the split.
FOLDER_LAYOUTS = (("{}/images", "{}/masks"), ("{}", "{}annot"), ("images/{}", "masks/{}"), ("images", "masks"))
MAX_CLASSES = 255  # labels have 8 bits, and 255 may be void

Colour = Annotated[Sequence[Byte], Field(min_length=3, max_length=3)]
ClassesSetting = Annotated[
    Sequence[str] | dict[str, Byte | Colour],
    Field(min_length=2, max_length=MAX_CLASSES, description=f"2 to {MAX_CLASSES} names, or names with values"),
]
VoidSetting = Byte | Sequence[Byte | Colour] | None  # a value, a colour, or a list of these


@dataclass(frozen=True)
class MaskLegend:
    """The class label that each value or colour of a mask stands for. The label of void (unlabelled) pixels is the number of classes."""

    class_names: tuple[str, ...]
    label_of_value: np.ndarray  # int16; the index is a value, 0 to 255, or a colour, red << 16 | green << 8 | blue; -1 if unknown
    void_label: int | None

    @property
    def uses_colours(self) -> bool:
        return len(self.label_of_value) > 256


def segmentation_folder(
    *,
    folder: PathText,
    height: PositiveInt,
    width: PositiveInt,
    classes: ClassesSetting,
    void: VoidSetting = None,
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
    with open_file_tree(folder, {"train", "images"}) as file_tree:
        pairs_of_split = list_pairs(file_tree)
        split_sizes = [len(pairs_of_split[split]) for split in TRAIN_VAL_TEST]
        splits = assign_splits(DATA_SET_NAME, file_tree, split_sizes, val, split_seed)
        all_pairs = [pair for split in TRAIN_VAL_TEST for pair in pairs_of_split[split]]
        images, labels, content_digests = _read_samples(file_tree, all_pairs, height, width, legend)
    warn_of_leaks(DATA_SET_NAME, content_digests, splits)
    mean, std = channel_statistics(images, splits["train"])
    source_text = describe_source("segmentation folder", folder, splits, is_val_drawn=not split_sizes[1])
    return Dataset(images, labels, splits, legend.class_names, mean, std, source_text, legend.void_label)


def parse_legend(classes_setting: ClassesSetting, void_setting: VoidSetting) -> MaskLegend:
    """Return which label each value or colour of a mask stands for. Raises ValueError naming one that is invalid or used twice."""
    is_mapping = isinstance(classes_setting, dict)
    value_of_class = classes_setting if is_mapping else {name: mask_value for mask_value, name in enumerate(classes_setting)}
    has_duplicates, are_names = len(value_of_class) < len(classes_setting), all(isinstance(name, str) for name in value_of_class)
    if not 2 <= len(classes_setting) <= MAX_CLASSES or has_duplicates or not are_names:
        raise ValueError(f"{DATA_SET_NAME}: classes is {classes_setting}; expected 2 to {MAX_CLASSES} names, each once")
    uses_colours = isinstance(next(iter(value_of_class.values())), Sequence)
    label_of_value = np.full(2**24 if uses_colours else 2**8, -1, np.int16)
    for label, (class_name, mask_value) in enumerate(value_of_class.items()):
        _assign_label(label_of_value, f"classes.{class_name}", mask_value, label)
    void_values: list[Any] = [] if void_setting is None else list(void_setting) if isinstance(void_setting, Sequence) else [void_setting]
    if uses_colours and void_values and not isinstance(void_values[0], Sequence):
        void_values = [void_values]  # a single colour
    for mask_value in void_values:
        _assign_label(label_of_value, "void", mask_value, len(value_of_class))
    return MaskLegend(tuple(value_of_class), label_of_value, len(value_of_class) if void_values else None)


def _assign_label(label_of_value: np.ndarray, setting_name: str, mask_value: int | Sequence[int], label: int) -> None:
    """Set the element of the table `label_of_value` for a mask's value or colour to `label`. setting_name: the setting, in messages"""
    uses_colours = len(label_of_value) > 256
    channel_values = list(mask_value) if uses_colours and isinstance(mask_value, Sequence) else [mask_value]
    valid_values = [value for value in channel_values if type(value) is int and 0 <= value <= 255]
    if not len(valid_values) == len(channel_values) == (3 if uses_colours else 1):
        expected = "a colour, [red, green, blue] of 0 to 255" if uses_colours else "a value from 0 to 255"
        raise ValueError(f"{DATA_SET_NAME}: {setting_name} is {mask_value!r}; expected {expected}, as the first class has")
    value_index = int.from_bytes(valid_values, "big")
    if label_of_value[value_index] not in (-1, label):
        raise ValueError(f"{DATA_SET_NAME}: {setting_name} is {mask_value}, and so is another class; give each its own")
    label_of_value[value_index] = label


def list_pairs(file_tree: FileTree) -> dict[str, list[tuple[str, str]]]:
    """Return {split: paths of image and mask of each sample}. Raises ValueError naming what is missing or in two splits."""
    layout = next((layout for layout in FOLDER_LAYOUTS if _files_below(file_tree, layout[0].format("train"))), None)
    if layout is None:
        expected_layouts = ", or ".join(" and ".join(f"{folder.format('train')}/" for folder in layout) for layout in FOLDER_LAYOUTS)
        raise ValueError(f"{file_tree.message_prefix} holds {file_tree.top_level_text()}; expected {expected_layouts} with lists")
    pairs_of_split = {split: _pairs_of_split(file_tree, split, *layout) for split in TRAIN_VAL_TEST}
    split_of_image: dict[str, str] = {}
    for split in TRAIN_VAL_TEST:
        if not pairs_of_split[split] and split != "val":
            folder = file_tree.message_path(layout[0].format(split))
            raise ValueError(f"{folder} holds no images; expected files that end in {', '.join(IMAGE_SUFFIXES)}")
        for image_path, _ in pairs_of_split[split]:
            if image_path in split_of_image:
                listing_path, other_split = file_tree.message_path(f"{split}.txt"), split_of_image[image_path]
                raise ValueError(f"{listing_path} lists {image_path}, which {other_split}.txt already did; an image is in one split, once")
            split_of_image[image_path] = split
    return pairs_of_split


def _files_below(file_tree: FileTree, folder: str) -> list[str]:
    return [path for path in file_tree.paths if path.startswith(f"{folder}/")]


def _pairs_of_split(file_tree: FileTree, split: str, *layout: str) -> list[tuple[str, str]]:
    """Return the paths of image and mask of each sample of a split, by its list or, without a list, of all files with the same stem."""
    split_folders = image_folder, mask_folder = [folder.format(split) for folder in layout]
    image_of_stem = _files_by_stem(file_tree, image_folder, IMAGE_SUFFIXES)
    mask_of_stem = _files_by_stem(file_tree, mask_folder, MASK_SUFFIXES)
    listing_name = f"{split}.txt"
    if listing_name in file_tree.paths:
        listing_bytes = file_tree.read(listing_name)
        with name_file_in_errors(file_tree.message_path(listing_name)):
            listing_text = listing_bytes.decode("utf-8-sig")
        listed_pairs = parse_listing(listing_text, file_tree.message_path(listing_name))
        return [
            (
                _find_listed_file(file_tree, image_of_stem, image_entry, image_folder, listing_name),
                _find_listed_file(file_tree, mask_of_stem, mask_entry, mask_folder, listing_name),
            )
            for image_entry, mask_entry in listed_pairs
        ]
    if split_folders == list(layout):
        if split == "val":
            return []
        raise ValueError(f"{file_tree.message_path(listing_name)} does not exist; expected the list of the split's images, one a line")
    for stem in sorted(image_of_stem.keys() ^ mask_of_stem.keys()):
        file, partner_folder = (image_of_stem[stem], mask_folder) if stem in image_of_stem else (mask_of_stem[stem], image_folder)
        problem = f"{file_tree.message_path(file)} has no partner {stem} in {partner_folder}/"
        raise ValueError(f"{problem}; expected one, or a list {listing_name} of those to use")
    return [(image_of_stem[stem], mask_of_stem[stem]) for stem in sorted(image_of_stem)]


def _files_by_stem(file_tree: FileTree, folder: str, suffixes: tuple[str, ...]) -> dict[str, str]:
    """Return {path in a folder without suffix: path} of the files below it with one of `suffixes`. ValueError for two of a stem."""
    file_of_stem: dict[str, str] = {}
    for path in _files_below(file_tree, folder):
        if path.lower().endswith(suffixes):
            stem = _name_without_suffix(path.removeprefix(f"{folder}/"))
            if stem in file_of_stem:
                problem = f"{file_tree.message_path(path)} and {file_of_stem[stem]} differ in their ending only"
                raise ValueError(f"{problem}; remove the one that is not meant")
            file_of_stem[stem] = path
    return file_of_stem


def _name_without_suffix(file_name: str) -> str:
    return str(PurePosixPath(file_name).with_suffix("")) if file_name.lower().endswith(IMAGE_SUFFIXES) else file_name


def _find_listed_file(file_tree: FileTree, file_of_stem: dict[str, str], listed_entry: str, folder: str, listing_name: str) -> str:
    """Return the file of a folder that a line of a list names; the entry may begin with folders of its author's computer."""
    entry_parts = _name_without_suffix(listed_entry).split("/")
    for first_part in range(len(entry_parts)):
        if file := file_of_stem.get("/".join(entry_parts[first_part:])):
            return file
    problem = f"{file_tree.message_path(folder)} holds no {entry_parts[-1]} with the ending of an image"
    raise ValueError(f"{file_tree.message_path(listing_name)} lists {listed_entry}, but {problem}")


def _read_samples(file_tree: FileTree, pairs: list[tuple[str, str]], height: int, width: int, legend: MaskLegend) -> list[np.ndarray]:
    """Return images (n, 3, height, width), labels (n, height, width) and file digests (n, 8), uint8, of n pairs of image and mask path."""

    def read_sample_at(index: int) -> tuple[np.ndarray, ...]:
        image_file, mask_file = map(file_tree.message_path, pairs[index])
        image_bytes, mask_bytes = map(file_tree.read, pairs[index])
        image = decode_image(image_bytes, image_file)
        with name_file_in_errors(mask_file):
            mask = Image.open(BytesIO(mask_bytes))
            mask.load()
        require_equal_sizes(image, image_file, mask, mask_file)
        image_pixels = np.asarray(resize_by_area_average(image, height, width))
        labels = resize_labels_nearest(_mask_to_labels(mask, mask_file, legend), height, width)
        return image_pixels.transpose(2, 0, 1), labels, content_digest(image_bytes)

    return read_in_threads(read_sample_at, len(pairs), (3, height, width), (height, width), (CONTENT_DIGEST_BYTES,))


def _mask_to_labels(mask: Image.Image, mask_file: str, legend: MaskLegend) -> np.ndarray:
    """Return the class label of each pixel of a mask, uint8 (h, w). Raises ValueError for a value or colour that the legend lacks."""
    value_indices = _value_indices_of_mask(mask, mask_file, legend.uses_colours)
    labels = legend.label_of_value[value_indices]
    if labels.min() < 0:
        unknown_indices = np.unique(value_indices[labels < 0]).tolist()
        examples = [list(index.to_bytes(3, "big")) if legend.uses_colours else index for index in unknown_indices[:5]]
        examples_text = f"{'colours' if legend.uses_colours else 'values'} {str(examples)[1:-1]}{', ...' * (len(unknown_indices) > 5)}"
        raise ValueError(f"{mask_file} holds the {examples_text}; name them under classes or void")
    return labels.astype(np.uint8)


def _value_indices_of_mask(mask: Image.Image, mask_file: str, uses_colours: bool) -> np.ndarray:
    """Return for each pixel of a mask the index of its value or colour in label_of_value. Raises ValueError for a mask of another mode."""
    if mask.mode not in ("1", "L", "P", *(("LA", "RGB", "RGBA") * uses_colours)):
        expected = "8 bits a channel" if uses_colours else "8 bits, grey or with a palette; for colours, give each class its own"
        raise ValueError(f"{mask_file} is of mode {mask.mode}; expected {expected}")
    if not uses_colours:
        return np.asarray(mask.convert("L") if mask.mode == "1" else mask)
    red, green, blue = np.moveaxis(np.asarray(mask.convert("RGB")).astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue
