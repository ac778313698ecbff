"""Records of runs that were made while the MLflow server was unreachable: one folder each in .mlflow_kept/ of the project, until they are
sent.

ID/record.json     the run's header, see tracking/header.py; without it there is no record
ID/entries.jsonl   what was logged since, one entry per line in order, flushed to disk before the stage goes on
ID/artifacts/      copies of logged files
ID/sent.json       while it is sent: how many entries which row of the server has
ID.lock            held by the stage that writes the record, or by the process that sends it

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
    """Another process holds the record."""


@dataclass(frozen=True)
class Record:
    """The record of a run, which need not exist yet; call its other methods only inside `locked`."""

    folder: Path

    @property
    def exists(self) -> bool:
        return (self.folder / "record.json").exists()

    @contextmanager
    def locked(self, timeout: float = 0) -> Iterator[None]:
        """Hold the record's lock. InUseError if another process holds it for longer than TIMEOUT seconds."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._lock_file, timeout=timeout)
        try:
            lock.acquire()
        except Timeout:
            raise InUseError(f"{self.folder} is in use: its stage still runs, or another process sends it") from None
        try:
            yield
        finally:
            if not self.folder.exists():
                self._lock_file.unlink(missing_ok=True)
            lock.release()

    def begin(self, header: dict[str, Any]) -> None:
        """Write the header, replacing an earlier one; the entries stay."""
        if not self.exists and self.folder.exists():  # left by an interrupted removal
            shutil.rmtree(self.folder)
        write_json(self.folder / "record.json", header)

    def header(self) -> dict[str, Any]:
        """Return the header, with at least HEADER_KEYS; records of older versions may lack other keys. ValueError if it is damaged."""
        path = self.folder / "record.json"
        header = read_json(path)
        if not isinstance(header, dict) or not header.keys() >= set(HEADER_KEYS):
            raise ValueError(f"{path} is no record of a run; expected {', '.join(HEADER_KEYS)}")
        return header

    def entries(self) -> list[dict[str, Any]]:
        """Return all entries, with absolute artifact paths. ValueError that names a damaged line."""
        entries = []
        for number, line in enumerate(self._complete_lines(), start=1):
            try:
                entry = json.loads(line)
            except ValueError:
                raise ValueError(f"{self._entries_file} line {number} is damaged; mend it, or delete the line to send the rest") from None
            entries.append({**entry, "artifact": str(self.folder / entry["artifact"])} if "artifact" in entry else entry)
        return entries

    def append(self, entry: dict[str, Any]) -> None:
        """Append an entry as a line of JSON; a file or folder that it names as `artifact` is copied first."""
        lines = self._complete_lines()
        if "artifact" in entry:
            source = Path(entry["artifact"])
            copied = self.folder / "artifacts" / str(len(lines)) / source.name
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, copied, dirs_exist_ok=True) if source.is_dir() else shutil.copy2(source, copied)
            entry = {**entry, "artifact": copied.relative_to(self.folder).as_posix()}
        with self._entries_file.open("ab") as file:
            file.truncate(sum(map(len, lines)))
            file.write(json.dumps(entry, allow_nan=False, ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def count_sent(self, row: str) -> int:
        """Return how many of the entries the server has in this row."""
        path = self.folder / "sent.json"
        return read_json(path).get(row, 0) if path.exists() else 0

    def mark_sent(self, row: str, entries: int) -> None:
        """Store how many of the entries the server has in this row."""
        write_json(self.folder / "sent.json", {row: entries})

    def last_written(self) -> int:
        """Return when the last entry was written, in milliseconds."""
        return int(max(path.stat().st_mtime for path in (self.folder / "record.json", self._entries_file) if path.exists()) * 1000)

    def remove(self) -> None:
        (self.folder / "record.json").unlink()  # first, so that a half-removed record is not sent again
        shutil.rmtree(self.folder)

    @property
    def _entries_file(self) -> Path:
        return self.folder / "entries.jsonl"

    @property
    def _lock_file(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.lock")

    def _complete_lines(self) -> list[bytes]:
        if not self._entries_file.exists():
            return []
        return [line for line in self._entries_file.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def record_of(root: Path, run_id: str) -> Record:
    """Return the record of a run, whether it exists or not."""
    return Record(root / RECORDS_FOLDER / run_id)


def list_records(root: Path) -> list[Record]:
    """Return all records of a project, oldest first."""
    return [Record(path.parent) for path in sorted((root / RECORDS_FOLDER).glob("*/record.json"), key=lambda path: path.stat().st_mtime)]
