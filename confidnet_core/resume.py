"""Interrupted trainings go on: the state after each epoch, kept outside the workspace under a fingerprint of its inputs.

The folder is .resume/ of the project, also for DVC's temporary workspaces, so that a killed experiment is found again.
Other parameters, data, weights or code give another fingerprint, hence a fresh start: never another run's weights.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
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
        """The state after the last whole epoch, or None before the first."""
        path = self.folder / "state.pt"
        return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None


@contextmanager
def resumable(stage: str, inputs: Any) -> Iterator[Resume]:
    """One training at a time for the same inputs; its folder goes when the block ends well, after the outputs are written.

    inputs: anything JSON-like that decides the result. ValueError if another process is at this training.
    """
    root = Path(os.environ.get("DVC_ROOT") or ".").resolve() / ".resume"
    fingerprint = sha256(json.dumps([inputs, _code_digest()], sort_keys=True, default=str).encode()).hexdigest()[:16]
    folder = root / f"{stage}-{fingerprint}"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(root / f"{folder.name}.lock", timeout=0):
            yield Resume(folder)
            shutil.rmtree(folder)
    except Timeout:
        raise ValueError(f"another process is already at this training ({stage}, {folder.name}); wait for it or stop it") from None


def _code_digest() -> str:
    digest = sha256()
    package = Path(__file__).parent
    for path in sorted(package.rglob("*.py")):
        digest.update(str(path.relative_to(package)).encode() + path.read_bytes())
    return digest.hexdigest()
