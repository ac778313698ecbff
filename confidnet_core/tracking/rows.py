"""Rows of MLflow's table, a stage's under its execution's: made or found again, and what is logged as plain entries that a file can keep.

{"params": {...}, "tags": {...}, "metrics": [[name, value, milliseconds, step], ...], "dataset": {...}}     each of them or none
{"artifact": PATH, "folder": FOLDER or None}
{"status": "FINISHED", "time": milliseconds}                         the end of the stage's row and, without "goes_on", of its execution's
{"to": "parent", ...}                                                                    any but the end, to the row of the execution
{"experiment": {...}}                                                                    tags of the experiment, as saved views

An entry that is sent a second time changes nothing: MLflow stores a metric of the same value, time and step once
(mlflow.store.tracking.sqlalchemy_store), a param and a tag by their names, a data set by name and digest, a file by its path.
"""

import json
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from confidnet_core.tracking.dvc_process import dvc_process, identity
from confidnet_core.tracking.header import PIPELINE, PROJECT, ROLE
from confidnet_core.tracking.open_rows import abandoned, execution_of
from confidnet_core.tracking.store import in_environment, open_store, project_root, store_lock

BATCH = 100  # params, tags or metrics that MLflow takes in one call
RECORD_ID = "record_id"  # the tag by which a row is found whose making was not confirmed, or that was kept before it was made
QUIET = {"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}  # of a row that ends on a server; the link to its execution's is enough
PARENT_ID = "mlflow.parentRunId"  # MLflow's own, by which its table folds rows


@dataclass(frozen=True)
class Row:
    """The runs of a stage and of its execution; the latter is None where a record of an older version says nothing of it."""

    client: Any
    run: Any  # mlflow.entities.Run, as found or made
    parent: Any | None

    @property
    def run_id(self) -> str:
        return self.run.info.run_id

    @property
    def parent_id(self) -> str | None:
        return self.parent and self.parent.info.run_id


def open_run(header: dict[str, Any], wanted: str | None, record_id: str | None) -> Row:
    """The row WANTED, if it is live and of the same experiment and params, or a new one; under that of its execution, likewise.

    header: as header.py describes it; record_id: a tag of a new row, by which it can be WANTED, too
    """
    client, experiment_id = open_store(header["experiment"])
    parent = _execution(client, experiment_id, header["parent"], header["meant_for"]) if header.get("parent") else None
    under = {PARENT_ID: parent.info.run_id} if parent else {}
    if wanted and (run := _live_run(client, experiment_id, wanted, header["params"])):
        deliver(Row(client, run, None), {"tags": under})
        return Row(client, run, parent)
    tags = under | ({RECORD_ID: record_id} if record_id else {})
    return Row(client, client.create_run(experiment_id, start_time=header["start"], tags=tags, run_name=header["name"]), parent)


def mark_running(row: Row) -> None:
    for run in (row.run, row.parent):
        if run and run.info.status != "RUNNING":
            row.client.update_run(run.info.run_id, status="RUNNING")


def deliver(row: Row, entry: dict[str, Any]) -> None:
    from mlflow.entities import Metric, Param, RunTag

    client, run_id = row.client, row.parent_id if entry.get("to") == "parent" else row.run_id
    if "status" in entry:
        with in_environment(QUIET) if row.parent else nullcontext():
            client.set_terminated(run_id, entry["status"], entry["time"])
        if entry.get("goes_on"):
            return
        # The execution's row ends with the stage that ended last, whenever a record of an earlier one is sent.
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
            for start in range(0, len(listed), BATCH):
                client.log_batch(run_id, **{name: listed[start : start + BATCH]})
        if entry.get("dataset"):
            client.log_inputs(run_id, [_input(**entry["dataset"])])


def close_killed(client: Any, run_id: str, milliseconds: int) -> None:
    """End a row as KILLED, where it still counts as running. No error where the row was deleted since."""
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return
        raise
    if run.info.status == "RUNNING" and run.info.lifecycle_stage == "active":
        with in_environment(QUIET):
            client.set_terminated(run_id, "KILLED", milliseconds)


def close_abandoned(client: Any, root: Path, store: str, *kept: str | None) -> None:
    """End as KILLED the rows of this store whose processes died, but for those that are KEPT. The project's store lock must be held."""
    for each in abandoned(root, store):
        for run_id in {each.run_id, each.parent_id} - {*kept, None}:
            close_killed(client, run_id, each.last_seen)
        each.marker.remove()


def _execution(client: Any, experiment_id: str, described: dict[str, Any], store: str) -> Any:
    """The row of the DVC process that runs this stage, else that of these tags, if its params are not others, or a new one: one for all
    stages of an execution, side by side or not, and whatever is committed meanwhile.
    """
    tags = described["tags"]
    wanted = " and ".join(f"tags.{key} = {_quoted(tags[key])}" for key in (ROLE, PIPELINE, PROJECT))
    with store_lock(project_root()):
        rows = client.search_runs([experiment_id], wanted, order_by=["attributes.start_time DESC"])
        run = _under_way(client, experiment_id, described, store)
        run = run or next((row for row in rows if row.data.params.items() <= described["params"].items()), None)
        if run is None:
            name = _free_name(client, experiment_id, described["name"])
            run = client.create_run(experiment_id, start_time=described["start"], tags=tags, run_name=name)
    has_dataset = run.inputs and run.inputs.dataset_inputs
    missing = {"params": {key: value for key, value in described["params"].items() if key not in run.data.params}}
    deliver(Row(client, run, None), missing | ({} if has_dataset else {"dataset": described["dataset"]}))
    return run


def _under_way(client: Any, experiment_id: str, described: dict[str, Any], store: str) -> Any | None:
    """The row that earlier stages of the same `dvc repro` lie under. An experiment of DVC's is known by its name."""
    process = dvc_process() if described["tags"][PIPELINE].startswith("repro/") else None
    run_id = process and execution_of(project_root(), store, experiment_id, identity(process))
    return run_id and _live_run(client, experiment_id, run_id, described["params"])


def _free_name(client: Any, experiment_id: str, name: str) -> str:
    """The name of a new execution, with a number after it where it is taken."""
    taken = {row.info.run_name for row in client.search_runs([experiment_id], f"tags.{ROLE} = 'pipeline'", max_results=5000)}
    return next(each for each in chain([name], (f"{name} ({number})" for number in count(2))) if each not in taken)


def _quoted(text: str) -> str:
    return f'"{text}"' if "'" in text else f"'{text}'"


def _input(name: str, digest: str, source: str, samples: dict[str, int], context: str) -> Any:
    """As mlflow.data.meta_dataset and code_dataset_source would make it."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    made_by = json.dumps({"tags": {"mlflow.source.name": "stages/prepare.py", "source": source}})
    data = Dataset(name, digest, source_type="code", source=made_by, profile=json.dumps({"samples": samples}))
    return DatasetInput(data, [InputTag("mlflow.data.context", context)])


def _live_run(client: Any, experiment_id: str, run_id: str, params: dict[str, str]) -> Any | None:
    """None where RUN_ID is no live run of this experiment, or has other params, which MLflow never changes."""
    from mlflow.exceptions import MlflowException

    tagged = client.search_runs([experiment_id], f"tags.{RECORD_ID} = '{run_id}'")
    try:
        run = tagged[0] if tagged else client.get_run(run_id)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise
    if run.info.experiment_id != experiment_id or run.info.lifecycle_stage != "active":
        return None
    # Fewer params where the run was killed before all of them were stored.
    return run if run.data.params.items() <= params.items() else None
