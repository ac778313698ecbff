"""The MLflow store, which holds all runs of a project: a server, or a local database that only one process at a time opens.

StoreError   the user must fix something before any work: a URI that names no store, a deleted experiment, and any fault of a local database
             or folder
ServerError  a server (http, https) is down, slow, or answers with an error such as 403 or 500, which is no reason to stop work

Sources: MLflow 3.17 (mlflow.org/docs/latest/self-hosting/architecture/backend-store); SQLAlchemy's rules for sqlite URIs.
"""

import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from filelock import FileLock

from confidnet_core.system.addresses import has_credentials, without_secrets
from confidnet_core.system.errors import find_disk_error
from confidnet_core.system.room import require_writable
from confidnet_core.tracking.database import (
    database_file,
    escape_sqlite_path,
    fault_of_database,
    fault_of_server,
    opening_failure_remedy,
    project_database_uri,
    remove_escaped_name_folders,
    remove_incomplete_database,
    update_artifact_paths,
)
from confidnet_core.tracking.views import experiment_tags

SERVER_URI_SCHEMES = ("http://", "https://")
DATABASE_URI_SCHEMES = ("sqlite:", "postgresql", "mysql", "mssql")
MLFLOW_ENVIRONMENT_DEFAULTS = {
    # A server that stops answering delays a run by 20 s; MLflow's default of 7 retries of 120 s each would delay it by minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
REMEDY_OF_ADDRESS = "Correct MLFLOW_TRACKING_URI, or unset MLFLOW_TRACKING_URI to use mlflow.db of the project"
STORE_OPENING_ENVIRONMENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
ReturnType = TypeVar("ReturnType")


class StoreError(ValueError):
    """Raised if the MLflow store cannot be opened until the user fixes something, which the message names."""


class ServerError(Exception):
    """Raised if the MLflow server does not accept requests at present."""


def open_mlflow_store(experiment_name: str) -> tuple[Any, str]:
    """Return an MLflow client and the id of the experiment with this name, created if missing. Raises StoreError or ServerError."""
    return _call_with_store_uri(lambda tracking_uri, project_folder: _open_experiment(tracking_uri, experiment_name, project_folder))


def open_mlflow_client() -> Any:
    """Return an MLflow client for the project's store. Raises StoreError and ServerError as `open_mlflow_store` does."""
    return _call_with_store_uri(lambda tracking_uri, project_folder: _create_mlflow_client(tracking_uri), needs_room=False)


def _call_with_store_uri(open_uri_in_folder: Callable[[str, Path], ReturnType], needs_room: bool = True) -> ReturnType:
    """Return the result of OPEN_URI_IN_FOLDER(store URI, project folder), which at most one process of the project runs at a time.

    needs_room: whether the store will be written, so that the disk of a local database needs room
    """
    os.environ.pop("MLFLOW_RUN_ID", None)  # set in a shell, it would merge all stages into one run
    for variable_name, default_value in MLFLOW_ENVIRONMENT_DEFAULTS.items():
        os.environ.setdefault(variable_name, default_value)
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it reports each retry
    # It reports each retry with the whole address, and each error with its traceback, which is raised as well.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    project_folder = project_root()
    tracking_uri = store_uri(project_folder)
    if uses_server() and without_secrets(tracking_uri) != tracking_uri:
        os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"  # its links would hold the password
    _require_no_fault(tracking_uri, project_folder, needs_room)
    try:
        with temporary_environment(STORE_OPENING_ENVIRONMENT), _lock_database(project_folder) if not uses_server() else nullcontext():
            return open_uri_in_folder(tracking_uri, project_folder)
    except StoreError:
        raise
    except Exception as error:
        if uses_server():
            raise ServerError(server_failure_reason(error)) from None
        problem_text = f"the MLflow store {tracking_uri} does not open: {first_message_line(error)}. {_remedy(tracking_uri, error)}"
        raise StoreError(without_secrets(problem_text, tracking_uri)) from None


def _require_no_fault(tracking_uri: str, project_folder: Path, needs_room: bool) -> None:
    """Raise StoreError, or DiskError, for faults that MLflow would retry for minutes, or find after a training."""
    if (path := database_file(tracking_uri)) and (fault := fault_of_database(path, needs_room)):
        raise StoreError(f"the MLflow store does not open: {fault}")
    if fault := fault_of_server(tracking_uri):
        raise StoreError(without_secrets(f"the MLflow store {tracking_uri} does not open: {fault}. {REMEDY_OF_ADDRESS}", tracking_uri))
    if needs_room and tracking_uri == project_database_uri(project_folder):
        artifacts_folder = project_folder / "mlruns"
        if artifacts_folder.exists() and not artifacts_folder.is_dir():
            raise StoreError(f"{artifacts_folder} is a file; MLflow needs a folder of that name: move the file away")
        require_writable([artifacts_folder / "artifacts"])


def project_root() -> Path:
    """Return the project folder that holds the MLflow store, even for a stage in one of DVC's temporary copies of the project."""
    return Path(os.environ.get("DVC_ROOT") or os.getcwd()).resolve()


def uses_server() -> bool:
    """Return whether the environment variable MLFLOW_TRACKING_URI names an MLflow server (http, https)."""
    return os.environ.get("MLFLOW_TRACKING_URI", "").strip().lower().startswith(SERVER_URI_SCHEMES)


def store_lock(project_folder: Path) -> FileLock:
    """Return the file lock for work on the MLflow store that only one process of the project may do at a time."""
    lock_path = project_folder / ".dvc" / "tmp" / "mlflow.lock"
    lock_path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(lock_path, timeout=600)


@contextmanager
def _lock_database(project_folder: Path) -> Iterator[None]:
    # Two processes that create the database at once corrupt it. MLflow places its Default experiment in the working directory.
    incomplete_database_removal = remove_incomplete_database(project_folder / "mlflow.db")
    with store_lock(project_folder), chdir(project_folder), incomplete_database_removal, remove_escaped_name_folders(project_folder):
        yield


def _open_experiment(tracking_uri: str, experiment_name: str, project_folder: Path) -> tuple[Any, str]:
    from mlflow.exceptions import MlflowException

    mlflow_client = _create_mlflow_client(tracking_uri)
    artifact_uri = (project_folder / "mlruns").as_uri()
    experiment, expected_tags = mlflow_client.get_experiment_by_name(experiment_name), experiment_tags(experiment_name.rpartition("/")[2])
    if experiment is None:
        # Servers and MLflow's store of plain files choose where artifacts go; a database would use the working directory.
        artifact_location = artifact_uri if tracking_uri.startswith(DATABASE_URI_SCHEMES) else None
        try:
            return mlflow_client, mlflow_client.create_experiment(experiment_name, artifact_location, expected_tags)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # created meanwhile by a parallel stage on the same server
                raise
            experiment = mlflow_client.get_experiment_by_name(experiment_name)
    if experiment.lifecycle_stage != "active":
        raise StoreError(
            f"experiment {experiment_name} was deleted; `mlflow experiments restore -x {experiment.experiment_id}` brings it back, "
            "`mlflow gc` removes it"
        )
    if tracking_uri == project_database_uri(project_folder) and experiment.artifact_location != artifact_uri:
        update_artifact_paths(project_folder / "mlflow.db", experiment.artifact_location, artifact_uri)
    for tag_name in expected_tags.keys() - experiment.tags.keys():  # an older version did not write these tags
        mlflow_client.set_experiment_tag(experiment.experiment_id, tag_name, expected_tags[tag_name])
    return mlflow_client, experiment.experiment_id


def _create_mlflow_client(tracking_uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri)  # creates or migrates a database


def store_uri(project_folder: Path) -> str:
    """Return the MLflow store's URI: MLFLOW_TRACKING_URI with absolute paths, else the URI of the database PROJECT_FOLDER/mlflow.db."""
    tracking_uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    if not tracking_uri:
        return project_database_uri(project_folder)
    if tracking_uri.startswith("sqlite:///"):
        database_path, _, uri_query = tracking_uri.removeprefix("sqlite:///").partition("?")
        if not Path(database_path).is_absolute() and database_path != ":memory:":
            database_path = f"{escape_sqlite_path(project_folder)}/{database_path.removeprefix('./')}"
        uri_query = uri_query if "timeout=" in uri_query else f"{f'{uri_query}&' if uri_query else ''}timeout=60"
        return f"sqlite:///{database_path}?{uri_query}"
    if re.match(r"[A-Za-z][\w+\-]+:|databricks$", tracking_uri) is None or re.match(r"file:[^/]", tracking_uri):
        return (project_folder / tracking_uri.removeprefix("file:")).resolve().as_uri()
    if tracking_uri.startswith(SERVER_URI_SCHEMES) and not _has_host_name(tracking_uri):
        escapes = "; in its user name or password, write / as %2F, @ as %40, ? as %3F, # as %23" if has_credentials(tracking_uri) else ""
        expected = f"expected the address of a server, as http://127.0.0.1:5000{escapes}"
        raise StoreError(f"MLFLOW_TRACKING_URI is {without_secrets(tracking_uri)}; {expected}")
    return tracking_uri


def _has_host_name(tracking_uri: str) -> bool:
    try:
        return bool(urlsplit(tracking_uri).hostname) and urlsplit(tracking_uri).port != 0
    except ValueError:  # the port is not a number
        return False


@contextmanager
def temporary_environment(environment_variables: dict[str, str]) -> Iterator[None]:
    """Context manager that sets environment variables for its with-block and restores the old values afterwards."""
    previous_values = {variable_name: os.environ.get(variable_name) for variable_name in environment_variables}
    os.environ.update(environment_variables)
    try:
        yield
    finally:
        for variable_name, previous_value in previous_values.items():
            os.environ.pop(variable_name, None) if previous_value is None else os.environ.update({variable_name: previous_value})


def _remedy(tracking_uri: str, error: BaseException) -> str:
    if os.environ.get("MLFLOW_TRACKING_URI") and find_disk_error(error) is None:
        return REMEDY_OF_ADDRESS
    path = database_file(tracking_uri)
    return opening_failure_remedy(path, error) if path else str(find_disk_error(error))


def server_failure_reason(error: Exception) -> str:
    """Return a short phrase that says how a server failed, such as "does not answer in time"; MLflow's own message is long."""
    if isinstance(error, ServerError):
        return str(error)
    error_text = first_message_line(error)
    if http_status_match := re.search(r"error code (\d{3})|too many (\d{3}) error|(\d{3}) (?:Client|Server) Error", error_text):
        return f"answers with HTTP {next(filter(None, http_status_match.groups()))}"
    if "timed out" in error_text:
        return "does not answer in time"
    if system_error_match := re.search(r"\[Errno -?\d+\] ([\w ]+)", error_text):
        return f"is not reached ({system_error_match[1]})"
    return f"fails ({without_secrets(error_text)[:200]})"


def first_message_line(error: BaseException) -> str:
    """Return the first line of an error's message that says a reason, cut to 500 characters; the error's type if the message is empty."""
    first_line, *other_lines = (str(error).strip() or type(error).__name__).splitlines()
    is_place = first_line.startswith("(raised as a result of Query-invoked autoflush")  # of SQLAlchemy
    return (other_lines[0] if is_place and other_lines else first_line)[:500]
