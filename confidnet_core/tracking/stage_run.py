"""MLflow behind a few calls: a run for each executed stage, under one of the pipeline execution, in one store for the whole project.

What is a user's mistake stops a stage before its work: see _mlflow_store. A server that is down, hangs, rejects or dies does not: from
its first failure on, the run is kept in .mlflow_kept/ID of the project (records.py), with one warning, and the server is not asked again
until the run ends; `python -m confidnet_core send` sends it. A training that is interrupted then goes on with its kept record.

MLflow 3.17 tracking API (mlflow.org/docs/latest/api_reference/python_api/mlflow.client.html); DVC sets the DVC_* variables of a stage.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from confidnet_core.tracking.dvc_outputs import dvc_md5, outputs
from confidnet_core.tracking.entries import Entry, Logger, fitting_params
from confidnet_core.tracking.header import accelerator, dataset, describe, settings
from confidnet_core.tracking.open_rows import Mark, abandoned, marked
from confidnet_core.tracking.records import FOLDER, Record, record
from confidnet_core.tracking.rows import Row, close_killed, deliver, mark_running, open_run
from confidnet_core.tracking.store import StoreError, first_line, on_server, project_root, reason, store_lock
from confidnet_core.tracking.termination import sigterm_raises
from confidnet_core.tracking.workspace import check_workspace

PATIENCE = 30.0  # seconds that a run waits in all for a server's answers, the first second of each not counted
BEING_SENT = 60.0  # seconds that a training waits while its record is sent


class StageRun(Logger):
    """One row of the MLflow table, open for writing. `run_id` is what a resume folder keeps; `parent`, the row of the execution."""

    def __init__(self, run_id: str, header: dict[str, Any], stack: ExitStack) -> None:
        super().__init__(self._write)
        self.run_id = run_id
        self.parent = Logger(lambda entry: self._write({**entry, "to": "parent"}))
        self._header = header
        self._stack = stack  # holds the record, or the mark, until the run has ended
        self._row: Row | None = None
        self._mark: Mark | None = None
        self._record: Record | None = None
        self._waited = 0.0

    @property
    def parent_id(self) -> str | None:
        """None where a record is kept: the store does not have the row yet."""
        return self._row.parent_id if self._row and self._record is None else None

    def _open(self, resume_id: str | None) -> None:
        """The row of RESUME_ID or a new one; its record, where the server does not take it."""
        if resume_id and (found := record(project_root(), resume_id)).exists:
            with ExitStack() as hold:
                hold.enter_context(found.held(BEING_SENT))
                if found.exists:  # still: another process may have sent it
                    if all(found.header()[key] == self._header[key] for key in ("experiment", "params")):
                        self._go_on(found)
                        self._stack.enter_context(hold.pop_all())
                        return
                    resume_id = None  # the record of another run stays as it is
        try:
            self._row = open_run(self._header, resume_id, self.run_id if on_server() else None)
            self.run_id = self._row.run_id
            self._recall(self._row.run.data.tags)
            self._close_abandoned(self._row)
            mark_running(self._row)
        except Exception as error:
            if isinstance(error, StoreError) or not on_server():
                raise
            self.run_id = self._row.run_id if self._row else resume_id or self.run_id
            self._keep(reason(error))

    def _close_abandoned(self, row: Row) -> None:
        """Rows that a SIGKILL left running are closed as killed, whatever stage they are of; this one is marked as being written."""
        root, store = project_root(), self._header["meant_for"]
        with store_lock(root):
            for found in abandoned(root, store):
                for run_id in {found.run_id, found.parent_id} - {row.run_id, row.parent_id, None}:
                    close_killed(row.client, run_id, found.last_seen)
                found.mark.remove()
            self._mark = self._stack.enter_context(marked(root, store, row.run_id, row.parent_id))

    def _write(self, entry: Entry) -> None:
        if self._record is None:
            began = time.monotonic()
            try:
                deliver(self._row, entry)
            except BaseException as error:
                if not on_server():
                    raise
                stopped = not isinstance(error, Exception)  # by SIGTERM or Ctrl-C
                self._keep("had not answered yet when the run was stopped" if stopped else reason(error))
                self._record.append(entry)
                if stopped:
                    raise
                return
            self._mark.seen()
            self._waited += max(0.0, time.monotonic() - began - 1)
            if on_server() and self._waited > PATIENCE:
                self._keep(f"is slow ({self._waited:.0f} s of waiting in this run)")
        else:
            self._record.append(entry)

    def _keep(self, why: str) -> None:
        """From now on in a record of this project, not on the server."""
        self._record = record(project_root(), self.run_id)
        self._stack.enter_context(self._record.held())
        self._record.begin({**self._header, "tags": self._header["tags"] | self._undefined_tag()})
        if self._mark:  # what is killed now is closed when its record is sent
            self._mark.path.unlink(missing_ok=True)
        _warn(f"the MLflow server {self._header['meant_for']} {why}; this run is kept in {FOLDER}/{self.run_id}")

    def _go_on(self, found: Record) -> None:
        self._record, self.run_id = found, found.folder.name
        for entry in [found.header(), *found.entries()]:
            if entry.get("to") != "parent":
                self._recall(entry.get("tags", {}))
        found.begin({**found.header(), "parent": self._header["parent"]})
        _warn(f"this run goes on in {FOLDER}/{self.run_id}, where it is kept since its MLflow server failed")

    def _log_outputs(self, written: list[str]) -> None:
        """What is known once the work is done: the md5 of what was written, and the data set where the stage itself makes it."""
        tags = {f"dvc.md5.{path}": dvc_md5(Path(path)) for path in written if Path(path).exists()}
        data = None if self._header["dataset"] else dataset(self._header["tags"]["benchmark"], written)
        known = {"tags": tags | accelerator(), "dataset": data}
        if any(known.values()):
            self._write(known)

    def _end(self, status: str, written: list[str]) -> None:
        """Close the row. Finished work is kept, and an error shown, even if the project's own store is no longer there."""
        try:
            if status == "FINISHED":
                self._log_outputs(written)
            self._write({"status": status, "time": int(time.time() * 1000)})
        except Exception as error:
            print(f"MLflow run {self.run_id} could not be set to {status}: {first_line(error)}", file=sys.stderr)


@contextmanager
def stage_run(
    *, stage: str, benchmark: str, seed: int | None, method: str | None = None, params: dict, resume_id: str | None = None
) -> Iterator[StageRun]:
    """A run of MLflow experiment confidnet/BENCHMARK for the length of a with-block, named like "mcp · seed 0".

    It lies under the row of the pipeline execution that it belongs to, which the first of its stages makes: see _mlflow_header.py. That
    row is RUNNING while a stage is, and then what its last stage ended as.

    The store is MLFLOW_TRACKING_URI, else ROOT/mlflow.db with artifacts in ROOT/mlruns; ROOT is $DVC_ROOT or the working directory,
    so experiments that DVC runs in temporary copies keep their rows. The row ends as FINISHED, as FAILED after an exception and as
    KILLED after Ctrl-C or SIGTERM (which leaves the block as SystemExit 143). After SIGKILL it stays RUNNING until the project's next
    run, which closes it as KILLED; its id given as resume_id continues it, provided that it is of the same benchmark and params.
    ValueError where the store cannot be opened, unless it is a server, and as of check_workspace.
    """
    check_workspace()
    identity = {"stage": stage, "benchmark": benchmark, "seed": seed, "method": method}
    written, whole = outputs(**identity), fitting_params(flatten(settings(benchmark)))
    header = describe(identity, fitting_params(flatten(params)), whole, written)
    with sigterm_raises() as terminated, ExitStack() as stack:
        run = StageRun(uuid4().hex, header, stack)
        run._open(resume_id)
        try:
            run._write({key: header[key] for key in ("tags", "params", "dataset")})
            yield run
        except BaseException as error:
            run._end("KILLED" if terminated.is_set() else _status(error), written)
            raise
        run._end("FINISHED", written)


def flatten(nested: dict, prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} becomes {"a.b": 1}. Lists stay whole, and so does an empty dict."""
    flat = {}
    for key, value in nested.items():
        name = f"{prefix}{key}"
        flat.update(flatten(value, f"{name}.") if isinstance(value, dict) and value else {name: value})
    return flat


def _warn(message: str) -> None:
    print(f"WARNING {message}; `python -m confidnet_core send` sends it", file=sys.stderr, flush=True)


def _status(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "KILLED"
    return "FINISHED" if isinstance(error, SystemExit) and error.code in (None, 0) else "FAILED"
