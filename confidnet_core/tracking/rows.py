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

from confidnet_core.tracking.dvc_process import find_dvc_process, process_identity
from confidnet_core.tracking.header import PIPELINE_ID_TAG, PROJECT_ID_TAG, RUN_ROLE_TAG
from confidnet_core.tracking.open_rows import find_abandoned_runs, find_pipeline_run_id
from confidnet_core.tracking.store import open_mlflow_store, project_root, store_lock, temporary_environment

MAX_LOG_BATCH_SIZE = 100  # limit of MLflow for params, tags or metrics per call
RECORD_ID_TAG = "record_id"  # finds an MLflow run whose creation was not confirmed, or that was recorded locally before
# MLflow prints a link when a run ends; the link to the run of the pipeline execution is enough.
NO_RUN_LINK_ENVIRONMENT = {"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}
PARENT_RUN_ID_TAG = "mlflow.parentRunId"  # MLflow's tag for nested runs


@dataclass(frozen=True)
class NestedRun:
    """An MLflow run of a stage together with the MLflow run of the pipeline execution under which it is nested.

    `pipeline_run` is None if that run is unknown: copies on disk of older versions do not name it.
    """

    mlflow_client: Any
    stage_run: Any  # mlflow.entities.Run
    pipeline_run: Any | None  # mlflow.entities.Run

    @property
    def run_id(self) -> str:
        """Return the MLflow id of the stage's run."""
        return self.stage_run.info.run_id

    @property
    def pipeline_run_id(self) -> str | None:
        """Return the MLflow id of the pipeline execution's run; None if that run is unknown."""
        return self.pipeline_run and self.pipeline_run.info.run_id


def open_nested_run(run_description: dict[str, Any], resumed_run_id: str | None, record_id: str | None) -> NestedRun:
    """Return the MLflow runs of a stage and of its pipeline execution, found in the store or else created.

    The stage's run is RESUMED_RUN_ID if that run is not deleted and has the same experiment and parameters, else a new one.

    run_description: see tracking/header.py
    record_id: stored as a tag of a new run, so that a later RESUMED_RUN_ID can also be this id
    """
    mlflow_client, experiment_id = open_mlflow_store(run_description["experiment"])
    pipeline_run = (
        _find_or_create_pipeline_run(mlflow_client, experiment_id, run_description["parent"], run_description["meant_for"])
        if run_description.get("parent")
        else None
    )
    parent_tags = {PARENT_RUN_ID_TAG: pipeline_run.info.run_id} if pipeline_run else {}
    if resumed_run_id and (resumed_run := _find_resumable_run(mlflow_client, experiment_id, resumed_run_id, run_description["params"])):
        send_log_entry(NestedRun(mlflow_client, resumed_run, None), {"tags": parent_tags})
        return NestedRun(mlflow_client, resumed_run, pipeline_run)
    new_run_tags = parent_tags | ({RECORD_ID_TAG: record_id} if record_id else {})
    return NestedRun(
        mlflow_client,
        mlflow_client.create_run(experiment_id, start_time=run_description["start"], tags=new_run_tags, run_name=run_description["name"]),
        pipeline_run,
    )


def mark_runs_running(nested_run: NestedRun) -> None:
    """Set the MLflow status of a stage's run and of its pipeline execution's run to RUNNING."""
    for mlflow_run in (nested_run.stage_run, nested_run.pipeline_run):
        if mlflow_run and mlflow_run.info.status != "RUNNING":
            nested_run.mlflow_client.update_run(mlflow_run.info.run_id, status="RUNNING")


def send_log_entry(nested_run: NestedRun, log_entry: dict[str, Any]) -> None:
    """Send one log entry, a dictionary as listed in the module's docstring, to the MLflow run of the stage or of its pipeline execution."""
    from mlflow.entities import Metric, Param, RunTag

    mlflow_client, run_id = nested_run.mlflow_client, nested_run.pipeline_run_id if log_entry.get("to") == "parent" else nested_run.run_id
    if "status" in log_entry:
        with temporary_environment(NO_RUN_LINK_ENVIRONMENT) if nested_run.pipeline_run else nullcontext():
            mlflow_client.set_terminated(run_id, log_entry["status"], log_entry["time"])
        if log_entry.get("goes_on"):
            return
        # The run of the pipeline execution ends with the stage that ended last, even if the record of an earlier stage is sent later.
        if nested_run.pipeline_run and (mlflow_client.get_run(nested_run.pipeline_run_id).info.end_time or 0) <= log_entry["time"]:
            mlflow_client.set_terminated(nested_run.pipeline_run_id, log_entry["status"], log_entry["time"])
    elif "experiment" in log_entry:
        for tag_name, tag_value in log_entry["experiment"].items():
            mlflow_client.set_experiment_tag(nested_run.stage_run.info.experiment_id, tag_name, tag_value)
    elif "artifact" in log_entry:
        mlflow_client.log_artifact(run_id, log_entry["artifact"], log_entry["folder"])
    else:
        log_batch_arguments = {
            "tags": [RunTag(tag_name, tag_value) for tag_name, tag_value in log_entry.get("tags", {}).items()],
            "params": [Param(param_name, param_value) for param_name, param_value in log_entry.get("params", {}).items()],
            "metrics": [Metric(*metric_fields) for metric_fields in log_entry.get("metrics", [])],
        }
        for argument_name, mlflow_entities in log_batch_arguments.items():
            for batch_start in range(0, len(mlflow_entities), MAX_LOG_BATCH_SIZE):
                mlflow_client.log_batch(run_id, **{argument_name: mlflow_entities[batch_start : batch_start + MAX_LOG_BATCH_SIZE]})
        if log_entry.get("dataset"):
            mlflow_client.log_inputs(run_id, [_build_dataset_input(**log_entry["dataset"])])


def close_run_as_killed(mlflow_client: Any, run_id: str, end_time_ms: int) -> None:
    """End an MLflow run with the status KILLED if its status is still RUNNING; a run that was deleted meanwhile is ignored."""
    from mlflow.exceptions import MlflowException

    try:
        mlflow_run = mlflow_client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return
        raise
    if mlflow_run.info.status == "RUNNING" and mlflow_run.info.lifecycle_stage == "active":
        with temporary_environment(NO_RUN_LINK_ENVIRONMENT):
            mlflow_client.set_terminated(run_id, "KILLED", end_time_ms)


def close_abandoned_runs(mlflow_client: Any, project_folder: Path, store_address: str, *kept_run_ids: str | None) -> None:
    """End the MLflow runs of this store whose processes died, with the status KILLED; leave out the runs KEPT_RUN_IDS.

    The caller must hold the project's store lock.
    """
    for abandoned_run in find_abandoned_runs(project_folder, store_address):
        for run_id in {abandoned_run.run_id, abandoned_run.pipeline_run_id} - {*kept_run_ids, None}:
            close_run_as_killed(mlflow_client, run_id, abandoned_run.last_seen_ms)
        abandoned_run.open_run_marker.remove()


def _find_or_create_pipeline_run(
    mlflow_client: Any, experiment_id: str, pipeline_run_description: dict[str, Any], store_address: str
) -> Any:
    """Return the MLflow run of the current pipeline execution, which all its stages share even if they run in parallel.

    The run is, in this order: the one that the same DVC process used before, even if something was committed meanwhile; one with the same
    tags and no other parameters; a new one.
    """
    pipeline_tags = pipeline_run_description["tags"]
    search_filter = " and ".join(
        f"tags.{tag_name} = {_quote_for_filter(pipeline_tags[tag_name])}" for tag_name in (RUN_ROLE_TAG, PIPELINE_ID_TAG, PROJECT_ID_TAG)
    )
    with store_lock(project_root()):
        matching_runs = mlflow_client.search_runs([experiment_id], search_filter, order_by=["attributes.start_time DESC"])
        pipeline_run = _find_running_pipeline_run(mlflow_client, experiment_id, pipeline_run_description, store_address)
        pipeline_run = pipeline_run or next(
            (
                matching_run
                for matching_run in matching_runs
                if matching_run.data.params.items() <= pipeline_run_description["params"].items()
            ),
            None,
        )
        if pipeline_run is None:
            run_name = _find_unused_run_name(mlflow_client, experiment_id, pipeline_run_description["name"])
            pipeline_run = mlflow_client.create_run(
                experiment_id, start_time=pipeline_run_description["start"], tags=pipeline_tags, run_name=run_name
            )
    has_dataset = pipeline_run.inputs and pipeline_run.inputs.dataset_inputs
    pipeline_params = pipeline_run_description["params"]
    missing_params = {name: value for name, value in pipeline_params.items() if name not in pipeline_run.data.params}
    log_entry: dict[str, Any] = {"params": missing_params}
    log_entry |= {} if has_dataset else {"dataset": pipeline_run_description["dataset"]}
    send_log_entry(NestedRun(mlflow_client, pipeline_run, None), log_entry)
    return pipeline_run


def _find_running_pipeline_run(
    mlflow_client: Any, experiment_id: str, pipeline_run_description: dict[str, Any], store_address: str
) -> Any | None:
    """Return the MLflow run that earlier stages of the same `dvc repro` process used; None if there is none.

    None also in a DVC experiment, whose MLflow run is found by its tags instead.
    """
    dvc_process = find_dvc_process() if pipeline_run_description["tags"][PIPELINE_ID_TAG].startswith("repro/") else None
    dvc_process_identity = dvc_process and process_identity(dvc_process)
    if dvc_process_identity is None or pipeline_run_description.get("dvc_process", dvc_process_identity) != dvc_process_identity:
        return None  # no DVC process, or this is sent for the pipeline execution of an earlier one
    run_id = find_pipeline_run_id(project_root(), store_address, experiment_id, dvc_process_identity)
    return run_id and _find_resumable_run(mlflow_client, experiment_id, run_id, pipeline_run_description["params"])


def _find_unused_run_name(mlflow_client: Any, experiment_id: str, wanted_name: str) -> str:
    """Return a name for the MLflow run of a new pipeline execution: WANTED_NAME, followed by a number if a run already has this name."""
    used_names = {
        run.info.run_name for run in mlflow_client.search_runs([experiment_id], f"tags.{RUN_ROLE_TAG} = 'pipeline'", max_results=5000)
    }
    numbered_names = (f"{wanted_name} ({number})" for number in count(2))
    return next(run_name for run_name in chain([wanted_name], numbered_names) if run_name not in used_names)


def _quote_for_filter(tag_value: str) -> str:
    """Return a tag's value in the quotes that MLflow's search filter needs."""
    return f'"{tag_value}"' if "'" in tag_value else f"'{tag_value}'"


def _build_dataset_input(name: str, digest: str, source: str, samples: dict[str, int], context: str) -> Any:
    """Return MLflow's description of a data set (DatasetInput), equal to what mlflow.data.meta_dataset and code_dataset_source build."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source_text = json.dumps({"tags": {"mlflow.source.name": "stages/prepare.py", "source": source}})
    dataset = Dataset(name, digest, source_type="code", source=source_text, profile=json.dumps({"samples": samples}))
    return DatasetInput(dataset, [InputTag("mlflow.data.context", context)])


def _find_resumable_run(mlflow_client: Any, experiment_id: str, run_id: str, stage_params: dict[str, str]) -> Any | None:
    """Return the MLflow run RUN_ID if a stage with these parameters can continue it, else None.

    The run must not be deleted, must be in this experiment, and must have no other parameters, because MLflow never changes them.
    """
    from mlflow.exceptions import MlflowException

    runs_with_record_id = mlflow_client.search_runs([experiment_id], f"tags.{RECORD_ID_TAG} = '{run_id}'")
    try:
        found_run = runs_with_record_id[0] if runs_with_record_id else mlflow_client.get_run(run_id)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    if found_run.info.experiment_id != experiment_id or found_run.info.lifecycle_stage != "active":
        return None
    # The run has fewer params if it was killed before all were stored.
    return found_run if found_run.data.params.items() <= stage_params.items() else None
