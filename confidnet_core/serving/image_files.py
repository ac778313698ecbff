"""The images that a user names, one after the other: files, folders, .zip archives, and the rows of .npy and .npz arrays.

A folder gives all files below it with the suffix of an image, in the order of their names, and so does an archive; hidden files and
JUNK_FOLDERS are left out, as by `prepare`. Links are followed, except those to a folder around them. Only the names of one folder, or those
in one archive, are in memory at a time, and of an array one block of rows.
"""

import math
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import IO, Any
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np

from confidnet_core.datasets._file_tree import ARCHIVE_ERRORS, JUNK_FOLDERS, read_archive_member
from confidnet_core.datasets._image_formats import IMAGE_SUFFIXES, MAX_FILE_BYTES, read_regular_file

ARRAY_SUFFIXES = (".npy", ".npz")
MAX_REASON_LENGTH = 200  # characters of another library's message
ARRAY_BLOCK_BYTES = 2**24  # of an array in memory at a time


@dataclass(frozen=True)
class ImageSource:
    """An image that can be read.

    name: the path of its file as the user would write it; of an image in an archive ARCHIVE/PATH, of a row of an array ARRAY[ROW]
    read: returns the bytes of an image file, or the image as an array; ValueError or OSError says why it cannot
    """

    name: str
    read: Callable[[], bytes | np.ndarray]


def images_of_paths(paths: Sequence[str | os.PathLike[str]]) -> Iterator[ImageSource]:
    """Yield the images that the paths name, in the order of the paths.

    What cannot be read is yielded, too, with a `read` that says why: a file, a folder, an archive or array that is damaged or of another
    type.
    """
    for path in [os.fspath(path) for path in paths]:
        if os.path.isdir(path):
            yield from _images_in_folder(path, (os.path.realpath(path),))
        elif path.lower().endswith(".zip"):
            yield from _images_in_archive(path)
        elif path.lower().endswith(ARRAY_SUFFIXES):
            yield from _images_in_arrays(path)
        else:
            yield ImageSource(path, partial(read_regular_file, path))


def require_existing_paths(paths: Sequence[str | os.PathLike[str]]) -> None:
    """Raise ValueError for the first path that does not exist. A link that leads nowhere exists: it is a file that cannot be read."""
    for path in [os.fspath(path) for path in paths]:
        if not os.path.lexists(path):
            raise ValueError(f"{path} does not exist; expected an image file, a folder, a .zip of image files, or an array in .npy or .npz")


def _images_in_folder(folder: str, real_folders_around: tuple[str, ...]) -> Iterator[ImageSource]:
    """Yield the images below a folder. real_folders_around: the folder itself and those on the way to it, without links"""
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if not _is_junk(entry.name))
    except OSError as error:
        yield _unreadable(folder, f"cannot be listed ({error.strerror})")
        return
    for name in names:
        path = os.path.join(folder, name)
        is_named_as_image = name.lower().endswith(IMAGE_SUFFIXES)
        if os.path.isdir(path):
            real_path, holds_images = os.path.realpath(path), False
            if any(f"{around}/".startswith(f"{real_path}/") for around in real_folders_around):
                continue
            for image in _images_in_folder(path, (*real_folders_around, real_path)):
                holds_images = True
                yield image
            if is_named_as_image and not holds_images:
                yield _unreadable(path, "is a folder, and holds no images")
        elif is_named_as_image:
            yield ImageSource(path, partial(read_regular_file, path))


def _require_regular_file(path: str) -> None:
    """Raise OSError for a pipe or a device, to open which would wait for ever."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise OSError("it is no regular file")


def _images_in_archive(archive_path: str) -> Iterator[ImageSource]:
    try:
        _require_regular_file(archive_path)
        archive = ZipFile(archive_path)  # open as long as an image refers to it
    except (BadZipFile, OSError, NotImplementedError, ValueError) as error:
        yield _unreadable(archive_path, f"is no whole .zip archive ({error}); replace it by a whole copy")
        return
    member_of_path = {
        path: member
        for member in archive.infolist()
        if not member.is_dir()
        and (path := member.filename.replace("\\", "/").strip("/")).lower().endswith(IMAGE_SUFFIXES)
        and not any(map(_is_junk, PurePosixPath(path).parts))
    }
    for path in sorted(member_of_path):
        yield ImageSource(f"{archive_path}/{path}", partial(_read_member, archive, member_of_path[path]))


def _read_member(archive: ZipFile, member: ZipInfo) -> bytes:
    try:
        return read_archive_member(archive, member)
    except (EOFError, zlib.error, *ARCHIVE_ERRORS) as error:
        raise ValueError(str(error) or "it ends too early") from None  # EOFError says nothing


def _images_in_arrays(path: str) -> Iterator[ImageSource]:
    """Yield the rows of the array in a .npy file, or of each array in an .npz file, without the whole of it in memory."""
    try:
        _require_regular_file(path)
        if path.lower().endswith(".npy"):
            with open(path, "rb") as file:
                yield from _rows_of_array(file, path)
            return
        with ZipFile(path) as archive:
            for member in archive.infolist():
                with archive.open(member) as file:
                    yield from _rows_of_array(file, f"{path}:{member.filename.removesuffix('.npy')}")
    except (OSError, EOFError, ValueError, zlib.error, *ARCHIVE_ERRORS) as error:
        yield _unreadable(path, f"is no whole array ({error}); write it by numpy.save or numpy.savez")


def _rows_of_array(file: IO[bytes], name: str) -> Iterator[ImageSource]:
    """Yield each row of an array in numpy's format, which has to be uint8 (n, channels, height, width) or (n, height, width)."""
    try:
        version = np.lib.format.read_magic(file)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, is_fortran_order, dtype = read_header(file)
    except Exception as error:  # numpy evaluates the head, and a damaged one can raise anything
        problem = " ".join(str(error).split())[:MAX_REASON_LENGTH]
        yield _unreadable(name, f"is no array in numpy's format ({problem}); write it by numpy.save")
        return
    if dtype != np.uint8 or len(shape) not in (3, 4) or is_fortran_order or min(shape[1:]) < 1 or shape[0] < 0:
        order_text = " in Fortran order" if is_fortran_order else ""
        yield _unreadable(name, f"is {dtype} {shape}{order_text}; expected uint8 (n, channels, height, width), pixels from 0 to 255")
        return
    row_shape = (1,) * (len(shape) == 3) + tuple(shape[1:])
    row_bytes = math.prod(row_shape)
    if row_bytes > MAX_FILE_BYTES:
        yield _unreadable(name, f"has {row_bytes:,} bytes a row; expected at most {MAX_FILE_BYTES:,}")
        return
    rows_per_block = max(1, ARRAY_BLOCK_BYTES // row_bytes)
    for block_start in range(0, shape[0], rows_per_block):
        row_count = min(rows_per_block, shape[0] - block_start)
        content = file.read(row_count * row_bytes)
        if len(content) != row_count * row_bytes:
            raise EOFError("it is cut off")
        for row, image in enumerate(np.frombuffer(content, np.uint8).reshape(row_count, *row_shape), start=block_start):
            yield ImageSource(f"{name}[{row}]", partial(_as_it_is, image))


def _as_it_is(image: np.ndarray) -> np.ndarray:
    return image


def _unreadable(name: str, reason: str) -> ImageSource:
    return ImageSource(name, partial(_refuse, reason))


def _refuse(reason: str) -> Any:
    raise ValueError(reason)


def _is_junk(name: str) -> bool:
    return name.startswith(".") or name.lower() in JUNK_FOLDERS


def count_images(paths: Sequence[str | os.PathLike[str]]) -> int | None:
    """Return the number of images that the paths name, for a progress bar; None where arrays would have to be read for it."""
    if any(os.fspath(path).lower().endswith(ARRAY_SUFFIXES) for path in paths):
        return None
    return sum(1 for _ in images_of_paths(paths))
