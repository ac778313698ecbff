"""Sending of records, the local copies of MLflow runs (tracking/records.py), to the MLflow store. Each record is sent once, even after an
interruption, and is deleted only when the store has all of it. A record was made because a server had failed, or because its stage was
short and left the sending to a later stage of the same pipeline execution (`deferred` of tracking/stage_run.py).

The MLflow run on the server gets the record's id as a tag, by which it is found again, and the record counts the entries that the server
has. If the process or the connection breaks, one entry may be sent twice, which changes nothing (see tracking/rows.py).
"""

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confidnet_core.tracking.dvc_process import find_dvc_process, is_process_alive, process_identity
from confidnet_core.tracking.open_rows import mark_pipeline_run_open
from confidnet_core.tracking.records import RecordInUseError, RunRecord, list_run_records
from confidnet_core.tracking.rows import NestedRun, mark_runs_running, open_nested_run, send_log_entry
from confidnet_core.tracking.store import ServerError, StoreError, project_root, server_failure_reason, store_lock, uses_server


@dataclass(frozen=True)
class SendOutcome:
    """Result of sending one record (local copy of an MLflow run): the id of the run on the server, or why the record was not sent."""

    record_id: str
    run_description: dict[str, Any]  # with records.RUN_DESCRIPTION_KEYS; empty if damaged
    run_id: str | None = None
    sent_entry_count: int = 0  # number of log entries sent by this call
    run_status: str | None = None  # MLflow status of the run, if it was sent
    failure: str | None = None


def send_run_records(project_folder: Path) -> Iterator[SendOutcome]:
    """Send all records (local copies of MLflow runs) of a project to the store in MLFLOW_TRACKING_URI, and yield the outcome of each.

    A store that does not open is tried only once.
    """
    server_error = None
    for run_record in list_run_records(project_folder):
        run_description: dict[str, Any] = {}
        try:
            run_description = run_record.read_run_description()
            if server_error:
                raise server_error
            with run_record.locked():
                if run_record.exists:  # otherwise another process has sent it meanwhile
                    yield send_run_record(run_record, run_description)
            continue
        except ServerError as error:
            server_error, failure = error, f"the server {error}"
        except ValueError as error:  # a user error, or a damaged or locked record
            failure = str(error)
        except Exception as error:
            failure = f"the server {server_failure_reason(error)}"
        yield SendOutcome(run_record.folder.name, run_description, failure=failure)


def send_deferred_run_records(project_folder: Path, store_address: str) -> None:
    """Send the records that short stages left for a later stage; a record of a pipeline execution that another process runs is left to it.

    store_address: the store in use, as `meant_for` of tracking/header.py. A record that cannot be sent stays on disk, with a warning.
    Raises StoreError as `open_mlflow_store` does.
    """
    dvc_process = find_dvc_process()
    own_process_identity = dvc_process and process_identity(dvc_process)
    for run_record in list_run_records(project_folder):
        try:
            run_description = run_record.read_run_description()
            dvc_process_identity = run_description.get("deferred_by")
            if dvc_process_identity is None or run_description["meant_for"] != store_address:
                continue
            is_own_process, silent_seconds = dvc_process_identity == own_process_identity, time.time() - run_record.last_written_ms() / 1000
            if not is_own_process and is_process_alive(dvc_process_identity, silent_seconds):
                continue
            with run_record.locked():
                if run_record.exists:  # otherwise another process has sent it meanwhile
                    send_run_record(run_record, run_description, dvc_process_identity if is_own_process else None)
        except RecordInUseError:  # its stage still runs, or another process sends it
            continue
        except StoreError:
            raise
        except Exception as error:
            failure = str(error) if isinstance(error, ValueError) else server_failure_reason(error)
            print(
                f"WARNING {run_record.folder} was not sent to MLflow: {failure}; `python -m confidnet_core send` sends it", file=sys.stderr
            )
            if uses_server():  # it would be waited for again with each record
                return


def send_run_record(
    run_record: RunRecord, run_description: dict[str, Any], running_dvc_process: Mapping[str, Any] | None = None
) -> SendOutcome:
    """Send one record (local copy of an MLflow run) and delete it; return the outcome. Raises MLflow's error if the store refuses it.

    The caller must hold the record's lock. running_dvc_process: identity of the DVC process that still runs the pipeline execution, whose
    MLflow run then stays open if the record's stage knew that others follow; None if it has ended
    """
    log_entries, last_written_ms = run_record.read_log_entries(), run_record.last_written_ms()
    nested_run = open_nested_run(run_description, run_record.folder.name, run_record.folder.name)
    earlier_sent_entry_count = run_record.count_sent_entries(nested_run.run_id)
    send_log_entry(nested_run, {entry_key: run_description.get(entry_key, {}) for entry_key in ("tags", "params", "dataset")})
    for entry_number, log_entry in enumerate(log_entries[earlier_sent_entry_count:], start=earlier_sent_entry_count + 1):
        if running_dvc_process is None:  # no pipeline execution is still open for what is sent later
            log_entry.pop("goes_on", None)
        elif log_entry.get("goes_on"):
            _keep_pipeline_run_open(nested_run, run_description["meant_for"], running_dvc_process)
        send_log_entry(nested_run, log_entry)
        run_record.mark_entries_sent(nested_run.run_id, entry_number)
    final_status = log_entries[-1].get("status") if log_entries else None
    if final_status is None:  # no process holds the record, so its stage was killed; a resumed training reopens the MLflow run
        final_status = "KILLED"
        send_log_entry(nested_run, {"status": final_status, "time": last_written_ms})
    run_record.remove()
    return SendOutcome(
        run_record.folder.name, run_description, nested_run.run_id, len(log_entries) - earlier_sent_entry_count, final_status
    )


def _keep_pipeline_run_open(nested_run: NestedRun, store_address: str, dvc_process_identity: Mapping[str, Any]) -> None:
    """Write a marker file that names the DVC process: if it is killed, the pipeline execution's MLflow run is closed."""
    project_folder, experiment_id = project_root(), nested_run.stage_run.info.experiment_id
    if nested_run.pipeline_run_id is None:
        return
    with store_lock(project_folder):
        mark_pipeline_run_open(project_folder, store_address, experiment_id, nested_run.pipeline_run_id, dvc_process_identity)
    mark_runs_running(NestedRun(nested_run.mlflow_client, nested_run.pipeline_run, None))
