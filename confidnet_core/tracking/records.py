"""Runs recorded while the MLflow server was unreachable: a folder each in .mlflow_kept/ of the project, until they are sent.

ID/record.json     what the run is, as header.py describes it; without it there is no record
ID/entries.jsonl   what was logged since, a line each, in order and on the disk before the stage goes on; ID/artifacts/: copies of files
ID/sent.json       while it is sent: how many entries which row of the server has
ID.lock            held by the stage that writes the record, or by the process that sends it

SIGKILL costs the line that was being written at most: a last line without its end is cut off, by whoever opens the record next.
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

FOLDER = ".mlflow_kept"
HEADER = ("experiment", "name", "start", "params", "tags", "meant_for")


class InUseError(ValueError):
    """Another process has the record."""


@dataclass(frozen=True)
class Record:
    """A recorded run, or a place for one; `held` must be entered before anything else is called."""

    folder: Path

    @property
    def exists(self) -> bool:
        return (self.folder / "record.json").exists()

    @contextmanager
    def held(self, timeout: float = 0) -> Iterator[None]:
        """InUseError where another process has it for longer than TIMEOUT seconds."""
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._lock, timeout=timeout)
        try:
            lock.acquire()
        except Timeout:
            raise InUseError(f"{self.folder} is in use: its stage still runs, or another process sends it") from None
        try:
            yield
        finally:
            if not self.folder.exists():
                self._lock.unlink(missing_ok=True)
            lock.release()

    def begin(self, header: dict[str, Any]) -> None:
        """Write the header, anew where there is one; the entries stay."""
        if not self.exists and self.folder.exists():  # what a killed removal left
            shutil.rmtree(self.folder)
        write_json(self.folder / "record.json", header)

    def header(self) -> dict[str, Any]:
        """The keys of HEADER and others, of which records of older versions lack some. ValueError where it is damaged."""
        path = self.folder / "record.json"
        header = read_json(path)
        if not isinstance(header, dict) or not header.keys() >= set(HEADER):
            raise ValueError(f"{path} is no record of a run; expected {', '.join(HEADER)}")
        return header

    def entries(self) -> list[dict[str, Any]]:
        """ValueError that names the line where one is damaged; artifacts as absolute paths."""
        entries = []
        for number, line in enumerate(self._whole_lines(), start=1):
            try:
                entry = json.loads(line)
            except ValueError:
                raise ValueError(f"{self._entries} line {number} is damaged; mend it, or delete the line to send the rest") from None
            entries.append({**entry, "artifact": str(self.folder / entry["artifact"])} if "artifact" in entry else entry)
        return entries

    def append(self, entry: dict[str, Any]) -> None:
        """A line of JSON; a file or folder that it names as `artifact` is copied before."""
        lines = self._whole_lines()
        if "artifact" in entry:
            source = Path(entry["artifact"])
            copied = self.folder / "artifacts" / str(len(lines)) / source.name
            copied.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(source, copied, dirs_exist_ok=True) if source.is_dir() else shutil.copy2(source, copied)
            entry = {**entry, "artifact": copied.relative_to(self.folder).as_posix()}
        with self._entries.open("ab") as file:
            file.truncate(sum(map(len, lines)))
            file.write(json.dumps(entry, allow_nan=False, ensure_ascii=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def sent(self, row: str) -> int:
        """How many of the entries the server has in this row."""
        path = self.folder / "sent.json"
        return read_json(path).get(row, 0) if path.exists() else 0

    def mark_sent(self, row: str, entries: int) -> None:
        write_json(self.folder / "sent.json", {row: entries})

    def last_written(self) -> int:
        """When an entry was last added, in milliseconds."""
        return int(max(path.stat().st_mtime for path in (self.folder / "record.json", self._entries) if path.exists()) * 1000)

    def remove(self) -> None:
        (self.folder / "record.json").unlink()  # first: half removed, it must not be sent again
        shutil.rmtree(self.folder)

    @property
    def _entries(self) -> Path:
        return self.folder / "entries.jsonl"

    @property
    def _lock(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.lock")

    def _whole_lines(self) -> list[bytes]:
        if not self._entries.exists():
            return []
        return [line for line in self._entries.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def record(root: Path, run_id: str) -> Record:
    """The record of a run, whether it exists or not."""
    return Record(root / FOLDER / run_id)


def kept(root: Path) -> list[Record]:
    """All records of a project, the oldest first."""
    return [Record(path.parent) for path in sorted((root / FOLDER).glob("*/record.json"), key=lambda path: path.stat().st_mtime)]
