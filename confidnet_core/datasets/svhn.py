"""SVHN: digits of house numbers in colour, 32x32 pixels. They are read from two files in MATLAB's format.

Netzer, Wang, Coates, Bissacco, Wu & Ng 2011, "Reading digits in natural images with unsupervised feature learning".
Format: MathWorks, "MAT-File Format", version 5.
"""

import struct
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from confidnet_core.config.ranges import PositiveInt, SplitSeed
from confidnet_core.data import Dataset
from confidnet_core.datasets._collections import ChannelStatistics, statistics_of_settings
from confidnet_core.datasets._raw import compute_file_md5, download, draw_split, raw_folder_of_data_set

PUBLISHED_MEAN = PUBLISHED_STD = (0.5, 0.5, 0.5)  # with ConfidNet
PUBLISHED_SPLIT_NAMES = ("train", "test")  # without the third split, "extra", as in ConfidNet
MAT_MATRIX_TYPE_CODE = 14
MATLAB_ARRAY_CLASS_CODES = {4, *range(6, 16)}  # text and numbers: arrays with four elements, whose possible types follow
MAT_FLAGS_TYPE_CODES = {6}
MAT_SHAPE_TYPE_CODES = {5, 6}
MAT_NAME_TYPE_CODES = {1, 16}
MAT_VALUES_TYPE_CODES = {*range(1, 8), 9, 12, 13, 16, 17, 18}
MAT_COMPLEX_FLAG = 0x800


def svhn(
    *,
    val: PositiveInt = 7325,
    split_seed: SplitSeed = 42,
    mean: ChannelStatistics | None = None,
    std: ChannelStatistics | None = None,
) -> Dataset:
    """Return images (99289, 3, 32, 32): those of the training file, then those of the test file.

    val: the number of training images drawn at random for "val"; with the defaults they are those of ConfidNet's published split
    mean, std: of each channel, for pixels scaled to [0, 1]: a list, or imagenet; by default those published with ConfidNet
    `Dataset.source` says whether the content is SVHN as published; other files of the same format are accepted.
    Raises ValueError for a file that is damaged or holds anything but digits.
    """
    channel_mean, channel_std = statistics_of_settings("svhn", 3, mean, std) or (PUBLISHED_MEAN, PUBLISHED_STD)
    from torchvision.datasets import SVHN  # imported here, since it takes seconds and the list of data sets does not need it

    published_files = [SVHN.split_list[published_split_name] for published_split_name in PUBLISHED_SPLIT_NAMES]
    mat_paths = _locate_mat_files(raw_folder_of_data_set("svhn"), published_files)
    (train_images, train_labels), (test_images, test_labels) = (
        _read_mat_file(SVHN, mat_path, published_split_name)
        for mat_path, published_split_name in zip(mat_paths, PUBLISHED_SPLIT_NAMES, strict=True)
    )
    has_published_content = all(
        compute_file_md5(mat_path) == published_md5 for mat_path, (_, _, published_md5) in zip(mat_paths, published_files, strict=True)
    )
    return Dataset(
        images=np.concatenate([train_images, test_images]),
        labels=np.concatenate([train_labels, test_labels]).astype(np.uint8),
        splits=draw_split(
            "svhn",
            training_image_count=len(train_labels),
            test_image_count=len(test_labels),
            validation_image_count=val,
            split_seed=split_seed,
        ),
        classes=tuple("0123456789"),
        mean=channel_mean,
        std=channel_std,
        source="SVHN, content as published" if has_published_content else ".mat files whose content is not SVHN as published",
    )


def _locate_mat_files(raw_data_folder: Path, published_files: list[list[str]]) -> list[Path]:
    """Return the paths of SVHN's two .mat files, after downloading a missing one. published_files: URL, name and md5 of each"""
    file_names = [file_name for _, file_name, _ in published_files]
    for url, file_name, published_md5 in published_files:
        if not (raw_data_folder / file_name).is_file():
            download([url], raw_data_folder / file_name, expected_md5=published_md5, files_to_provide_by_hand=file_names)
    return [raw_data_folder / file_name for file_name in file_names]


def _read_mat_file(torchvision_class: type, mat_path: Path, published_split_name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images, uint8 (n, 3, 32, 32), and labels (n,), 0 to 9, of SVHN's split "train" or "test".

    torchvision_class: torchvision's class SVHN, used here without its check of MD5 sums. Raises ValueError if the file is damaged, or holds
    something else than SVHN.
    """
    split_list_without_md5 = {
        split_name: [url, file_name, None] for split_name, (url, file_name, _) in torchvision_class.split_list.items()
    }
    remedy_text = "delete it, to download it anew, or put a whole copy there"
    try:
        _check_mat_tags(mat_path)
        torchvision_dataset = type("SVHN", (torchvision_class,), {"split_list": split_list_without_md5})(
            mat_path.parent, split=published_split_name
        )
    except Exception as error:  # scipy raises any exception for a damaged file
        raise ValueError(f"{mat_path} is truncated, damaged or no file of SVHN ({type(error).__name__}: {error}); {remedy_text}") from None
    images, labels = torchvision_dataset.data, np.atleast_1d(torchvision_dataset.labels)
    if images.dtype != np.uint8 or images.shape[1:] != (3, 32, 32) or labels.shape != (len(images),):
        height_first_shape = (*images.shape[2:], *images.shape[1::-1])
        found_arrays_text = f"{images.dtype} X {height_first_shape} and y {labels.shape}"
        raise ValueError(f"{mat_path} holds {found_arrays_text}; expected uint8 (32, 32, 3, n) and (n, 1); {remedy_text}")
    if len(labels) == 0 or labels.min() < 0 or labels.max() > 9:
        found_labels_text = f"the labels {labels.min()} to {labels.max()}" if len(labels) else "no image"
        raise ValueError(f"{mat_path} holds {found_labels_text}; expected digits, 1 to 9, and 10 for zero; {remedy_text}")
    return images, labels


def _check_mat_tags(mat_path: Path) -> None:
    """Raise ValueError for a .mat file with damaged tags of an array, at which scipy 1.17 reads past its tables.

    A compressed array is not checked, since it has a checksum.
    """
    with mat_path.open("rb") as mat_file:
        byte_order = {b"\0\1IM": "<", b"\1\0MI": ">"}.get(mat_file.read(128)[124:])
        if byte_order is None:
            return  # not version 5 of the format, which scipy reports
        file_elements = _iterate_mat_elements(mat_file, byte_order, 128, mat_path.stat().st_size, padding_multiple=1)
        for mat_data_type, data_start_byte, data_byte_count in file_elements:
            if mat_data_type == MAT_MATRIX_TYPE_CODE:
                data_end_byte = data_start_byte + data_byte_count
                element_iterator = _iterate_mat_elements(mat_file, byte_order, data_start_byte, data_end_byte, padding_multiple=8)
                mat_elements = list(islice(element_iterator, 5))
                mat_file.seek(data_start_byte + 8)
                (array_flags,) = struct.unpack(f"{byte_order}I", mat_file.read(4))
                allowed_mat_type_codes = (MAT_FLAGS_TYPE_CODES, MAT_SHAPE_TYPE_CODES, MAT_NAME_TYPE_CODES, MAT_VALUES_TYPE_CODES)
                has_allowed_types = len(mat_elements) == 4 and all(
                    mat_element[0] in allowed_codes for mat_element, allowed_codes in zip(mat_elements, allowed_mat_type_codes, strict=True)
                )
                if not has_allowed_types or array_flags & 0xFF not in MATLAB_ARRAY_CLASS_CODES or array_flags & MAT_COMPLEX_FLAG:
                    raise ValueError(f"what begins at byte {data_start_byte} is no array of whole or real numbers")


def _iterate_mat_elements(
    mat_file: BinaryIO, byte_order: str, first_byte: int, end_byte: int, padding_multiple: int
) -> Iterator[tuple[int, int, int]]:
    """Yield type, first byte and size, in bytes, of each data element of a .mat file from byte `first_byte` up to `end_byte`.

    Elements are padded to a multiple of `padding_multiple` bytes. Raises ValueError for an element that extends past the end.
    """
    while first_byte < end_byte:
        mat_file.seek(first_byte)
        mat_data_type, data_byte_count = struct.unpack(f"{byte_order}II", mat_file.read(8))
        data_start_byte, next_element_byte = first_byte + 8, first_byte + 8 + data_byte_count + -data_byte_count % padding_multiple
        if mat_data_type >> 16:  # an element of at most four bytes is packed into the tag
            mat_data_type, data_byte_count = mat_data_type & 0xFFFF, mat_data_type >> 16
            data_start_byte, next_element_byte = first_byte + 4, first_byte + 8
        if next_element_byte > end_byte:
            raise ValueError(f"what begins at byte {first_byte} has {data_byte_count} bytes, past the end at {end_byte}")
        yield mat_data_type, data_start_byte, data_byte_count
        first_byte = next_element_byte
