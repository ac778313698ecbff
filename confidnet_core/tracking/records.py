"""Local copies ("records") of MLflow runs that were made while the MLflow server was unreachable, or by a short stage that leaves the
sending to a later one. Each record is a folder in .mlflow_kept/ of the project and stays there until it has been sent to the MLflow store.

ID/record.json     description of the run, see tracking/header.py; a folder without this file is no record
ID/entries.jsonl   what the run logged, one JSON entry per line in order, flushed to disk before the stage goes on
ID/artifacts/      copies of logged files
ID/sent.json       while the record is sent: how many of its entries which MLflow run on the server has
ID.lock            held by the stage that writes the record, or by the process that sends the record

SIGKILL loses at most the line that was being written: whoever opens the record next cuts off an incomplete last line.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from confidnet_core.files import read_json, write_json

RUN_RECORDS_FOLDER = ".mlflow_kept"
RUN_DESCRIPTION_KEYS = ("experiment", "name", "start", "params", "tags", "meant_for")


class RecordInUseError(ValueError):
    """Raised if another process holds the lock file of a record, the local copy of an MLflow run."""


@dataclass(frozen=True)
class RunRecord:
    """Local copy of one MLflow run, as a folder on disk; a `RunRecord` object can be made before its folder exists.

    Methods other than `exists` and `locked` must be called inside `with run_record.locked():`.
    """

    folder: Path

    @property
    def exists(self) -> bool:
        """Return whether the record is on disk, with its file record.json."""
        return (self.folder / "record.json").exists()

    @contextmanager
    def locked(self, timeout_s: float = 0) -> Iterator[None]:
        """Context manager that holds the record's lock file, so that no other process reads or writes the record.

        RecordInUseError if another process holds the lock for longer than `timeout_s` seconds.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        record_lock = FileLock(self._lock_path, timeout=timeout_s)
        try:
            record_lock.acquire()
        except Timeout:
            raise RecordInUseError(f"{self.folder} is in use: its stage still runs, or another process sends it") from None
        try:
            yield
        finally:
            if not self.folder.exists():
                self._lock_path.unlink(missing_ok=True)
            record_lock.release()

    def write_run_description(self, run_description: dict[str, Any]) -> None:
        """Write the description of the MLflow run to record.json, in place of an earlier one; what was logged before stays."""
        if not self.exists and self.folder.exists():  # left by an interrupted removal
            shutil.rmtree(self.folder)
        write_json(self.folder / "record.json", run_description)

    def read_run_description(self) -> dict[str, Any]:
        """Return the description of the MLflow run from record.json, a dictionary with at least RUN_DESCRIPTION_KEYS.

        Records that older versions wrote have fewer other keys. ValueError if the file is damaged.
        """
        description_path = self.folder / "record.json"
        run_description = read_json(description_path)
        if not isinstance(run_description, dict) or not run_description.keys() >= set(RUN_DESCRIPTION_KEYS):
            raise ValueError(f"{description_path} is no record of a run; expected {', '.join(RUN_DESCRIPTION_KEYS)}")
        return run_description

    def read_log_entries(self) -> list[dict[str, Any]]:
        """Return all that the MLflow run logged as a list of dictionaries, with absolute artifact paths. ValueError for a damaged line."""
        log_entries = []
        for line_number, entry_line in enumerate(self._read_complete_lines(), start=1):
            try:
                log_entry = json.loads(entry_line)
            except ValueError:
                raise ValueError(
                    f"{self._entries_path} line {line_number} is damaged; mend it, or delete the line to send the rest"
                ) from None
            log_entries.append(
                {**log_entry, "artifact": str(self.folder / log_entry["artifact"])} if "artifact" in log_entry else log_entry
            )
        return log_entries

    def append_log_entry(self, log_entry: dict[str, Any]) -> None:
        """Append a log entry (a dictionary) to entries.jsonl as a line of JSON, after copying the file or folder in its key "artifact"."""
        earlier_lines = self._read_complete_lines()
        if "artifact" in log_entry:
            source_path = Path(log_entry["artifact"])
            copied_path = self.folder / "artifacts" / str(len(earlier_lines)) / source_path.name
            copied_path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source_path, copied_path, dirs_exist_ok=True) if source_path.is_dir() else shutil.copy2(
                source_path, copied_path
            )
            log_entry = {**log_entry, "artifact": copied_path.relative_to(self.folder).as_posix()}
        with self._entries_path.open("ab") as entries_file:
            entries_file.truncate(sum(map(len, earlier_lines)))
            entries_file.write(json.dumps(log_entry, allow_nan=False, ensure_ascii=False).encode() + b"\n")
            entries_file.flush()
            os.fsync(entries_file.fileno())

    def count_sent_entries(self, run_id: str) -> int:
        """Return how many of this record's log entries the MLflow run with this id already has on the server."""
        sent_count_path = self.folder / "sent.json"
        return read_json(sent_count_path).get(run_id, 0) if sent_count_path.exists() else 0

    def mark_entries_sent(self, run_id: str, sent_entry_count: int) -> None:
        """Store in sent.json that the MLflow run with this id has the first `sent_entry_count` of this record's log entries."""
        write_json(self.folder / "sent.json", {run_id: sent_entry_count})

    def last_written_ms(self) -> int:
        """Return the time when the record was last written, in milliseconds since 1970."""
        return int(max(path.stat().st_mtime for path in (self.folder / "record.json", self._entries_path) if path.exists()) * 1000)

    def remove(self) -> None:
        """Delete the record's folder; its file record.json is deleted first."""
        (self.folder / "record.json").unlink()  # first, so that a half-removed record is not sent again
        shutil.rmtree(self.folder)

    @property
    def _entries_path(self) -> Path:
        return self.folder / "entries.jsonl"

    @property
    def _lock_path(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.lock")

    def _read_complete_lines(self) -> list[bytes]:
        """Return the lines of entries.jsonl that end with a line break; none if the file is missing."""
        if not self._entries_path.exists():
            return []
        return [line for line in self._entries_path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def record_of_run(project_folder: Path, run_id: str) -> RunRecord:
    """Return the local copy of the MLflow run RUN_ID, a `RunRecord` object whose folder need not exist."""
    return RunRecord(project_folder / RUN_RECORDS_FOLDER / run_id)


def list_run_records(project_folder: Path) -> list[RunRecord]:
    """Return the records (local copies of MLflow runs) in a project's .mlflow_kept/, oldest first."""
    description_paths = (project_folder / RUN_RECORDS_FOLDER).glob("*/record.json")
    return [RunRecord(path.parent) for path in sorted(description_paths, key=lambda path: path.stat().st_mtime)]
