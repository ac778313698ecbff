"""Resuming interrupted work: the state after each epoch, or step, is stored outside the workspace under a fingerprint of the inputs.

The folder is .resume/ in the project, also for DVC's temporary workspaces, so that a killed experiment is resumed. Changed inputs,
including changed code, give another fingerprint and so a fresh start: a training never continues from another one's weights.
"""

import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from confidnet_core.files import atomic_write, read_json, write_json
from confidnet_core.networks.ranks import from_first_process
from confidnet_core.networks.weights_file import load_tensors
from confidnet_core.system.processes import is_first_process

OWNER_FILE_NAME = "process.json"


@dataclass(frozen=True)
class ResumeFolder:
    """The folder in which a stage keeps its state after each epoch or step (weights, optimizer, history), to resume interrupted work."""

    folder: Path

    def save(self, state: dict[str, Any]) -> None:
        """Write the state to state.pt of the folder, in place of that after the previous epoch or step; in the first process."""
        if not is_first_process():
            return
        with atomic_write(self.folder / "state.pt") as temporary_path:
            torch.save(state, temporary_path)

    def load(self) -> dict[str, Any] | None:
        """Return the state after the last completed epoch or step. None if there is none and, with a warning, for a damaged file.

        Several processes get what the first one has read; they may be more or fewer than those that stored it.
        """
        return from_first_process(self._read_state)

    def _read_state(self) -> dict[str, Any] | None:
        path = self.folder / "state.pt"
        try:
            return load_tensors(path) if path.exists() else None
        except ValueError as error:
            # Only time is lost: the work is deterministic, so that it ends the same if it starts again.
            print(f"WARNING {error}; the work starts again from its beginning", file=sys.stderr)
            return None

    def save_run_id(self, run_id: str) -> None:
        """Keep the id of the MLflow run, so that resumed work continues this run."""
        if not is_first_process():
            return
        write_json(self._mlflow_run_file, {"run_id": run_id})

    def run_id(self) -> str | None:
        """Return the id of the interrupted MLflow run; None for work that has not begun before."""
        return read_json(self._mlflow_run_file)["run_id"] if self._mlflow_run_file.exists() else None

    @property
    def _mlflow_run_file(self) -> Path:
        return self.folder / "mlflow.json"


@contextmanager
def resumable_work(stage: str, inputs: Any) -> Iterator[ResumeFolder]:
    """Lock and yield the ResumeFolder of the stage's work with these inputs; the folder is deleted when the block succeeds.

    The block works and writes the outputs. Of several processes, the first one locks and deletes. ValueError, with its number, if another
    process is at the same work.
    inputs: everything that determines the result, JSON-like: parameters, data, weights, code
    """
    resume_root = Path(os.environ.get("DVC_ROOT") or ".").resolve() / ".resume"
    inputs_fingerprint = sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()[:16]
    folder = resume_root / f"{stage}-{inputs_fingerprint}"
    if not is_first_process():
        yield ResumeFolder(folder)
        return
    resume_root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(resume_root / f"{folder.name}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(
            f"another process{_owner_in_words(folder)} is already at this work ({stage}, {folder.name}); wait for it or stop it"
        ) from None
    try:
        folder.mkdir(exist_ok=True)
        write_json(folder / OWNER_FILE_NAME, {"pid": os.getpid(), "host": socket.gethostname()})
        yield ResumeFolder(folder)
        shutil.rmtree(folder)
    finally:
        lock.release()


def _owner_in_words(resume_folder: Path) -> str:
    """Return number and machine of the process that holds a resume folder, for a message; nothing if it has not written them yet."""
    try:
        owner = read_json(resume_folder / OWNER_FILE_NAME)
        place = "" if owner["host"] == socket.gethostname() else f" on {owner['host']}"
        return f" (pid {owner['pid']}{place})"
    except (ValueError, KeyError, TypeError):
        return ""
