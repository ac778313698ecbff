"""The MLflow store: one for the project, with a local database that only one process at a time opens.

StoreError   the user must fix something before any work: a URI that names no store, a deleted experiment, and any fault of a local database
             or folder
ServerError  a server (http, https) is down, slow, or answers with an error such as 403 or 500, which is no reason to stop work

Sources: MLflow 3.17 (mlflow.org/docs/latest/self-hosting/architecture/backend-store); SQLAlchemy's rules for sqlite URIs.
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

SERVER_SCHEMES = ("http://", "https://")
DATABASE_SCHEMES = ("sqlite:", "postgresql", "mysql", "mssql")
DEFAULT_ENVIRONMENT = {
    # A server that stops answering delays a run by 20 s; MLflow's default of 7 retries of 120 s each would delay it by minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
ARTIFACT_COLUMNS = (  # (table, column) of the database that hold absolute paths
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)
OPENING_ENVIRONMENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
Result = TypeVar("Result")


class StoreError(ValueError):
    """A store that cannot be opened until the user fixes something."""


class ServerError(Exception):
    """A server that does not accept requests at present."""


def open_store(experiment: str) -> tuple[Any, str]:
    """Return a client and the id of the experiment, which is created if missing. StoreError says what to fix, ServerError how the server
    fails.
    """
    return _open_with(lambda uri, root: _open_experiment(uri, experiment, root))


def open_client() -> Any:
    """Return a client only. StoreError and ServerError as from `open_store`."""
    return _open_with(lambda uri, root: _client(uri))


def _open_with(open_uri: Callable[[str, Path], Result]) -> Result:
    """Return the result of OPEN_URI for the store's URI and the project's root, one process of the project at a time."""
    os.environ.pop("MLFLOW_RUN_ID", None)  # set in a shell, it would merge all stages into one run
    for name, value in DEFAULT_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it reports each retry; one warning is enough
    root = project_root()
    uri = store_uri(root)
    try:
        with temporary_environment(OPENING_ENVIRONMENT), _exclusive_database(root) if not uses_server() else nullcontext():
            return open_uri(uri, root)
    except StoreError:
        raise
    except Exception as error:
        if uses_server():
            raise ServerError(failure_reason(error)) from None
        raise StoreError(without_password(f"the MLflow store {uri} does not open: {first_line(error)}. {_remedy_sentence(root)}")) from None


def project_root() -> Path:
    """Return the folder that holds the store, also for a stage in one of DVC's temporary copies."""
    return Path(os.environ.get("DVC_ROOT") or os.getcwd()).resolve()


def uses_server() -> bool:
    """Return whether MLFLOW_TRACKING_URI names a server."""
    return os.environ.get("MLFLOW_TRACKING_URI", "").strip().startswith(SERVER_SCHEMES)


def store_lock(root: Path) -> FileLock:
    """Return a lock for work that only one process of the project may do at a time."""
    lock = root / ".dvc" / "tmp" / "mlflow.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(lock, timeout=600)


@contextmanager
def _exclusive_database(root: Path) -> Iterator[None]:
    # Two processes that create the database at once corrupt it. MLflow places its Default experiment in the working directory.
    with store_lock(root), chdir(root), _remove_incomplete_database(root / "mlflow.db"), _remove_escaped_folders(root):
        yield


def _open_experiment(uri: str, name: str, root: Path) -> tuple[Any, str]:
    from mlflow.exceptions import MlflowException

    client = _client(uri)
    artifacts = (root / "mlruns").as_uri()
    experiment, tags = client.get_experiment_by_name(name), experiment_tags(name.rpartition("/")[2])
    if experiment is None:
        # Servers and MLflow's store of plain files choose where artifacts go; a database would use the working directory.
        location = artifacts if uri.startswith(DATABASE_SCHEMES) else None
        try:
            return client, client.create_experiment(name, location, tags)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # created meanwhile by a parallel stage on the same server
                raise
            experiment = client.get_experiment_by_name(name)
    if experiment.lifecycle_stage != "active":
        raise StoreError(
            f"experiment {name} was deleted; `mlflow experiments restore -x {experiment.experiment_id}` brings it back, "
            "`mlflow gc` removes it"
        )
    if uri == _default_uri(root) and experiment.artifact_location != artifacts:
        _update_artifact_paths(root / "mlflow.db", experiment.artifact_location, artifacts)
    for key in tags.keys() - experiment.tags.keys():  # an older version did not write these tags
        client.set_experiment_tag(experiment.experiment_id, key, tags[key])
    return client, experiment.experiment_id


def _client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(uri)  # creates or migrates a database


def _update_artifact_paths(database: Path, old: str, new: str) -> None:
    """Replace absolute artifact paths after the project was moved: MLflow would otherwise use the old folder."""
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        for table, column in ARTIFACT_COLUMNS:
            where = f"WHERE {column} = ?2 OR substr({column}, 1, length(?2) + 1) = ?2 || '/'"
            connection.execute(f"UPDATE {table} SET {column} = ?1 || substr({column}, length(?2) + 1) {where}", (new, old))


def store_uri(root: Path) -> str:
    """Return the URI from the environment, with relative paths resolved against ROOT, or that of the project's own database."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    if not uri:
        return _default_uri(root)
    if uri.startswith("sqlite:///"):
        path, _, query = uri.removeprefix("sqlite:///").partition("?")
        path = path if Path(path).is_absolute() or path == ":memory:" else f"{_escape_for_sqlite(root)}/{path.removeprefix('./')}"
        return f"sqlite:///{path}?{query}" if "timeout=" in query else f"sqlite:///{path}?{f'{query}&' if query else ''}timeout=60"
    if re.match(r"[A-Za-z][\w+\-]+:|databricks$", uri) is None or re.match(r"file:[^/]", uri):
        return (root / uri.removeprefix("file:")).resolve().as_uri()
    if uri.startswith(SERVER_SCHEMES) and not _has_host(uri):
        raise StoreError(f"MLFLOW_TRACKING_URI is {without_password(uri)}; expected the address of a server, as http://127.0.0.1:5000")
    return uri


def _has_host(uri: str) -> bool:
    try:
        return bool(urlsplit(uri).hostname) and urlsplit(uri).port != 0
    except ValueError:  # the port is not a number
        return False


def _default_uri(root: Path) -> str:
    return f"sqlite:///{_escape_for_sqlite(root)}/mlflow.db?timeout=60"  # the default of 5 s is too short for several writers


def _escape_for_sqlite(path: Path) -> str:
    """Escape only % and ?, which have a meaning in a sqlite URI; quoting more makes MLflow create a second folder with the quoted name."""
    return path.as_posix().replace("%", "%25").replace("?", "%3F")


@contextmanager
def temporary_environment(values: dict[str, str]) -> Iterator[None]:
    """Set environment variables while the block runs."""
    old = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in old.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


@contextmanager
def _remove_incomplete_database(database: Path) -> Iterator[None]:
    """Remove a database whose first opening was interrupted: its partial tables would make every later opening fail."""
    existed_before = database.exists()
    try:
        yield
    except BaseException:
        for path in [] if existed_before else [database, database.with_name(f"{database.name}-journal")]:
            path.unlink(missing_ok=True)
        raise


@contextmanager
def _remove_escaped_folders(root: Path) -> Iterator[None]:
    """Remove the empty folder that MLflow creates under the escaped name of a sqlite URI."""
    missing_folders = [
        folder for folder in (Path(_escape_for_sqlite(root)), *Path(_escape_for_sqlite(root)).parents) if not folder.exists()
    ]
    try:
        yield
    finally:
        for folder in missing_folders:
            with suppress(OSError):  # it does not exist, or holds files after all
                folder.rmdir()


def _remedy_sentence(root: Path) -> str:
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        return f"If the process that first made it was killed, move {root / 'mlflow.db'} away and start again"
    return f"Correct MLFLOW_TRACKING_URI, or unset MLFLOW_TRACKING_URI to use {root / 'mlflow.db'}"


def failure_reason(error: Exception) -> str:
    """Describe briefly how a server fails: MLflow's own message is a chain of library errors."""
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
    """Remove user name and password from URIs in TEXT."""
    return re.sub(r"://[^/@\s]*@", "://", text)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, at most 500 characters, or its type."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:500]
