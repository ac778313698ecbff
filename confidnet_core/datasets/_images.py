"""Functions for data sets of image files: they read a folder or .zip, decode images by Pillow, resize them, draw splits."""

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
from confidnet_core.datasets._raw import DATA_FOLDER_VARIABLE, raw_root

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
JUNK_FOLDERS = {"__macosx", "@eadir", "$recycle.bin"}  # in which operating systems keep thumbnails and copies
IMAGES_PER_TASK = 8  # of a thread
CONTENT_DIGEST_BYTES = 8  # any two different files among a million have the same digest with probability 3e-8
DECODING_ERRORS = (OSError, SyntaxError, ValueError, TypeError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)
ARCHIVE_ERRORS = (BadZipFile, NotImplementedError, RuntimeError)  # of zipfile; RuntimeError for a password
EXIF_TRANSPOSES = ("FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90")
TRANSPOSE_OF_ORIENTATION = {number: Image.Transpose[turn] for number, turn in enumerate(EXIF_TRANSPOSES, start=2)}


@dataclass(frozen=True)
class FileTree:
    """All files and folders below a folder or in a .zip archive, without hidden ones and JUNK_FOLDERS, and a function to read a file."""

    message_prefix: str  # what messages write before a path: the folder and a slash, or the archive and a colon
    paths: tuple[str, ...]  # relative to the folder or archive, sorted; the path of a folder ends in /
    read_bytes: Callable[[str], bytes]  # from a path to the content of the file

    def read(self, path: str) -> bytes:
        with name_file_in_errors(self.message_path(path)):
            return self.read_bytes(path)

    def message_path(self, path: str) -> str:
        return f"{self.message_prefix}{path}"

    def top_level_text(self) -> str:
        """Return the names of the first six files and folders at the top of the tree, as text for messages."""
        top_names = sorted({path.partition("/")[0] + "/" * ("/" in path) for path in self.paths})
        return ", ".join(top_names[:6]) + ", ..." * (len(top_names) > 6) or "nothing"


def locate_data(folder_setting: str) -> Path:
    """Return the path that the setting `folder` gives, absolute or below the folder of raw data. Raises ValueError if it does not exist."""
    data_path = raw_root() / Path(folder_setting).expanduser()
    if not data_path.exists():
        remedy = f"put the folder or .zip there, set {DATA_FOLDER_VARIABLE} to the folder that holds it, or give an absolute path"
        raise ValueError(f"folder is {folder_setting}, but {data_path} does not exist; {remedy}")
    return data_path


@contextmanager
def open_file_tree(folder_setting: str, top_names: set[str]) -> Iterator[FileTree]:
    """Open a folder or .zip as a file tree. If `top_names` lie in exactly one inner folder, not at the top, open that inner folder."""
    data_path = locate_data(folder_setting)
    if data_path.is_dir():
        file_tree = FileTree(f"{data_path}/", tuple(sorted(_paths_below(data_path))), lambda path: (data_path / path).read_bytes())
        yield _inner_file_tree(file_tree, top_names)
        return
    try:
        archive = ZipFile(data_path)
    except (BadZipFile, OSError) as error:
        raise ValueError(f"{data_path} is neither a folder nor a whole .zip archive ({error}); put a whole copy there") from None
    with archive:  # its members are read one by one, never unpacked to disk
        member_of_path = {path: member for member in archive.infolist() if not _is_junk_path(path := _member_posix_path(member))}
        file_tree = FileTree(f"{data_path}: ", tuple(sorted(member_of_path)), lambda path: archive.read(member_of_path[path]))
        yield _inner_file_tree(file_tree, top_names)


def _paths_below(root_folder: Path) -> Iterator[str]:
    """Yield the relative paths of all files and folders below a folder; links are followed, except those to a folder around them."""

    def raise_unreadable(error: OSError) -> None:
        raise ValueError(f"{error.filename} cannot be listed ({error.strerror}); make it readable") from None

    for parent, folder_names, file_names in os.walk(root_folder, followlinks=True, onerror=raise_unreadable):
        is_parent_inside = Path(parent).resolve().is_relative_to
        folder_names[:] = [name for name in folder_names if not (_is_junk_path(name) or is_parent_inside(Path(parent, name).resolve()))]
        parent_prefix = "" if Path(parent) == root_folder else f"{Path(parent).relative_to(root_folder).as_posix()}/"
        yield from (f"{parent_prefix}{name}/" for name in folder_names)
        yield from (f"{parent_prefix}{name}" for name in file_names if not _is_junk_path(name))


def _member_posix_path(member: ZipInfo) -> str:
    path = PurePosixPath(member.filename.replace("\\", "/").strip("/"))  # some archives of Windows have backslashes
    return f"{path}/" if member.filename.endswith(("/", "\\")) else f"{path}"


def _is_junk_path(path: str) -> bool:
    return any(part.startswith(".") or part.lower() in JUNK_FOLDERS for part in path.split("/"))


def _inner_file_tree(file_tree: FileTree, top_names: set[str]) -> FileTree:
    """Return the tree of the one inner folder that holds any of `top_names`; the given tree if they are at its top or in several."""
    if any(path.partition("/")[0] in top_names for path in file_tree.paths):
        return file_tree
    outer_folders = {path.split("/")[0] for path in file_tree.paths if "/" in path and path.split("/")[1] in top_names}
    if len(outer_folders) != 1:
        return file_tree
    outer = f"{outer_folders.pop()}/"
    inner_paths = tuple(path.removeprefix(outer) for path in file_tree.paths if path.startswith(outer) and path != outer)
    return FileTree(file_tree.message_path(outer), inner_paths, lambda path: file_tree.read_bytes(outer + path))


@contextmanager
def name_file_in_errors(file_name: str) -> Iterator[None]:
    """Context manager: turn an error in reading or decoding a file into a ValueError that names the file."""
    try:
        yield
    except (*DECODING_ERRORS, *ARCHIVE_ERRORS) as error:
        reason = "its content is that of no image" if isinstance(error, UnidentifiedImageError) else error
        raise ValueError(f"{file_name} is damaged, or of a kind that cannot be read ({reason}); replace it by a whole copy") from None


def decode_image(file_bytes: bytes, file_name: str, colour_mode: Literal["RGB", "L"] = "RGB") -> Image.Image:
    """Return the first frame of an image file in 8 bits, turned by its EXIF orientation, on white. ValueError names a damaged file."""
    with name_file_in_errors(file_name):
        image = Image.open(BytesIO(file_bytes))
        image.load()  # first, since Pillow turns a TIFF here and then forgets its orientation
        exif_transpose = _exif_transpose(image)
        image = _to_opaque_8_bit_image(image).convert(colour_mode)
        return image if exif_transpose is None else image.transpose(exif_transpose)


def _exif_transpose(image: Image.Image) -> Image.Transpose | None:
    try:
        return TRANSPOSE_OF_ORIENTATION.get(image.getexif().get(0x0112, 1))
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
    sizes = zip(labels.shape, (height, width), strict=True)
    source_rows, source_columns = ((2 * np.arange(new_size) + 1) * old_size // (2 * new_size) for old_size, new_size in sizes)
    return labels[np.ix_(source_rows, source_columns)]


def require_equal_sizes(image: Image.Image, image_file: object, mask: Image.Image, mask_file: object) -> None:
    if mask.size != image.size:
        raise ValueError(f"{mask_file} is {mask.size[0]}x{mask.size[1]}, but its image {image_file} {image.size[0]}x{image.size[1]}")


def parse_listing(listing_text: str, listing_file: object) -> list[tuple[str, str]]:
    """Return pairs (image name, mask name) from the first and last column of each line of a text. Raises ValueError without any line."""
    line_columns = [listing_line.replace("\\", "/").split() for listing_line in listing_text.splitlines() if listing_line.strip()]
    if not line_columns:
        raise ValueError(f"{listing_file} lists no images; expected one a line")
    return [(columns[0], columns[-1]) for columns in line_columns]


def read_in_threads(read_item: Callable[[int], Sequence[np.ndarray]], item_count: int, *item_shapes: tuple[int, ...]) -> list[np.ndarray]:
    """Return uint8 arrays (item_count, *item_shape), one for each shape; read_item(index), run in threads, gives an item of each array."""
    arrays = [np.empty((item_count, *item_shape), np.uint8) for item_shape in item_shapes]

    def read_task(first_index: int) -> None:
        for index in range(first_index, min(first_index + IMAGES_PER_TASK, item_count)):
            for array, item_array in zip(arrays, read_item(index), strict=True):
                array[index] = item_array

    with ThreadPoolExecutor(os.cpu_count()) as threads:  # decoding and resampling release the interpreter's lock
        list(threads.map(read_task, range(0, item_count, IMAGES_PER_TASK)))
    return arrays


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
            problem = f"{file_tree.message_prefix} has a val split of {split_sizes[1]}; set val to 0, or take that away"
            raise ValueError(f"{data_set_name}: val is {val}, but {problem}")
        return splits
    val_size = val if isinstance(val, int) else int(val * split_sizes[0] + 1e-9)  # since 0.29 * 100 is below 29 in floating point
    if not 0 < val_size < split_sizes[0]:
        expected = f"how many of its {split_sizes[0]} training images to draw: 1 or more, but not all, or a share such as 0.1"
        raise ValueError(f"{data_set_name}: val is {val}, and {file_tree.message_prefix} has no val split; expected {expected}")
    shuffled_indices = splits["train"].copy()
    np.random.RandomState(seed).shuffle(shuffled_indices)
    return splits | {"train": np.sort(shuffled_indices[val_size:]), "val": np.sort(shuffled_indices[:val_size])}


def describe_source(data_set_kind: str, folder_setting: str, splits: dict[str, np.ndarray], *, is_val_drawn: bool) -> str:
    """Return a text on where a data set came from, for `Dataset.source`; is_val_drawn: whether the val split was drawn from train."""
    image_counts = "/".join(str(len(splits[split])) for split in TRAIN_VAL_TEST)
    return f"{data_set_kind} {Path(folder_setting).name}, {image_counts} images" + ", val drawn from train" * is_val_drawn


def content_digest(file_bytes: bytes) -> np.ndarray:
    return np.frombuffer(blake2b(file_bytes, digest_size=CONTENT_DIGEST_BYTES).digest(), np.uint8)


def warn_of_leaks(data_set_name: str, content_digests: np.ndarray, splits: dict[str, np.ndarray]) -> None:
    """Print a warning if test images are, byte for byte, also in train or val; content_digests: uint8 (n, 8), of the images' files."""
    digest_numbers = content_digests.view(np.uint64)[:, 0]
    leaked_count = int(np.isin(digest_numbers[splits["test"]], digest_numbers[np.concatenate([splits["train"], splits["val"]])]).sum())
    if leaked_count:
        leak = f"{leaked_count} of {len(splits['test'])} test images are also in train or val, byte for byte"
        print(f"warning: {data_set_name}: {leak}; results on them are too good", file=sys.stderr)


def channel_statistics(images: np.ndarray, image_indices: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation of each channel of images[image_indices], for values scaled to [0, 1], by histograms."""
    value_counts = np.zeros((images.shape[1], 256), np.int64)
    images_per_chunk = max(1, 2**22 // images[0].size)
    for chunk_start in range(0, len(image_indices), images_per_chunk):
        image_chunk = images[image_indices[chunk_start : chunk_start + images_per_chunk]]
        value_counts += [np.bincount(image_chunk[:, channel].ravel(), minlength=256) for channel in range(len(value_counts))]
    scaled_values, value_frequencies = np.arange(256) / 255, value_counts / value_counts.sum(1, keepdims=True)
    mean = value_frequencies @ scaled_values
    std = np.sqrt((value_frequencies * (scaled_values - mean[:, None]) ** 2).sum(1))
    return tuple(mean.tolist()), tuple(std.tolist())
