"""Marker files in .dvc/tmp/mlflow_open/ of the project: each says that a process is still writing an MLflow run. With them, the runs of
killed processes are found and closed. RUN is the MLflow id of a run.

RUN.json, RUN.lock   for the run of a stage; the lock is held while the stage's process lives
RUN.json             for the run of a pipeline execution, between two of its stages, with the identity of the DVC process that will start
                     the next stage

After SIGKILL the lock is free, or the process gone, but the marker remains: the project's next stage of any kind, and tracking/ui.py, close
that run as killed. Markers are written and searched under the project's store lock.
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
    """Marker file that says that a process is writing an MLflow run."""

    path: Path

    def touch(self) -> None:
        """Set the marker file's time to now: if the process is killed later, its MLflow run ends at this time or later."""
        with suppress(OSError):  # .dvc/tmp was deleted
            os.utime(self.path)

    def remove(self) -> None:
        """Delete the marker file and its lock file."""
        self.path.unlink(missing_ok=True)
        self.lock_path.unlink(missing_ok=True)

    @property
    def lock_path(self) -> Path:
        """Path of the lock file beside the marker file."""
        return self.path.with_suffix(".lock")


@dataclass(frozen=True)
class AbandonedRow:
    """An MLflow run that is still open although its process died.

    parent_id: MLflow id of the pipeline execution's run, which ends with it; None if other stages of that execution still run
    """

    marker: Marker
    run_id: str
    parent_id: str | None
    last_seen: int  # time in milliseconds


@contextmanager
def marked_open(root: Path, store: str, run_id: str, parent_id: str | None) -> Iterator[Marker]:
    """Context manager that keeps a marker file, which says that this process writes a stage's MLflow run; yields the marker."""
    marker = _marker_for_run(root, run_id)
    with FileLock(marker.lock_path, timeout=60):
        write_json(marker.path, {"store": store, "run_id": run_id, "parent_id": parent_id})
        try:
            yield marker
        finally:
            marker.remove()


def mark_execution(root: Path, store: str, experiment_id: str, run_id: str, process_identity: Mapping[str, Any]) -> None:
    """Write a marker file that keeps a pipeline execution's MLflow run open until its next stage.

    process_identity: of the DVC process that will start that stage, see `process_identity` in tracking/dvc_process.py
    """
    marker_content = {
        "store": store,
        "experiment_id": experiment_id,
        "run_id": run_id,
        "parent_id": None,
        "process": dict(process_identity),
    }
    write_json(_marker_for_run(root, run_id).path, marker_content)


def find_execution(root: Path, store: str, experiment_id: str, process_identity: Mapping[str, Any]) -> str | None:
    """Return the id of the MLflow run of the pipeline execution that a DVC process runs.

    None before the execution's first stage has ended, since no marker file names the process yet.
    """
    for path in (root / MARKER_FOLDER).glob("*.json"):
        try:
            marker_content = read_json(path)
        except ValueError:  # removed meanwhile
            continue
        if [marker_content.get(key) for key in ("store", "experiment_id", "process")] == [store, experiment_id, process_identity]:
            return marker_content["run_id"]
    return None


def unmark_execution(root: Path, run_id: str) -> None:
    """Delete the marker file of a pipeline execution's MLflow run, which no longer waits for further stages."""
    _marker_for_run(root, run_id).remove()


def is_marked(root: Path, run_id: str) -> bool:
    """Return whether a marker file says that this pipeline execution's MLflow run waits for further stages."""
    return _marker_for_run(root, run_id).path.exists()


def find_abandoned_rows(root: Path, store: str) -> list[AbandonedRow]:
    """Return the MLflow runs in this store that are still open although their processes died."""
    live_run_ids: set[str | None] = set()
    dead_rows: list[AbandonedRow] = []
    for path in (root / MARKER_FOLDER).glob("*.json"):
        try:
            marker_content, last_seen = read_json(path), int(path.stat().st_mtime * 1000)
        except (ValueError, OSError):  # removed meanwhile by its own process
            continue
        marker = Marker(path)
        silent_s = max(0.0, time.time() - last_seen / 1000)
        if is_alive(marker_content["process"], silent_s) if "process" in marker_content else _is_locked(marker):
            live_run_ids |= {marker_content["parent_id"], marker_content["run_id"]}
        elif marker_content["store"] == store:
            dead_rows.append(AbandonedRow(marker, marker_content["run_id"], marker_content["parent_id"], last_seen))
    abandoned_rows = [row for row in dead_rows if row.run_id not in live_run_ids]
    return [replace(row, parent_id=None) if row.parent_id in live_run_ids else row for row in abandoned_rows]


def _marker_for_run(root: Path, run_id: str) -> Marker:
    """Return the marker of an MLflow run, after creating the folder of marker files."""
    marker = Marker(root / MARKER_FOLDER / f"{run_id}.json")
    marker.path.parent.mkdir(parents=True, exist_ok=True)
    return marker


def _is_locked(marker: Marker) -> bool:
    """Return whether a live process holds the marker's lock file."""
    try:
        with FileLock(marker.lock_path, timeout=0):
            return False
    except Timeout:
        return True
