"""The open MLflow run of a stage: it passes what the stage logs to the MLflow store, or to a record on disk while the store is not in use.

tracking/stage_run.py opens and ends it.
"""

import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from confidnet_core.system.addresses import without_secrets
from confidnet_core.system.errors import find_disk_error
from confidnet_core.tracking.dvc_outputs import dvc_md5
from confidnet_core.tracking.dvc_process import LAST_STAGE, find_dvc_process, process_identity, will_run_last_stage
from confidnet_core.tracking.entries import LogEntry, RunLogger
from confidnet_core.tracking.header import describe_prepared_data, gpu_tag
from confidnet_core.tracking.open_rows import (
    OpenRunMarker,
    find_pipeline_run_id,
    is_pipeline_run_marked,
    mark_pipeline_run_open,
    mark_stage_run_open,
    unmark_pipeline_run,
)
from confidnet_core.tracking.records import RUN_RECORDS_FOLDER, RunRecord, record_of_run
from confidnet_core.tracking.rows import NestedRun, close_abandoned_runs, mark_runs_running, open_nested_run, send_log_entry
from confidnet_core.tracking.sending import send_run_record
from confidnet_core.tracking.store import StoreError, first_message_line, project_root, server_failure_reason, store_lock, uses_server
from confidnet_core.tracking.views import experiment_tags

MAX_SERVER_WAIT_S = 30.0  # total wait of a run for a server's answers, without the first second of each
MAX_DEFERRED_S = 20.0  # a stage that ran longer sends its run itself, so that it is seen: the seconds for MLflow's import hardly matter
SEND_LOCK_TIMEOUT_S = 60.0  # wait of a training while another process sends its record


class StageRun(RunLogger):
    """The open MLflow run of a pipeline stage, to which the stage logs.

    `run_id` is the MLflow id, by which an interrupted training is resumed; `pipeline_run` logs to the run of the whole pipeline execution.
    """

    def __init__(self, run_id: str, run_description: dict[str, Any], exit_stack: ExitStack) -> None:
        super().__init__(self.store_log_entry)
        self.run_id = run_id
        self.pipeline_run = RunLogger(lambda log_entry: self.store_log_entry({**log_entry, "to": "parent"}))
        self._run_description = run_description
        self._exit_stack = exit_stack  # keeps the lock of the local record, or the marker file, until the MLflow run ends
        self._nested_run: NestedRun | None = None
        self._marker: OpenRunMarker | None = None
        self._record: RunRecord | None = None
        self._server_wait_s = 0.0

    @property
    def pipeline_run_id(self) -> str | None:
        """Return the MLflow id of the pipeline execution's run; None while this run is recorded on disk, since the store lacks it."""
        return self._nested_run.pipeline_run_id if self._nested_run and self._record is None else None

    def log_pipeline_results(self, results: dict[str, object]) -> None:
        """Log results from `pipeline_results` to the MLflow run of the pipeline execution; show them as columns in MLflow's saved views."""
        self.pipeline_run.log_results(results)
        metric_names = [result_name for result_name, result in results.items() if not isinstance(result, str)]
        self.store_log_entry({"experiment": experiment_tags(self._run_description["tags"]["benchmark"], metric_names)})

    def open_mlflow_run(self, resumed_run_id: str | None) -> None:
        """Resume the MLflow run RESUMED_RUN_ID or open a new one; if the server does not accept this, record the run on local disk.

        A run that is already recorded on disk continues there.
        """
        if resumed_run_id and (run_record := record_of_run(project_root(), resumed_run_id)).exists:
            with ExitStack() as record_lock:
                record_lock.enter_context(run_record.locked(SEND_LOCK_TIMEOUT_S))
                if run_record.exists:  # checked again under the lock: another process may have sent it
                    if all(run_record.read_run_description()[key] == self._run_description[key] for key in ("experiment", "params")):
                        self._continue_record(run_record)
                        self._exit_stack.enter_context(record_lock.pop_all())
                        return
                    resumed_run_id = None  # the record of another run stays untouched
        try:
            self._nested_run = open_nested_run(self._run_description, resumed_run_id, self.run_id if uses_server() else None)
            self.run_id = self._nested_run.run_id
            self._restore_undefined_metrics(self._nested_run.stage_run.data.tags)
            self._mark_run_as_open(self._nested_run)
            mark_runs_running(self._nested_run)
        except Exception as error:
            if isinstance(error, StoreError) or not uses_server():
                raise
            self.run_id = self._nested_run.run_id if self._nested_run else resumed_run_id or self.run_id
            self._switch_to_record(server_failure_reason(error))

    def record_for_later_stage(self, dvc_process_identity: dict[str, Any]) -> None:
        """Record the run on local disk, for a later stage of the same DVC process to send."""
        self._record = record_of_run(project_root(), self.run_id)
        self._exit_stack.enter_context(self._record.locked())
        pipeline_run_description = self._run_description["parent"] | {"dvc_process": dvc_process_identity}
        self._run_description |= {"deferred_by": dvc_process_identity, "parent": pipeline_run_description}
        self._record.write_run_description(self._run_description)

    def _mark_run_as_open(self, nested_run: NestedRun) -> None:
        """Close all MLflow runs that a SIGKILL left running, and write a marker file that says that this process writes NESTED_RUN."""
        project_folder, store_address = project_root(), self._run_description["meant_for"]
        with store_lock(project_folder):
            close_abandoned_runs(nested_run.mlflow_client, project_folder, store_address, nested_run.run_id, nested_run.pipeline_run_id)
            self._marker = self._exit_stack.enter_context(
                mark_stage_run_open(project_folder, store_address, nested_run.run_id, nested_run.pipeline_run_id)
            )

    def store_log_entry(self, log_entry: LogEntry) -> None:
        """Send one log entry (a dictionary) to MLflow, or append it to the local record on disk once the server has failed."""
        if self._record is None:
            start_time = time.monotonic()
            try:
                if self._nested_run is None:
                    raise RuntimeError("the row is not open yet")
                send_log_entry(self._nested_run, log_entry)
            except BaseException as error:
                if not uses_server():
                    raise
                was_stopped = not isinstance(error, Exception)  # by SIGTERM or Ctrl-C
                stopped_text = "had not answered yet when the run was stopped"
                run_record = self._switch_to_record(stopped_text if was_stopped else server_failure_reason(error))
                run_record.append_log_entry(log_entry)
                if was_stopped:
                    raise
                return
            if self._marker is None:
                raise RuntimeError("the row is not marked as being written")
            self._marker.touch()
            self._server_wait_s += max(0.0, time.monotonic() - start_time - 1)
            if uses_server() and self._server_wait_s > MAX_SERVER_WAIT_S:
                self._switch_to_record(f"is slow ({self._server_wait_s:.0f} s of waiting in this run)")
        else:
            self._record.append_log_entry(log_entry)

    def _switch_to_record(self, server_failure: str) -> RunRecord:
        """Stop using the MLflow server for this run; return the local record on disk to which the run is written from now on."""
        self._record = run_record = record_of_run(project_root(), self.run_id)
        self._exit_stack.enter_context(self._record.locked())
        self._record.write_run_description({**self._run_description, "tags": self._run_description["tags"] | self._undefined_metrics_tag()})
        if self._marker:  # if killed from now on, the MLflow run is closed when its record is sent
            self._marker.path.unlink(missing_ok=True)
        store_address = self._run_description["meant_for"]
        _print_warning(f"the MLflow server {store_address} {server_failure}; this run is recorded in {RUN_RECORDS_FOLDER}/{self.run_id}")
        return run_record

    def _continue_record(self, run_record: RunRecord) -> None:
        """Continue this run in the local record that an interrupted training left on disk."""
        self._record, self.run_id = run_record, run_record.folder.name
        for description_or_log_entry in [run_record.read_run_description(), *run_record.read_log_entries()]:
            if description_or_log_entry.get("to") != "parent":
                self._restore_undefined_metrics(description_or_log_entry.get("tags", {}))
        run_record.write_run_description({**run_record.read_run_description(), "parent": self._run_description["parent"]})
        _print_warning(f"this run continues in {RUN_RECORDS_FOLDER}/{self.run_id}, where it is recorded since its MLflow server failed")

    def _log_output_md5s(self, output_md5s: dict[str, str]) -> None:
        """Log what is known only after the stage's work: md5 of its output files, and the description of a data set that it made.

        output_md5s: PATH -> md5 of the outputs that the stage wrote
        """
        md5_tags = {f"dvc.md5.{output_path}": output_md5 for output_path, output_md5 in output_md5s.items()}
        benchmark = self._run_description["tags"]["benchmark"]
        dataset = None if self._run_description["dataset"] else describe_prepared_data(benchmark, list(output_md5s))
        log_entry = {"tags": md5_tags | gpu_tag(), "dataset": dataset}
        if any(log_entry.values()):
            self.store_log_entry(log_entry)

    def end_mlflow_run(self, final_status: str, output_paths: list[str]) -> None:
        """End the MLflow run with this status and, for FINISHED, log the md5 of its outputs.

        An error is only printed, so that finished work is kept even if the project's own store has gone; the next run closes the row.
        """
        try:
            end_log_entry: LogEntry = {"status": final_status}
            if final_status == "FINISHED":
                output_md5s = {output_path: dvc_md5(Path(output_path)) for output_path in output_paths if Path(output_path).exists()}
                self._log_output_md5s(output_md5s)
                end_log_entry |= {"goes_on": True} if self._will_pipeline_continue(output_md5s) else {}
            self.store_log_entry({**end_log_entry, "time": int(time.time() * 1000)})
            if self._record and "deferred_by" in self._run_description:
                self._send_deferred_record(will_pipeline_continue="goes_on" in end_log_entry)
            if self.pipeline_run_id and "goes_on" not in end_log_entry:
                unmark_pipeline_run(project_root(), self.pipeline_run_id)
        except Exception as error:
            if self._marker:
                self._marker.stays = True
            disk_error = find_disk_error(error, project_root())
            if disk_error is None or final_status == "FINISHED":  # else the stage ends with that error itself
                reason = disk_error or without_secrets(first_message_line(error))
                print(f"MLflow run {self.run_id} could not be set to {final_status}: {reason}", file=sys.stderr)

    def _send_deferred_record(self, will_pipeline_continue: bool) -> None:
        """Send the record of this deferred run, unless the stage was short and a later one follows, which sends it."""
        was_stage_short = time.time() - self._run_description["start"] / 1000 < MAX_DEFERRED_S
        if self._record and not (was_stage_short and will_pipeline_continue):
            running_dvc_process = self._run_description["deferred_by"] if will_pipeline_continue else None
            send_run_record(self._record, self._run_description, running_dvc_process)

    def _will_pipeline_continue(self, output_md5s: dict[str, str]) -> bool:
        """Return whether DVC will run the pipeline's last stage, `compare`, after this one.

        If so, also write a marker file that names the DVC process, so that the pipeline execution's MLflow run stays open.
        """
        nested_run, pipeline_run_id = self._nested_run, self.pipeline_run_id
        dvc_process, project_folder = find_dvc_process(), project_root()
        if dvc_process is None or self._run_description["tags"]["stage"] == LAST_STAGE:
            return False
        if "deferred_by" in self._run_description:  # the pipeline execution's run is known to the stages that open the store
            dvc_process_identity = self._run_description["deferred_by"]
            has_open_marker = (
                find_pipeline_run_id(project_folder, self._run_description["meant_for"], None, dvc_process_identity) is not None
            )
            return has_open_marker or will_run_last_stage(dvc_process, output_md5s)
        if nested_run is None or pipeline_run_id is None:
            return False
        with store_lock(project_folder):
            will_continue = is_pipeline_run_marked(project_folder, pipeline_run_id) or will_run_last_stage(dvc_process, output_md5s)
            if will_continue:
                store_address, experiment_id = self._run_description["meant_for"], nested_run.stage_run.info.experiment_id
                mark_pipeline_run_open(project_folder, store_address, experiment_id, pipeline_run_id, process_identity(dvc_process))
        return will_continue


class SilentRun(StageRun):
    """The run of a further process of a stage: what it logs is dropped, since the first process logs the same."""

    def __init__(self) -> None:
        super().__init__("", {}, ExitStack())

    def store_log_entry(self, log_entry: LogEntry) -> None:
        return


def _print_warning(message: str) -> None:
    """Print a warning to stderr, followed by the command that sends the run from the local disk to the server."""
    print(f"WARNING {message}; `python -m confidnet_core send` sends it", file=sys.stderr, flush=True)
