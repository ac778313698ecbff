"""MLflow runs, the rows of MLflow's table of runs: they are found or created, and receive logged entries. The run of a stage lies under the
run of the pipeline execution (one `dvc repro` or DVC experiment) that ran the stage. An entry is one of these dictionaries:

{"params": {...}, "tags": {...}, "metrics": [[name, value, milliseconds, step], ...], "dataset": {...}}     any of these keys
{"artifact": PATH, "folder": FOLDER or None}
{"status": "FINISHED", "time": milliseconds}     ends the stage's run and, without "goes_on", its execution's
{"to": "parent", ...}                            sends any entry but an end to the run of the execution
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
    """The MLflow run of a stage and that of the pipeline execution it belongs to.

    `parent` is None if the execution is unknown: local records of older versions do not name it.
    """

    client: Any
    run: Any  # mlflow.entities.Run
    parent: Any | None

    @property
    def run_id(self) -> str:
        """MLflow id of the stage's run."""
        return self.run.info.run_id

    @property
    def parent_id(self) -> str | None:
        """MLflow id of the pipeline execution's run; None if that run is unknown."""
        return self.parent and self.parent.info.run_id


def open_run(header: dict[str, Any], resume_id: str | None, record_id: str | None) -> TrackedRow:
    """Return the MLflow runs of a stage and of its pipeline execution, found in the store or else created.

    The stage's run is RESUME_ID if that run is live and has the same experiment and parameters, else a new one.

    header: see tracking/header.py; record_id: stored as a tag of a new run, so that a later RESUME_ID can also be this id
    """
    client, experiment_id = open_store(header["experiment"])
    execution_run = (
        _find_or_create_execution(client, experiment_id, header["parent"], header["meant_for"]) if header.get("parent") else None
    )
    execution_tags = {PARENT_ID_TAG: execution_run.info.run_id} if execution_run else {}
    if resume_id and (run := _find_resumable_run(client, experiment_id, resume_id, header["params"])):
        send_entry(TrackedRow(client, run, None), {"tags": execution_tags})
        return TrackedRow(client, run, execution_run)
    tags = execution_tags | ({RECORD_ID_TAG: record_id} if record_id else {})
    return TrackedRow(
        client, client.create_run(experiment_id, start_time=header["start"], tags=tags, run_name=header["name"]), execution_run
    )


def mark_running(row: TrackedRow) -> None:
    """Set the MLflow status of a stage's run and of its pipeline execution's run to RUNNING."""
    for run in (row.run, row.parent):
        if run and run.info.status != "RUNNING":
            row.client.update_run(run.info.run_id, status="RUNNING")


def send_entry(row: TrackedRow, entry: dict[str, Any]) -> None:
    """Send one logged entry, a dictionary as listed in the module's docstring, to the MLflow run of the stage or of the execution."""
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
        batches_by_kind = {
            "tags": [RunTag(key, value) for key, value in entry.get("tags", {}).items()],
            "params": [Param(key, value) for key, value in entry.get("params", {}).items()],
            "metrics": [Metric(*each) for each in entry.get("metrics", [])],
        }
        for kind, batch_items in batches_by_kind.items():
            for start in range(0, len(batch_items), MAX_BATCH_SIZE):
                client.log_batch(run_id, **{kind: batch_items[start : start + MAX_BATCH_SIZE]})
        if entry.get("dataset"):
            client.log_inputs(run_id, [_build_dataset_input(**entry["dataset"])])


def close_as_killed(client: Any, run_id: str, milliseconds: int) -> None:
    """End an MLflow run with the status KILLED if its status is still RUNNING; a run that was deleted meanwhile is ignored."""
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
    """End those MLflow runs of this store whose processes died with the status KILLED, except the runs KEPT_IDS.

    The caller must hold the project's store lock.
    """
    for row in find_abandoned_rows(root, store):
        for run_id in {row.run_id, row.parent_id} - {*kept_ids, None}:
            close_as_killed(client, run_id, row.last_seen)
        row.marker.remove()


def _find_or_create_execution(client: Any, experiment_id: str, execution_header: dict[str, Any], store_address: str) -> Any:
    """Return the MLflow run of the current pipeline execution, which all its stages share even if they run in parallel.

    This is the run that the same DVC process used before, even if something was committed meanwhile; else one with the same tags and no
    other parameters, else a new run.
    """
    tags = execution_header["tags"]
    search_filter = " and ".join(f"tags.{key} = {_quote_for_filter(tags[key])}" for key in (ROLE_TAG, PIPELINE_TAG, PROJECT_TAG))
    with store_lock(project_root()):
        matching_runs = client.search_runs([experiment_id], search_filter, order_by=["attributes.start_time DESC"])
        run = _find_running_execution(client, experiment_id, execution_header, store_address)
        run = run or next(
            (matching_run for matching_run in matching_runs if matching_run.data.params.items() <= execution_header["params"].items()), None
        )
        if run is None:
            run_name = _find_unused_run_name(client, experiment_id, execution_header["name"])
            run = client.create_run(experiment_id, start_time=execution_header["start"], tags=tags, run_name=run_name)
    has_dataset = run.inputs and run.inputs.dataset_inputs
    missing_entry = {"params": {key: value for key, value in execution_header["params"].items() if key not in run.data.params}}
    send_entry(TrackedRow(client, run, None), missing_entry | ({} if has_dataset else {"dataset": execution_header["dataset"]}))
    return run


def _find_running_execution(client: Any, experiment_id: str, execution_header: dict[str, Any], store_address: str) -> Any | None:
    """Return the MLflow run that earlier stages of the same `dvc repro` process used; None if there is none.

    DVC experiments also give None: their runs are found by name instead.
    """
    process = dvc_process() if execution_header["tags"][PIPELINE_TAG].startswith("repro/") else None
    run_id = process and find_execution(project_root(), store_address, experiment_id, process_identity(process))
    return run_id and _find_resumable_run(client, experiment_id, run_id, execution_header["params"])


def _find_unused_run_name(client: Any, experiment_id: str, name: str) -> str:
    """Return a name for the MLflow run of a new pipeline execution: NAME, with a number appended if a run already has this name."""
    used_names = {run.info.run_name for run in client.search_runs([experiment_id], f"tags.{ROLE_TAG} = 'pipeline'", max_results=5000)}
    return next(candidate for candidate in chain([name], (f"{name} ({number})" for number in count(2))) if candidate not in used_names)


def _quote_for_filter(text: str) -> str:
    """Return a text in the quotes that MLflow's search filter needs."""
    return f'"{text}"' if "'" in text else f"'{text}'"


def _build_dataset_input(name: str, digest: str, source: str, samples: dict[str, int], context: str) -> Any:
    """Return MLflow's description of a data set (DatasetInput), equal to what mlflow.data.meta_dataset and code_dataset_source build."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source_text = json.dumps({"tags": {"mlflow.source.name": "stages/prepare.py", "source": source}})
    dataset = Dataset(name, digest, source_type="code", source=source_text, profile=json.dumps({"samples": samples}))
    return DatasetInput(dataset, [InputTag("mlflow.data.context", context)])


def _find_resumable_run(client: Any, experiment_id: str, run_id: str, params: dict[str, str]) -> Any | None:
    """Return the MLflow run RUN_ID if a stage with these parameters can continue it, else None.

    The run must be live, in this experiment, and without other parameters, because MLflow never changes stored parameters.
    """
    from mlflow.exceptions import MlflowException

    runs_with_record_id = client.search_runs([experiment_id], f"tags.{RECORD_ID_TAG} = '{run_id}'")
    try:
        run = runs_with_record_id[0] if runs_with_record_id else client.get_run(run_id)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    if run.info.experiment_id != experiment_id or run.info.lifecycle_stage != "active":
        return None
    # The run has fewer params if it was killed before all were stored.
    return run if run.data.params.items() <= params.items() else None
