"""Room on the disks that a stage writes to: looked at before its work, and before DVC stores its outputs.

DVC 3.67 writes dvc.lock, the run-cache and its cache in place. Where the disk fills meanwhile, it leaves them cut, and an empty folder in
the run-cache, on which every later `dvc repro` fails. So a stage ends with an error of its own while there is no room for these.
"""

import errno
import math
import os
import tempfile
from collections.abc import Iterable
from configparser import ConfigParser, Error
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import DTypeLike

from confidnet_core.system.errors import DISK_ERRNOS, PERMISSION_ERRNOS, DiskError, existing_folder, write_probe

# What DVC and MLflow write beside the outputs of a stage: locks, run-cache, a row in mlflow.db with its journal.
RESERVE_BYTES = 2 << 20
# On these, DVC's copies of a file in its cache share the blocks of the file.
SHARING_FILE_SYSTEMS = ("btrfs", "xfs", "zfs", "bcachefs", "apfs")
MAX_BYTES_IN_MEMORY = 2**26  # of an array from `array_of_any_size`
LARGE_ARRAYS_FOLDER = Path("data")  # on the disk that the results need, since /tmp may lie in memory


def require_writable(output_paths: Iterable[Path]) -> None:
    """Raise DiskError if one of the paths that a stage will write cannot be written, or its disk has no room for RESERVE_BYTES.

    Nothing is left behind: the file that is written to find out has no name.
    """
    for folder, path in {existing_folder(path.parent): path for path in output_paths}.items():
        _require_probe(folder, path)


def require_room_for_dvc(output_paths: Iterable[Path], project_folder: Path) -> None:
    """Raise DiskError if DVC has no room to store what a stage has written: copies in its cache, dvc.lock twice, and RESERVE_BYTES.

    output_paths: files and folders that the stage has written; project_folder: that of .dvc/cache
    """
    lock_file = Path("dvc.lock")
    _require_probe(Path.cwd(), lock_file, extra_bytes=2 * lock_file.stat().st_size if lock_file.exists() else 0)
    cache_folder, copies = dvc_cache(project_folder)
    needed_bytes = sum(map(_size, output_paths)) + RESERVE_BYTES
    if not copies or _file_system(existing_folder(cache_folder)) in SHARING_FILE_SYSTEMS:
        needed_bytes = RESERVE_BYTES
    room = os.statvfs(existing_folder(cache_folder))
    if room.f_bavail * room.f_frsize < needed_bytes:
        raise DiskError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(cache_folder))


def new_memory_map(path: Path, dtype: DTypeLike, shape: tuple[int, ...]) -> np.memmap:
    """Return a new .npy file as a writable memory map that has its room on the disk already. OSError if the disk does not have it.

    NumPy makes it with holes: then the first write that finds no room would kill the process (SIGBUS).
    """
    memory_map = np.lib.format.open_memmap(path, "w+", dtype, shape)
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return memory_map


def array_of_any_size(shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """Return an uninitialised array: in memory, or above MAX_BYTES_IN_MEMORY in a file without a name, so that memory is bounded.

    The file is in the folder data/, if there is one, and is gone with the array. Raises DiskError where the disk has no room for it.
    """
    byte_count = math.prod(shape) * np.dtype(dtype).itemsize
    if byte_count <= MAX_BYTES_IN_MEMORY:
        return np.empty(shape, dtype)
    folder = LARGE_ARRAYS_FOLDER if LARGE_ARRAYS_FOLDER.is_dir() else Path(tempfile.gettempdir())
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, byte_count)
            return np.memmap(file, dtype, "w+", shape=shape)
    except OSError as error:
        raise DiskError(error.errno, error.strerror, str(folder / f"an array of {byte_count / 1e9:.2f} GB")) from None


def dvc_cache(project_folder: Path) -> tuple[Path, bool]:
    """Return the folder of DVC's cache, as the project's .dvc/config says, and whether DVC copies files into it instead of linking."""
    config = ConfigParser(interpolation=None)
    dvc_folder = project_folder / ".dvc"
    with suppress(Error):  # damaged: DVC itself says so
        config.read([dvc_folder / "config", dvc_folder / "config.local"])
    cache = config["cache"] if config.has_section("cache") else {}
    link_types = str(cache.get("type", "reflink,copy"))
    return dvc_folder / str(cache.get("dir", "cache")), not any(link in link_types for link in ("hardlink", "symlink"))


def _require_probe(folder: Path, path: Path, extra_bytes: int = 0) -> None:
    try:
        write_probe(folder, RESERVE_BYTES + extra_bytes)
    except OSError as error:
        if error.errno not in (*DISK_ERRNOS, *PERMISSION_ERRNOS):
            raise
        raise DiskError(error.errno, error.strerror, str(path)) from None


def _size(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder; 0 if there is none."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if file.is_file() and not file.is_symlink())


def _file_system(folder: Path) -> str:
    file_systems = {Path(partition.mountpoint): partition.fstype for partition in psutil.disk_partitions(all=True)}
    return next((file_systems[parent] for parent in (folder, *folder.parents) if parent in file_systems), "")
