"""MLflow tracking of pipeline stages: one run per executed stage, under the run of its pipeline execution, in one store per project.

A user error stops the stage before it starts (tracking/store.py). A server that is down, hangs, rejects or dies does not: from its first
failure on, the run is recorded in .mlflow_kept/ID of the project (tracking/records.py) with one warning, and the server is not asked again
until the run ends; `python -m confidnet_core send` sends the record. A training that is interrupted meanwhile continues its record.

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
    """An open row of the MLflow table. `run_id` names a resume folder; `parent` logs to the row of the execution."""

    def __init__(self, run_id: str, header: dict[str, Any], stack: ExitStack) -> None:
        super().__init__(self._log_entry)
        self.run_id = run_id
        self.parent = Logger(lambda entry: self._log_entry({**entry, "to": "parent"}))
        self._header = header
        self._stack = stack  # keeps the lock on the record, or the marker, until the run ends
        self._row: TrackedRow | None = None
        self._marker: Marker | None = None
        self._record: Record | None = None
        self._server_wait_s = 0.0

    @property
    def parent_id(self) -> str | None:
        """The id of the execution's row; None while a record is written, since the store does not have the row yet."""
        return self._row.parent_id if self._row and self._record is None else None

    def log_experiment(self, results: dict[str, object]) -> None:
        """Log results of the whole execution, from `execution_results`, to its row, and show their columns in MLflow's saved views."""
        self.parent.log_results(results)
        metrics = [name for name, value in results.items() if not isinstance(value, str)]
        self._log_entry({"experiment": experiment_tags(self._header["tags"]["benchmark"], metrics)})

    def _open(self, resume_id: str | None) -> None:
        """Open the row RESUME_ID or a new one, or its record if the server does not accept it."""
        if resume_id and (record := record_of(project_root(), resume_id)).exists:
            with ExitStack() as hold:
                hold.enter_context(record.locked(SEND_LOCK_TIMEOUT_S))
                if record.exists:  # checked again under the lock: another process may have sent it
                    if all(record.header()[key] == self._header[key] for key in ("experiment", "params")):
                        self._continue_record(record)
                        self._stack.enter_context(hold.pop_all())
                        return
                    resume_id = None  # the record of another run stays untouched
        try:
            self._row = open_run(self._header, resume_id, self.run_id if uses_server() else None)
            self.run_id = self._row.run_id
            self._restore_undefined(self._row.run.data.tags)
            self._mark_open(self._row)
            mark_running(self._row)
        except Exception as error:
            if isinstance(error, StoreError) or not uses_server():
                raise
            self.run_id = self._row.run_id if self._row else resume_id or self.run_id
            self._switch_to_record(failure_reason(error))

    def _mark_open(self, row: TrackedRow) -> None:
        """Close the rows that a SIGKILL left running, of whichever stage, and mark this row as being written."""
        root, store = project_root(), self._header["meant_for"]
        with store_lock(root):
            close_abandoned_rows(row.client, root, store, row.run_id, row.parent_id)
            self._marker = self._stack.enter_context(marked_open(root, store, row.run_id, row.parent_id))

    def _log_entry(self, entry: Entry) -> None:
        if self._record is None:
            began = time.monotonic()
            try:
                if self._row is None:
                    raise RuntimeError("the row is not open yet")
                send_entry(self._row, entry)
            except BaseException as error:
                if not uses_server():
                    raise
                stopped = not isinstance(error, Exception)  # by SIGTERM or Ctrl-C
                record = self._switch_to_record("had not answered yet when the run was stopped" if stopped else failure_reason(error))
                record.append(entry)
                if stopped:
                    raise
                return
            if self._marker is None:
                raise RuntimeError("the row is not marked as being written")
            self._marker.touch()
            self._server_wait_s += max(0.0, time.monotonic() - began - 1)
            if uses_server() and self._server_wait_s > SERVER_WAIT_BUDGET_S:
                self._switch_to_record(f"is slow ({self._server_wait_s:.0f} s of waiting in this run)")
        else:
            self._record.append(entry)

    def _switch_to_record(self, why: str) -> Record:
        """Write to a record of this project from now on instead of the server, and return it."""
        self._record = record = record_of(project_root(), self.run_id)
        self._stack.enter_context(self._record.locked())
        self._record.begin({**self._header, "tags": self._header["tags"] | self._undefined_tag()})
        if self._marker:  # if killed from now on, the row is closed when its record is sent
            self._marker.path.unlink(missing_ok=True)
        _warn(f"the MLflow server {self._header['meant_for']} {why}; this run is recorded in {RECORDS_FOLDER}/{self.run_id}")
        return record

    def _continue_record(self, record: Record) -> None:
        self._record, self.run_id = record, record.folder.name
        for entry in [record.header(), *record.entries()]:
            if entry.get("to") != "parent":
                self._restore_undefined(entry.get("tags", {}))
        record.begin({**record.header(), "parent": self._header["parent"]})
        _warn(f"this run continues in {RECORDS_FOLDER}/{self.run_id}, where it is recorded since its MLflow server failed")

    def _log_outputs(self, written: dict[str, str]) -> None:
        """Log what is known after the work: md5 of the outputs, and the data set if this stage itself made it."""
        tags = {f"dvc.md5.{path}": md5 for path, md5 in written.items()}
        data = None if self._header["dataset"] else describe_dataset(self._header["tags"]["benchmark"], list(written))
        known = {"tags": tags | gpu_tag(), "dataset": data}
        if any(known.values()):
            self._log_entry(known)

    def _end(self, status: str, output_paths: list[str]) -> None:
        """Close the row. Finished work is kept, and an error only printed, even if the project's own store has gone."""
        try:
            end: Entry = {"status": status}
            if status == "FINISHED":
                written = {path: dvc_md5(Path(path)) for path in output_paths if Path(path).exists()}
                self._log_outputs(written)
                end |= {"goes_on": True} if self._will_execution_continue(written) else {}
            self._log_entry({**end, "time": int(time.time() * 1000)})
            if self.parent_id and "goes_on" not in end:
                unmark_execution(project_root(), self.parent_id)
        except Exception as error:
            print(f"MLflow run {self.run_id} could not be set to {status}: {first_line(error)}", file=sys.stderr)

    def _will_execution_continue(self, written: dict[str, str]) -> bool:
        """Return whether DVC will run the last stage after this one; if so, write a marker that names its process."""
        row, parent_id, process, root = self._row, self.parent_id, dvc_process(), project_root()
        if row is None or parent_id is None or process is None or self._header["tags"]["stage"] == LAST_STAGE:
            return False
        with store_lock(root):
            follows = is_marked(root, parent_id) or will_run_last_stage(process, written)
            if follows:
                mark_execution(root, self._header["meant_for"], row.run.info.experiment_id, parent_id, process_identity(process))
        return follows


@contextmanager
def stage_run(
    *, stage: str, benchmark: str, seed: int | None, method: str | None = None, params: dict, resume_id: str | None = None
) -> Iterator[StageRun]:
    """Open a run of MLflow experiment confidnet/BENCHMARK for the length of a with-block, named like "mcp · seed 0".

    The run lies under the row of its pipeline execution, which the execution's first stage creates (tracking/header.py). That row is
    RUNNING until the stage `compare` has ended or another one has failed, also between the stages that DVC runs. It ends with this stage if
    `compare` does not follow: if the stage was started by hand or as a DVC target, or wrote the outputs that dvc.lock already has. If DVC's
    process died, the row ends as KILLED (tracking/open_rows.py).

    The store is MLFLOW_TRACKING_URI, else ROOT/mlflow.db with artifacts in ROOT/mlruns; ROOT is $DVC_ROOT or the working directory, so that
    experiments in DVC's temporary copies keep their rows. The row ends as FINISHED, as FAILED after an exception, and as KILLED after
    Ctrl-C or SIGTERM (which leaves the block as SystemExit 143). After SIGKILL it stays RUNNING until the project's next run closes it as
    KILLED; a run with its id as resume_id continues it if benchmark and params are the same.

    ValueError if the store cannot be opened, unless it is a server, and as from check_workspace.
    """
    check_workspace()
    identity = {"stage": stage, "benchmark": benchmark, "seed": seed, "method": method}
    output_paths, execution_params = stage_outputs(**identity), mlflow_params(flatten(benchmark_settings(benchmark)))
    header = describe_run(identity, mlflow_params(flatten(params)), execution_params, output_paths)
    with sigterm_raises() as terminated, ExitStack() as stack:
        run = StageRun(uuid4().hex, header, stack)
        run._open(resume_id)
        try:
            run._log_entry({key: header[key] for key in ("tags", "params", "dataset")})
            yield run
        except BaseException as error:
            run._end("KILLED" if terminated.is_set() else _status(error), output_paths)
            raise
        run._end("FINISHED", output_paths)


def _warn(message: str) -> None:
    print(f"WARNING {message}; `python -m confidnet_core send` sends it", file=sys.stderr, flush=True)


def _status(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "KILLED"
    return "FINISHED" if isinstance(error, SystemExit) and error.code in (None, 0) else "FAILED"
