"""Interrupted trainings go on: the state after each epoch, kept outside the workspace under a fingerprint of its inputs.

The folder is .resume/ of the project, also for DVC's temporary workspaces, so that a killed experiment is found again.
Other inputs, the code among them, give another fingerprint, hence a fresh start: never another run's weights.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from filelock import FileLock, Timeout

from confidnet_core.files import replacing


@dataclass(frozen=True)
class Resume:
    """The folder of one training."""

    folder: Path

    def save(self, state: dict[str, Any]) -> None:
        with replacing(self.folder / "state.pt") as temporary:
            torch.save(state, temporary)

    def load(self) -> dict[str, Any] | None:
        """The state after the last whole epoch, or None before the first; also None, with a warning, where the file is damaged."""
        path = self.folder / "state.pt"
        try:
            return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None
        except (RuntimeError, OSError, EOFError, UnpicklingError) as error:  # what torch.load makes of a cut, empty or foreign file
            # Nothing but time is lost: the training is deterministic, and ends the same from its first epoch on.
            kind = type(error).__name__
            print(f"WARNING {path} is damaged ({kind}); this training starts again from its first epoch", file=sys.stderr)
            return None


@contextmanager
def resumable(stage: str, inputs: Any) -> Iterator[Resume]:
    """One training at a time for the same inputs; its folder goes when the block ends well, after the outputs are written.

    inputs: anything JSON-like that decides the result: parameters, data, weights, code. ValueError if another process is at this training.
    """
    root = Path(os.environ.get("DVC_ROOT") or ".").resolve() / ".resume"
    fingerprint = sha256(json.dumps(inputs, sort_keys=True, default=str).encode()).hexdigest()[:16]
    folder = root / f"{stage}-{fingerprint}"
    root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(root / f"{folder.name}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(f"another process is already at this training ({stage}, {folder.name}); wait for it or stop it") from None
    try:
        folder.mkdir(exist_ok=True)
        yield Resume(folder)
        shutil.rmtree(folder)
    finally:
        lock.release()
