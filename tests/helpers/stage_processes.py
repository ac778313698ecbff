"""Stages as they are started, python -m stages.NAME ARGUMENTS, each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

from project_code import ROOT


def start(folder: Path, stage: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
    words = [sys.executable, "-m", f"stages.{stage}", *arguments]
    return subprocess.run(words, cwd=folder, env=environment_of_stages() | variables, capture_output=True, text=True, timeout=120)


def environment_of_stages() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "CONFIDNET_"))}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1", "CONFIDNET_DEVICE": "cpu"}
