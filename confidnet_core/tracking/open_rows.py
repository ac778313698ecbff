"""Which rows are open, and whose: marker files in .dvc/tmp/mlflow_open/ of the project, by which rows of killed processes are closed.

ROW.json, ROW.lock   of a stage, locked while its process lives
ROW.json             of an execution between two of its stages, with the identity of the DVC process that will start the next one

After SIGKILL the lock is free, or the process gone, and the marker still there: the next run of the project, whichever it is, and
ui.py close that row as killed. Markers are made and looked through under the project's store lock.
"""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from confidnet_core.files import read_json, write_json
from confidnet_core.tracking.dvc_process import is_alive

FOLDER = ".dvc/tmp/mlflow_open"


@dataclass(frozen=True)
class Marker:
    """Marker file of an MLflow run that a process is writing."""

    path: Path

    def touch(self) -> None:
        """Note that the process lives: should it be killed, its row ended now or later."""
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
    """A row whose process is gone; parent_id: that of its execution, None where other stages of it still run."""

    marker: Marker
    run_id: str
    parent_id: str | None
    last_seen: int  # milliseconds


@contextmanager
def marked(root: Path, store: str, run_id: str, parent_id: str | None) -> Iterator[Marker]:
    """A marker of this process for the row of a stage, for the length of a block."""
    marker = _marker(root, run_id)
    with FileLock(marker.lock_path, timeout=60):
        write_json(marker.path, {"store": store, "run_id": run_id, "parent_id": parent_id})
        try:
            yield marker
        finally:
            marker.remove()


def mark_execution(root: Path, store: str, experiment_id: str, run_id: str, process: Mapping[str, Any]) -> None:
    """Leave a marker for the row of an execution whose next stage this DVC process will start."""
    known = {"store": store, "experiment_id": experiment_id, "run_id": run_id, "parent_id": None, "process": dict(process)}
    write_json(_marker(root, run_id).path, known)


def execution_of(root: Path, store: str, experiment_id: str, process: Mapping[str, Any]) -> str | None:
    """The row of the execution whose stages this DVC process starts; None before its first stage ended."""
    for path in (root / FOLDER).glob("*.json"):
        try:
            content = read_json(path)
        except ValueError:  # removed since
            continue
        if [content.get(key) for key in ("store", "experiment_id", "process")] == [store, experiment_id, process]:
            return content["run_id"]
    return None


def unmark_execution(root: Path, run_id: str) -> None:
    _marker(root, run_id).remove()


def is_marked(root: Path, run_id: str) -> bool:
    """Whether the row of this execution waits for further stages."""
    return _marker(root, run_id).path.exists()


def abandoned(root: Path, store: str) -> list[Abandoned]:
    """Rows of this store whose process died without closing them."""
    alive: set[str | None] = set()
    dead: list[Abandoned] = []
    for path in (root / FOLDER).glob("*.json"):
        try:
            content, last_seen = read_json(path), int(path.stat().st_mtime * 1000)
        except (ValueError, OSError):  # removed since by its own process
            continue
        marker = Marker(path)
        silent = max(0.0, time.time() - last_seen / 1000)
        if is_alive(content["process"], silent) if "process" in content else _is_locked(marker):
            alive |= {content["parent_id"], content["run_id"]}
        elif content["store"] == store:
            dead.append(Abandoned(marker, content["run_id"], content["parent_id"], last_seen))
    mine = [each for each in dead if each.run_id not in alive]
    return [replace(each, parent_id=None) if each.parent_id in alive else each for each in mine]


def _marker(root: Path, run_id: str) -> Marker:
    marker = Marker(root / FOLDER / f"{run_id}.json")
    marker.path.parent.mkdir(parents=True, exist_ok=True)
    return marker


def _is_locked(marker: Marker) -> bool:
    try:
        with FileLock(marker.lock_path, timeout=0):
            return False
    except Timeout:
        return True
