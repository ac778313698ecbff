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
from confidnet_core.datasets._raw import download, draw_split, md5_of, raw_folder

PART_NAMES = ("train", "test")  # without the third part, "extra", as in ConfidNet
MATRIX_TYPE = 14
ARRAY_CLASSES = {4, *range(6, 16)}  # text and numbers: arrays with four elements, whose possible types follow
FLAGS_TYPES, SHAPE_TYPES, NAME_TYPES, VALUES_TYPES = {6}, {5, 6}, {1, 16}, {*range(1, 8), 9, 12, 13, 16, 17, 18}
COMPLEX_FLAG = 0x800


def svhn(*, val: PositiveInt = 7325, split_seed: SplitSeed = 42) -> Dataset:
    """Return images (99289, 3, 32, 32): those of the training file, then those of the test file.

    val: the number of training images drawn at random for "val"; with the defaults they are those of ConfidNet's published split
    `Dataset.source` says whether the content is SVHN as published; other files of the same format are accepted.
    Raises ValueError for a file that is damaged or holds anything but digits.
    """
    from torchvision.datasets import SVHN  # imported here, since it takes seconds and the list of data sets does not need it

    published_files = [SVHN.split_list[part_name] for part_name in PART_NAMES]
    mat_paths = _locate_mat_files(raw_folder("svhn"), published_files)
    (train_images, train_labels), (test_images, test_labels) = (
        _read_mat_file(SVHN, mat_path, part_name) for mat_path, part_name in zip(mat_paths, PART_NAMES, strict=True)
    )
    is_as_published = all(
        md5_of(mat_path) == published_md5 for mat_path, (_, _, published_md5) in zip(mat_paths, published_files, strict=True)
    )
    return Dataset(
        images=np.concatenate([train_images, test_images]),
        labels=np.concatenate([train_labels, test_labels]).astype(np.uint8),
        splits=draw_split(
            "svhn", training_count=len(train_labels), test_count=len(test_labels), validation_count=val, split_seed=split_seed
        ),
        classes=tuple("0123456789"),
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        source="SVHN, content as published" if is_as_published else ".mat files whose content is not SVHN as published",
    )


def _locate_mat_files(raw_data_folder: Path, published_files: list[list[str]]) -> list[Path]:
    """Return the paths of SVHN's two .mat files, after downloading a missing one. published_files: URL, name and md5 of each"""
    file_names = [file_name for _, file_name, _ in published_files]
    for url, file_name, published_md5 in published_files:
        if not (raw_data_folder / file_name).is_file():
            download([url], raw_data_folder / file_name, expected_md5=published_md5, needed_files=file_names)
    return [raw_data_folder / file_name for file_name in file_names]


def _read_mat_file(torchvision_class: type, mat_path: Path, part_name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images, uint8 (n, 3, 32, 32), and labels (n,), 0 to 9, of SVHN's part "train" or "test".

    torchvision_class: torchvision's class SVHN, used here without its check of MD5 sums. Raises ValueError if the file is damaged, or holds
    something else than SVHN.
    """
    unchecked_split_list = {split_name: [url, file_name, None] for split_name, (url, file_name, _) in torchvision_class.split_list.items()}
    remedy = "delete it, to download it anew, or put a whole copy there"
    try:
        _check_mat_tags(mat_path)
        svhn_part = type("SVHN", (torchvision_class,), {"split_list": unchecked_split_list})(mat_path.parent, split=part_name)
    except Exception as error:  # scipy raises any exception for a damaged file
        raise ValueError(f"{mat_path} is truncated, damaged or no file of SVHN ({type(error).__name__}: {error}); {remedy}") from None
    images, labels = svhn_part.data, np.atleast_1d(svhn_part.labels)
    if images.dtype != np.uint8 or images.shape[1:] != (3, 32, 32) or labels.shape != (len(images),):
        height_first = (*images.shape[2:], *images.shape[1::-1])
        raise ValueError(
            f"{mat_path} holds {images.dtype} X {height_first} and y {labels.shape}; expected uint8 (32, 32, 3, n) and (n, 1); {remedy}"
        )
    if len(labels) == 0 or labels.min() < 0 or labels.max() > 9:
        received = f"the labels {labels.min()} to {labels.max()}" if len(labels) else "no image"
        raise ValueError(f"{mat_path} holds {received}; expected digits, 1 to 9, and 10 for zero; {remedy}")
    return images, labels


def _check_mat_tags(mat_path: Path) -> None:
    """Raise ValueError for a .mat file with damaged tags of an array, at which scipy 1.17 reads past its tables.

    A compressed array is not checked, since it has a checksum.
    """
    with mat_path.open("rb") as mat_file:
        byte_order = {b"\0\1IM": "<", b"\1\0MI": ">"}.get(mat_file.read(128)[124:])
        if byte_order is None:
            return  # not version 5 of the format, which scipy reports
        for data_type, data_start, data_size in _iterate_mat_elements(
            mat_file, byte_order, 128, mat_path.stat().st_size, padding_multiple=1
        ):
            if data_type == MATRIX_TYPE:
                elements = list(
                    islice(_iterate_mat_elements(mat_file, byte_order, data_start, data_start + data_size, padding_multiple=8), 5)
                )
                mat_file.seek(data_start + 8)
                (flags,) = struct.unpack(f"{byte_order}I", mat_file.read(4))
                allowed_types = (FLAGS_TYPES, SHAPE_TYPES, NAME_TYPES, VALUES_TYPES)
                has_known_types = len(elements) == 4 and all(
                    element[0] in allowed for element, allowed in zip(elements, allowed_types, strict=True)
                )
                if not has_known_types or flags & 0xFF not in ARRAY_CLASSES or flags & COMPLEX_FLAG:
                    raise ValueError(f"what begins at byte {data_start} is no array of whole or real numbers")


def _iterate_mat_elements(
    mat_file: BinaryIO, byte_order: str, first_byte: int, end_byte: int, padding_multiple: int
) -> Iterator[tuple[int, int, int]]:
    """Yield type, first byte and size, in bytes, of each data element of a .mat file from byte `first_byte` up to `end_byte`.

    Elements are padded to a multiple of `padding_multiple` bytes. Raises ValueError for an element that extends past the end.
    """
    while first_byte < end_byte:
        mat_file.seek(first_byte)
        data_type, data_size = struct.unpack(f"{byte_order}II", mat_file.read(8))
        data_start, next_first_byte = first_byte + 8, first_byte + 8 + data_size + -data_size % padding_multiple
        if data_type >> 16:  # an element of at most four bytes is packed into the tag
            data_type, data_size, data_start, next_first_byte = data_type & 0xFFFF, data_type >> 16, first_byte + 4, first_byte + 8
        if next_first_byte > end_byte:
            raise ValueError(f"what begins at byte {first_byte} has {data_size} bytes, past the end at {end_byte}")
        yield data_type, data_start, data_size
        first_byte = next_first_byte
