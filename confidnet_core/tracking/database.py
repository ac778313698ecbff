"""MLflow's database in a file: its address, its faults before MLflow opens it, and what MLflow leaves beside it.

MLflow 3.17 retries for a minute whatever its database answers. So what cannot become better is looked at first: a folder in place of the
file, a path that cannot be, a disk without room, a file that is no database.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from confidnet_core.system.errors import disk_sentence, find_disk_error, write_probe
from confidnet_core.system.room import RESERVE_BYTES

ARTIFACT_PATH_COLUMNS = (  # (table, column) of the database that hold absolute paths
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)
SQLITE_PREFIX = "sqlite:///"


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
    if path.is_dir():
        return f"{path} is a folder; MLflow needs a file of that name: move the folder away"
    if not path.parent.is_dir() and (
        obstacle := next((parent for parent in path.parents if parent.exists() and not parent.is_dir()), None)
    ):
        return f"{path} cannot be: {obstacle} is a file"
    folder = next(parent for parent in path.parents if parent.is_dir())
    try:
        if needs_room:
            write_probe(folder, RESERVE_BYTES)  # of SQLite's journal, and of a row
        if path.exists():
            with path.open("r+b" if needs_room else "rb") as file:
                header = file.read(16)
            if header and not header.startswith(b"SQLite format 3"):
                return f"{path} is no SQLite database; {_keep_sentence(path)}"
    except OSError as error:
        return str(find_disk_error(error, path) or f"{path} cannot be opened ({error.strerror}); mend that, then start again")
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
        return _keep_sentence(path).capitalize()
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
