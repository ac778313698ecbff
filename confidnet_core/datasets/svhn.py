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

PARTS = ("train", "test")  # without the third part, "extra", as in ConfidNet
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

    published = [SVHN.split_list[part] for part in PARTS]
    paths = _locate_mat_files(raw_folder("svhn"), published)
    (train_images, train_labels), (test_images, test_labels) = (
        _read_mat_file(SVHN, path, part) for path, part in zip(paths, PARTS, strict=True)
    )
    as_published = all(md5_of(path) == digest for path, (_, _, digest) in zip(paths, published, strict=True))
    return Dataset(
        images=np.concatenate([train_images, test_images]),
        labels=np.concatenate([train_labels, test_labels]).astype(np.uint8),
        splits=draw_split("svhn", train=len(train_labels), test=len(test_labels), val=val, split_seed=split_seed),
        classes=tuple("0123456789"),
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        source="SVHN, content as published" if as_published else ".mat files whose content is not SVHN as published",
    )


def _locate_mat_files(folder: Path, published: list[list[str]]) -> list[Path]:
    """Return the paths of the two .mat files, after downloading a missing one. published: URL, name and md5 of each file"""
    names = [name for _, name, _ in published]
    for url, name, digest in published:
        if not (folder / name).is_file():
            download([url], folder / name, digest=digest, needed=names)
    return [folder / name for name in names]


def _read_mat_file(dataset_class: type, path: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images, uint8 (n, 3, 32, 32), and labels (n,), 0 to 9, of one part of SVHN, read by torchvision's class without checksums."""
    unchecked = {key: [url, name, None] for key, (url, name, _) in dataset_class.split_list.items()}
    remedy = "delete it, to download it anew, or put a whole copy there"
    try:
        _check_mat_tags(path)
        content = type("SVHN", (dataset_class,), {"split_list": unchecked})(path.parent, split=part)
    except Exception as error:  # scipy raises any exception for a damaged file
        raise ValueError(f"{path} is truncated, damaged or no file of SVHN ({type(error).__name__}: {error}); {remedy}") from None
    images, labels = content.data, np.atleast_1d(content.labels)
    if images.dtype != np.uint8 or images.shape[1:] != (3, 32, 32) or labels.shape != (len(images),):
        height_first = (*images.shape[2:], *images.shape[1::-1])
        raise ValueError(
            f"{path} holds {images.dtype} X {height_first} and y {labels.shape}; expected uint8 (32, 32, 3, n) and (n, 1); {remedy}"
        )
    if len(labels) == 0 or labels.min() < 0 or labels.max() > 9:
        received = f"the labels {labels.min()} to {labels.max()}" if len(labels) else "no image"
        raise ValueError(f"{path} holds {received}; expected digits, 1 to 9, and 10 for zero; {remedy}")
    return images, labels


def _check_mat_tags(path: Path) -> None:
    """Raise ValueError for a .mat file with damaged tags of an array, at which scipy 1.17 reads past its tables.

    A compressed array is not checked, since it has a checksum.
    """
    with path.open("rb") as file:
        byte_order = {b"\0\1IM": "<", b"\1\0MI": ">"}.get(file.read(128)[124:])
        if byte_order is None:
            return  # not version 5 of the format, which scipy reports
        for data_type, start, size in _iterate_mat_elements(file, byte_order, 128, path.stat().st_size, multiple=1):
            if data_type == MATRIX_TYPE:
                elements = list(islice(_iterate_mat_elements(file, byte_order, start, start + size, multiple=8), 5))
                file.seek(start + 8)
                (flags,) = struct.unpack(f"{byte_order}I", file.read(4))
                types = (FLAGS_TYPES, SHAPE_TYPES, NAME_TYPES, VALUES_TYPES)
                has_known_types = len(elements) == 4 and all(element[0] in known for element, known in zip(elements, types, strict=True))
                if not has_known_types or flags & 0xFF not in ARRAY_CLASSES or flags & COMPLEX_FLAG:
                    raise ValueError(f"what begins at byte {start} is no array of whole or real numbers")


def _iterate_mat_elements(file: BinaryIO, byte_order: str, start: int, end: int, multiple: int) -> Iterator[tuple[int, int, int]]:
    """Yield type, first byte and size of each data element of a .mat file between the bytes `start` and `end`.

    Sizes are padded to `multiple` bytes. Raises ValueError for an element that extends past the end.
    """
    while start < end:
        file.seek(start)
        data_type, size = struct.unpack(f"{byte_order}II", file.read(8))
        first, following = start + 8, start + 8 + size + -size % multiple
        if data_type >> 16:  # an element of at most four bytes is packed into the tag
            data_type, size, first, following = data_type & 0xFFFF, data_type >> 16, start + 4, start + 8
        if following > end:
            raise ValueError(f"what begins at byte {start} has {size} bytes, past the end at {end}")
        yield data_type, first, size
        start = following
