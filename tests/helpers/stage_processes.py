"""Stages as they are started, python -m stages.NAME ARGUMENTS: each in a process of its own, or in this one, where imports cost nothing."""

import io
import os
import runpy
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from project_code import ROOT


def start(folder: Path, stage: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
    words = [sys.executable, "-m", f"stages.{stage}", *arguments]
    return subprocess.run(words, cwd=folder, env=environment_of_stages() | variables, capture_output=True, text=True, timeout=120)


def environment_of_stages() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "CONFIDNET_"))}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1", "CONFIDNET_DEVICE": "cpu"}


def run_here(folder: Path, stage: str, *arguments: str) -> subprocess.CompletedProcess:
    """The same script run as __main__ in this process: for what a stage says and writes, where its process is not what is tested."""
    returncode, out, err = 0, io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name in [name for name in os.environ if name.startswith(("DVC_", "MLFLOW_", "CONFIDNET_"))]:
            patch.delenv(name)
        patch.setenv("CONFIDNET_DEVICE", "cpu")
        patch.chdir(folder)
        patch.setattr(sys, "argv", [stage, *arguments])
        patch.delitem(sys.modules, f"stages.{stage}", raising=False)  # runpy warns of a module that is imported already
        try:
            runpy.run_module(f"stages.{stage}", run_name="__main__", alter_sys=True)
        except SystemExit as end:  # as Python itself does with its code
            returncode = 1 if isinstance(end.code, str) else end.code or 0
            print(end.code if isinstance(end.code, str) else "", file=err, end="\n" if isinstance(end.code, str) else "")
    return subprocess.CompletedProcess([stage, *arguments], returncode, out.getvalue(), err.getvalue())
