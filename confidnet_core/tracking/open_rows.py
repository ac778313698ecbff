"""Which rows a process is writing: a mark in .dvc/tmp/mlflow_open/ of the project for each, locked while the process lives.

After SIGKILL the lock is free and the mark still there: the next run of the project, whichever it is, closes that row as killed. Marks
are made and looked through under the project's store lock.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from confidnet_core.files import read_json, write_json

FOLDER = ".dvc/tmp/mlflow_open"


@dataclass(frozen=True)
class Mark:
    """That of one row."""

    path: Path

    def seen(self) -> None:
        """The process lives: its row, if it is killed, ends now or later."""
        with suppress(OSError):  # .dvc/tmp was removed
            os.utime(self.path)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.lock_path.unlink(missing_ok=True)

    @property
    def lock_path(self) -> Path:
        return self.path.with_suffix(".lock")


@dataclass(frozen=True)
class Abandoned:
    """A row whose process is gone, and that of its execution, unless other stages of it still run."""

    mark: Mark
    run_id: str
    parent_id: str | None
    last_seen: int  # milliseconds


@contextmanager
def marked(root: Path, store: str, run_id: str, parent_id: str | None) -> Iterator[Mark]:
    """For the length of a run."""
    mark = Mark(root / FOLDER / f"{run_id}.json")
    mark.path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(mark.lock_path, timeout=60):
        write_json(mark.path, {"store": store, "run_id": run_id, "parent_id": parent_id})
        try:
            yield mark
        finally:
            mark.remove()


def abandoned(root: Path, store: str) -> list[Abandoned]:
    """Of this store."""
    alive, gone = set(), []
    for path in (root / FOLDER).glob("*.json"):
        try:
            content, last_seen = read_json(path), int(path.stat().st_mtime * 1000)
        except (ValueError, OSError):  # removed since by its own process
            continue
        mark = Mark(path)
        try:
            with FileLock(mark.lock_path, timeout=0):
                pass
        except Timeout:
            alive.add(content["parent_id"])
            continue
        if content["store"] == store:
            gone.append(Abandoned(mark, content["run_id"], content["parent_id"], last_seen))
    return [found if found.parent_id not in alive else Abandoned(found.mark, found.run_id, None, found.last_seen) for found in gone]
