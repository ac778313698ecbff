"""A training's row for tests, and real MLflow stores read back: what a run holds, all rows, and a stage in a process of its own."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.entities import Run
from project_code import ROOT

from confidnet_core.tracking.stage_run import stage_run

TRAINING = {"stage": "train_baseline", "benchmark": "digits", "seed": 0}
SCRIPT = "from confidnet_core.tracking.stage_run import stage_run\nimport os, signal, sys, threading, time\n"


def client(root: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{(root / 'mlflow.db').as_posix().replace('%', '%25').replace('?', '%3F')}?timeout=60")


def stored(root: Path, run_id: str) -> Run:
    return client(root).get_run(run_id)


def rows(root: Path, database: str = "mlflow.db", query: str = "SELECT run_uuid, status FROM runs") -> list[tuple]:
    connection = sqlite3.connect(root / database)
    found = connection.execute(query).fetchall()
    connection.close()
    return found


def commit_all(folder: Path) -> str:
    """The commit of a new repository with what lies in FOLDER."""
    for command in ("init -q", "add .", "-c user.name=a -c user.email=a@b.c commit -q --allow-empty -m first"):
        subprocess.run(["git", *command.split()], cwd=folder, check=True)
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


class Process(subprocess.Popen):
    """A process whose pipes are closed once it has ended."""

    def wait(self, timeout: float | None = None) -> int:
        code = super().wait(timeout)
        for pipe in filter(None, (self.stdin, self.stdout, self.stderr)):
            pipe.close()
        return code


def start(script: str, stdin: bool = False, **environment: str) -> Process:
    return Process(
        [sys.executable, "-c", SCRIPT + script],
        stdin=subprocess.PIPE if stdin else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
    )


def trained(benchmark: str, epochs: int = 3) -> str:
    """The id of a run that tracks a training: metrics with steps, one of them undefined, a figure, a tag; a result of the execution."""
    with stage_run(**TRAINING | {"benchmark": benchmark}, params={"lr": 0.1}) as run:
        for epoch in range(1, epochs + 1):
            run.log_metrics({"loss": 1 / epoch, "auroc": None}, epoch=epoch)
        run.log_figure(Figure(), "curves/loss")
        run.set_tag("device", "cpu")
        run.pipeline_run.log_metrics({"auroc/mcp": 0.9, "auroc/tcp": None})
    return run.run_id


def warning(capsys: pytest.CaptureFixture) -> str:
    """The one line on stderr."""
    (found,) = capsys.readouterr().err.splitlines()
    assert found.startswith("WARNING ") and found.endswith("; `python -m confidnet_core send` sends it")
    return found
