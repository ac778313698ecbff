"""Where MLflow keeps the rows and files of tracking.py: one store for the project, opened by one process at a time.

MLflow 3.17 (mlflow.org/docs/latest/self-hosting/architecture/backend-store); SQLAlchemy's rules for sqlite URIs.
"""

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, chdir, closing, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

SERVERS = ("http://", "https://")
DATABASES = ("sqlite:", "postgresql", "mysql", "mssql")
DEFAULTS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_LOGGING_LEVEL": "WARNING"}
# A missing server fails in seconds; MLflow's own 7 retries of 120 s each would hold a stage for minutes.
WHILE_OPENING = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}


def open_store(experiment: str) -> tuple[Any, str]:
    """A client, and the id of the experiment, which is made if need be. ValueError says what to do about a store that does not open."""
    os.environ.pop("MLFLOW_RUN_ID", None)  # left in a shell, it would draw every stage into one run
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    root = Path(os.environ.get("DVC_ROOT") or os.getcwd()).resolve()
    uri = _store_uri(root)
    try:
        with ExitStack() as stack:
            lock = root / ".dvc" / "tmp" / "mlflow.lock"
            lock.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(lock, timeout=600))  # two processes that make the database at once ruin it
            stack.enter_context(chdir(root))  # MLflow places its Default experiment in the working directory
            stack.enter_context(_environment(WHILE_OPENING))
            stack.enter_context(_half_made_removed(root / "mlflow.db"))
            return _open_experiment(uri, experiment, root)
    except ValueError:
        raise
    except Exception as error:
        message = f"the MLflow store {uri} does not open: {first_line(error)}. {_remedy(uri, root)}"
        raise ValueError(re.sub(r"://[^/@\s]*@", "://", message)) from None  # without a password, which the cause repeats


def _open_experiment(uri: str, name: str, root: Path) -> tuple[Any, str]:
    from mlflow import MlflowClient

    client = MlflowClient(uri)  # makes or migrates a database
    artifacts = (root / "mlruns").as_uri()
    found = client.get_experiment_by_name(name)
    if found is None:
        # Servers and MLflow's store of plain files have their own place for artifacts; a database would use the working directory.
        location = artifacts if uri.startswith(DATABASES) else None
        # The tag says that this is an experiment of trained models, not of language model traces.
        return client, client.create_experiment(name, location, {"mlflow.experimentKind": "custom_model_development"})
    if found.lifecycle_stage != "active":
        raise ValueError(
            f"experiment {name} was deleted; `mlflow experiments restore -x {found.experiment_id}` brings it back, `mlflow gc` removes it"
        )
    if uri == _default_uri(root) and found.artifact_location != artifacts:
        _follow_move(root / "mlflow.db", found.artifact_location, artifacts)
    return client, found.experiment_id


def _follow_move(database: Path, old: str, new: str) -> None:
    """MLflow keeps absolute paths: after a move of the project, artifacts would go to, and be sought in, the old folder."""
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            where = f"WHERE {column} = ?2 OR substr({column}, 1, length(?2) + 1) = ?2 || '/'"
            connection.execute(f"UPDATE {table} SET {column} = ?1 || substr({column}, length(?2) + 1) {where}", (new, old))


def _store_uri(root: Path) -> str:
    """The environment's, with relative paths anchored at ROOT, or the project's own database."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    if not uri:
        return _default_uri(root)
    if uri.startswith("sqlite:///"):
        path, _, query = uri.removeprefix("sqlite:///").partition("?")
        path = path if Path(path).is_absolute() or path == ":memory:" else f"{_escaped(root)}/{path.removeprefix('./')}"
        return f"sqlite:///{path}?{query}" if "timeout=" in query else f"sqlite:///{path}?{f'{query}&' if query else ''}timeout=60"
    if re.match(r"[A-Za-z][\w+\-]+:|databricks$", uri) is None or re.match(r"file:[^/]", uri):
        return (root / uri.removeprefix("file:")).resolve().as_uri()
    return uri


def _default_uri(root: Path) -> str:
    return f"sqlite:///{_escaped(root)}/mlflow.db?timeout=60"  # the default of 5 s is too short for several writers


def _escaped(path: Path) -> str:
    """Only % and ? have a meaning in a sqlite URI; quoting more makes MLflow create a second folder of the quoted name."""
    return path.as_posix().replace("%", "%25").replace("?", "%3F")


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    old = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in old.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


@contextmanager
def _half_made_removed(database: Path) -> Iterator[None]:
    """An interrupted first opening would leave tables that every later one stumbles over."""
    there = database.exists()
    try:
        yield
    except BaseException:
        for path in [] if there else [database, database.with_name(f"{database.name}-journal")]:
            path.unlink(missing_ok=True)
        raise


def _remedy(uri: str, root: Path) -> str:
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        return f"If the process that first made it was killed, move {root / 'mlflow.db'} away and start again"
    begin = "Start that server" if uri.startswith(SERVERS) else "Correct MLFLOW_TRACKING_URI"
    return f"{begin}, or unset MLFLOW_TRACKING_URI to use {root / 'mlflow.db'}"


def first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:500]
