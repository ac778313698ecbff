"""MLflow tracking of pipeline stages: each executed stage is one MLflow run, under the run of its pipeline execution (one `dvc repro` or
DVC experiment), in one MLflow store per project.

A user error stops the stage before it starts (tracking/store.py). A server that is down, hangs, rejects or dies does not stop the stage:
from the first failure on, the run is recorded in .mlflow_kept/ID of the project (tracking/records.py) with one warning, and the server is
not asked again until the run ends; `python -m confidnet_core send` sends the record. A training that is interrupted meanwhile continues its
record.

Sources: MLflow 3.17 tracking API (mlflow.org/docs/latest/api_reference/python_api/mlflow.client.html); DVC sets a stage's DVC_* variables.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from confidnet_core.tracking.changes import benchmark_settings, flatten
from confidnet_core.tracking.dvc_outputs import dvc_md5, stage_outputs
from confidnet_core.tracking.dvc_process import LAST_STAGE, dvc_process, process_identity, will_run_last_stage
from confidnet_core.tracking.entries import Entry, Logger, mlflow_params
from confidnet_core.tracking.header import describe_dataset, describe_run, gpu_tag
from confidnet_core.tracking.open_rows import Marker, is_marked, mark_execution, marked_open, unmark_execution
from confidnet_core.tracking.records import RECORDS_FOLDER, Record, record_of
from confidnet_core.tracking.rows import TrackedRow, close_abandoned_rows, mark_running, open_run, send_entry
from confidnet_core.tracking.store import StoreError, failure_reason, first_line, project_root, store_lock, uses_server
from confidnet_core.tracking.termination import sigterm_raises
from confidnet_core.tracking.views import experiment_tags
from confidnet_core.tracking.workspace import check_workspace

SERVER_WAIT_BUDGET_S = 30.0  # total wait of a run for a server's answers, without the first second of each
SEND_LOCK_TIMEOUT_S = 60.0  # wait of a training while another process sends its record


class StageRun(Logger):
    """The open MLflow run of a pipeline stage, to which the stage logs.

    `run_id` is the MLflow id, by which an interrupted training is resumed; `parent` logs to the run of the whole pipeline execution.
    """

    def __init__(self, run_id: str, header: dict[str, Any], exit_stack: ExitStack) -> None:
        super().__init__(self._log_entry)
        self.run_id = run_id
        self.parent = Logger(lambda entry: self._log_entry({**entry, "to": "parent"}))
        self._header = header
        self._exit_stack = exit_stack  # keeps the lock on the record, or the marker, until the run ends
        self._row: TrackedRow | None = None
        self._marker: Marker | None = None
        self._record: Record | None = None
        self._server_wait_s = 0.0

    @property
    def parent_id(self) -> str | None:
        """MLflow id of the pipeline execution's run; None while this run is recorded on disk, since the store does not have it yet."""
        return self._row.parent_id if self._row and self._record is None else None

    def log_experiment(self, results: dict[str, object]) -> None:
        """Log results of the whole pipeline execution to the execution's MLflow run, and show them as columns in MLflow's saved views.

        results: from `execution_results`
        """
        self.parent.log_results(results)
        metrics = [name for name, value in results.items() if not isinstance(value, str)]
        self._log_entry({"experiment": experiment_tags(self._header["tags"]["benchmark"], metrics)})

    def _open_stage_row(self, resume_id: str | None) -> None:
        """Resume the MLflow run RESUME_ID or open a new one; if the server does not accept this, record the run on local disk.

        A run that is already recorded on disk continues there.
        """
        if resume_id and (record := record_of(project_root(), resume_id)).exists:
            with ExitStack() as record_lock:
                record_lock.enter_context(record.locked(SEND_LOCK_TIMEOUT_S))
                if record.exists:  # checked again under the lock: another process may have sent it
                    if all(record.header()[key] == self._header[key] for key in ("experiment", "params")):
                        self._continue_record(record)
                        self._exit_stack.enter_context(record_lock.pop_all())
                        return
                    resume_id = None  # the record of another run stays untouched
        try:
            self._row = open_run(self._header, resume_id, self.run_id if uses_server() else None)
            self.run_id = self._row.run_id
            self._restore_undefined(self._row.run.data.tags)
            self._mark_row_as_open(self._row)
            mark_running(self._row)
        except Exception as error:
            if isinstance(error, StoreError) or not uses_server():
                raise
            self.run_id = self._row.run_id if self._row else resume_id or self.run_id
            self._switch_to_record(failure_reason(error))

    def _mark_row_as_open(self, row: TrackedRow) -> None:
        """Close all MLflow runs that a SIGKILL left running, and write a marker file that says that this process writes the given run."""
        root, store = project_root(), self._header["meant_for"]
        with store_lock(root):
            close_abandoned_rows(row.client, root, store, row.run_id, row.parent_id)
            self._marker = self._exit_stack.enter_context(marked_open(root, store, row.run_id, row.parent_id))

    def _log_entry(self, entry: Entry) -> None:
        """Send one logged entry to MLflow, or append it to the local record once the server has failed."""
        if self._record is None:
            start_time = time.monotonic()
            try:
                if self._row is None:
                    raise RuntimeError("the row is not open yet")
                send_entry(self._row, entry)
            except BaseException as error:
                if not uses_server():
                    raise
                was_stopped = not isinstance(error, Exception)  # by SIGTERM or Ctrl-C
                record = self._switch_to_record("had not answered yet when the run was stopped" if was_stopped else failure_reason(error))
                record.append(entry)
                if was_stopped:
                    raise
                return
            if self._marker is None:
                raise RuntimeError("the row is not marked as being written")
            self._marker.touch()
            self._server_wait_s += max(0.0, time.monotonic() - start_time - 1)
            if uses_server() and self._server_wait_s > SERVER_WAIT_BUDGET_S:
                self._switch_to_record(f"is slow ({self._server_wait_s:.0f} s of waiting in this run)")
        else:
            self._record.append(entry)

    def _switch_to_record(self, reason: str) -> Record:
        """Stop using the MLflow server for this run; return the local record on disk to which the run is written from now on."""
        self._record = record = record_of(project_root(), self.run_id)
        self._exit_stack.enter_context(self._record.locked())
        self._record.begin({**self._header, "tags": self._header["tags"] | self._undefined_tag()})
        if self._marker:  # if killed from now on, the row is closed when its record is sent
            self._marker.path.unlink(missing_ok=True)
        _print_warning(f"the MLflow server {self._header['meant_for']} {reason}; this run is recorded in {RECORDS_FOLDER}/{self.run_id}")
        return record

    def _continue_record(self, record: Record) -> None:
        """Continue this run in a local record that an interrupted training left on disk."""
        self._record, self.run_id = record, record.folder.name
        for entry in [record.header(), *record.entries()]:
            if entry.get("to") != "parent":
                self._restore_undefined(entry.get("tags", {}))
        record.begin({**record.header(), "parent": self._header["parent"]})
        _print_warning(f"this run continues in {RECORDS_FOLDER}/{self.run_id}, where it is recorded since its MLflow server failed")

    def _log_output_md5s(self, written_md5s: dict[str, str]) -> None:
        """Log what is known only after the stage's work: md5 of its output files, and the description of a data set that it made.

        written_md5s: PATH -> md5 of the outputs
        """
        tags = {f"dvc.md5.{path}": md5 for path, md5 in written_md5s.items()}
        dataset = None if self._header["dataset"] else describe_dataset(self._header["tags"]["benchmark"], list(written_md5s))
        result_entry = {"tags": tags | gpu_tag(), "dataset": dataset}
        if any(result_entry.values()):
            self._log_entry(result_entry)

    def _end_stage_row(self, status: str, output_paths: list[str]) -> None:
        """End the MLflow run with this status and, for FINISHED, log the md5 of its outputs.

        An error is only printed, so that finished work is kept even if the project's own store has gone.
        """
        try:
            end_entry: Entry = {"status": status}
            if status == "FINISHED":
                written_md5s = {path: dvc_md5(Path(path)) for path in output_paths if Path(path).exists()}
                self._log_output_md5s(written_md5s)
                end_entry |= {"goes_on": True} if self._will_execution_continue(written_md5s) else {}
            self._log_entry({**end_entry, "time": int(time.time() * 1000)})
            if self.parent_id and "goes_on" not in end_entry:
                unmark_execution(project_root(), self.parent_id)
        except Exception as error:
            print(f"MLflow run {self.run_id} could not be set to {status}: {first_line(error)}", file=sys.stderr)

    def _will_execution_continue(self, written_md5s: dict[str, str]) -> bool:
        """Return whether DVC will run the pipeline's last stage after this one.

        If so, also write a marker file that names the DVC process, so that the pipeline execution's MLflow run stays open.
        """
        row, parent_id, process, root = self._row, self.parent_id, dvc_process(), project_root()
        if row is None or parent_id is None or process is None or self._header["tags"]["stage"] == LAST_STAGE:
            return False
        with store_lock(root):
            will_continue = is_marked(root, parent_id) or will_run_last_stage(process, written_md5s)
            if will_continue:
                mark_execution(root, self._header["meant_for"], row.run.info.experiment_id, parent_id, process_identity(process))
        return will_continue


@contextmanager
def stage_run(
    *, stage: str, benchmark: str, seed: int | None, method: str | None = None, params: dict, resume_id: str | None = None
) -> Iterator[StageRun]:
    """Open an MLflow run, named like "mcp · seed 0", in the experiment confidnet/BENCHMARK for the length of a with-block; yield a
    `StageRun`.

    The run lies under the run of its pipeline execution, which the execution's first stage creates (tracking/header.py). The execution's
    run is RUNNING until the stage `compare` has ended or another one has failed, also between the stages that DVC runs. It ends with this
    stage if `compare` does not follow: if the stage was started by hand or as a DVC target, or wrote the outputs that dvc.lock already has.
    If DVC's process died, the execution's run ends as KILLED (tracking/open_rows.py).

    The store is MLFLOW_TRACKING_URI, else ROOT/mlflow.db with artifacts in ROOT/mlruns; ROOT is $DVC_ROOT or the working directory, so that
    experiments in DVC's temporary copies keep their runs. The stage's run ends as FINISHED, as FAILED after an exception, and as KILLED
    after Ctrl-C or SIGTERM (which leaves the block as SystemExit 143). After SIGKILL it stays RUNNING until the project's next run closes
    it as KILLED; a stage that passes its id as resume_id continues it if benchmark and params are the same.

    ValueError if the store cannot be opened, unless it is a server, and as from check_workspace.
    """
    check_workspace()
    identity = {"stage": stage, "benchmark": benchmark, "seed": seed, "method": method}
    output_paths, execution_params = stage_outputs(**identity), mlflow_params(flatten(benchmark_settings(benchmark)))
    header = describe_run(identity, mlflow_params(flatten(params)), execution_params, output_paths)
    with sigterm_raises() as terminated, ExitStack() as exit_stack:
        run = StageRun(uuid4().hex, header, exit_stack)
        run._open_stage_row(resume_id)
        try:
            run._log_entry({key: header[key] for key in ("tags", "params", "dataset")})
            yield run
        except BaseException as error:
            run._end_stage_row("KILLED" if terminated.is_set() else _status_after_error(error), output_paths)
            raise
        run._end_stage_row("FINISHED", output_paths)


def _print_warning(message: str) -> None:
    """Print a warning to stderr, followed by the command that sends a recorded run."""
    print(f"WARNING {message}; `python -m confidnet_core send` sends it", file=sys.stderr, flush=True)


def _status_after_error(error: BaseException) -> str:
    """Return the MLflow status (KILLED, FINISHED or FAILED) of a run whose block was left by this exception."""
    if isinstance(error, KeyboardInterrupt):
        return "KILLED"
    return "FINISHED" if isinstance(error, SystemExit) and error.code in (None, 0) else "FAILED"
