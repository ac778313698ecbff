"""Rows of MLflow's table, where a stage's row lies under its execution's: they are found or created, and receive plain entries.

{"params": {...}, "tags": {...}, "metrics": [[name, value, milliseconds, step], ...], "dataset": {...}}     any of these keys
{"artifact": PATH, "folder": FOLDER or None}
{"status": "FINISHED", "time": milliseconds}     ends the stage's row and, without "goes_on", its execution's
{"to": "parent", ...}                            sends any entry but an end to the row of the execution
{"experiment": {...}}                            tags of the experiment, such as saved views

Sending an entry twice changes nothing: MLflow stores a metric of equal value, time and step once (mlflow.store.tracking.sqlalchemy_store),
parameters and tags by name, a data set by name and digest, and a file by its path.
"""

import json
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from confidnet_core.tracking.dvc_process import dvc_process, process_identity
from confidnet_core.tracking.header import PIPELINE_TAG, PROJECT_TAG, ROLE_TAG
from confidnet_core.tracking.open_rows import find_abandoned_rows, find_execution
from confidnet_core.tracking.store import open_store, project_root, store_lock, temporary_environment

MAX_BATCH_SIZE = 100  # limit of MLflow for params, tags or metrics per call
RECORD_ID_TAG = "record_id"  # finds a row whose creation was not confirmed, or that was recorded locally before
QUIET_ENVIRONMENT = {
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"
}  # MLflow prints a link when a row ends; the link to the execution is enough
PARENT_ID_TAG = "mlflow.parentRunId"  # MLflow's tag for nested rows


@dataclass(frozen=True)
class TrackedRow:
    """The MLflow runs of a stage and of its execution; `parent` is None if a record of an older version does not name the execution."""

    client: Any
    run: Any  # mlflow.entities.Run
    parent: Any | None

    @property
    def run_id(self) -> str:
        return self.run.info.run_id

    @property
    def parent_id(self) -> str | None:
        return self.parent and self.parent.info.run_id


def open_run(header: dict[str, Any], resume_id: str | None, record_id: str | None) -> TrackedRow:
    """Return the row RESUME_ID if it is live and has the same experiment and parameters, else a new one; likewise for its execution's row.

    header: see tracking/header.py; record_id: tag of a new row, by which RESUME_ID can also name it
    """
    client, experiment_id = open_store(header["experiment"])
    parent = _find_or_create_execution(client, experiment_id, header["parent"], header["meant_for"]) if header.get("parent") else None
    parent_tags = {PARENT_ID_TAG: parent.info.run_id} if parent else {}
    if resume_id and (run := _resumable_run(client, experiment_id, resume_id, header["params"])):
        send_entry(TrackedRow(client, run, None), {"tags": parent_tags})
        return TrackedRow(client, run, parent)
    tags = parent_tags | ({RECORD_ID_TAG: record_id} if record_id else {})
    return TrackedRow(client, client.create_run(experiment_id, start_time=header["start"], tags=tags, run_name=header["name"]), parent)


def mark_running(row: TrackedRow) -> None:
    """Set the status of the stage's row and of its execution's to RUNNING."""
    for run in (row.run, row.parent):
        if run and run.info.status != "RUNNING":
            row.client.update_run(run.info.run_id, status="RUNNING")


def send_entry(row: TrackedRow, entry: dict[str, Any]) -> None:
    """Send one entry to MLflow."""
    from mlflow.entities import Metric, Param, RunTag

    client, run_id = row.client, row.parent_id if entry.get("to") == "parent" else row.run_id
    if "status" in entry:
        with temporary_environment(QUIET_ENVIRONMENT) if row.parent else nullcontext():
            client.set_terminated(run_id, entry["status"], entry["time"])
        if entry.get("goes_on"):
            return
        # The execution's row ends with the stage that ended last, even if the record of an earlier stage is sent later.
        if row.parent and (client.get_run(row.parent_id).info.end_time or 0) <= entry["time"]:
            client.set_terminated(row.parent_id, entry["status"], entry["time"])
    elif "experiment" in entry:
        for key, value in entry["experiment"].items():
            client.set_experiment_tag(row.run.info.experiment_id, key, value)
    elif "artifact" in entry:
        client.log_artifact(run_id, entry["artifact"], entry["folder"])
    else:
        parts = {
            "tags": [RunTag(key, value) for key, value in entry.get("tags", {}).items()],
            "params": [Param(key, value) for key, value in entry.get("params", {}).items()],
            "metrics": [Metric(*each) for each in entry.get("metrics", [])],
        }
        for name, listed in parts.items():
            for start in range(0, len(listed), MAX_BATCH_SIZE):
                client.log_batch(run_id, **{name: listed[start : start + MAX_BATCH_SIZE]})
        if entry.get("dataset"):
            client.log_inputs(run_id, [_dataset_input(**entry["dataset"])])


def close_as_killed(client: Any, run_id: str, milliseconds: int) -> None:
    """End a row as KILLED if it still counts as running; a row that was deleted meanwhile is ignored."""
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return
        raise
    if run.info.status == "RUNNING" and run.info.lifecycle_stage == "active":
        with temporary_environment(QUIET_ENVIRONMENT):
            client.set_terminated(run_id, "KILLED", milliseconds)


def close_abandoned_rows(client: Any, root: Path, store: str, *kept_ids: str | None) -> None:
    """End as KILLED the rows of this store whose processes died, except KEPT_IDS. The caller must hold the project's store lock."""
    for row in find_abandoned_rows(root, store):
        for run_id in {row.run_id, row.parent_id} - {*kept_ids, None}:
            close_as_killed(client, run_id, row.last_seen)
        row.marker.remove()


def _find_or_create_execution(client: Any, experiment_id: str, description: dict[str, Any], store: str) -> Any:
    """Return the execution's row, shared by all its stages even if they run in parallel or something is committed meanwhile.

    It is the row of the DVC process that runs this stage, else one with the same tags and no other parameters, else a new one.
    """
    tags = description["tags"]
    search_filter = " and ".join(f"tags.{key} = {_quote(tags[key])}" for key in (ROLE_TAG, PIPELINE_TAG, PROJECT_TAG))
    with store_lock(project_root()):
        rows = client.search_runs([experiment_id], search_filter, order_by=["attributes.start_time DESC"])
        run = _running_execution(client, experiment_id, description, store)
        run = run or next((row for row in rows if row.data.params.items() <= description["params"].items()), None)
        if run is None:
            name = _unused_name(client, experiment_id, description["name"])
            run = client.create_run(experiment_id, start_time=description["start"], tags=tags, run_name=name)
    has_dataset = run.inputs and run.inputs.dataset_inputs
    missing = {"params": {key: value for key, value in description["params"].items() if key not in run.data.params}}
    send_entry(TrackedRow(client, run, None), missing | ({} if has_dataset else {"dataset": description["dataset"]}))
    return run


def _running_execution(client: Any, experiment_id: str, description: dict[str, Any], store: str) -> Any | None:
    """Return the row of earlier stages of the same `dvc repro`; DVC experiments are found by name instead."""
    process = dvc_process() if description["tags"][PIPELINE_TAG].startswith("repro/") else None
    run_id = process and find_execution(project_root(), store, experiment_id, process_identity(process))
    return run_id and _resumable_run(client, experiment_id, run_id, description["params"])


def _unused_name(client: Any, experiment_id: str, name: str) -> str:
    """Return a name for a new execution, with a number appended if it is in use."""
    used_names = {row.info.run_name for row in client.search_runs([experiment_id], f"tags.{ROLE_TAG} = 'pipeline'", max_results=5000)}
    return next(candidate for candidate in chain([name], (f"{name} ({number})" for number in count(2))) if candidate not in used_names)


def _quote(text: str) -> str:
    return f'"{text}"' if "'" in text else f"'{text}'"


def _dataset_input(name: str, digest: str, source: str, samples: dict[str, int], context: str) -> Any:
    """Build the data set entry as mlflow.data.meta_dataset and code_dataset_source would."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    made_by = json.dumps({"tags": {"mlflow.source.name": "stages/prepare.py", "source": source}})
    data = Dataset(name, digest, source_type="code", source=made_by, profile=json.dumps({"samples": samples}))
    return DatasetInput(data, [InputTag("mlflow.data.context", context)])


def _resumable_run(client: Any, experiment_id: str, run_id: str, params: dict[str, str]) -> Any | None:
    """Return the run RUN_ID, or None if it is not a live run of this experiment or has other parameters, which MLflow never changes."""
    from mlflow.exceptions import MlflowException

    tagged = client.search_runs([experiment_id], f"tags.{RECORD_ID_TAG} = '{run_id}'")
    try:
        run = tagged[0] if tagged else client.get_run(run_id)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    if run.info.experiment_id != experiment_id or run.info.lifecycle_stage != "active":
        return None
    # The run has fewer params if it was killed before all were stored.
    return run if run.data.params.items() <= params.items() else None
