"""MLflow's database in a file: its address, its faults before MLflow opens it, and what MLflow leaves beside it.

MLflow 3.17 retries for a minute whatever its database answers. So what cannot become better is looked at first: a folder in place of the
file, a path that cannot be, a disk without room, a file that is no database.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from confidnet_core.system.errors import DiskError, disk_sentence, find_disk_error, write_probe
from confidnet_core.system.room import RESERVE_BYTES

ARTIFACT_PATH_COLUMNS = (  # (table, column) of the database that hold absolute paths
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)
SQLITE_PREFIX = "sqlite:///"
DATABASE_SERVER_SCHEMES = ("postgresql", "mysql", "mssql")
SERVER_TIMEOUT_S = 10


def project_database_uri(project_folder: Path) -> str:
    return f"sqlite:///{escape_sqlite_path(project_folder)}/mlflow.db?timeout=60"  # the default of 5 s is too short for several writers


def escape_sqlite_path(unescaped_path: Path) -> str:
    """Return a path for a sqlite URI with only % and ? escaped: for other escapes, MLflow creates a second folder of that name."""
    return unescaped_path.as_posix().replace("%", "%25").replace("?", "%3F")


def database_file(tracking_uri: str) -> Path | None:
    """Return the path of the file of a SQLite database, given its URI; None for other stores and for a database in memory."""
    path_text = tracking_uri.removeprefix(SQLITE_PREFIX).partition("?")[0]
    if not tracking_uri.startswith(SQLITE_PREFIX) or path_text in ("", ":memory:"):
        return None
    return Path(path_text.replace("%3F", "?").replace("%25", "%"))


def fault_of_database(path: Path, needs_room: bool) -> str | None:
    """Return why the file of a SQLite database cannot be opened, with the remedy; None if it can be, or does not exist yet.

    needs_room: whether it will be written, so that its disk needs room
    """
    try:
        if (obstacle := _obstacle(path)) is not None:
            return obstacle
        if needs_room:
            _require_room(next(parent for parent in path.parents if parent.is_dir()), path)
        if path.exists():
            with path.open("r+b" if needs_room else "rb") as file:
                header = file.read(16)
            if header and not header.startswith(b"SQLite format 3"):
                return f"{path} is no SQLite database; {_keep_sentence(path)}"
    except OSError as error:
        return str(find_disk_error(error, path) or f"{path} cannot be opened ({error.strerror}); mend that, then start again")
    return None


def _obstacle(path: Path) -> str | None:
    """Return what stands in the way of the file of a database. OSError where its name is too long, or a circle of links."""
    if path.is_dir():
        return f"{path} is a folder; MLflow needs a file of that name: move the folder away"
    if not path.parent.is_dir() and (
        obstacle := next((parent for parent in path.parents if parent.exists() and not parent.is_dir()), None)
    ):
        return f"{path} cannot be: {obstacle} is a file"
    target = Path(os.path.realpath(path))
    if path.is_symlink() and (target.is_symlink() or not target.parent.is_dir()):
        return f"{path} is a link to {os.readlink(path)}, where no file can be; remove the link"
    if path.exists() and not path.is_file():
        return f"{path} is no regular file; MLflow needs one of that name: move it away"
    return None


def _require_room(folder: Path, path: Path) -> None:
    """Raise DiskError, with the path of the database, if its folder has no room for SQLite's journal and a row."""
    try:
        write_probe(folder, RESERVE_BYTES)
    except OSError as error:
        if (disk_error := find_disk_error(error, path)) is None:
            raise
        raise DiskError(disk_error.errno, disk_error.strerror, str(path)) from None


def fault_of_server(tracking_uri: str) -> str | None:
    """Return why the server of a database, such as PostgreSQL's, does not let itself be opened; None if it does, or for another store.

    MLflow would ask ten times, and each time wait as long as the system does for a machine that does not answer.
    """
    if not tracking_uri.startswith(DATABASE_SERVER_SCHEMES):
        return None
    from sqlalchemy import create_engine  # here, since few stores need it
    from sqlalchemy.exc import SQLAlchemyError

    timeout_name = "timeout" if tracking_uri.startswith("mssql") else "connect_timeout"
    try:
        engine = create_engine(tracking_uri, connect_args={timeout_name: SERVER_TIMEOUT_S})
        engine.connect().close()
        engine.dispose()
    except (SQLAlchemyError, ImportError, ValueError, TypeError) as error:
        return " ".join(str(getattr(error, "orig", None) or error).split())[:500]
    return None


def opening_failure_remedy(path: Path, error: BaseException) -> str:
    """Return what to do about a database that MLflow does not open.

    Only a database without a run, which a killed process left half made, may be moved away: all others hold the history.
    """
    if (disk_error := find_disk_error(error, path)) is not None:
        return disk_sentence(disk_error.errno or 0, path)
    run_count = _run_count(path)
    if run_count == 0:
        return f"It holds no run, so that the process that first made it was probably killed: move {path} away and start again"
    if run_count is None:
        return f"K{_keep_sentence(path)[1:]}"  # and the path as it is
    return f"It holds {run_count:,} runs: keep a copy of {path}. If another version of MLflow wrote it, `mlflow db upgrade` may convert it"


def _keep_sentence(path: Path) -> str:
    return f"keep a copy of {path}, which may hold the history of all runs, and restore it from a backup, or set MLFLOW_TRACKING_URI"


def _run_count(path: Path) -> int | None:
    """Return how many runs the database holds: 0 for one that was never completed; None if that cannot be read."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            is_complete = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'runs'").fetchone()[0]
            return connection.execute("SELECT count(*) FROM runs").fetchone()[0] if is_complete else 0
    except sqlite3.Error:
        return None


def update_artifact_paths(database_path: Path, old_folder_uri: str, new_folder_uri: str) -> None:
    """Replace OLD_FOLDER_URI by NEW_FOLDER_URI in the database's artifact paths: MLflow would use the old folder of a moved project."""
    with closing(sqlite3.connect(database_path, timeout=60)) as connection, connection:
        for table_name, column_name in ARTIFACT_PATH_COLUMNS:
            where_clause = f"WHERE {column_name} = ?2 OR substr({column_name}, 1, length(?2) + 1) = ?2 || '/'"
            statement = f"UPDATE {table_name} SET {column_name} = ?1 || substr({column_name}, length(?2) + 1) {where_clause}"
            connection.execute(statement, (new_folder_uri, old_folder_uri))


@contextmanager
def remove_incomplete_database(database_path: Path) -> Iterator[None]:
    """Context manager that deletes a new database if the with-block fails: its partial tables would make every later opening fail."""
    database_existed = database_path.exists()
    try:
        yield
    except BaseException:
        for partial_file in [] if database_existed else [database_path, database_path.with_name(f"{database_path.name}-journal")]:
            partial_file.unlink(missing_ok=True)
        raise


@contextmanager
def remove_escaped_name_folders(project_folder: Path) -> Iterator[None]:
    """Context manager that removes the empty folders which MLflow creates under the escaped name of PROJECT_FOLDER in a sqlite URI."""
    escaped_folder = Path(escape_sqlite_path(project_folder))
    missing_folders = [folder for folder in (escaped_folder, *escaped_folder.parents) if not folder.exists()]
    try:
        yield
    finally:
        for folder in missing_folders:
            with suppress(OSError):  # it does not exist, or holds files after all
                folder.rmdir()
