"""MLflow behind a few calls: one flat run for each executed stage, in one store for the whole project.

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
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confidnet_core._mlflow_store import first_line, open_store
from confidnet_core.revision import git

LONGEST_PARAM = 6000  # MLflow's own limit, in characters
BATCH = 100  # params and tags that MLflow takes in one call
TERMINATED = 143  # 128 + SIGTERM, as a shell reports it
GENERATED = ("dvc.lock", "reports")  # what the stages themselves rewrite: changed files there do not make the commit dirty


class StageRun:
    """One row of the MLflow table, open for writing. `run_id` is what a resume folder keeps."""

    def __init__(self, client: Any, run_id: str, undefined: set[str]) -> None:
        self.run_id = run_id
        self._client = client
        self._undefined = undefined

    def log_metrics(self, metrics: dict[str, float | None], step: int | None = None) -> None:
        """One call to the store for all of them; step is the epoch. None, NaN and infinity are not stored: their names go to the
        tag undefined_metrics. ValueError for what is no number.
        """
        from mlflow.entities import Metric, RunTag

        now = int(time.time() * 1000)
        numbers = {_key(name): _number(name, value) for name, value in metrics.items()}
        defined = [Metric(name, value, now, step or 0) for name, value in numbers.items() if math.isfinite(value)]
        undefined = {name for name, value in numbers.items() if not math.isfinite(value)} - self._undefined
        self._undefined |= undefined
        tags = [RunTag("undefined_metrics", ", ".join(sorted(self._undefined)))] if undefined else []
        for start in range(0, max(len(defined), 1), BATCH):
            self._client.log_batch(self.run_id, metrics=defined[start : start + BATCH], tags=tags if start == 0 else [])

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Store a file or a folder, under FOLDER of the run's artifacts. ValueError where it does not exist."""
        if not Path(path).exists():
            raise ValueError(f"{path} does not exist, so it cannot be stored with MLflow run {self.run_id}; write it before it is logged")
        self._client.log_artifact(self.run_id, str(path), folder)

    def log_figure(self, figure: Any, name: str) -> None:
        """Store a matplotlib figure as NAME; .png where the name has no ending."""
        self._client.log_figure(self.run_id, figure, name if Path(name).suffix else f"{name}.png")

    def set_tag(self, key: str, value: Any) -> None:
        self._client.set_tag(self.run_id, key, str(value))

    def _describe(self, params: dict[str, str], tags: dict[str, str]) -> None:
        from mlflow.entities import Param, RunTag

        listed = [Param(name, value) for name, value in params.items()]
        self._client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in tags.items()])
        for start in range(0, len(listed), BATCH):
            self._client.log_batch(self.run_id, params=listed[start : start + BATCH])

    def _end(self, status: str) -> None:
        """Close the row. Finished work is kept, and an error shown, even if the store is no longer there."""
        try:
            self._client.set_terminated(self.run_id, status)
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
    resume_id continues it, provided that it is of the same benchmark and params. ValueError where the store cannot be opened.
    """
    texts = {_key(name): str(value)[:LONGEST_PARAM] for name, value in flatten(params).items()}
    tags = _tags(stage=stage, benchmark=benchmark, seed=seed, method=method)
    name = " ".join([method or stage, *([] if seed is None else [f"· seed {seed}"])])  # short: the table's column is narrow
    with _sigterm_raises() as terminated:
        client, experiment_id = open_store(f"confidnet/{benchmark}")
        run = _continued(client, experiment_id, resume_id, texts) or _created(client, experiment_id, name)
        try:
            run._describe(texts, tags)
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


def _created(client: Any, experiment_id: str, name: str) -> StageRun:
    return StageRun(client, client.create_run(experiment_id, run_name=name).info.run_id, set())


def _continued(client: Any, experiment_id: str, run_id: str | None, params: dict[str, str]) -> StageRun | None:
    """None where RUN_ID is no live run of this experiment, or has other params, which MLflow never changes."""
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id) if run_id else None
    except MlflowException:
        return None
    if run is None or run.info.experiment_id != experiment_id or run.info.lifecycle_stage != "active":
        return None
    if not run.data.params.items() <= params.items():  # fewer where the run was killed before all of them were stored
        return None
    client.update_run(run_id, status="RUNNING")
    return StageRun(client, run_id, set(filter(None, run.data.tags.get("undefined_metrics", "").split(", "))))


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
