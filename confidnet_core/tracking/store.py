"""The MLflow store, which holds all runs of a project: a server, or a local database that only one process at a time opens.

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
    """Error: the MLflow store cannot be opened until the user fixes something, which the message names."""


class ServerError(Exception):
    """Error: the MLflow server does not accept requests at present."""


def open_store(experiment: str) -> tuple[Any, str]:
    """Return an MLflow client and the id of the experiment with this name, which is created if missing.
    StoreError and ServerError, as the module's docstring describes them.
    """
    return _open_store_with(lambda uri, root: _open_experiment(uri, experiment, root))


def open_client() -> Any:
    """Return an MLflow client for the project's store. StoreError and ServerError as from `open_store`."""
    return _open_store_with(lambda uri, root: _create_client(uri))


def _open_store_with(open_uri: Callable[[str, Path], Result]) -> Result:
    """Return the result of OPEN_URI(store URI, project root), which at most one process of the project runs at a time."""
    os.environ.pop("MLFLOW_RUN_ID", None)  # set in a shell, it would merge all stages into one run
    for name, value in DEFAULT_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it reports each retry; one warning is enough
    root = project_root()
    uri = store_uri(root)
    try:
        with temporary_environment(OPENING_ENVIRONMENT), _lock_database(root) if not uses_server() else nullcontext():
            return open_uri(uri, root)
    except StoreError:
        raise
    except Exception as error:
        if uses_server():
            raise ServerError(failure_reason(error)) from None
        raise StoreError(without_password(f"the MLflow store {uri} does not open: {first_line(error)}. {_remedy_sentence(root)}")) from None


def project_root() -> Path:
    """Return the project folder that holds the MLflow store, even for a stage in one of DVC's temporary copies of the project."""
    return Path(os.environ.get("DVC_ROOT") or os.getcwd()).resolve()


def uses_server() -> bool:
    """Return whether the environment variable MLFLOW_TRACKING_URI names an MLflow server (http, https)."""
    return os.environ.get("MLFLOW_TRACKING_URI", "").strip().startswith(SERVER_SCHEMES)


def store_lock(root: Path) -> FileLock:
    """Return the file lock for work on the MLflow store that only one process of the project may do at a time."""
    lock_path = root / ".dvc" / "tmp" / "mlflow.lock"
    lock_path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(lock_path, timeout=600)


@contextmanager
def _lock_database(root: Path) -> Iterator[None]:
    # Two processes that create the database at once corrupt it. MLflow places its Default experiment in the working directory.
    with store_lock(root), chdir(root), _remove_incomplete_database(root / "mlflow.db"), _remove_escaped_folders(root):
        yield


def _open_experiment(uri: str, name: str, root: Path) -> tuple[Any, str]:
    from mlflow.exceptions import MlflowException

    client = _create_client(uri)
    artifact_uri = (root / "mlruns").as_uri()
    experiment, tags = client.get_experiment_by_name(name), experiment_tags(name.rpartition("/")[2])
    if experiment is None:
        # Servers and MLflow's store of plain files choose where artifacts go; a database would use the working directory.
        artifact_location = artifact_uri if uri.startswith(DATABASE_SCHEMES) else None
        try:
            return client, client.create_experiment(name, artifact_location, tags)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # created meanwhile by a parallel stage on the same server
                raise
            experiment = client.get_experiment_by_name(name)
    if experiment.lifecycle_stage != "active":
        raise StoreError(
            f"experiment {name} was deleted; `mlflow experiments restore -x {experiment.experiment_id}` brings it back, "
            "`mlflow gc` removes it"
        )
    if uri == _project_database_uri(root) and experiment.artifact_location != artifact_uri:
        _update_artifact_paths(root / "mlflow.db", experiment.artifact_location, artifact_uri)
    for key in tags.keys() - experiment.tags.keys():  # an older version did not write these tags
        client.set_experiment_tag(experiment.experiment_id, key, tags[key])
    return client, experiment.experiment_id


def _create_client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(uri)  # creates or migrates a database


def _update_artifact_paths(database: Path, old_uri: str, new_uri: str) -> None:
    """Replace OLD_URI by NEW_URI in the database's artifact paths: after a project was moved, MLflow would use the old folder."""
    with closing(sqlite3.connect(database, timeout=60)) as connection, connection:
        for table, column in ARTIFACT_COLUMNS:
            where_clause = f"WHERE {column} = ?2 OR substr({column}, 1, length(?2) + 1) = ?2 || '/'"
            connection.execute(f"UPDATE {table} SET {column} = ?1 || substr({column}, length(?2) + 1) {where_clause}", (new_uri, old_uri))


def store_uri(root: Path) -> str:
    """Return the MLflow store's URI: MLFLOW_TRACKING_URI with paths made absolute from ROOT, else that of the database ROOT/mlflow.db."""
    uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    if not uri:
        return _project_database_uri(root)
    if uri.startswith("sqlite:///"):
        path, _, query = uri.removeprefix("sqlite:///").partition("?")
        path = path if Path(path).is_absolute() or path == ":memory:" else f"{_escape_sqlite_path(root)}/{path.removeprefix('./')}"
        return f"sqlite:///{path}?{query}" if "timeout=" in query else f"sqlite:///{path}?{f'{query}&' if query else ''}timeout=60"
    if re.match(r"[A-Za-z][\w+\-]+:|databricks$", uri) is None or re.match(r"file:[^/]", uri):
        return (root / uri.removeprefix("file:")).resolve().as_uri()
    if uri.startswith(SERVER_SCHEMES) and not _has_host_name(uri):
        raise StoreError(f"MLFLOW_TRACKING_URI is {without_password(uri)}; expected the address of a server, as http://127.0.0.1:5000")
    return uri


def _has_host_name(uri: str) -> bool:
    try:
        return bool(urlsplit(uri).hostname) and urlsplit(uri).port != 0
    except ValueError:  # the port is not a number
        return False


def _project_database_uri(root: Path) -> str:
    return f"sqlite:///{_escape_sqlite_path(root)}/mlflow.db?timeout=60"  # the default of 5 s is too short for several writers


def _escape_sqlite_path(path: Path) -> str:
    """Return a path for a sqlite URI with only % and ? escaped: for other escapes, MLflow creates a second folder of that name."""
    return path.as_posix().replace("%", "%25").replace("?", "%3F")


@contextmanager
def temporary_environment(values: dict[str, str]) -> Iterator[None]:
    """Context manager that sets environment variables for its with-block and restores the old values afterwards."""
    old_values = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in old_values.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


@contextmanager
def _remove_incomplete_database(database: Path) -> Iterator[None]:
    """Context manager that deletes a new database if the block fails: its partial tables would make every later opening fail."""
    existed_before = database.exists()
    try:
        yield
    except BaseException:
        for path in [] if existed_before else [database, database.with_name(f"{database.name}-journal")]:
            path.unlink(missing_ok=True)
        raise


@contextmanager
def _remove_escaped_folders(root: Path) -> Iterator[None]:
    """Context manager that removes the empty folders which MLflow creates under the escaped name of ROOT in a sqlite URI."""
    missing_folders = [
        folder for folder in (Path(_escape_sqlite_path(root)), *Path(_escape_sqlite_path(root)).parents) if not folder.exists()
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
    """Return a short phrase that says how a server failed, such as "does not answer in time"; MLflow's own message is long."""
    if isinstance(error, ServerError):
        return str(error)
    text = first_line(error)
    if http_status := re.search(r"error code (\d{3})|too many (\d{3}) error|(\d{3}) (?:Client|Server) Error", text):
        return f"answers with HTTP {next(filter(None, http_status.groups()))}"
    if "timed out" in text:
        return "does not answer in time"
    if system_error := re.search(r"\[Errno -?\d+\] ([\w ]+)", text):
        return f"is not reached ({system_error[1]})"
    return f"fails ({without_password(text)[:200]})"


def without_password(text: str) -> str:
    """Return TEXT with user names and passwords removed from the URIs in it."""
    return re.sub(r"://[^/@\s]*@", "://", text)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, cut to 500 characters; the error's type if the message is empty."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:500]
