"""MNIST: handwritten digits of 28x28 pixels. They are read from the four idx files, plain or gzip.

LeCun, Bottou, Bengio & Haffner 1998, "Gradient-based learning applied to document recognition".
"""

import gzip
import math
import zlib
from hashlib import md5
from pathlib import Path

import numpy as np

from confidnet_core.config.ranges import PositiveInt, SplitSeed
from confidnet_core.data import Dataset
from confidnet_core.datasets._collections import ChannelStatistics, statistics_of_settings
from confidnet_core.datasets._raw import download, draw_split, raw_folder_of_data_set

# These are digests of the decompressed content, since copies of the gzip files differ in their compression.
MD5_OF_PUBLISHED_FILE = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
PUBLISHED_MEAN, PUBLISHED_STD = (0.1307,), (0.3081,)  # with ConfidNet
CANDIDATE_FOLDERS = ("", "MNIST/raw", "raw", "MNIST")
MAX_CONTENT_BYTES = 2**30  # of a decompressed file; MNIST's largest has 47 million


def mnist(
    *,
    val: PositiveInt = 6000,
    split_seed: SplitSeed = 42,
    mean: ChannelStatistics | None = None,
    std: ChannelStatistics | None = None,
) -> Dataset:
    """Return images (70000, 1, 28, 28): those of the training file, then those of the test file.

    val: the number of training images drawn at random for "val"; with the defaults they are those of ConfidNet's published split
    mean, std: of each channel, for pixels scaled to [0, 1]: a list; by default those published with ConfidNet
    `Dataset.source` says whether the content is MNIST as published; other idx files of ten classes are accepted.
    Raises ValueError for a file that is damaged or does not fit the others.
    """
    channel_mean, channel_std = statistics_of_settings("mnist", 1, mean, std) or (PUBLISHED_MEAN, PUBLISHED_STD)
    idx_paths = _locate_idx_files(raw_folder_of_data_set("mnist"))
    file_contents = [_read_decompressed(path, dimension_count) for path, dimension_count in zip(idx_paths, (3, 1, 3, 1), strict=True)]
    train_images, train_labels = _parse_images_and_labels(idx_paths[:2], file_contents[:2])
    test_images, test_labels = _parse_images_and_labels(idx_paths[2:], file_contents[2:])
    if train_images.shape[1:] != test_images.shape[1:]:
        raise ValueError(
            f"{idx_paths[0]} holds images {train_images.shape[1:]} and {idx_paths[2]} {test_images.shape[1:]}; expected one size"
        )
    file_md5s = [md5(file_bytes, usedforsecurity=False).hexdigest() for file_bytes in file_contents]
    has_published_content = file_md5s == list(MD5_OF_PUBLISHED_FILE.values())
    return Dataset(
        images=np.concatenate([train_images, test_images])[:, None],
        labels=np.concatenate([train_labels, test_labels]),
        splits=draw_split(
            "mnist",
            training_image_count=len(train_labels),
            test_image_count=len(test_labels),
            validation_image_count=val,
            split_seed=split_seed,
        ),
        classes=tuple("0123456789"),
        mean=channel_mean,
        std=channel_std,
        source="MNIST, content as published" if has_published_content else "idx files whose content is not MNIST as published",
    )


def _locate_idx_files(raw_data_folder: Path) -> list[Path]:
    """Return the paths of MNIST's four idx files: training images and labels, test images and labels.

    They are in the first of CANDIDATE_FOLDERS that has them all; without one, the missing ones are downloaded.
    """
    for candidate_folder in CANDIDATE_FOLDERS:
        idx_paths = _existing_idx_files(raw_data_folder / candidate_folder)
        if len(idx_paths) == len(MD5_OF_PUBLISHED_FILE):
            return idx_paths
    from torchvision.datasets import MNIST  # imported here, since it takes seconds and a local copy does not need it

    md5_of_gzip_file = dict(MNIST.resources)
    gzip_file_names = [f"{file_name}.gz" for file_name in MD5_OF_PUBLISHED_FILE]
    for file_name in gzip_file_names:
        if not _plain_or_gzip_file(raw_data_folder / file_name.removesuffix(".gz")):
            download(
                [mirror_url + file_name for mirror_url in MNIST.mirrors],
                raw_data_folder / file_name,
                expected_md5=md5_of_gzip_file[file_name],
                files_to_provide_by_hand=gzip_file_names,
            )
    return _existing_idx_files(raw_data_folder)


def _existing_idx_files(folder: Path) -> list[Path]:
    return [path for file_name in MD5_OF_PUBLISHED_FILE if (path := _plain_or_gzip_file(folder / file_name))]


def _plain_or_gzip_file(path: Path) -> Path | None:
    candidate_paths = (path, path.with_name(f"{path.name}.gz"))
    return next((candidate_path for candidate_path in candidate_paths if candidate_path.is_file()), None)


def _read_decompressed(path: Path, dimension_count: int) -> bytes:
    """Return the decompressed content of an idx file, of which no more than one byte is unpacked beyond what its head asks for."""
    header_size = _header_size(dimension_count)
    try:
        with path.open("rb") as file:
            is_gzip = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if is_gzip else path.open("rb") as file:
            header = file.read(header_size)
            content_size = math.prod(_shape_in_header(path, header, dimension_count))
            if content_size > MAX_CONTENT_BYTES:
                raise ValueError(f"{path} is of {content_size:,} bytes, as its head says; expected at most {MAX_CONTENT_BYTES:,}")
            return header + file.read(content_size + 1)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path} is truncated or damaged ({error}); delete it, to download it anew, or put a whole copy there") from None


def _parse_images_and_labels(idx_paths: list[Path], file_contents: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    images = _parse_idx(idx_paths[0], file_contents[0], dimension_count=3)
    labels = _parse_idx(idx_paths[1], file_contents[1], dimension_count=1)
    if len(images) != len(labels):
        raise ValueError(f"{idx_paths[1]} holds {len(labels)} labels, {idx_paths[0]} {len(images)} images; do both come from one data set?")
    if len(labels) == 0 or labels.max() > 9:
        raise ValueError(f"{idx_paths[1]} holds {f'the label {labels.max()}' if len(labels) else 'no label'}; expected the digits 0 to 9")
    return images, labels


def _parse_idx(idx_path: Path, file_bytes: bytes, *, dimension_count: int) -> np.ndarray:
    """Return the array, uint8 with dimension_count axes, in the decompressed bytes of an idx file. Raises ValueError for another content.

    An idx file has two zero bytes, the type (8: unsigned byte), the number of dimensions, big-endian sizes, and the values.
    """
    header_size, shape = _header_size(dimension_count), _shape_in_header(idx_path, file_bytes, dimension_count)
    expected_file_size = header_size + math.prod(shape)
    if len(file_bytes) != expected_file_size:
        held_text = f"{len(file_bytes)} bytes" if len(file_bytes) <= expected_file_size else "more bytes"
        raise ValueError(
            f"{idx_path} holds {held_text}, decompressed; its head, of {shape} values, asks for {expected_file_size}. "
            "It is truncated or damaged: delete it, to download it anew, or put a whole copy there"
        )
    return np.frombuffer(file_bytes, np.uint8, offset=header_size).reshape(shape)


def _header_size(dimension_count: int) -> int:
    return 4 + 4 * dimension_count


def _shape_in_header(idx_path: Path, header: bytes, dimension_count: int) -> list[int]:
    if len(header) < _header_size(dimension_count) or header[:4] != bytes([0, 0, 8, dimension_count]):
        raise ValueError(
            f"{idx_path} is no idx file of {dimension_count}-dimensional bytes: it begins with {header[:4].hex() or 'nothing'}"
        )
    return np.frombuffer(header, ">u4", count=dimension_count, offset=4).tolist()
