"""Errors of a disk in one line: what is wrong with which disk, how much room it has, and what to do.

Libraries hide such an error: torch raises RuntimeError, numpy an OSError without a number, SQLite and DuckDB their own types. So the
cause is looked for in the chain of exceptions, in the words of their messages, and at last by writing a file beside the one that failed.
"""

import errno
import os
import re
import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil

DISK_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
PERMISSION_ERRNOS = (errno.EACCES, errno.EPERM)
PROBE_BYTES = 1 << 20
# What libraries say where a write failed, without the reason.
_FAILED_WRITES = re.compile(
    r"\d+ requested and \d+ written"  # numpy.ndarray.tofile, numpy.save
    r"|PytorchStreamWriter failed|file write failed|unexpected pos \d+"  # torch.save
    r"|database or disk is full|disk I/O error|attempt to write a readonly database"  # SQLite
    r"|encoder error -2"  # Pillow
)


class DiskError(OSError):
    """An error of a disk, with errno and the path that could not be written: `str` of it is the one line for the user."""

    def __str__(self) -> str:
        return disk_sentence(self.errno or errno.EIO, Path(self.filename))


def find_disk_error(error: BaseException, path: Path | None = None) -> DiskError | None:
    """Return the error of a disk, or of a permission to write, behind an exception; None if it has another cause.

    path: what was being written, for errors that do not say; by default the working directory
    """
    for cause in _causes(error):
        if isinstance(cause, DiskError):
            return cause
        if isinstance(cause, OSError) and cause.errno in DISK_ERRNOS:
            return _disk_error(cause.errno, Path(os.fsdecode(cause.filename)) if isinstance(cause.filename, str | bytes) else path)
        if isinstance(cause, PermissionError) and isinstance(cause.filename, str | bytes):
            return _disk_error(cause.errno or errno.EACCES, Path(os.fsdecode(cause.filename)))
        message = str(cause)
        for number in DISK_ERRNOS:
            if os.strerror(number) in message:
                return _disk_error(number, path)
        if _FAILED_WRITES.search(message):
            return _disk_error(_errno_of_a_write_beside(path) or errno.EIO, path)
    return None


def disk_sentence(error_number: int, path: Path) -> str:
    """Return the line about a path that cannot be written, or by its rights not even read: what is wrong, device, room, and what to do.

    error_number: one of DISK_ERRNOS and PERMISSION_ERRNOS; EIO for an unknown reason
    """
    again = "then run the same command again"
    if error_number in PERMISSION_ERRNOS:
        verb = "read" if os.path.exists(path) and not os.access(path, os.R_OK) else "written"
        return f"{path} cannot be {verb}: this user has no right to; change its owner or rights (`ls -ld {path.parent}`), {again}"
    if error_number == errno.EFBIG:
        limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        limit_text = f" of {in_units(limit)} (`ulimit -f`)" if limit != resource.RLIM_INFINITY else " of its file system"
        return f"{path} cannot be written: it grows above the size limit for a file{limit_text}; raise the limit, {again}"
    problem, remedy = {
        errno.ENOSPC: ("the disk is full", "free some space"),
        errno.EDQUOT: ("the disk quota of this user is used up", "delete files, or ask for a larger quota"),
        errno.EROFS: ("the disk is read-only", "make it writable, or use a copy of the project on another disk"),
    }.get(error_number, ("the disk does not take it", "look at its state, keep a copy of the project elsewhere"))
    return f"{path} cannot be written: {problem} ({describe_disk(path)}); {remedy}, {again}"


def describe_disk(path: Path) -> str:
    """Return device, mount point and free room of a path's disk, as "/dev/sda1 on /home, 1.2 GB of 20 GB free"; the path need not exist."""
    folder = existing_folder(path)
    room = os.statvfs(folder)
    text = f"{in_units(room.f_bavail * room.f_frsize)} of {in_units(room.f_blocks * room.f_frsize)} free"
    if room.f_files and not room.f_favail:
        text += ", and no room for one more file"
    mount_point = next(parent for parent in (folder, *folder.parents) if parent.is_mount() or parent == parent.parent)
    devices = {partition.mountpoint: partition.device for partition in psutil.disk_partitions(all=True)}
    return f"{devices.get(str(mount_point)) or 'the disk'} on {mount_point}, {text}"


def existing_folder(path: Path) -> Path:
    """Return the nearest folder above a path, or the path itself, that exists."""
    path = Path(path).absolute()
    return next(folder for folder in (path, *path.parents) if folder.is_dir()).resolve()


def in_units(byte_count: int) -> str:
    """Return a number of bytes as text, such as "512 bytes" or "1.2 GB"."""
    amount, unit = float(byte_count), "bytes"
    for larger_unit in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger_unit
    return f"{amount:.0f} {unit}" if unit == "bytes" or amount >= 10 else f"{amount:.1f} {unit}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and those that it was raised from, or during the handling of which it was raised, each once."""
    waiting, seen = [error], set()
    while waiting:
        current = waiting.pop(0)
        if id(current) not in seen:
            seen.add(id(current))
            yield current
            context = None if current.__suppress_context__ else current.__context__  # `from None`: the message says it all
            waiting += [cause for cause in (current.__cause__, context) if cause is not None]


def _disk_error(error_number: int, path: Path | None) -> DiskError:
    return DiskError(error_number, os.strerror(error_number), str(path or Path.cwd()))


def _errno_of_a_write_beside(path: Path | None) -> int | None:
    """Return why a file cannot be written into the folder of `path`; None if it can be."""
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit != resource.RLIM_INFINITY:
        return errno.EFBIG
    try:
        write_probe(existing_folder(path or Path.cwd()), PROBE_BYTES)
    except OSError as error:
        return error.errno
    return None


def write_probe(folder: Path, byte_count: int) -> None:
    """Write a file without a name into a folder, which takes that room for a moment. OSError if the folder's disk does not take it."""
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        remaining = byte_count
        while remaining > 0:
            remaining -= file.write(bytes(min(remaining, PROBE_BYTES)))
        os.fsync(file.fileno())  # where writes are delayed, as on NFS, a full disk is only known now
