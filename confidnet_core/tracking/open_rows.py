"""Marker files in .dvc/tmp/mlflow_open/ of the project: each says that a process is still writing an MLflow run. With them, the runs of
killed processes are found and closed. RUN is the MLflow id of a run.

RUN.json, RUN.lock   for the run of a stage; the lock is held while the stage's process lives
RUN.json             for the run of a pipeline execution, between two of its stages, with the identity of the DVC process that will start
                     the next stage

After SIGKILL the lock is free, or the process gone, but the marker remains: the project's next stage of any kind, and tracking/ui.py,
close that run as killed. Markers are written and searched under the project's store lock.
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
from confidnet_core.tracking.dvc_process import is_process_alive

OPEN_RUN_MARKERS_FOLDER = ".dvc/tmp/mlflow_open"


@dataclass
class OpenRunMarker:
    """Marker file on disk, which says that a process is writing an MLflow run.

    stays: whether the file outlives its process, so that the next run closes an MLflow run that this process could not close
    """

    path: Path
    stays: bool = False

    def touch(self) -> None:
        """Set the marker file's time to now: if the process is killed later, its MLflow run ends at this time or later."""
        with suppress(OSError):  # .dvc/tmp was deleted
            os.utime(self.path)

    def remove(self) -> None:
        """Delete the marker file, which says that the run is still written, and its lock file."""
        self.path.unlink(missing_ok=True)
        self.lock_path.unlink(missing_ok=True)

    @property
    def lock_path(self) -> Path:
        """Return the path of the lock file beside the marker file."""
        return self.path.with_suffix(".lock")


@dataclass(frozen=True)
class AbandonedRun:
    """An MLflow run that is still open although its process died.

    run_id: its MLflow id; pipeline_run_id: MLflow id of the run of its pipeline execution, which ends with it, or None if other stages of
    that execution still run
    """

    open_run_marker: OpenRunMarker
    run_id: str
    pipeline_run_id: str | None
    last_seen_ms: int  # last sign of life of the process, in milliseconds since 1970


@contextmanager
def mark_stage_run_open(project_folder: Path, store_address: str, run_id: str, pipeline_run_id: str | None) -> Iterator[OpenRunMarker]:
    """Context manager that keeps a marker file on disk, which says that this process writes a stage's MLflow run; it yields the marker."""
    open_run_marker = _marker_of_run(project_folder, run_id)
    with FileLock(open_run_marker.lock_path, timeout=60):
        write_json(open_run_marker.path, {"store": store_address, "run_id": run_id, "parent_id": pipeline_run_id})
        try:
            yield open_run_marker
        finally:
            if not open_run_marker.stays:
                open_run_marker.remove()


def mark_pipeline_run_open(
    project_folder: Path, store_address: str, experiment_id: str, run_id: str, dvc_process_identity: Mapping[str, Any]
) -> None:
    """Write a marker file that keeps a pipeline execution's MLflow run open until its next stage.

    dvc_process_identity: identity of the DVC process that will start that stage, see `process_identity` in tracking/dvc_process.py
    """
    marker_content = {
        "store": store_address,
        "experiment_id": experiment_id,
        "run_id": run_id,
        "parent_id": None,
        "process": dict(dvc_process_identity),
    }
    write_json(_marker_of_run(project_folder, run_id).path, marker_content)


def find_pipeline_run_id(
    project_folder: Path, store_address: str, experiment_id: str | None, dvc_process_identity: Mapping[str, Any]
) -> str | None:
    """Return the id of the MLflow run of the pipeline execution that a DVC process runs, in one experiment, or in any for None.

    None before the first stage of the pipeline execution has ended, since no marker file names the process yet.
    """
    for marker_path in (project_folder / OPEN_RUN_MARKERS_FOLDER).glob("*.json"):
        try:
            marker_content = read_json(marker_path)
        except ValueError:  # removed meanwhile
            continue
        marker_owner = [marker_content.get(marker_key) for marker_key in ("store", "process")]
        if marker_owner == [store_address, dvc_process_identity] and experiment_id in (None, marker_content.get("experiment_id")):
            return marker_content["run_id"]
    return None


def unmark_pipeline_run(project_folder: Path, run_id: str) -> None:
    """Delete the marker file of a pipeline execution's MLflow run, which no longer waits for further stages."""
    _marker_of_run(project_folder, run_id).remove()


def is_pipeline_run_marked(project_folder: Path, run_id: str) -> bool:
    """Return whether a marker file says that this pipeline execution's MLflow run waits for further stages."""
    return _marker_of_run(project_folder, run_id).path.exists()


def find_abandoned_runs(project_folder: Path, store_address: str) -> list[AbandonedRun]:
    """Return the MLflow runs in this store that are still open although their processes died."""
    live_run_ids: set[str | None] = set()
    dead_runs: list[AbandonedRun] = []
    for marker_path in (project_folder / OPEN_RUN_MARKERS_FOLDER).glob("*.json"):
        try:
            marker_content, last_seen_ms = read_json(marker_path), int(marker_path.stat().st_mtime * 1000)
        except (ValueError, OSError):  # removed meanwhile by its own process
            continue
        open_run_marker = OpenRunMarker(marker_path)
        silent_seconds = max(0.0, time.time() - last_seen_ms / 1000)
        if (
            is_process_alive(marker_content["process"], silent_seconds)
            if "process" in marker_content
            else _is_marker_locked(open_run_marker)
        ):
            live_run_ids |= {marker_content["parent_id"], marker_content["run_id"]}
        elif marker_content["store"] == store_address:
            dead_runs.append(AbandonedRun(open_run_marker, marker_content["run_id"], marker_content["parent_id"], last_seen_ms))
    abandoned_runs = [dead_run for dead_run in dead_runs if dead_run.run_id not in live_run_ids]
    return [
        replace(dead_run, pipeline_run_id=None) if dead_run.pipeline_run_id in live_run_ids else dead_run for dead_run in abandoned_runs
    ]


def _marker_of_run(project_folder: Path, run_id: str) -> OpenRunMarker:
    """Return the marker file of an MLflow run, which need not exist; create the folder of marker files."""
    open_run_marker = OpenRunMarker(project_folder / OPEN_RUN_MARKERS_FOLDER / f"{run_id}.json")
    open_run_marker.path.parent.mkdir(parents=True, exist_ok=True)
    return open_run_marker


def _is_marker_locked(open_run_marker: OpenRunMarker) -> bool:
    """Return whether a live process holds the lock file beside a marker file."""
    try:
        with FileLock(open_run_marker.lock_path, timeout=0):
            return False
    except Timeout:
        return True
