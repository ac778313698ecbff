"""Your own images with a mask each. They lie in a folder or .zip, in one of four layouts.

    train/ trainannot/    images/train/ masks/train/    train/images/ train/masks/    and the same for test and, if there is one, val
    images/ masks/        with the lists train.txt, test.txt and perhaps val.txt, which the other layouts may have, too

A list has one line for each image. Where the mask has another name, it stands in the last column, as in the lists of the SegNet tutorial.
"""

import numpy as np

from confidnet_core.config.ranges import ImageSide, PathText, SplitSeed, ValidationSize
from confidnet_core.data import TRAIN_VAL_TEST, Dataset
from confidnet_core.datasets._collections import ChannelStatistics, assign_splits, describe_source, image_statistics
from confidnet_core.datasets._file_tree import FileTree, open_file_tree
from confidnet_core.datasets._images import decode_image, image_to_array, read_samples_in_threads
from confidnet_core.datasets._mask_legend import ClassesSetting, MaskLegend, VoidSetting, parse_mask_legend
from confidnet_core.datasets._masks import read_image_and_labels
from confidnet_core.datasets._pairs import list_image_mask_pairs
from confidnet_core.datasets._resizing import resize_by_area_average, resize_labels_nearest

DATA_SET_NAME = "segmentation_folder"


def segmentation_folder(
    *,
    folder: PathText,
    height: ImageSide,
    width: ImageSide,
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
        image_mask_pairs_of_split, notes = list_image_mask_pairs(file_tree)
        split_sizes = [len(image_mask_pairs_of_split[split]) for split in TRAIN_VAL_TEST]
        splits = assign_splits(DATA_SET_NAME, file_tree, split_sizes, val, split_seed)
        all_image_mask_pairs = [image_mask_pair for split in TRAIN_VAL_TEST for image_mask_pair in image_mask_pairs_of_split[split]]
        images, labels = _read_images_and_labels(file_tree, all_image_mask_pairs, height, width, mask_legend, notes)
    channel_mean, channel_std = image_statistics(DATA_SET_NAME, images, splits["train"], mean, std, notes)
    source_description = describe_source("segmentation folder", folder, splits, is_val_drawn=not split_sizes[1])
    return Dataset(
        images,
        labels,
        splits,
        mask_legend.class_names,
        channel_mean,
        channel_std,
        source_description,
        mask_legend.void_label,
        notes=tuple(notes),
    )


def read_image(file_bytes: bytes, file_name: str, *, height: int, width: int) -> np.ndarray:
    """Return an image file as an array of this data set, uint8 (3, HEIGHT, WIDTH). Raises ValueError naming the file if it is damaged."""
    return image_to_array(resize_by_area_average(decode_image(file_bytes, file_name), height, width))


segmentation_folder.read_image = read_image  # by which a served model reads new images


def _read_images_and_labels(
    file_tree: FileTree, image_mask_pairs: list[tuple[str, str]], height: int, width: int, mask_legend: MaskLegend, notes: list[str]
) -> list[np.ndarray]:
    """Return images (n, 3, height, width) and labels (n, height, width), uint8, of n pairs of image and mask path.

    Where masks were turned with their images, a sentence about it is appended to `notes`.
    """
    turned_masks: list[str] = []

    def read_pair(index: int) -> tuple[np.ndarray, ...]:
        image_file, mask_file = map(file_tree.path_in_messages, image_mask_pairs[index])
        image_bytes, mask_bytes = map(file_tree.read, image_mask_pairs[index])
        image, labels, is_turned = read_image_and_labels(image_bytes, image_file, mask_bytes, mask_file, mask_legend)
        turned_masks.extend([mask_file] * is_turned)
        return image_to_array(resize_by_area_average(image, height, width)), resize_labels_nearest(labels, height, width)

    images_and_labels = read_samples_in_threads(read_pair, len(image_mask_pairs), (3, height, width), (height, width))
    if turned_masks:
        masks_text = "1 mask was" if len(turned_masks) == 1 else f"{len(turned_masks):,} masks were"
        notes.append(
            f"{masks_text} turned with the image, by its EXIF orientation, which the mask lacks; the first is {min(turned_masks)}. "
            "If a mask was drawn on the upright image, save the image upright, without an orientation."
        )
    return images_and_labels
