"""Your own images with a mask each. They lie in a folder or .zip, in one of four layouts.

    train/ trainannot/    images/train/ masks/train/    train/images/ train/masks/    and the same for test and, if there is one, val
    images/ masks/        with the lists train.txt, test.txt and perhaps val.txt, which the other layouts may have, too

A list has one line for each image. Where the mask has another name, it stands in the last column, as in the lists of the SegNet tutorial.
"""

from io import BytesIO
from pathlib import PurePosixPath

import numpy as np
from PIL import Image

from confidnet_core.config.ranges import PathText, PositiveInt, SplitSeed, ValidationSize
from confidnet_core.data import TRAIN_VAL_TEST, Dataset
from confidnet_core.datasets._collections import ChannelStatistics, assign_splits, describe_source, image_statistics
from confidnet_core.datasets._file_tree import FileTree, name_file_in_errors, open_file_tree
from confidnet_core.datasets._images import (
    IMAGE_SUFFIXES,
    decode_image,
    image_to_array,
    parse_image_list,
    read_samples_in_threads,
    require_equal_sizes,
)
from confidnet_core.datasets._mask_legend import ClassesSetting, MaskLegend, VoidSetting, mask_to_labels, parse_mask_legend
from confidnet_core.datasets._resizing import resize_by_area_average, resize_labels_nearest

DATA_SET_NAME = "segmentation_folder"
MASK_SUFFIXES = (".png", ".bmp", ".gif", ".tif", ".tiff")  # without JPEG, which changes values
# The folder of a split's images and that of its masks, with {} for the name of the split.
FOLDER_LAYOUTS = (("{}/images", "{}/masks"), ("{}", "{}annot"), ("images/{}", "masks/{}"), ("images", "masks"))


def segmentation_folder(
    *,
    folder: PathText,
    height: PositiveInt,
    width: PositiveInt,
    classes: ClassesSetting,
    void: VoidSetting = None,
    val: ValidationSize = 0,
    split_seed: SplitSeed = 42,
    mean: ChannelStatistics | None = None,
    std: ChannelStatistics | None = None,
) -> Dataset:
    """Return images (n, 3, HEIGHT, WIDTH), resized by area average, and labels (n, HEIGHT, WIDTH), resized by nearest neighbour.

    classes: names in the order of the masks' values, from 0; or each name with its value, {cell: 255}, or colour, {road: [128, 64, 128]}
    void: the value or colour of unlabelled pixels, or a list of them
    folder, val, split_seed, mean, std: as for image_folder, and so is the decoding of images
    A split is in the order of its list, or without a list, in the order of the names.
    Raises ValueError naming the setting, the folder, or the file that is missing, in two splits, damaged, of another size than its image,
    or holds a value that is neither a class nor void.
    """
    mask_legend = parse_mask_legend(DATA_SET_NAME, classes, void)
    with open_file_tree(folder, {"train", "images"}) as file_tree:
        image_mask_pairs_of_split = list_image_mask_pairs(file_tree)
        split_sizes = [len(image_mask_pairs_of_split[split]) for split in TRAIN_VAL_TEST]
        splits = assign_splits(DATA_SET_NAME, file_tree, split_sizes, val, split_seed)
        all_image_mask_pairs = [image_mask_pair for split in TRAIN_VAL_TEST for image_mask_pair in image_mask_pairs_of_split[split]]
        images, labels = _read_images_and_labels(file_tree, all_image_mask_pairs, height, width, mask_legend)
    channel_mean, channel_std = image_statistics(DATA_SET_NAME, images, splits["train"], mean, std)
    source_description = describe_source("segmentation folder", folder, splits, is_val_drawn=not split_sizes[1])
    return Dataset(images, labels, splits, mask_legend.class_names, channel_mean, channel_std, source_description, mask_legend.void_label)


def read_image(file_bytes: bytes, file_name: str, *, height: int, width: int) -> np.ndarray:
    """Return an image file as an array of this data set, uint8 (3, HEIGHT, WIDTH). Raises ValueError naming the file if it is damaged."""
    return image_to_array(resize_by_area_average(decode_image(file_bytes, file_name), height, width))


segmentation_folder.read_image = read_image  # by which a served model reads new images


def list_image_mask_pairs(file_tree: FileTree) -> dict[str, list[tuple[str, str]]]:
    """Return {split: paths of image and mask of each sample}. Raises ValueError naming what is missing or in two splits."""
    folder_layout = next((layout for layout in FOLDER_LAYOUTS if _files_below(file_tree, layout[0].format("train"))), None)
    if folder_layout is None:
        expected_layouts = ", or ".join(" and ".join(f"{folder.format('train')}/" for folder in layout) for layout in FOLDER_LAYOUTS)
        problem_text = f"{file_tree.path_prefix_in_messages} holds {file_tree.top_level_names_as_text()}"
        raise ValueError(f"{problem_text}; expected {expected_layouts} with lists")
    image_mask_pairs_of_split = {split: _image_mask_pairs_of_split(file_tree, split, *folder_layout) for split in TRAIN_VAL_TEST}
    split_of_image: dict[str, str] = {}
    for split in TRAIN_VAL_TEST:
        if not image_mask_pairs_of_split[split] and split != "val":
            folder = file_tree.path_in_messages(folder_layout[0].format(split))
            raise ValueError(f"{folder} holds no images; expected files that end in {', '.join(IMAGE_SUFFIXES)}")
        for image_path, _ in image_mask_pairs_of_split[split]:
            if image_path in split_of_image:
                image_list_path, other_split = file_tree.path_in_messages(f"{split}.txt"), split_of_image[image_path]
                problem_text = f"{image_list_path} lists {image_path}, which {other_split}.txt already did"
                raise ValueError(f"{problem_text}; an image is in one split, once")
            split_of_image[image_path] = split
    return image_mask_pairs_of_split


def _files_below(file_tree: FileTree, folder: str) -> list[str]:
    return [path for path in file_tree.paths if path.startswith(f"{folder}/")]


def _image_mask_pairs_of_split(file_tree: FileTree, split: str, *folder_layout: str) -> list[tuple[str, str]]:
    """Return the paths of image and mask of each sample of a split, by its list or, without a list, of all files with the same stem."""
    split_folders = image_folder, mask_folder = [folder.format(split) for folder in folder_layout]
    image_path_of_stem = _files_by_stem(file_tree, image_folder, IMAGE_SUFFIXES)
    mask_path_of_stem = _files_by_stem(file_tree, mask_folder, MASK_SUFFIXES)
    image_list_name = f"{split}.txt"
    if image_list_name in file_tree.paths:
        image_list_bytes = file_tree.read(image_list_name)
        with name_file_in_errors(file_tree.path_in_messages(image_list_name)):
            image_list_text = image_list_bytes.decode("utf-8-sig")
        listed_name_pairs = parse_image_list(image_list_text, file_tree.path_in_messages(image_list_name))
        return [
            (
                _find_listed_file(file_tree, image_path_of_stem, listed_image_path, image_folder, image_list_name),
                _find_listed_file(file_tree, mask_path_of_stem, listed_mask_path, mask_folder, image_list_name),
            )
            for listed_image_path, listed_mask_path in listed_name_pairs
        ]
    if split_folders == list(folder_layout):
        if split == "val":
            return []
        image_list_path = file_tree.path_in_messages(image_list_name)
        raise ValueError(f"{image_list_path} does not exist; expected the list of the split's images, one a line")
    for stem in sorted(image_path_of_stem.keys() ^ mask_path_of_stem.keys()):
        has_image = stem in image_path_of_stem
        path, missing_partner_folder = (image_path_of_stem[stem], mask_folder) if has_image else (mask_path_of_stem[stem], image_folder)
        problem_text = f"{file_tree.path_in_messages(path)} has no partner {stem} in {missing_partner_folder}/"
        raise ValueError(f"{problem_text}; expected one, or a list {image_list_name} of those to use")
    return [(image_path_of_stem[stem], mask_path_of_stem[stem]) for stem in sorted(image_path_of_stem)]


def _files_by_stem(file_tree: FileTree, folder: str, suffixes: tuple[str, ...]) -> dict[str, str]:
    """Return {path in a folder without suffix: path} of the files below it with one of `suffixes`. ValueError for two of a stem."""
    path_of_stem: dict[str, str] = {}
    for path in _files_below(file_tree, folder):
        if path.lower().endswith(suffixes):
            stem = _name_without_suffix(path.removeprefix(f"{folder}/"))
            if stem in path_of_stem:
                problem_text = f"{file_tree.path_in_messages(path)} and {path_of_stem[stem]} differ in their ending only"
                raise ValueError(f"{problem_text}; remove the one that is not meant")
            path_of_stem[stem] = path
    return path_of_stem


def _name_without_suffix(file_name: str) -> str:
    return str(PurePosixPath(file_name).with_suffix("")) if file_name.lower().endswith(IMAGE_SUFFIXES) else file_name


def _find_listed_file(file_tree: FileTree, path_of_stem: dict[str, str], listed_path: str, folder: str, image_list_name: str) -> str:
    """Return the file of a folder that a line of a list names; the entry may begin with folders of its author's computer."""
    listed_path_parts = _name_without_suffix(listed_path).split("/")
    for first_part_index in range(len(listed_path_parts)):
        if file := path_of_stem.get("/".join(listed_path_parts[first_part_index:])):
            return file
    problem_text = f"{file_tree.path_in_messages(folder)} holds no {listed_path_parts[-1]} with the ending of an image"
    raise ValueError(f"{file_tree.path_in_messages(image_list_name)} lists {listed_path}, but {problem_text}")


def _read_images_and_labels(
    file_tree: FileTree, image_mask_pairs: list[tuple[str, str]], height: int, width: int, mask_legend: MaskLegend
) -> list[np.ndarray]:
    """Return images (n, 3, height, width) and labels (n, height, width), uint8, of n pairs of image and mask path."""

    def read_image_and_labels(index: int) -> tuple[np.ndarray, ...]:
        image_file, mask_file = map(file_tree.path_in_messages, image_mask_pairs[index])
        image_bytes, mask_bytes = map(file_tree.read, image_mask_pairs[index])
        image = decode_image(image_bytes, image_file)
        with name_file_in_errors(mask_file):
            mask = Image.open(BytesIO(mask_bytes))
            mask.load()
        require_equal_sizes(image, image_file, mask, mask_file)
        labels = resize_labels_nearest(mask_to_labels(mask, mask_file, mask_legend), height, width)
        return image_to_array(resize_by_area_average(image, height, width)), labels

    return read_samples_in_threads(read_image_and_labels, len(image_mask_pairs), (3, height, width), (height, width))
