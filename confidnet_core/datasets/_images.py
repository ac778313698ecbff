"""Functions for data sets of image files: they decode images by Pillow, resize them, read many in threads, and draw splits."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from confidnet_core.data import TRAIN_VAL_TEST
from confidnet_core.datasets._file_tree import DECODING_ERRORS, FileTree, name_file_in_errors

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
IMAGES_PER_THREAD_TASK = 8
EXIF_TRANSPOSES = ("FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90")
TRANSPOSE_OF_EXIF_ORIENTATION = {
    exif_orientation: Image.Transpose[transpose_name] for exif_orientation, transpose_name in enumerate(EXIF_TRANSPOSES, start=2)
}


def decode_image(file_bytes: bytes, file_name: str, colour_mode: Literal["RGB", "L"] = "RGB") -> Image.Image:
    """Return the first frame of an image file in 8 bits, turned by its EXIF orientation, on white. ValueError names a damaged file."""
    with name_file_in_errors(file_name):
        image = Image.open(BytesIO(file_bytes))
        image.load()  # first, since Pillow turns a TIFF here and then forgets its orientation
        exif_transpose = _exif_transpose(image)
        image = _to_opaque_8_bit_image(image).convert(colour_mode)
        return image if exif_transpose is None else image.transpose(exif_transpose)


def image_to_array(image: Image.Image) -> np.ndarray:
    """Return the pixels of an image, uint8 (channels, height, width)."""
    return np.ascontiguousarray(np.atleast_3d(np.asarray(image)).transpose(2, 0, 1))


def read_image_of_exact_size(file_bytes: bytes, file_name: str, image_shape: tuple[int, int, int]) -> np.ndarray:
    """Return an image file as an array, uint8 (channels, height, width), for a data set that resizes no images.

    image_shape: (channels, height, width) of its images. Raises ValueError naming the file if it is damaged, or of another size.
    """
    channels, height, width = image_shape
    if channels not in (1, 3):
        raise ValueError(
            f"{file_name} is an image file, but the model's images have {channels} channels; give them as arrays, in .npy or .npz"
        )
    image = decode_image(file_bytes, file_name, "L" if channels == 1 else "RGB")
    if image.size != (width, height):
        problem_text = f"{file_name} is {image.width}x{image.height} pixels, but the model's images are {width}x{height}"
        raise ValueError(f"{problem_text}, and its data set resizes none; bring it to that size as its training images were")
    return image_to_array(image)


def _exif_transpose(image: Image.Image) -> Image.Transpose | None:
    try:
        return TRANSPOSE_OF_EXIF_ORIENTATION.get(image.getexif().get(0x0112, 1))
    except DECODING_ERRORS:  # damaged EXIF data does not mean that the pixels are damaged
        return None


def _to_opaque_8_bit_image(image: Image.Image) -> Image.Image:
    """Return an image in 8 bits a channel, reduced from 16 if need be, and on white where it is transparent."""
    if image.mode.startswith(("I", "F")):  # Pillow's own conversion would clip the values at 255
        pixel_values = np.asarray(image)
        if image.mode == "F" or pixel_values.min() < 0 or pixel_values.max() > 65535:
            raise ValueError("its pixels are no whole numbers of 8 or 16 bits")
        return Image.fromarray(((pixel_values.astype(np.int64) + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image


def resize_by_area_average(image: Image.Image, height: int, width: int) -> Image.Image:
    """Resize an image by averaging areas: exact if sizes divide, else Pillow's box filter, which counts a border pixel wholly or not."""
    if image.width % width == 0 and image.height % height == 0:
        return image.reduce((image.width // width, image.height // height))
    return image.resize((width, height), Image.Resampling.BOX)


def resize_labels_nearest(labels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize a label map by nearest neighbour, in integer arithmetic, so that no rounding decides between two pixels."""
    old_and_new_sizes = zip(labels.shape, (height, width), strict=True)
    source_rows, source_columns = ((2 * np.arange(new_size) + 1) * old_size // (2 * new_size) for old_size, new_size in old_and_new_sizes)
    return labels[np.ix_(source_rows, source_columns)]


def require_equal_sizes(image: Image.Image, image_file: object, mask: Image.Image, mask_file: object) -> None:
    if mask.size != image.size:
        raise ValueError(f"{mask_file} is {mask.size[0]}x{mask.size[1]}, but its image {image_file} {image.size[0]}x{image.size[1]}")


def parse_image_list(image_list_text: str, image_list_file: object) -> list[tuple[str, str]]:
    """Return pairs (image name, mask name) from the first and last column of each line of a text. Raises ValueError without any line."""
    columns_of_lines = [
        image_list_line.replace("\\", "/").split() for image_list_line in image_list_text.splitlines() if image_list_line.strip()
    ]
    if not columns_of_lines:
        raise ValueError(f"{image_list_file} lists no images; expected one a line")
    return [(columns_of_line[0], columns_of_line[-1]) for columns_of_line in columns_of_lines]


def read_samples_in_threads(
    read_sample: Callable[[int], Sequence[np.ndarray]], sample_count: int, *sample_array_shapes: tuple[int, ...]
) -> list[np.ndarray]:
    """Read all samples in threads, and return one uint8 array (sample_count, *shape) for each shape in `sample_array_shapes`.

    read_sample: returns the arrays of the sample with the given index, one for each shape, in the same order
    """
    stacked_arrays = [np.empty((sample_count, *sample_array_shape), np.uint8) for sample_array_shape in sample_array_shapes]

    def read_chunk_of_samples(first_sample_index: int) -> None:
        for index in range(first_sample_index, min(first_sample_index + IMAGES_PER_THREAD_TASK, sample_count)):
            for stacked_array, sample_array in zip(stacked_arrays, read_sample(index), strict=True):
                stacked_array[index] = sample_array

    with ThreadPoolExecutor(os.cpu_count()) as thread_pool:  # decoding and resampling release the interpreter's lock
        list(thread_pool.map(read_chunk_of_samples, range(0, sample_count, IMAGES_PER_THREAD_TASK)))
    return stacked_arrays


def assign_splits(
    data_set_name: str, file_tree: FileTree, split_sizes: Sequence[int], val: int | float, seed: int
) -> dict[str, np.ndarray]:
    """Return {split: indices of its samples}, where samples are in the order train, val, test; split_sizes: how many each split has.

    Without a val split, `val` samples of train, a number or a fraction, are drawn as in ConfidNet's published split: the first ones after
    numpy's legacy shuffle. Raises ValueError where `val` does not fit.
    """
    indices_by_split = np.split(np.arange(sum(split_sizes)), np.cumsum(split_sizes)[:2])
    splits: dict[str, np.ndarray] = dict(zip(TRAIN_VAL_TEST, indices_by_split, strict=True))
    if split_sizes[1]:
        if val:
            problem_text = f"{file_tree.path_prefix_in_messages} has a val split of {split_sizes[1]}; set val to 0, or take that away"
            raise ValueError(f"{data_set_name}: val is {val}, but {problem_text}")
        return splits
    val_size = val if isinstance(val, int) else int(val * split_sizes[0] + 1e-9)  # since 0.29 * 100 is below 29 in floating point
    if not 0 < val_size < split_sizes[0]:
        expected_val_text = f"how many of its {split_sizes[0]} training images to draw: 1 or more, but not all, or a share such as 0.1"
        raise ValueError(
            f"{data_set_name}: val is {val}, and {file_tree.path_prefix_in_messages} has no val split; expected {expected_val_text}"
        )
    shuffled_indices = splits["train"].copy()
    np.random.RandomState(seed).shuffle(shuffled_indices)
    return splits | {"train": np.sort(shuffled_indices[val_size:]), "val": np.sort(shuffled_indices[:val_size])}


def describe_source(data_set_kind: str, folder_setting: str, splits: dict[str, np.ndarray], *, is_val_drawn_from_train: bool) -> str:
    """Return a text on where a data set came from, for `Dataset.source`.

    is_val_drawn_from_train: whether the val split was drawn from train
    """
    image_counts = "/".join(str(len(splits[split])) for split in TRAIN_VAL_TEST)
    return f"{data_set_kind} {Path(folder_setting).name}, {image_counts} images" + ", val drawn from train" * is_val_drawn_from_train


def channel_statistics(images: np.ndarray, image_indices: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation of each channel of images[image_indices], for values scaled to [0, 1], by histograms."""
    pixel_value_counts = np.zeros((images.shape[1], 256), np.int64)
    images_per_chunk = max(1, 2**22 // images[0].size)
    for chunk_start in range(0, len(image_indices), images_per_chunk):
        image_chunk = images[image_indices[chunk_start : chunk_start + images_per_chunk]]
        pixel_value_counts += [np.bincount(image_chunk[:, channel].ravel(), minlength=256) for channel in range(len(pixel_value_counts))]
    scaled_pixel_values, pixel_value_frequencies = np.arange(256) / 255, pixel_value_counts / pixel_value_counts.sum(1, keepdims=True)
    mean = pixel_value_frequencies @ scaled_pixel_values
    std = np.sqrt((pixel_value_frequencies * (scaled_pixel_values - mean[:, None]) ** 2).sum(1))
    return tuple(mean.tolist()), tuple(std.tolist())
