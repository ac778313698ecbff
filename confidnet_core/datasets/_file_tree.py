"""Folders and .zip archives as file trees: all their files, without hidden ones, are listed, and read by their relative path."""

import os
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from zipfile import BadZipFile, ZipFile, ZipInfo

from PIL import Image

from confidnet_core.datasets._image_formats import read_regular_file, require_moderate_size, unreadable_reason
from confidnet_core.datasets._raw import DATA_FOLDER_ENV_VARIABLE, raw_data_root
from confidnet_core.display import display_text

JUNK_FOLDERS = {"__macosx", "@eadir", "$recycle.bin"}  # in which operating systems keep thumbnails and copies
# What Pillow and its plugins raise for damaged files; LookupError and others come from tables in them that contradict each other.
DECODING_ERRORS = (
    *(OSError, SyntaxError, ValueError, TypeError, EOFError, LookupError, ArithmeticError, AttributeError, AssertionError, MemoryError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)
ARCHIVE_ERRORS = (BadZipFile, NotImplementedError, RuntimeError, LZMAError)  # of zipfile; RuntimeError for a password


@dataclass(frozen=True)
class FileTree:
    """All files and folders below a folder or in a .zip archive, without hidden ones and JUNK_FOLDERS, and a function to read a file."""

    path_prefix_in_messages: str  # what messages write before a path: the folder and a slash, or the archive and a colon
    paths: tuple[str, ...]  # relative to the folder or archive, sorted; the path of a folder ends in /
    read_bytes: Callable[[str], bytes]  # from a path to the content of the file

    def read(self, path: str) -> bytes:
        with name_file_in_errors(self.path_in_messages(path)):
            return self.read_bytes(path)

    def path_in_messages(self, path: str) -> str:
        return display_text(f"{self.path_prefix_in_messages}{path}")

    def top_level_names_as_text(self) -> str:
        """Return the names of the first six files and folders at the top of the tree, as text for messages."""
        top_level_names = sorted({path.partition("/")[0] + "/" * ("/" in path) for path in self.paths})
        return display_text(", ".join(top_level_names[:6])) + ", ..." * (len(top_level_names) > 6) or "nothing"


def locate_data(folder_setting: str) -> Path:
    """Return the path that the setting `folder` gives, absolute or below the folder of raw data. Raises ValueError if it does not exist."""
    data_path = raw_data_root() / Path(folder_setting).expanduser()
    if not data_path.exists():
        remedy_text = f"put the folder or .zip there, set {DATA_FOLDER_ENV_VARIABLE} to the folder that holds it, or give an absolute path"
        raise ValueError(f"folder is {folder_setting}, but {data_path} does not exist; {remedy_text}")
    return data_path


@contextmanager
def open_file_tree(folder_setting: str, top_level_names: set[str]) -> Iterator[FileTree]:
    """Context manager: open a folder or .zip as a file tree. Raises ValueError for a path that does not exist or is neither of the two.

    folder_setting: the setting `folder`, see locate_data
    top_level_names: if none of these names is at the top, and exactly one inner folder holds any of them, that folder is opened instead
    """
    data_path = locate_data(folder_setting)
    if data_path.is_dir():
        file_tree = FileTree(f"{data_path}/", tuple(sorted(_paths_below(data_path))), lambda path: read_regular_file(data_path / path))
        yield _inner_file_tree(file_tree, top_level_names)
        return
    try:
        if not data_path.is_file():  # to open a pipe would wait for ever
            raise OSError("it is no regular file")
        archive = ZipFile(data_path)
    except (BadZipFile, OSError, NotImplementedError, ValueError) as error:
        raise ValueError(f"{data_path} is neither a folder nor a whole .zip archive ({error}); put a whole copy there") from None
    with archive:  # its members are read one by one, never unpacked to disk
        archive_member_of_path = {
            path: archive_member
            for archive_member in archive.infolist()
            if not _is_junk_path(path := _posix_path_of_archive_member(archive_member))
        }
        file_tree = FileTree(
            f"{data_path}: ", tuple(sorted(archive_member_of_path)), lambda path: read_archive_member(archive, archive_member_of_path[path])
        )
        yield _inner_file_tree(file_tree, top_level_names)


def read_archive_member(archive: ZipFile, archive_member: ZipInfo) -> bytes:
    """Return the content of a member, which is not unpacked further than its directory entry says. ValueError for one that is too large."""
    require_moderate_size(archive_member.file_size)
    return archive.read(archive_member)


def _paths_below(root_folder: Path) -> Iterator[str]:
    """Yield the relative paths of all files and folders below a folder; links are followed, except those to a folder around them."""

    def raise_unreadable_folder(error: OSError) -> None:
        raise ValueError(f"{error.filename} cannot be listed ({error.strerror}); make it readable") from None

    for parent_folder, folder_names, file_names in os.walk(root_folder, followlinks=True, onerror=raise_unreadable_folder):
        is_parent_folder_inside = Path(parent_folder).resolve().is_relative_to
        folder_names[:] = [
            name for name in folder_names if not (_is_junk_path(name) or is_parent_folder_inside(Path(parent_folder, name).resolve()))
        ]
        parent_folder_prefix = "" if Path(parent_folder) == root_folder else f"{Path(parent_folder).relative_to(root_folder).as_posix()}/"
        yield from (f"{parent_folder_prefix}{name}/" for name in folder_names)
        yield from (f"{parent_folder_prefix}{name}" for name in file_names if not _is_junk_path(name))


def _posix_path_of_archive_member(archive_member: ZipInfo) -> str:
    path = PurePosixPath(archive_member.filename.replace("\\", "/").strip("/"))  # some archives of Windows have backslashes
    return f"{path}/" if archive_member.filename.endswith(("/", "\\")) else f"{path}"


def _is_junk_path(path: str) -> bool:
    return any(path_part.startswith(".") or path_part.lower() in JUNK_FOLDERS for path_part in path.split("/"))


def _inner_file_tree(file_tree: FileTree, top_level_names: set[str]) -> FileTree:
    """Return the tree of the one inner folder that holds any of `top_level_names`; the given tree if they are at its top or in several."""
    if any(path.partition("/")[0] in top_level_names for path in file_tree.paths):
        return file_tree
    outer_folders = {path.split("/")[0] for path in file_tree.paths if "/" in path and path.split("/")[1] in top_level_names}
    if len(outer_folders) != 1:
        return file_tree
    outer_folder_prefix = f"{outer_folders.pop()}/"
    inner_paths = tuple(
        path.removeprefix(outer_folder_prefix)
        for path in file_tree.paths
        if path.startswith(outer_folder_prefix) and path != outer_folder_prefix
    )
    return FileTree(
        file_tree.path_in_messages(outer_folder_prefix), inner_paths, lambda path: file_tree.read_bytes(outer_folder_prefix + path)
    )


@contextmanager
def name_file_in_errors(file_name: str) -> Iterator[None]:
    """Context manager: turn an error in reading or decoding a file into a ValueError that names the file."""
    try:
        yield
    except (*DECODING_ERRORS, *ARCHIVE_ERRORS) as error:
        reason = unreadable_reason(error)
        raise ValueError(
            f"{display_text(file_name)} is damaged, or of a kind that cannot be read ({reason}); replace it by a whole copy"
        ) from None
