"""Local copies ("records") of MLflow runs that were made while the MLflow server was unreachable. Each record is a folder in .mlflow_kept/
of the project and stays there until it has been sent to the server.

ID/record.json     header of the run, see tracking/header.py; a folder without this file is no record
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

RECORDS_FOLDER = ".mlflow_kept"
HEADER_KEYS = ("experiment", "name", "start", "params", "tags", "meant_for")


class InUseError(ValueError):
    """Error: another process holds the lock of a record, the local copy of an MLflow run."""


@dataclass(frozen=True)
class Record:
    """Local copy of one MLflow run, as a folder on disk; a `Record` object can be made before its folder exists.

    Call the methods other than `exists` and `locked` only inside `locked`.
    """

    folder: Path

    @property
    def exists(self) -> bool:
        """Whether the record is on disk, complete with its header file record.json."""
        return (self.folder / "record.json").exists()

    @contextmanager
    def locked(self, timeout: float = 0) -> Iterator[None]:
        """Context manager that holds the record's lock file, so that no other process reads or writes the record.

        InUseError if another process holds the lock for longer than `timeout` seconds.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._lock_path, timeout=timeout)
        try:
            lock.acquire()
        except Timeout:
            raise InUseError(f"{self.folder} is in use: its stage still runs, or another process sends it") from None
        try:
            yield
        finally:
            if not self.folder.exists():
                self._lock_path.unlink(missing_ok=True)
            lock.release()

    def begin(self, header: dict[str, Any]) -> None:
        """Write the run's header to record.json, replacing an earlier header; entries that were already written stay."""
        if not self.exists and self.folder.exists():  # left by an interrupted removal
            shutil.rmtree(self.folder)
        write_json(self.folder / "record.json", header)

    def header(self) -> dict[str, Any]:
        """Return the run's header from record.json, a dictionary with at least HEADER_KEYS; older versions wrote fewer other keys.

        ValueError if the file is damaged.
        """
        path = self.folder / "record.json"
        header = read_json(path)
        if not isinstance(header, dict) or not header.keys() >= set(HEADER_KEYS):
            raise ValueError(f"{path} is no record of a run; expected {', '.join(HEADER_KEYS)}")
        return header

    def entries(self) -> list[dict[str, Any]]:
        """Return everything the run logged as a list of dictionaries, with absolute artifact paths. ValueError names a damaged line."""
        entries = []
        for number, line in enumerate(self._read_complete_lines(), start=1):
            try:
                entry = json.loads(line)
            except ValueError:
                raise ValueError(f"{self._entries_path} line {number} is damaged; mend it, or delete the line to send the rest") from None
            entries.append({**entry, "artifact": str(self.folder / entry["artifact"])} if "artifact" in entry else entry)
        return entries

    def append(self, entry: dict[str, Any]) -> None:
        """Append one logged entry to entries.jsonl as a line of JSON, after copying the file or folder under its key `artifact`."""
        earlier_lines = self._read_complete_lines()
        if "artifact" in entry:
            source_path = Path(entry["artifact"])
            copied_path = self.folder / "artifacts" / str(len(earlier_lines)) / source_path.name
            copied_path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source_path, copied_path, dirs_exist_ok=True) if source_path.is_dir() else shutil.copy2(
                source_path, copied_path
            )
            entry = {**entry, "artifact": copied_path.relative_to(self.folder).as_posix()}
        with self._entries_path.open("ab") as file:
            file.truncate(sum(map(len, earlier_lines)))
            file.write(json.dumps(entry, allow_nan=False, ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def count_sent(self, run_id: str) -> int:
        """Return the number of entries of this record that the MLflow run with this id already has on the server."""
        sent_path = self.folder / "sent.json"
        return read_json(sent_path).get(run_id, 0) if sent_path.exists() else 0

    def mark_sent(self, run_id: str, sent_count: int) -> None:
        """Store in sent.json that the MLflow run with this id has the first `sent_count` entries of this record."""
        write_json(self.folder / "sent.json", {run_id: sent_count})

    def last_written(self) -> int:
        """Return the time when the record was last written, in milliseconds since 1970."""
        return int(max(path.stat().st_mtime for path in (self.folder / "record.json", self._entries_path) if path.exists()) * 1000)

    def remove(self) -> None:
        """Delete the record's folder, with the header file first."""
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


def record_of(root: Path, run_id: str) -> Record:
    """Return the `Record` object for the local copy of the run RUN_ID, whether or not its folder exists."""
    return Record(root / RECORDS_FOLDER / run_id)


def list_records(root: Path) -> list[Record]:
    """Return the records (local copies of MLflow runs) in a project's .mlflow_kept/, oldest first."""
    return [Record(path.parent) for path in sorted((root / RECORDS_FOLDER).glob("*/record.json"), key=lambda path: path.stat().st_mtime)]
