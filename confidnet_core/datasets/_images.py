"""Functions for data sets of image files: they read a folder or .zip, decode and resize images, draw splits and compute statistics.

Pillow decodes the images. An archive's members are read one by one, never unpacked to disk.
"""

import os
import struct
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Literal
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np
from PIL import Image, UnidentifiedImageError

from confidnet_core.data import TRAIN_VAL_TEST
from confidnet_core.datasets._raw import DATA_VARIABLE, raw_root

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
JUNK_FOLDERS = {"__macosx", "@eadir", "$recycle.bin"}  # in which operating systems keep thumbnails and copies
IMAGES_PER_TASK = 8  # of a thread
DIGEST_BYTES = 8  # any two different files among a million have the same digest with probability 3e-8
DECODING_ERRORS = (OSError, SyntaxError, ValueError, TypeError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)
ARCHIVE_ERRORS = (BadZipFile, NotImplementedError, RuntimeError)  # of zipfile; RuntimeError for a password
EXIF_TURNS = ("FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90")
TURN_OF_ORIENTATION = {number: Image.Transpose[turn] for number, turn in enumerate(EXIF_TURNS, start=2)}


@dataclass(frozen=True)
class FileTree:
    """The list of the files and folders in a folder or .zip archive, without hidden ones and JUNK_FOLDERS, and a function to read them."""

    prefix: str  # of all names in messages
    names: tuple[str, ...]  # sorted; the name of a folder ends in /
    read_bytes: Callable[[str], bytes]

    def read(self, name: str) -> bytes:
        with naming_errors(self.path_of(name)):
            return self.read_bytes(name)

    def path_of(self, name: str) -> str:
        return f"{self.prefix}{name}"

    def top_level(self) -> str:
        """Return the names of the first files and folders at the top of the tree, as text for messages."""
        top_names = sorted({name.partition("/")[0] + "/" * ("/" in name) for name in self.names})
        return ", ".join(top_names[:6]) + ", ..." * (len(top_names) > 6) or "nothing"


def locate_data(folder: str) -> Path:
    """Return the path of a folder or .zip, given absolute or relative to `raw_root`. Raises ValueError if it does not exist."""
    path = raw_root() / Path(folder).expanduser()
    if not path.exists():
        raise ValueError(
            f"folder is {folder}, but {path} does not exist; put the folder or .zip there, set {DATA_VARIABLE} to the folder that holds "
            "it, or give an absolute path"
        )
    return path


@contextmanager
def open_tree(folder: str, top_names: set[str]) -> Iterator[FileTree]:
    """Open a folder or .zip as a file tree. If `top_names` lie in exactly one inner folder, not at the top, open that inner folder."""
    path = locate_data(folder)
    if path.is_dir():
        yield _inner_tree(FileTree(f"{path}/", tuple(sorted(_tree_names(path))), lambda name: (path / name).read_bytes()), top_names)
        return
    try:
        archive = ZipFile(path)
    except (BadZipFile, OSError) as error:
        raise ValueError(f"{path} is neither a folder nor a whole .zip archive ({error}); put a whole copy there") from None
    with archive:
        members = {name: member for member in archive.infolist() if not _is_junk_path(name := _member_posix_name(member))}
        yield _inner_tree(FileTree(f"{path}: ", tuple(sorted(members)), lambda name: archive.read(members[name])), top_names)


def _tree_names(folder: Path) -> Iterator[str]:
    """Yield the names of all files and folders in a folder. Links are followed, except those that lead back to a folder around them."""

    def raise_unreadable(error: OSError) -> None:
        raise ValueError(f"{error.filename} cannot be listed ({error.strerror}); make it readable") from None

    for current, folders, files in os.walk(folder, followlinks=True, onerror=raise_unreadable):
        resolved = Path(current).resolve()
        folders[:] = [name for name in folders if not _is_junk_path(name) and not resolved.is_relative_to(Path(current, name).resolve())]
        inner = "" if Path(current) == folder else f"{Path(current).relative_to(folder).as_posix()}/"
        yield from (f"{inner}{name}/" for name in folders)
        yield from (f"{inner}{name}" for name in files if not _is_junk_path(name))


def _member_posix_name(member: ZipInfo) -> str:
    path = PurePosixPath(member.filename.replace("\\", "/").strip("/"))  # some archives of Windows have backslashes
    return f"{path}/" if member.filename.endswith(("/", "\\")) else f"{path}"


def _is_junk_path(name: str) -> bool:
    return any(part.startswith(".") or part.lower() in JUNK_FOLDERS for part in name.split("/"))


def _inner_tree(tree: FileTree, top_names: set[str]) -> FileTree:
    """Return the tree of the one inner folder that holds any of `top_names`; the given tree if they are at its top or in several."""
    if any(name.partition("/")[0] in top_names for name in tree.names):
        return tree
    parts = [name.split("/") for name in tree.names]
    outer_folders = {part[0] for part in parts if len(part) > 1 and part[1] in top_names}
    if len(outer_folders) != 1:
        return tree
    top = f"{outer_folders.pop()}/"
    inside = tuple(name.removeprefix(top) for name in tree.names if name.startswith(top) and name != top)
    return FileTree(tree.path_of(top), inside, lambda name: tree.read_bytes(top + name))


@contextmanager
def naming_errors(file: str) -> Iterator[None]:
    """Context manager: turn an error in reading or decoding `file` into a ValueError that names this file."""
    try:
        yield
    except (*DECODING_ERRORS, *ARCHIVE_ERRORS) as error:
        reason = "its content is that of no image" if isinstance(error, UnidentifiedImageError) else error
        raise ValueError(f"{file} is damaged, or of a kind that cannot be read ({reason}); replace it by a whole copy") from None


def decode_image(data: bytes, file: str, mode: Literal["RGB", "L"] = "RGB") -> Image.Image:
    """Return an image file's first frame in 8 bits, turned by its EXIF orientation, transparent pixels white. ValueError names `file`."""
    with naming_errors(file):
        image = Image.open(BytesIO(data))
        image.load()  # first, since Pillow turns a TIFF here and then forgets its orientation
        turn = _exif_turn(image)
        image = _opaque_8_bit_image(image).convert(mode)
        return image if turn is None else image.transpose(turn)


def _exif_turn(image: Image.Image) -> Image.Transpose | None:
    try:
        return TURN_OF_ORIENTATION.get(image.getexif().get(0x0112, 1))
    except DECODING_ERRORS:  # damaged EXIF data does not mean that the pixels are damaged
        return None


def _opaque_8_bit_image(image: Image.Image) -> Image.Image:
    """Return an image with 16 bits reduced to 8, and on white where it is transparent."""
    if image.mode.startswith(("I", "F")):  # Pillow's own conversion would clip the values at 255
        values = np.asarray(image)
        if image.mode == "F" or values.min() < 0 or values.max() > 65535:
            raise ValueError("its pixels are no whole numbers of 8 or 16 bits")
        return Image.fromarray(((values.astype(np.int64) + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image


def area_average(image: Image.Image, height: int, width: int) -> Image.Image:
    """Resize an image by averaging areas: exact if sizes divide, else Pillow's box filter, which counts a border pixel wholly or not."""
    if image.width % width == 0 and image.height % height == 0:
        return image.reduce((image.width // width, image.height // height))
    return image.resize((width, height), Image.Resampling.BOX)


def resize_nearest(labels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize a label map by nearest neighbour, in integer arithmetic, so that no rounding decides between two pixels."""
    rows, columns = ((2 * np.arange(new) + 1) * size // (2 * new) for size, new in zip(labels.shape, (height, width), strict=True))
    return labels[np.ix_(rows, columns)]


def check_sizes(image: Image.Image, image_file: object, mask: Image.Image, mask_file: object) -> None:
    if mask.size != image.size:
        raise ValueError(f"{mask_file} is {mask.size[0]}x{mask.size[1]}, but its image {image_file} {image.size[0]}x{image.size[1]}")


def parse_listing(text: str, file: object) -> list[tuple[str, str]]:
    """Return pairs of image name and mask name: the first and the last column of each line in a list. ValueError without any line."""
    lines = [line.replace("\\", "/").split() for line in text.splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"{file} lists no images; expected one a line")
    return [(columns[0], columns[-1]) for columns in lines]


def read_in_threads(read: Callable[[int], Sequence[np.ndarray]], count: int, *shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Return uint8 arrays (count, *shape), one for each of `shapes`. `read(i)` gives entry i of each array; the first error is raised."""
    arrays = [np.empty((count, *shape), np.uint8) for shape in shapes]

    def read_task(start: int) -> None:
        for index in range(start, min(start + IMAGES_PER_TASK, count)):
            for array, value in zip(arrays, read(index), strict=True):
                array[index] = value

    with ThreadPoolExecutor(os.cpu_count()) as threads:  # decoding and resampling release the interpreter's lock
        list(threads.map(read_task, range(0, count, IMAGES_PER_TASK)))
    return arrays


def split_indices(name: str, tree: FileTree, counts: Sequence[int], val: int | float, split_seed: int) -> dict[str, np.ndarray]:
    """Return {split name: indices of its samples}, for samples in the order train, val, test, with their `counts`.

    Without a val split, `val` samples of train, a number or a fraction, are drawn as in ConfidNet's published split: the first ones after
    numpy's legacy shuffle. Raises ValueError where `val` does not fit.
    """
    splits: dict[str, np.ndarray] = dict(zip(TRAIN_VAL_TEST, np.split(np.arange(sum(counts)), np.cumsum(counts)[:2]), strict=True))
    if counts[1]:
        if val:
            raise ValueError(f"{name}: val is {val}, but {tree.prefix} has a val split of {counts[1]}; set val to 0, or take that away")
        return splits
    val_size = val if isinstance(val, int) else int(val * counts[0] + 1e-9)  # since 0.29 * 100 is below 29 in floating point
    if not 0 < val_size < counts[0]:
        raise ValueError(
            f"{name}: val is {val}, and {tree.prefix} has no val split; expected how many of its {counts[0]} training images to draw: "
            "1 or more, but not all, or a share such as 0.1"
        )
    shuffled_indices = splits["train"].copy()
    np.random.RandomState(split_seed).shuffle(shuffled_indices)
    return splits | {"train": np.sort(shuffled_indices[val_size:]), "val": np.sort(shuffled_indices[:val_size])}


def describe_source(kind: str, folder: str, splits: dict[str, np.ndarray], *, drawn: bool) -> str:
    """Return a text about a data set for `Dataset.source`; `drawn` tells whether val was drawn from train."""
    counts = "/".join(str(len(splits[split])) for split in TRAIN_VAL_TEST)
    return f"{kind} {Path(folder).name}, {counts} images" + ", val drawn from train" * drawn


def content_digest(data: bytes) -> np.ndarray:
    return np.frombuffer(blake2b(data, digest_size=DIGEST_BYTES).digest(), np.uint8)


def warn_of_leaks(name: str, digests: np.ndarray, splits: dict[str, np.ndarray]) -> None:
    """Warn on stderr of test images that are, byte for byte, also in train or val. digests: uint8 (n, DIGEST_BYTES)"""
    numbers = digests.view(np.uint64)[:, 0]
    leaked = int(np.isin(numbers[splits["test"]], numbers[np.concatenate([splits["train"], splits["val"]])]).sum())
    if leaked:
        count = f"{leaked} of {len(splits['test'])} test images"
        print(f"warning: {name}: {count} are also in train or val, byte for byte; results on them are too good", file=sys.stderr)


def channel_statistics(images: np.ndarray, index: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel of images[index], scaled to [0, 1]. Histograms are exact in little memory."""
    counts = np.zeros((images.shape[1], 256), np.int64)
    images_per_chunk = max(1, 2**22 // images[0].size)
    for start in range(0, len(index), images_per_chunk):
        chunk = images[index[start : start + images_per_chunk]]
        counts += [np.bincount(chunk[:, channel].ravel(), minlength=256) for channel in range(len(counts))]
    values, frequency = np.arange(256) / 255, counts / counts.sum(1, keepdims=True)
    mean = frequency @ values
    std = np.sqrt((frequency * (values - mean[:, None]) ** 2).sum(1))
    return tuple(mean.tolist()), tuple(std.tolist())
