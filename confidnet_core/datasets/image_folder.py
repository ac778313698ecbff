"""Your own images in class folders. They lie in a folder or .zip as train/CLASS/..., test/CLASS/... and optionally val/CLASS/...

Each split has the layout of torchvision.datasets.ImageFolder. The folder val may also be called valid or validation.
"""

from collections.abc import Mapping

import numpy as np

from confidnet_core.config.ranges import ImageSide, PathText, SplitSeed, ValidationSize
from confidnet_core.config.registry import suggestion
from confidnet_core.data import TRAIN_VAL_TEST, Dataset
from confidnet_core.datasets._collections import ChannelStatistics, assign_splits, describe_source, image_statistics
from confidnet_core.datasets._file_tree import FileTree, open_file_tree
from confidnet_core.datasets._image_formats import EXPECTED_FILES_TEXT, IMAGE_SUFFIXES
from confidnet_core.datasets._images import ImagePreparation, Interpolation, read_samples_in_threads
from confidnet_core.datasets._split_folders import ALL_SPLIT_NAMES, left_out_sentences, name_of_split, normalised_name
from confidnet_core.display import display_text

DATA_SET_NAME = "image_folder"
MAX_CLASSES = 65535  # labels have 16 bits


def image_folder(
    *,
    folder: PathText,
    height: ImageSide,
    width: ImageSide,
    val: ValidationSize = 0,
    split_seed: SplitSeed = 42,
    grey: bool = False,
    mean: ChannelStatistics | None = None,
    std: ChannelStatistics | None = None,
    resize: ImageSide | None = None,
    interpolation: Interpolation = "area",
) -> Dataset:
    """Return images (n, 3, HEIGHT, WIDTH), or with 1 channel if `grey`, in the order of splits, classes and names.

    folder: an absolute path, or one below $CONFIDNET_DATA or data/raw. The classes are the sorted folders of train; without train, of all.
    height, width: the size to which images are stretched, or with `resize` cut. Images are turned by their EXIF orientation; transparent
        pixels become white, and 16 bits become 8.
    val: where there is no val split, the number or the fraction of the training images that are drawn for it at random, from any class.
        Without a folder train nothing can be trained; if there also is but one other folder, its images are divided into val and test.
    mean, std: of each channel, for pixels scaled to [0, 1]: a list, or imagenet; by default those of the training images
    resize: the length of the shorter side before the centre of height x width is cut out; interpolation: see `ImagePreparation`
    Names of classes are compared in Unicode's composed form. What is left out stands in `Dataset.notes`.
    Raises ValueError naming the setting, the folder, or the file that is out of place or damaged.
    """
    if resize is not None and resize < max(height, width):
        raise ValueError(
            f"{DATA_SET_NAME}: resize is {resize}; expected at least {max(height, width)}, as height and width are cut from it"
        )
    preparation = ImagePreparation(height, width, resize, interpolation, grey)
    with open_file_tree(folder, ALL_SPLIT_NAMES) as file_tree:
        folder_of_split = {split: name_of_split(file_tree, split, "{}/") for split in TRAIN_VAL_TEST}
        classes, image_paths, labels, split_sizes = _list_labelled_images(file_tree, folder_of_split)
        notes = left_out_sentences(file_tree, [f"{split_folder}/" for split_folder in folder_of_split.values()])
        if not split_sizes[0] and (mean is None or std is None):
            problem_text = f"{file_tree.path_in_messages('train')} holds 0 class folders; expected train/CLASS/, or mean and std"
            raise ValueError(f"{problem_text} to evaluate without training; it holds {file_tree.top_level_names_as_text()}")
        splits = assign_splits(DATA_SET_NAME, file_tree, split_sizes, val, split_seed)
        if split_sizes[0]:
            _check_training_classes(classes, labels[splits["train"]])
        images = _read_images(file_tree, image_paths, preparation)
    channel_mean, channel_std = image_statistics(DATA_SET_NAME, images, splits["train"], mean, std, notes)
    is_val_drawn = not split_sizes[1] or not (split_sizes[0] or split_sizes[2])
    source_description = describe_source("image folder", folder, splits, is_val_drawn=is_val_drawn)
    return Dataset(
        images,
        labels,
        splits,
        classes,
        channel_mean,
        channel_std,
        source_description,
        preparation=preparation.settings(),
        notes=tuple(notes),
    )


def read_image(
    file_bytes: bytes,
    file_name: str,
    *,
    height: int,
    width: int,
    grey: bool = False,
    resize: int | None = None,
    interpolation: Interpolation = "area",
) -> np.ndarray:
    """Return an image file as an array of this data set, uint8 (3, HEIGHT, WIDTH), or with 1 channel if `grey`; settings as above.

    Raises ValueError naming the file if it is damaged.
    """
    return ImagePreparation(height, width, resize, interpolation, grey).read(file_bytes, file_name)


image_folder.read_image = read_image  # by which a served model reads new images


def _list_labelled_images(
    file_tree: FileTree, folder_of_split: Mapping[str, str]
) -> tuple[tuple[str, ...], list[str], np.ndarray, list[int]]:
    """Return the class names, the paths and labels of all images in the order of the splits, and the number of images of each.

    Labels are uint8, or uint16 for more than 255 classes. folder_of_split: {split: name of its folder}
    """
    image_paths_by_split = {split: _image_paths_by_class(file_tree, folder_of_split[split]) for split in TRAIN_VAL_TEST}
    class_splits = ("train",) if image_paths_by_split["train"] else TRAIN_VAL_TEST
    classes = tuple(sorted({class_name for split in class_splits for class_name in image_paths_by_split[split]}))
    _check_class_folders(file_tree, classes, image_paths_by_split, folder_of_split)
    paths_by_split_and_class = [image_paths_by_split[split].get(class_name, ()) for split in TRAIN_VAL_TEST for class_name in classes]
    image_paths = [image_path for image_paths in paths_by_split_and_class for image_path in image_paths]
    image_counts = np.array([[len(image_paths_by_split[split].get(class_name, ())) for class_name in classes] for split in TRAIN_VAL_TEST])
    labels = np.tile(np.arange(len(classes), dtype=np.min_scalar_type(len(classes))), len(TRAIN_VAL_TEST)).repeat(image_counts.ravel())
    return classes, image_paths, labels, image_counts.sum(1).tolist()


def _image_paths_by_class(file_tree: FileTree, split_folder: str) -> dict[str, list[str]]:
    """Return {class name: paths of its images} of a split. A class has all images below its folder, in any depth."""
    paths_of_class: dict[str, list[str]] = {}
    for relative_path in file_tree.paths:
        top_folder, _, path_in_split = relative_path.partition("/")
        folder_name, separator, _ = path_in_split.partition("/")
        is_image = relative_path.lower().endswith(IMAGE_SUFFIXES)
        if top_folder == split_folder and separator:
            class_name = normalised_name(file_tree, folder_name, f"{split_folder}/{folder_name}")
            paths_of_class.setdefault(class_name, []).extend([relative_path] * is_image)
        elif top_folder == split_folder and is_image:
            image_path = file_tree.path_in_messages(relative_path)
            raise ValueError(f"{image_path} lies in no class folder; expected {split_folder}/CLASS/{folder_name}")
    return paths_of_class


def _check_class_folders(
    file_tree: FileTree,
    class_names: tuple[str, ...],
    image_paths_by_split: dict[str, dict[str, list[str]]],
    folder_of_split: Mapping[str, str],
) -> None:
    has_train = bool(image_paths_by_split["train"])
    if not 2 <= len(class_names) <= MAX_CLASSES:
        class_folders_text = f"{file_tree.path_in_messages('train')} holds {len(class_names)} class folders"
        problem_text = f"{class_folders_text}; expected 2 to {MAX_CLASSES:,}, train/CLASS/, or without training val/CLASS/"
        raise ValueError(f"{problem_text}; {file_tree.path_prefix_in_messages} holds {file_tree.top_level_names_as_text()}")
    for class_name in class_names:
        if not any(image_paths_by_split[split].get(class_name) for split in (("train",) if has_train else ("val", "test"))):
            class_folder = file_tree.path_in_messages(f"{folder_of_split['train' if has_train else 'val']}/{class_name}")
            raise ValueError(f"{class_folder} holds no images; expected {EXPECTED_FILES_TEXT}")
    for split in ("val", "test"):
        for class_name in sorted(image_paths_by_split[split].keys() - set(class_names)):
            class_folder = file_tree.path_in_messages(f"{folder_of_split[split]}/{class_name}")
            raise ValueError(f"{class_folder} is of a class that train lacks{display_text(suggestion(class_name, class_names))}")
    if has_train and not any(image_paths_by_split["test"].values()):
        problem_text = f"{file_tree.path_in_messages('test')} holds no images; expected test/CLASS/"
        raise ValueError(f"{problem_text}; {file_tree.path_prefix_in_messages} holds {file_tree.top_level_names_as_text()}")


def _check_training_classes(class_names: tuple[str, ...], labels: np.ndarray) -> None:
    """Raise ValueError if a class has no training image. labels: class indices of the training images"""
    for class_index in np.flatnonzero(np.bincount(labels, minlength=len(class_names)) == 0):
        class_text = display_text(class_names[class_index])
        raise ValueError(f"{DATA_SET_NAME}: all training images of {class_text} were drawn for val; draw fewer, or by another split_seed")


def _read_images(file_tree: FileTree, image_paths: list[str], preparation: ImagePreparation) -> np.ndarray:
    """Return all images, uint8 (n, channels, height, width)."""

    def read_image_at(index: int) -> tuple[np.ndarray]:
        image_path = image_paths[index]
        return (preparation.read(file_tree.read(image_path), file_tree.path_in_messages(image_path)),)

    (images,) = read_samples_in_threads(read_image_at, len(image_paths), preparation.image_shape)
    return images
