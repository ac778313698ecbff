"""Faults of MLflow's database: named at once, and the history is never advised away."""

import os
import shutil
import socket
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tracking_stores import TRAINING, rows

from confidnet_core.tracking.database import database_file, fault_of_database, opening_failure_remedy
from confidnet_core.tracking.stage_run import stage_run


def refusal() -> str:
    start = time.monotonic()
    with pytest.raises(ValueError) as caught, stage_run(**TRAINING, params={}):
        pass
    assert time.monotonic() - start < 30, "MLflow's retries take a minute"
    return str(caught.value)


def test_a_folder_in_place_of_the_database_is_named_at_once(clean: pytest.MonkeyPatch, tmp_path: Path):
    clean.setenv("DVC_ROOT", str(tmp_path))
    (tmp_path / "mlflow.db").mkdir()
    assert refusal() == (
        f"the MLflow store does not open: {tmp_path}/mlflow.db is a folder; MLflow needs a file of that name: move the folder away"
    )


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (os.mkfifo, "mlflow.db is no regular file; MLflow needs one of that name: move it away"),
        (lambda path: path.symlink_to("nowhere/x.db"), "mlflow.db is a link to nowhere/x.db, where no file can be; remove the link"),
        (lambda path: path.symlink_to("mlflow.db"), "mlflow.db is a link to mlflow.db, where no file can be; remove the link"),
    ],
)
def test_what_is_no_file_in_place_of_the_database_is_named_at_once(
    clean: pytest.MonkeyPatch, tmp_path: Path, make: Callable[[Path], None], words: str
):
    clean.setenv("DVC_ROOT", str(tmp_path))
    make(tmp_path / "mlflow.db")
    assert refusal() == f"the MLflow store does not open: {tmp_path}/{words}"


def test_a_name_that_is_too_long_is_named_at_once(clean: pytest.MonkeyPatch, tmp_path: Path):
    clean.setenv("DVC_ROOT", str(tmp_path))
    clean.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{'a' * 300}.db")
    assert refusal().endswith("a.db cannot be opened (File name too long); mend that, then start again")


def test_a_database_server_that_is_not_there_is_asked_once(clean: pytest.MonkeyPatch, tmp_path: Path):
    """MLflow asks ten times, for 100 s and more."""
    clean.setenv("DVC_ROOT", str(tmp_path))
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # nobody listens
        clean.setenv("MLFLOW_TRACKING_URI", f"postgresql+psycopg://me:secret@127.0.0.1:{unused.getsockname()[1]}/runs")
        message = refusal()
    assert message.startswith("the MLflow store postgresql+psycopg://127.0.0.1:") and "Correct MLFLOW_TRACKING_URI" in message
    assert "secret" not in message


def test_a_file_in_place_of_the_folder_of_artifacts_is_named_before_the_work(clean: pytest.MonkeyPatch, tmp_path: Path):
    clean.setenv("DVC_ROOT", str(tmp_path))
    (tmp_path / "mlruns").touch()
    assert refusal() == f"{tmp_path}/mlruns is a file; MLflow needs a folder of that name: move the file away"


def test_a_database_that_cannot_be_read_is_kept_and_its_path_keeps_its_letters(tmp_path: Path):
    path = tmp_path / "MyProject.db"
    path.write_bytes(b"SQLite format 3\0" + bytes(5000))
    assert opening_failure_remedy(path, RuntimeError("malformed")).startswith(f"Keep a copy of {path}, which may hold the history")


def test_a_path_that_cannot_be_is_named_at_once(clean: pytest.MonkeyPatch, tmp_path: Path):
    clean.setenv("DVC_ROOT", str(tmp_path))
    (tmp_path / "file").touch()
    clean.setenv("MLFLOW_TRACKING_URI", "sqlite:///file/deeper/mlflow.db")
    assert refusal() == f"the MLflow store does not open: {tmp_path}/file/deeper/mlflow.db cannot be: {tmp_path}/file is a file"


def test_a_file_that_is_no_database_is_kept(clean: pytest.MonkeyPatch, tmp_path: Path):
    clean.setenv("DVC_ROOT", str(tmp_path))
    (tmp_path / "mlflow.db").write_text("git-lfs pointer\n" * 9)
    assert f"{tmp_path}/mlflow.db is no SQLite database; keep a copy of {tmp_path}/mlflow.db" in refusal()
    assert (tmp_path / "mlflow.db").exists()


def test_a_database_that_holds_runs_is_not_to_be_moved_away(root: Path, tmp_path: Path):
    with stage_run(**TRAINING, params={}):
        pass
    path = tmp_path / "mlflow.db"
    shutil.copy(root / "mlflow.db", path)
    remedy = opening_failure_remedy(path, RuntimeError("table latest_metrics already exists"))
    assert remedy.startswith(f"It holds {len(rows(root))} runs: keep a copy of {path}") and "move" not in remedy


@pytest.mark.parametrize("content", ["", "CREATE TABLE runs (run_uuid TEXT)", "CREATE TABLE experiments (name TEXT)"])
def test_a_database_without_a_run_may_be_moved_away(tmp_path: Path, content: str):
    path = tmp_path / "mlflow.db"
    connection = sqlite3.connect(path)
    connection.executescript(content)
    connection.close()
    assert f"move {path} away and start again" in opening_failure_remedy(path, RuntimeError("alembic_version: 0 found"))


@pytest.mark.parametrize("words", ["database or disk is full", "disk I/O error", "[Errno 30] Read-only file system: 'mlflow.db-journal'"])
def test_a_full_failing_or_read_only_disk_never_costs_the_history(tmp_path: Path, words: str):
    sqlite3.connect(tmp_path / "mlflow.db").close()
    remedy = opening_failure_remedy(tmp_path / "mlflow.db", RuntimeError(words))
    assert "move" not in remedy and "cannot be written: " in remedy and " free); " in remedy


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_database_that_may_not_be_written_is_named(tmp_path: Path):
    path = tmp_path / "mlflow.db"
    sqlite3.connect(path).close()
    path.chmod(0o444)
    assert "this user has no right to" in str(fault_of_database(path, needs_room=True))
    assert fault_of_database(path, needs_room=False) is None


@pytest.mark.parametrize(
    ("address", "path"),
    [
        ("sqlite:////a/b 5%2520 %3F.db?timeout=60", Path("/a/b 5%20 ?.db")),
        ("sqlite:///:memory:", None),
        ("http://127.0.0.1", None),
        ("postgresql://db/runs", None),
    ],
)
def test_the_file_of_a_database_is_read_from_its_address(address: str, path: Path | None):
    assert database_file(address) == path


def test_a_row_that_could_not_be_closed_is_closed_by_the_next_run(root: Path, clean: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    with stage_run(**TRAINING, params={"left": 1}) as left:
        clean.setattr(left._nested_run.mlflow_client, "set_terminated", full_disk)
    assert "could not be set to FINISHED: " in capsys.readouterr().err
    assert (left.run_id, "RUNNING") in rows(root)
    with stage_run(**TRAINING, params={}):
        pass
    assert (left.run_id, "KILLED") in rows(root)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("CREATE TRIGGER closed BEFORE UPDATE ON runs BEGIN SELECT RAISE(ABORT, 'not now'); END", "not now"),
        ("ALTER TABLE runs RENAME COLUMN end_time TO ended", "no such column: runs.end_time"),
    ],
)
def test_a_row_that_the_database_does_not_take_is_told_without_a_traceback(
    clean: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture, change: str, reason: str
):
    """MLflow writes the traceback of the error into its log, too."""
    clean.setenv("DVC_ROOT", str(tmp_path))
    with pytest.raises(ValueError, match=r"^wrong$"), stage_run(**TRAINING, params={}):
        connection = sqlite3.connect(tmp_path / "mlflow.db")
        connection.execute(change)
        connection.commit()
        connection.close()
        raise ValueError("wrong")
    printed = capfd.readouterr().err
    assert "could not be set to FAILED: " in printed and reason in printed and "Traceback" not in printed


def full_disk(*_: object) -> None:
    raise RuntimeError("database or disk is full")
