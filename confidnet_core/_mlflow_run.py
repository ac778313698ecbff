"""One row of MLflow's table: made or found again, and what is logged to it as plain entries, which a file can keep as well.

{"params": {...}, "tags": {...}, "metrics": [[name, value, milliseconds, step], ...]}     each of them or none
{"artifact": PATH, "folder": FOLDER or None}
{"status": "FINISHED", "time": milliseconds}                                             the end

An entry that is sent a second time changes nothing: MLflow stores a metric of the same value, time and step once
(mlflow.store.tracking.sqlalchemy_store), a param and a tag by their names, a file by its path.
"""

from typing import Any

from confidnet_core._mlflow_store import open_store

BATCH = 100  # params, tags or metrics that MLflow takes in one call
RECORD_ID = "record_id"  # the tag by which a row is found whose making was not confirmed, or that was kept before it was made


def open_run(header: dict[str, Any], wanted: str | None, record_id: str | None) -> tuple[Any, Any]:
    """A client and a run of MLflow's: the row WANTED, if it is live and of the same experiment and params, or a new one.

    header: experiment, name, start in milliseconds, params; record_id: a tag of a new row, by which it can be WANTED, too
    """
    client, experiment_id = open_store(header["experiment"])
    if wanted and (run := _found(client, experiment_id, wanted, header["params"])):
        return client, run
    tags = {RECORD_ID: record_id} if record_id else {}
    return client, client.create_run(experiment_id, start_time=header["start"], tags=tags, run_name=header["name"])


def deliver(client: Any, run_id: str, entry: dict[str, Any]) -> None:
    from mlflow.entities import Metric, Param, RunTag

    if "status" in entry:
        client.set_terminated(run_id, entry["status"], entry["time"])
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


def _found(client: Any, experiment_id: str, run_id: str, params: dict[str, str]) -> Any | None:
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
