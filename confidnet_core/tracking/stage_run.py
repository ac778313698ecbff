"""MLflow behind a few calls: a run for each executed stage, under one of the pipeline execution, in one store for the whole project.

A user error stops the stage before it starts: see store.py. A server that is down, hangs, rejects or dies does not: from its first failure
on, the run is recorded in .mlflow_kept/ID of the project (records.py), with one warning, and the server is not asked again until the run
ends; `python -m confidnet_core send` sends it. A training that is interrupted then continues its record.

MLflow 3.17 tracking API (mlflow.org/docs/latest/api_reference/python_api/mlflow.client.html); DVC sets the DVC_* variables of a stage.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from confidnet_core.tracking.changes import flatten, settings
from confidnet_core.tracking.dvc_outputs import dvc_md5, outputs
from confidnet_core.tracking.dvc_process import LAST, dvc_process, identity, last_stage_follows
from confidnet_core.tracking.entries import Entry, Logger, fitting_params
from confidnet_core.tracking.header import accelerator, dataset, describe
from confidnet_core.tracking.open_rows import Marker, is_marked, mark_execution, marked, unmark_execution
from confidnet_core.tracking.records import FOLDER, Record, record
from confidnet_core.tracking.rows import Row, close_abandoned, deliver, mark_running, open_run
from confidnet_core.tracking.store import StoreError, first_line, on_server, project_root, reason, store_lock
from confidnet_core.tracking.termination import sigterm_raises
from confidnet_core.tracking.views import experiment_tags
from confidnet_core.tracking.workspace import check_workspace

SERVER_WAIT_BUDGET_S = 30.0  # that a run waits in all for a server's answers, the first second of each not counted
SEND_LOCK_TIMEOUT_S = 60.0  # that a training waits while another process sends its record


class StageRun(Logger):
    """One row of the MLflow table, open for writing. `run_id` is for a resume folder; `parent` writes to the row of the execution."""

    def __init__(self, run_id: str, header: dict[str, Any], stack: ExitStack) -> None:
        super().__init__(self._write)
        self.run_id = run_id
        self.parent = Logger(lambda entry: self._write({**entry, "to": "parent"}))
        self._header = header
        self._stack = stack  # holds the record, or the marker, until the run has ended
        self._row: Row | None = None
        self._marker: Marker | None = None
        self._record: Record | None = None
        self._waited = 0.0

    @property
    def parent_id(self) -> str | None:
        """None where a record is kept: the store does not have the row yet."""
        return self._row.parent_id if self._row and self._record is None else None

    def log_experiment(self, results: dict[str, object]) -> None:
        """Results of the whole execution, as from names.results, to its row; the saved views of MLflow's page then show their columns."""
        self.parent.log_results(results)
        metrics = [name for name, value in results.items() if not isinstance(value, str)]
        self._write({"experiment": experiment_tags(self._header["tags"]["benchmark"], metrics)})

    def _open(self, resume_id: str | None) -> None:
        """The row of RESUME_ID or a new one; its record, where the server does not take it."""
        if resume_id and (found := record(project_root(), resume_id)).exists:
            with ExitStack() as hold:
                hold.enter_context(found.held(SEND_LOCK_TIMEOUT_S))
                if found.exists:  # still: another process may have sent it
                    if all(found.header()[key] == self._header[key] for key in ("experiment", "params")):
                        self._continue(found)
                        self._stack.enter_context(hold.pop_all())
                        return
                    resume_id = None  # the record of another run stays as it is
        try:
            self._row = open_run(self._header, resume_id, self.run_id if on_server() else None)
            self.run_id = self._row.run_id
            self._recall(self._row.run.data.tags)
            self._mark(self._row)
            mark_running(self._row)
        except Exception as error:
            if isinstance(error, StoreError) or not on_server():
                raise
            self.run_id = self._row.run_id if self._row else resume_id or self.run_id
            self._keep(reason(error))

    def _mark(self, row: Row) -> None:
        """Close the rows that a SIGKILL left running, whatever stage they are of, and mark this one as being written."""
        root, store = project_root(), self._header["meant_for"]
        with store_lock(root):
            close_abandoned(row.client, root, store, row.run_id, row.parent_id)
            self._marker = self._stack.enter_context(marked(root, store, row.run_id, row.parent_id))

    def _write(self, entry: Entry) -> None:
        if self._record is None:
            began = time.monotonic()
            try:
                if self._row is None:
                    raise RuntimeError("the row is not open yet")
                deliver(self._row, entry)
            except BaseException as error:
                if not on_server():
                    raise
                stopped = not isinstance(error, Exception)  # by SIGTERM or Ctrl-C
                kept = self._keep("had not answered yet when the run was stopped" if stopped else reason(error))
                kept.append(entry)
                if stopped:
                    raise
                return
            if self._marker is None:
                raise RuntimeError("the row is not marked as being written")
            self._marker.touch()
            self._waited += max(0.0, time.monotonic() - began - 1)
            if on_server() and self._waited > SERVER_WAIT_BUDGET_S:
                self._keep(f"is slow ({self._waited:.0f} s of waiting in this run)")
        else:
            self._record.append(entry)

    def _keep(self, why: str) -> Record:
        """Write to a record of this project from now on, not to the server. Returns it."""
        self._record = kept = record(project_root(), self.run_id)
        self._stack.enter_context(self._record.held())
        self._record.begin({**self._header, "tags": self._header["tags"] | self._undefined_tag()})
        if self._marker:  # what is killed now is closed when its record is sent
            self._marker.path.unlink(missing_ok=True)
        _warn(f"the MLflow server {self._header['meant_for']} {why}; this run is recorded in {FOLDER}/{self.run_id}")
        return kept

    def _continue(self, found: Record) -> None:
        self._record, self.run_id = found, found.folder.name
        for entry in [found.header(), *found.entries()]:
            if entry.get("to") != "parent":
                self._recall(entry.get("tags", {}))
        found.begin({**found.header(), "parent": self._header["parent"]})
        _warn(f"this run continues in {FOLDER}/{self.run_id}, where it is recorded since its MLflow server failed")

    def _log_outputs(self, written: dict[str, str]) -> None:
        """Log what is known once the work is done: the md5 of the outputs, and the data set where the stage itself makes it."""
        tags = {f"dvc.md5.{path}": md5 for path, md5 in written.items()}
        data = None if self._header["dataset"] else dataset(self._header["tags"]["benchmark"], list(written))
        known = {"tags": tags | accelerator(), "dataset": data}
        if any(known.values()):
            self._write(known)

    def _end(self, status: str, listed: list[str]) -> None:
        """Close the row. Finished work is kept, and an error shown, even if the project's own store is no longer there."""
        try:
            end: Entry = {"status": status}
            if status == "FINISHED":
                written = {path: dvc_md5(Path(path)) for path in listed if Path(path).exists()}
                self._log_outputs(written)
                end |= {"goes_on": True} if self._execution_goes_on(written) else {}
            self._write({**end, "time": int(time.time() * 1000)})
            if self.parent_id and "goes_on" not in end:
                unmark_execution(project_root(), self.parent_id)
        except Exception as error:
            print(f"MLflow run {self.run_id} could not be set to {status}: {first_line(error)}", file=sys.stderr)

    def _execution_goes_on(self, written: dict[str, str]) -> bool:
        """Whether DVC will run the last stage after this one; then a marker says which process will."""
        row, parent_id, process, root = self._row, self.parent_id, dvc_process(), project_root()
        if row is None or parent_id is None or process is None or self._header["tags"]["stage"] == LAST:
            return False
        with store_lock(root):
            follows = is_marked(root, parent_id) or last_stage_follows(process, written)
            if follows:
                mark_execution(root, self._header["meant_for"], row.run.info.experiment_id, parent_id, identity(process))
        return follows


@contextmanager
def stage_run(
    *, stage: str, benchmark: str, seed: int | None, method: str | None = None, params: dict, resume_id: str | None = None
) -> Iterator[StageRun]:
    """A run of MLflow experiment confidnet/BENCHMARK for the length of a with-block, named like "mcp · seed 0".

    It lies under the row of the pipeline execution that it belongs to, which the first of its stages makes: see header.py. That row is
    RUNNING until the stage `compare` has ended or another one failed, also between the stages that DVC runs. It ends with this stage where
    `compare` does not follow: started by hand, as a target of DVC's, or with the outputs that dvc.lock has already. Where DVC's process
    died, it ends as KILLED: see open_rows.py.

    The store is MLFLOW_TRACKING_URI, else ROOT/mlflow.db with artifacts in ROOT/mlruns; ROOT is $DVC_ROOT or the working directory,
    so experiments that DVC runs in temporary copies keep their rows. The row ends as FINISHED, as FAILED after an exception and as
    KILLED after Ctrl-C or SIGTERM (which leaves the block as SystemExit 143). After SIGKILL it stays RUNNING until the project's next
    run, which closes it as KILLED; its id given as resume_id continues it, provided that it is of the same benchmark and params.
    ValueError where the store cannot be opened, unless it is a server, and as of check_workspace.
    """
    check_workspace()
    about = {"stage": stage, "benchmark": benchmark, "seed": seed, "method": method}
    listed, whole = outputs(**about), fitting_params(flatten(settings(benchmark)))
    header = describe(about, fitting_params(flatten(params)), whole, listed)
    with sigterm_raises() as terminated, ExitStack() as stack:
        run = StageRun(uuid4().hex, header, stack)
        run._open(resume_id)
        try:
            run._write({key: header[key] for key in ("tags", "params", "dataset")})
            yield run
        except BaseException as error:
            run._end("KILLED" if terminated.is_set() else _status(error), listed)
            raise
        run._end("FINISHED", listed)


def _warn(message: str) -> None:
    print(f"WARNING {message}; `python -m confidnet_core send` sends it", file=sys.stderr, flush=True)


def _status(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "KILLED"
    return "FINISHED" if isinstance(error, SystemExit) and error.code in (None, 0) else "FAILED"
