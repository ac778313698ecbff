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
from confidnet_core.datasets._raw import download, draw_split, raw_folder

# These are digests of the decompressed content, since copies of the gzip files differ in their compression.
PUBLISHED_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
CANDIDATE_FOLDERS = ("", "MNIST/raw", "raw", "MNIST")


def mnist(*, val: PositiveInt = 6000, split_seed: SplitSeed = 42) -> Dataset:
    """Return images (70000, 1, 28, 28): those of the training file, then those of the test file.

    val: the number of training images drawn at random for "val"; with the defaults they are those of ConfidNet's published split
    `Dataset.source` says whether the content is MNIST as published; other idx files of ten classes are accepted.
    Raises ValueError for a file that is damaged or does not fit the others.
    """
    paths = _locate_idx_files(raw_folder("mnist"))
    content = [_read_decompressed(path) for path in paths]
    train_images, train_labels = _parse_images_and_labels(paths[:2], content[:2])
    test_images, test_labels = _parse_images_and_labels(paths[2:], content[2:])
    if train_images.shape[1:] != test_images.shape[1:]:
        raise ValueError(f"{paths[0]} holds images {train_images.shape[1:]} and {paths[2]} {test_images.shape[1:]}; expected one size")
    as_published = [md5(data, usedforsecurity=False).hexdigest() for data in content] == list(PUBLISHED_MD5.values())
    return Dataset(
        images=np.concatenate([train_images, test_images])[:, None],
        labels=np.concatenate([train_labels, test_labels]),
        splits=draw_split("mnist", train=len(train_labels), test=len(test_labels), val=val, split_seed=split_seed),
        classes=tuple("0123456789"),
        mean=(0.1307,),
        std=(0.3081,),
        source="MNIST, content as published" if as_published else "idx files whose content is not MNIST as published",
    )


def _locate_idx_files(folder: Path) -> list[Path]:
    """Return the paths of the four idx files in the order of PUBLISHED_MD5.

    They are in the first of CANDIDATE_FOLDERS that has them all; without one, the missing ones are downloaded.
    """
    for inner in CANDIDATE_FOLDERS:
        files = _existing_idx_files(folder / inner)
        if len(files) == len(PUBLISHED_MD5):
            return files
    from torchvision.datasets import MNIST  # imported here, since it takes seconds and a local copy does not need it

    digests = dict(MNIST.resources)
    gzip_names = [f"{name}.gz" for name in PUBLISHED_MD5]
    for name in gzip_names:
        if not _plain_or_gzip_file(folder / name.removesuffix(".gz")):
            download([mirror + name for mirror in MNIST.mirrors], folder / name, digest=digests[name], needed=gzip_names)
    return _existing_idx_files(folder)


def _existing_idx_files(folder: Path) -> list[Path]:
    return [path for name in PUBLISHED_MD5 if (path := _plain_or_gzip_file(folder / name))]


def _plain_or_gzip_file(path: Path) -> Path | None:
    candidates = (path, path.with_name(f"{path.name}.gz"))
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _read_decompressed(path: Path) -> bytes:
    data = path.read_bytes()
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path} is truncated or damaged ({error}); delete it, to download it anew, or put a whole copy there") from None


def _parse_images_and_labels(paths: list[Path], content: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    images, labels = _parse_idx(paths[0], content[0], dimensions=3), _parse_idx(paths[1], content[1], dimensions=1)
    if len(images) != len(labels):
        raise ValueError(f"{paths[1]} holds {len(labels)} labels, {paths[0]} {len(images)} images; do both come from one data set?")
    if len(labels) == 0 or labels.max() > 9:
        raise ValueError(f"{paths[1]} holds {f'the label {labels.max()}' if len(labels) else 'no label'}; expected the digits 0 to 9")
    return images, labels


def _parse_idx(path: Path, data: bytes, *, dimensions: int) -> np.ndarray:
    """Return the array in an idx file: two zero bytes, the type (8: unsigned byte), the number of dimensions, big-endian sizes, bytes."""
    start = 4 + 4 * dimensions
    if len(data) < start or data[:4] != bytes([0, 0, 8, dimensions]):
        raise ValueError(f"{path} is no idx file of {dimensions}-dimensional bytes: it begins with {data[:4].hex() or 'nothing'}")
    shape = np.frombuffer(data, ">u4", count=dimensions, offset=4).tolist()
    expected = start + math.prod(shape)
    if len(data) != expected:
        raise ValueError(
            f"{path} holds {len(data)} bytes, decompressed; its head, of {shape} values, asks for {expected}. "
            "It is truncated or damaged: delete it, to download it anew, or put a whole copy there"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
