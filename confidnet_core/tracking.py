"""MLflow behind a few calls: one flat run for each executed stage, in one store for the whole project.

What is a user's mistake stops a stage before its work: see _mlflow_store. A server that is down, hangs, rejects or dies does not: from
its first failure on, the run is kept in .mlflow_kept/ID of the project (records.py), with one warning, and the server is not asked again
until the run ends; `python -m confidnet_core send` sends it. A training that is interrupted then goes on with its kept record.

MLflow 3.17 tracking API (mlflow.org/docs/latest/api_reference/python_api/mlflow.client.html); DVC sets the DVC_* variables of a stage.
"""

import math
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from confidnet_core._mlflow_run import deliver, open_run
from confidnet_core._mlflow_store import StoreError, first_line, on_server, project_root, reason, without_password
from confidnet_core._workspace import check_workspace
from confidnet_core.records import FOLDER, Record, record
from confidnet_core.revision import git

LONGEST_PARAM = 6000  # MLflow's own limit, in characters
PATIENCE = 30.0  # seconds that a run waits in all for a server's answers, the first second of each not counted
BEING_SENT = 60.0  # seconds that a training waits while its record is sent
UNDEFINED = "undefined_metrics"  # the tag that names them
TERMINATED = 143  # 128 + SIGTERM, as a shell reports it
GENERATED = ("dvc.lock", "reports")  # what the stages themselves rewrite: changed files there do not make the commit dirty


class StageRun:
    """One row of the MLflow table, open for writing. `run_id` is what a resume folder keeps."""

    def __init__(self, run_id: str, header: dict[str, Any], stack: ExitStack) -> None:
        self.run_id = run_id
        self._header = header
        self._stack = stack  # holds the record until the run has ended
        self._client: Any = None
        self._record: Record | None = None
        self._waited = 0.0
        self._undefined: set[str] = set()

    def log_metrics(self, metrics: dict[str, float | None], step: int | None = None) -> None:
        """step is the epoch. None, NaN and infinity are not stored: their names go to the tag undefined_metrics. ValueError for what is
        no number.
        """
        now = int(time.time() * 1000)
        numbers = {_key(name): _number(name, value) for name, value in metrics.items()}
        entry: dict[str, Any] = {"metrics": [[name, value, now, step or 0] for name, value in numbers.items() if math.isfinite(value)]}
        if undefined := {name for name, value in numbers.items() if not math.isfinite(value)} - self._undefined:
            self._undefined |= undefined
            entry["tags"] = {UNDEFINED: ", ".join(sorted(self._undefined))}
        self._log(entry)

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Store a file or a folder, under FOLDER of the run's artifacts. ValueError where it does not exist."""
        if not Path(path).exists():
            raise ValueError(f"{path} does not exist, so it cannot be stored with MLflow run {self.run_id}; write it before it is logged")
        self._log({"artifact": str(path), "folder": folder})

    def log_figure(self, figure: Any, name: str) -> None:
        """Store a matplotlib figure as NAME; .png where the name has no ending."""
        place = Path(name if Path(name).suffix else f"{name}.png")
        with TemporaryDirectory() as folder:
            figure.savefig(Path(folder) / place.name)
            self._log({"artifact": f"{folder}/{place.name}", "folder": None if place.parent == Path() else place.parent.as_posix()})

    def set_tag(self, key: str, value: Any) -> None:
        self._log({"tags": {key: str(value)}})

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
            self._client, run = open_run(self._header, resume_id, self.run_id if on_server() else None)
            self.run_id = run.info.run_id
            self._recall(run.data.tags)
            if run.info.status != "RUNNING":
                self._client.update_run(self.run_id, status="RUNNING")
        except Exception as error:
            if isinstance(error, StoreError) or not on_server():
                raise
            self.run_id = resume_id or self.run_id
            self._keep(reason(error))

    def _log(self, entry: dict[str, Any]) -> None:
        if self._record is None:
            began = time.monotonic()
            try:
                deliver(self._client, self.run_id, entry)
            except BaseException as error:
                if not on_server():
                    raise
                stopped = not isinstance(error, Exception)  # by SIGTERM or Ctrl-C
                self._keep("had not answered yet when the run was stopped" if stopped else reason(error))
                self._record.append(entry)
                if stopped:
                    raise
                return
            self._waited += max(0.0, time.monotonic() - began - 1)
            if on_server() and self._waited > PATIENCE:
                self._keep(f"is slow ({self._waited:.0f} s of waiting in this run)")
        else:
            self._record.append(entry)

    def _keep(self, why: str) -> None:
        """From now on in a record of this project, not on the server."""
        self._record = record(project_root(), self.run_id)
        self._stack.enter_context(self._record.held())
        tags = {UNDEFINED: ", ".join(sorted(self._undefined))} if self._undefined else {}
        self._record.begin({**self._header, "tags": self._header["tags"] | tags})
        _warn(f"the MLflow server {self._header['meant_for']} {why}; this run is kept in {FOLDER}/{self.run_id}")

    def _go_on(self, found: Record) -> None:
        self._record, self.run_id = found, found.folder.name
        for entry in [found.header(), *found.entries()]:
            self._recall(entry.get("tags", {}))
        _warn(f"this run goes on in {FOLDER}/{self.run_id}, where it is kept since its MLflow server failed")

    def _recall(self, tags: dict[str, str]) -> None:
        self._undefined |= set(filter(None, tags.get(UNDEFINED, "").split(", ")))

    def _end(self, status: str) -> None:
        """Close the row. Finished work is kept, and an error shown, even if the project's own store is no longer there."""
        try:
            self._log({"status": status, "time": int(time.time() * 1000)})
        except Exception as error:
            print(f"MLflow run {self.run_id} could not be set to {status}: {first_line(error)}", file=sys.stderr)


@contextmanager
def stage_run(
    *, stage: str, benchmark: str, seed: int | None, method: str | None = None, params: dict, resume_id: str | None = None
) -> Iterator[StageRun]:
    """A run of MLflow experiment confidnet/BENCHMARK for the length of a with-block, named like "mcp · seed 0".

    The store is MLFLOW_TRACKING_URI, else ROOT/mlflow.db with artifacts in ROOT/mlruns; ROOT is $DVC_ROOT or the working directory,
    so experiments that DVC runs in temporary copies keep their rows. The row ends as FINISHED, as FAILED after an exception and as
    KILLED after Ctrl-C or SIGTERM (which leaves the block as SystemExit 143). After SIGKILL it stays RUNNING; its id given as
    resume_id continues it, provided that it is of the same benchmark and params. ValueError where the store cannot be opened, unless
    it is a server, and as of check_workspace.
    """
    check_workspace()
    header = {
        "experiment": f"confidnet/{benchmark}",
        "name": " ".join([method or stage, *([] if seed is None else [f"· seed {seed}"])]),  # short: the table's column is narrow
        "start": int(time.time() * 1000),
        "params": {_key(name): str(value)[:LONGEST_PARAM] for name, value in flatten(params).items()},
        "tags": _tags(stage=stage, benchmark=benchmark, seed=seed, method=method),
        "meant_for": without_password(os.environ.get("MLFLOW_TRACKING_URI", "").strip()),
    }
    with _sigterm_raises() as terminated, ExitStack() as stack:
        run = StageRun(uuid4().hex, header, stack)
        run._open(resume_id)
        try:
            run._log({key: header[key] for key in ("tags", "params")})
            yield run
        except BaseException as error:
            run._end("KILLED" if terminated.is_set() else _status(error))
            raise
        run._end("FINISHED")


def flatten(nested: dict, prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} becomes {"a.b": 1}. Lists stay whole, and so does an empty dict."""
    flat = {}
    for key, value in nested.items():
        name = f"{prefix}{key}"
        flat.update(flatten(value, f"{name}.") if isinstance(value, dict) and value else {name: value})
    return flat


def _key(name: str) -> str:
    """MLflow refuses names such as fpr@95 or iou (%)."""
    return re.sub(r"[^\w./\- ]", "_", str(name))


def _number(name: str, value: Any) -> float:
    try:
        return math.nan if value is None else float(value)
    except (TypeError, ValueError):
        raise ValueError(f"metric {name} is {value!r}; expected a number, or None where it is undefined") from None


def _warn(message: str) -> None:
    print(f"WARNING {message}; `python -m confidnet_core send` sends it", file=sys.stderr, flush=True)


def _status(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "KILLED"
    return "FINISHED" if isinstance(error, SystemExit) and error.code in (None, 0) else "FAILED"


@contextmanager
def _sigterm_raises() -> Iterator[threading.Event]:
    """SIGTERM leaves the block as SystemExit(143), so that the row can be closed; the event is set. Only in the main thread."""
    terminated = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield terminated
        return
    owner = os.getpid()

    def leave(number: int, frame: Any) -> None:
        if os.getpid() != owner:  # a forked data loader inherits the handler, and must not close its parent's row
            os._exit(TERMINATED)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not stop the closing
        terminated.set()
        raise SystemExit(TERMINATED)

    previous = signal.signal(signal.SIGTERM, leave)
    try:
        yield terminated
    except Exception:
        if terminated.is_set():  # a library's clean-up can fail over the SystemExit, and hide it
            raise SystemExit(TERMINATED) from None
        raise
    finally:
        signal.signal(signal.SIGTERM, previous or signal.SIG_DFL)


def _tags(**identity: Any) -> dict[str, str]:
    commit = git("rev-parse", "HEAD")
    changed = git("status", "--porcelain", "--", ".", *(f":(exclude){path}" for path in GENERATED))
    tags = identity | {
        "mlflow.source.name": f"stages/{identity['stage']}.py",  # these two fill columns of MLflow's own
        "mlflow.source.git.commit": commit or None,
        "git_commit": commit or None,
        "git_dirty": None if changed is None or not commit else "true" if changed else "false",
        "dvc_exp_name": os.environ.get("DVC_EXP_NAME") or None,
        "dvc_stage": os.environ.get("DVC_STAGE") or None,
        "dvc_exp_baseline_rev": os.environ.get("DVC_EXP_BASELINE_REV") or None,
    }
    return {key: str(value) for key, value in tags.items() if value is not None}
