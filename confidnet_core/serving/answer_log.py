"""The answers of a run that is not over, one line for each batch, from which a killed run continues.

They are in `answers.log`, in a hidden folder beside the file or folder to write. Its first line holds the settings. Only whole lines
count. The lines are JSON, so that any name of a file fits into one, and numbers come back to the last bit.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from confidnet_core.system.errors import find_disk_error
from confidnet_core.system.leftovers import temporary_name

LOG_FILE_NAME = "answers.log"


@dataclass(frozen=True)
class LoggedBatch:
    """One batch: the names of its images, {name: reason} of those that could not be read, and {column: values} for the others."""

    names: list[str]
    failures: dict[str, str]
    columns: dict[str, list]

    @property
    def answered_names(self) -> list[str]:
        return [name for name in self.names if name not in self.failures]


@dataclass
class AnswerLog:
    """The log of one run, which no other process may write at the same time.

    restart_reason: why the answers of an earlier run were dropped; None if there were none, or if this run continues it
    position: the number of images in the log
    """

    folder: Path
    file: IO[bytes]
    restart_reason: str | None = None
    position: int = 0

    def append(self, batch: LoggedBatch) -> None:
        self.file.write(_json_line(vars(batch)))
        self.file.flush()
        self.position += len(batch.names)

    def batches(self) -> Iterator[LoggedBatch]:
        """Yield the batches logged so far, one in memory at a time."""
        with (self.folder / LOG_FILE_NAME).open("rb") as file:
            next(file)
            for line in file:
                yield LoggedBatch(**json.loads(line))


@contextmanager
def open_answer_log(folder: Path, settings: dict[str, Any], image_names: Iterable[str]) -> Iterator[AnswerLog]:
    """Context manager: open the log in a folder to continue it, or begin it anew if it is of other settings or of other images.

    settings: JSON-like; image_names: of all images of this run, in order
    Raises ValueError where another process writes the log, and where the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOG_FILE_NAME).open("a+b")
    except OSError as error:
        raise ValueError(str(find_disk_error(error, folder) or f"{folder.parent} cannot be written to ({error.strerror})")) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system gives it up when the process ends, however that ends
        except BlockingIOError:
            raise ValueError(f"another process is writing {folder}; wait for its end, or give another --out") from None
        log = AnswerLog(folder, file)
        _continue_or_restart(log, settings, image_names)
        yield log


def _continue_or_restart(log: AnswerLog, settings: dict[str, Any], image_names: Iterable[str]) -> None:
    log.file.seek(0)
    first_line = log.file.readline()
    log.restart_reason = _difference(first_line, settings) if first_line else None
    if not first_line or log.restart_reason:
        _restart(log, settings)
        return
    names, whole_lines_end = iter(image_names), log.file.tell()
    for line in log.file:
        batch = _whole_batch(line)
        if batch is None:
            break
        if any(name != next(names, None) for name in batch.names):
            log.restart_reason = "the images are others by now"
            _restart(log, settings)
            return
        whole_lines_end += len(line)
        log.position += len(batch.names)
    log.file.truncate(whole_lines_end)


def _restart(log: AnswerLog, settings: dict[str, Any]) -> None:
    for path in log.folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOG_FILE_NAME:
            path.unlink()
    log.position = 0
    log.file.truncate(0)
    log.file.write(_json_line(settings))
    log.file.flush()


def _difference(first_line: bytes, settings: dict[str, Any]) -> str | None:
    """Return in what the settings in the first line of a log differ from these, as a text; None if they are equal."""
    try:
        logged_settings = json.loads(first_line)
    except ValueError:
        logged_settings = {}
    if not first_line.endswith(b"\n") or not isinstance(logged_settings, dict):
        return "its first line is damaged"
    differing_names = [name for name in settings if logged_settings.get(name) != settings[name]]
    return f"it was of another {' and another '.join(differing_names)}" if differing_names else None


def _whole_batch(line: bytes) -> LoggedBatch | None:
    try:
        return LoggedBatch(**json.loads(line)) if line.endswith(b"\n") else None
    except (ValueError, TypeError):
        return None


def _json_line(content: dict[str, Any]) -> bytes:
    return json.dumps(content).encode() + b"\n"


def hidden_folder_beside(path: Path) -> Path:
    """Return the folder of the log of a run that writes `path`."""
    return path.with_name(f".{path.name}.partial")


def remove_log_folder(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def move_into_place(source: Path, target: Path) -> None:
    """Rename a file, or a folder, to its final name; what had that name is replaced, a folder by two renames."""
    if target.is_dir():
        old = target.with_name(temporary_name(target.name, "old.tmp"))
        os.replace(target, old)
        os.replace(source, target)
        shutil.rmtree(old)
    else:
        os.replace(source, target)
