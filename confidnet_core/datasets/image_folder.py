"""Your own images in class folders. They lie in a folder or .zip as train/CLASS/..., test/CLASS/... and optionally val/CLASS/...

Each split has the layout of torchvision.datasets.ImageFolder.
"""

import numpy as np
from PIL import Image

from confidnet_core.config.ranges import PathText, PositiveInt, SplitSeed, ValidationSize
from confidnet_core.config.registry import suggestion
from confidnet_core.data import TRAIN_VAL_TEST, Dataset
from confidnet_core.datasets._file_tree import FileTree, open_file_tree
from confidnet_core.datasets._images import (
    IMAGE_SUFFIXES,
    assign_splits,
    channel_statistics,
    decode_image,
    describe_source,
    image_to_array,
    read_samples_in_threads,
)

DATA_SET_NAME = "image_folder"
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
    Raises ValueError naming val, the folder, or the file that is out of place or damaged.
    """
    with open_file_tree(folder, {"train"}) as file_tree:
        classes, image_paths, labels, split_sizes = _list_labelled_images(file_tree)
        splits = assign_splits(DATA_SET_NAME, file_tree, split_sizes, val, split_seed)
        _check_training_classes(classes, labels[splits["train"]])
        images = _read_images(file_tree, image_paths, height, width, grey)
    mean, std = channel_statistics(images, splits["train"])
    source_description = describe_source("image folder", folder, splits, is_val_drawn_from_train=not split_sizes[1])
    return Dataset(images, labels, splits, classes, mean, std, source_description)


def read_image(file_bytes: bytes, file_name: str, *, height: int, width: int, grey: bool = False) -> np.ndarray:
    """Return an image file as an array of this data set, uint8 (3, HEIGHT, WIDTH), or with 1 channel if `grey`; settings as above.

    Raises ValueError naming the file if it is damaged.
    """
    image = decode_image(file_bytes, file_name, "L" if grey else "RGB")
    return image_to_array(_resize_by_exact_area(image, height, width))


image_folder.read_image = read_image  # by which a served model reads new images


def _list_labelled_images(file_tree: FileTree) -> tuple[tuple[str, ...], list[str], np.ndarray, list[int]]:
    """Return the class names, the paths and labels (uint8) of all images in the order of the splits, and the number of images of each."""
    image_paths_by_split = {split: _image_paths_by_class(file_tree, split) for split in TRAIN_VAL_TEST}
    classes = tuple(sorted(image_paths_by_split["train"]))
    _check_class_folders(file_tree, classes, image_paths_by_split)
    paths_by_split_and_class = [image_paths_by_split[split].get(class_name, ()) for split in TRAIN_VAL_TEST for class_name in classes]
    image_paths = [image_path for image_paths in paths_by_split_and_class for image_path in image_paths]
    image_counts = np.array([[len(image_paths_by_split[split].get(class_name, ())) for class_name in classes] for split in TRAIN_VAL_TEST])
    labels = np.tile(np.arange(len(classes), dtype=np.uint8), len(TRAIN_VAL_TEST)).repeat(image_counts.ravel())
    return classes, image_paths, labels, image_counts.sum(1).tolist()


def _image_paths_by_class(file_tree: FileTree, split: str) -> dict[str, list[str]]:
    """Return {class name: paths of its images} of a split. A class has all images below its folder, in any depth."""
    paths_of_class: dict[str, list[str]] = {}
    for relative_path in file_tree.paths:
        top_folder, _, path_in_split = relative_path.partition("/")
        class_name, separator, _ = path_in_split.partition("/")
        is_image = relative_path.lower().endswith(IMAGE_SUFFIXES)
        if top_folder == split and separator:
            paths_of_class.setdefault(class_name, []).extend([relative_path] * is_image)
        elif top_folder == split and is_image:
            raise ValueError(f"{file_tree.path_in_messages(relative_path)} lies in no class folder; expected {split}/CLASS/{class_name}")
    return paths_of_class


def _check_class_folders(file_tree: FileTree, class_names: tuple[str, ...], image_paths_by_split: dict[str, dict[str, list[str]]]) -> None:
    if not 2 <= len(class_names) <= MAX_CLASSES:
        class_folders_text = f"{file_tree.path_in_messages('train')} holds {len(class_names)} class folders"
        problem_text = f"{class_folders_text}; expected 2 to {MAX_CLASSES}, train/CLASS/"
        raise ValueError(f"{problem_text}; {file_tree.path_prefix_in_messages} holds {file_tree.top_level_names_as_text()}")
    for class_name in class_names:
        if not image_paths_by_split["train"][class_name]:
            class_folder = file_tree.path_in_messages(f"train/{class_name}")
            raise ValueError(f"{class_folder} holds no images; expected files that end in {', '.join(IMAGE_SUFFIXES)}")
    for split in ("val", "test"):
        for class_name in sorted(image_paths_by_split[split].keys() - set(class_names)):
            class_folder = file_tree.path_in_messages(f"{split}/{class_name}")
            raise ValueError(f"{class_folder} is of a class that train lacks{suggestion(class_name, class_names)}")
    if not any(image_paths_by_split["test"].values()):
        problem_text = f"{file_tree.path_in_messages('test')} holds no images; expected test/CLASS/"
        raise ValueError(f"{problem_text}; {file_tree.path_prefix_in_messages} holds {file_tree.top_level_names_as_text()}")


def _check_training_classes(class_names: tuple[str, ...], labels: np.ndarray) -> None:
    """Raise ValueError if a class has no training image. labels: class indices of the training images"""
    for class_index in np.flatnonzero(np.bincount(labels, minlength=len(class_names)) == 0):
        raise ValueError(
            f"{DATA_SET_NAME}: all training images of {class_names[class_index]} were drawn for val; draw fewer, or by another split_seed"
        )


def _read_images(file_tree: FileTree, image_paths: list[str], height: int, width: int, grey: bool) -> np.ndarray:
    """Return all images, uint8 (n, channels, height, width)."""

    def read_image_at(index: int) -> tuple[np.ndarray]:
        image_path = image_paths[index]
        file_bytes, file_name = file_tree.read(image_path), file_tree.path_in_messages(image_path)
        return (read_image(file_bytes, file_name, height=height, width=width, grey=grey),)

    image_shape = (1 if grey else 3, height, width)
    (images,) = read_samples_in_threads(read_image_at, len(image_paths), image_shape)
    return images


def _resize_by_exact_area(image: Image.Image, height: int, width: int) -> Image.Image:
    """Resize an image: reduce each axis to the exact mean of the area that a new pixel covers, or enlarge it linearly."""
    reduced_height, reduced_width = min(height, image.height), min(width, image.width)
    if image.height % reduced_height or image.width % reduced_width:
        pixels = np.asarray(image)
        area_sums = _scaled_area_sums(_scaled_area_sums(pixels, reduced_width).swapaxes(0, 1), reduced_height).swapaxes(0, 1)
        image_area = image.height * image.width
        image = Image.fromarray(((2 * area_sums + image_area) // (2 * image_area)).astype(np.uint8))
    else:
        image = image.reduce((image.width // reduced_width, image.height // reduced_height))
    return image.resize((width, height), Image.Resampling.BILINEAR)


def _scaled_area_sums(pixel_values: np.ndarray, reduced_axis_size: int) -> np.ndarray:
    """Divide the second axis into equal parts; return `reduced_axis_size` times the sum of each part, int64.

    A value at a border counts by the fraction that lies in the part. The sums are integers, hence exact. Pillow's box filter counts a
    border value wholly or not at all: it drops rows where 36 become 32.
    """
    axis_size = pixel_values.shape[1]
    # Of the value at a border, the fraction border_remainders / reduced_axis_size lies before the border.
    border_indices, border_remainders = np.divmod(np.arange(reduced_axis_size + 1) * axis_size, reduced_axis_size)
    sum_before_border = (
        border_remainders.reshape(-1, *[1] * (pixel_values.ndim - 2)) * pixel_values[:, np.minimum(border_indices, axis_size - 1)]
    )
    return (
        reduced_axis_size * np.add.reduceat(pixel_values, border_indices[:-1], axis=1, dtype=np.int64)
        + sum_before_border[:, 1:]
        - sum_before_border[:, :-1]
    )
