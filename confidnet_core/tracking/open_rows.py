"""Marker files of open MLflow rows, in .dvc/tmp/mlflow_open/ of the project, by which the rows of killed processes are found and closed.

ROW.json, ROW.lock   of a stage; the lock is held while its process lives
ROW.json             of an execution between two of its stages, with the identity of the DVC process that will start the next one

After SIGKILL the lock is free, or the process gone, but the marker remains: the next run in the project, of whichever stage, and
tracking/ui.py close that row as killed. Markers are written and searched under the project's store lock.
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

MARKER_FOLDER = ".dvc/tmp/mlflow_open"


@dataclass(frozen=True)
class Marker:
    """Marker file of an MLflow run that a process is writing."""

    path: Path

    def touch(self) -> None:
        """Record that the process is alive: if it is killed, its row ends at this time or later."""
        with suppress(OSError):  # .dvc/tmp was deleted
            os.utime(self.path)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.lock_path.unlink(missing_ok=True)

    @property
    def lock_path(self) -> Path:
        return self.path.with_suffix(".lock")


@dataclass(frozen=True)
class AbandonedRow:
    """A row whose process died. parent_id: the row of its execution, None if other stages of it still run."""

    marker: Marker
    run_id: str
    parent_id: str | None
    last_seen: int  # time in milliseconds


@contextmanager
def marked_open(root: Path, store: str, run_id: str, parent_id: str | None) -> Iterator[Marker]:
    """Keep a marker of this process for a stage's row while the block runs."""
    marker = _marker(root, run_id)
    with FileLock(marker.lock_path, timeout=60):
        write_json(marker.path, {"store": store, "run_id": run_id, "parent_id": parent_id})
        try:
            yield marker
        finally:
            marker.remove()


def mark_execution(root: Path, store: str, experiment_id: str, run_id: str, process: Mapping[str, Any]) -> None:
    """Write a marker for an execution's row whose next stage this DVC process will start."""
    content = {"store": store, "experiment_id": experiment_id, "run_id": run_id, "parent_id": None, "process": dict(process)}
    write_json(_marker(root, run_id).path, content)


def find_execution(root: Path, store: str, experiment_id: str, process: Mapping[str, Any]) -> str | None:
    """Return the row of the execution whose stages this DVC process starts; None before its first stage has ended."""
    for path in (root / MARKER_FOLDER).glob("*.json"):
        try:
            content = read_json(path)
        except ValueError:  # removed meanwhile
            continue
        if [content.get(key) for key in ("store", "experiment_id", "process")] == [store, experiment_id, process]:
            return content["run_id"]
    return None


def unmark_execution(root: Path, run_id: str) -> None:
    _marker(root, run_id).remove()


def is_marked(root: Path, run_id: str) -> bool:
    """Return whether the row of this execution waits for further stages."""
    return _marker(root, run_id).path.exists()


def find_abandoned_rows(root: Path, store: str) -> list[AbandonedRow]:
    """Return the rows in this store whose process died without closing them."""
    live_run_ids: set[str | None] = set()
    dead_rows: list[AbandonedRow] = []
    for path in (root / MARKER_FOLDER).glob("*.json"):
        try:
            content, last_seen = read_json(path), int(path.stat().st_mtime * 1000)
        except (ValueError, OSError):  # removed meanwhile by its own process
            continue
        marker = Marker(path)
        silent_s = max(0.0, time.time() - last_seen / 1000)
        if is_alive(content["process"], silent_s) if "process" in content else _is_locked(marker):
            live_run_ids |= {content["parent_id"], content["run_id"]}
        elif content["store"] == store:
            dead_rows.append(AbandonedRow(marker, content["run_id"], content["parent_id"], last_seen))
    abandoned_rows = [row for row in dead_rows if row.run_id not in live_run_ids]
    return [replace(row, parent_id=None) if row.parent_id in live_run_ids else row for row in abandoned_rows]


def _marker(root: Path, run_id: str) -> Marker:
    marker = Marker(root / MARKER_FOLDER / f"{run_id}.json")
    marker.path.parent.mkdir(parents=True, exist_ok=True)
    return marker


def _is_locked(marker: Marker) -> bool:
    try:
        with FileLock(marker.lock_path, timeout=0):
            return False
    except Timeout:
        return True
