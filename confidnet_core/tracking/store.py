"""Where MLflow keeps rows and files: one store for the project, a database opened by one process at a time.

StoreError   the user must mend something before any work: a URI that names no store, an experiment that was deleted, and whatever is
             wrong with a database or a folder, which are the user's own
ServerError  a server (http, https) is down, slow, or answers with an error such as 403 or 500: no reason to stop any work

MLflow 3.17 (mlflow.org/docs/latest/self-hosting/architecture/backend-store); SQLAlchemy's rules for sqlite URIs.
"""

import logging
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import chdir, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from filelock import FileLock

from confidnet_core.tracking.views import experiment_tags

SERVERS = ("http://", "https://")
DATABASES = ("sqlite:", "postgresql", "mysql", "mssql")
DEFAULTS = {
    # A server that stops answering holds a run for 20 s; MLflow's own 7 retries of 120 s each would hold it for minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
ARTIFACT_COLUMNS = (  # that hold absolute paths
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)
WHILE_OPENING = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
Opened = TypeVar("Opened")


class StoreError(ValueError):
    """A store that does not open before the user mends something."""


class ServerError(Exception):
    """A server that does not accept requests for now."""


def open_store(experiment: str) -> tuple[Any, str]:
    """A client, and the id of the experiment, which is made if need be. StoreError says what to do, ServerError what the server does."""
    return _opened(lambda uri, root: _open_experiment(uri, experiment, root))


def open_client() -> Any:
    """A client alone. StoreError and ServerError as from open_store."""
    return _opened(lambda uri, root: _client(uri))


def _opened(opening: Callable[[str, Path], Opened]) -> Opened:
    """What OPENING gives for the store's URI and the project's root, by one process of the project at a time."""
    os.environ.pop("MLFLOW_RUN_ID", None)  # left in a shell, it would draw every stage into one run
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it reports each try; one warning is enough
    root = project_root()
    uri = store_uri(root)
    try:
        with in_environment(WHILE_OPENING), _database_of_its_own(root) if not on_server() else nullcontext():
            return opening(uri, root)
    except StoreError:
        raise
    except Exception as error:
        if on_server():
            raise ServerError(reason(error)) from None
        raise StoreError(without_password(f"the MLflow store {uri} does not open: {first_line(error)}. {_remedy(root)}")) from None


def project_root() -> Path:
    """The folder that holds the store, also for a stage in one of DVC's temporary copies."""
    return Path(os.environ.get("DVC_ROOT") or os.getcwd()).resolve()


def on_server() -> bool:
    return os.environ.get("MLFLOW_TRACKING_URI", "").strip().startswith(SERVERS)


def store_lock(root: Path) -> FileLock:
    """A lock for what only one process of the project may do at a time."""
    lock = root / ".dvc" / "tmp" / "mlflow.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(lock, timeout=600)


@contextmanager
def _database_of_its_own(root: Path) -> Iterator[None]:
    # Two processes that make the database at once ruin it. MLflow places its Default experiment in the working directory.
    with store_lock(root), chdir(root), _half_made_removed(root / "mlflow.db"), _no_second_folder(root):
        yield


def _open_experiment(uri: str, name: str, root: Path) -> tuple[Any, str]:
    from mlflow.exceptions import MlflowException

    client = _client(uri)
    artifacts = (root / "mlruns").as_uri()
    found, tags = client.get_experiment_by_name(name), experiment_tags(name.rpartition("/")[2])
    if found is None:
        # Servers and MLflow's store of plain files have their own place for artifacts; a database would use the working directory.
        location = artifacts if uri.startswith(DATABASES) else None
        try:
            return client, client.create_experiment(name, location, tags)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # made since by a stage beside this one, on the same server
                raise
            found = client.get_experiment_by_name(name)
    if found.lifecycle_stage != "active":
        raise StoreError(
            f"experiment {name} was deleted; `mlflow experiments restore -x {found.experiment_id}` brings it back, `mlflow gc` removes it"
        )
    if uri == _default_uri(root) and found.artifact_location != artifacts:
        _follow_move(root / "mlflow.db", found.artifact_location, artifacts)
    for key in tags.keys() - found.tags.keys():  # of a version that did not write them
        client.set_experiment_tag(found.experiment_id, key, tags[key])
    return client, found.experiment_id


def _client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(uri)  # makes or migrates a database


def _follow_move(database: Path, old: str, new: str) -> None:
    """MLflow keeps absolute paths: after a move of the project, artifacts would go to, and be sought in, the old folder."""
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        for table, column in ARTIFACT_COLUMNS:
            where = f"WHERE {column} = ?2 OR substr({column}, 1, length(?2) + 1) = ?2 || '/'"
            connection.execute(f"UPDATE {table} SET {column} = ?1 || substr({column}, length(?2) + 1) {where}", (new, old))


def store_uri(root: Path) -> str:
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
    if uri.startswith(SERVERS) and not _has_host(uri):
        raise StoreError(f"MLFLOW_TRACKING_URI is {without_password(uri)}; expected the address of a server, as http://127.0.0.1:5000")
    return uri


def _has_host(uri: str) -> bool:
    try:
        return bool(urlsplit(uri).hostname) and urlsplit(uri).port != 0
    except ValueError:  # the port is no number
        return False


def _default_uri(root: Path) -> str:
    return f"sqlite:///{_escaped(root)}/mlflow.db?timeout=60"  # the default of 5 s is too short for several writers


def _escaped(path: Path) -> str:
    """Only % and ? have a meaning in a sqlite URI; quoting more makes MLflow create a second folder of the quoted name."""
    return path.as_posix().replace("%", "%25").replace("?", "%3F")


@contextmanager
def in_environment(values: dict[str, str]) -> Iterator[None]:
    """With these variables set for the length of a block."""
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


@contextmanager
def _no_second_folder(root: Path) -> Iterator[None]:
    """MLflow makes the folder of a sqlite URI, but under its escaped name, in which nothing is ever stored."""
    made = [folder for folder in (Path(_escaped(root)), *Path(_escaped(root)).parents) if not folder.exists()]
    try:
        yield
    finally:
        for folder in made:
            with suppress(OSError):  # not there, or somebody's after all
                folder.rmdir()


def _remedy(root: Path) -> str:
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        return f"If the process that first made it was killed, move {root / 'mlflow.db'} away and start again"
    return f"Correct MLFLOW_TRACKING_URI, or unset MLFLOW_TRACKING_URI to use {root / 'mlflow.db'}"


def reason(error: Exception) -> str:
    """What is wrong with a server, in few words: MLflow's own message is a chain of library errors."""
    if isinstance(error, ServerError):
        return str(error)
    text = first_line(error)
    if status := re.search(r"error code (\d{3})|too many (\d{3}) error|(\d{3}) (?:Client|Server) Error", text):
        return f"answers with HTTP {next(filter(None, status.groups()))}"
    if "timed out" in text:
        return "does not answer in time"
    if system := re.search(r"\[Errno -?\d+\] ([\w ]+)", text):
        return f"is not reached ({system[1]})"
    return f"fails ({without_password(text)[:200]})"


def without_password(text: str) -> str:
    return re.sub(r"://[^/@\s]*@", "://", text)


def first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:500]
