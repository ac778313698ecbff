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

from confidnet_core.tracking import stage_run

TRAINING = {"stage": "train_baseline", "benchmark": "digits", "seed": 0}
SOURCES = Path(__file__).parents[1]
SCRIPT = "from confidnet_core.tracking import stage_run\nimport os, signal, sys, threading, time\n"


def store_uri(root: Path, database: str = "mlflow.db") -> str:
    return f"sqlite:///{(root / database).as_posix().replace('%', '%25').replace('?', '%3F')}?timeout=60"


def stored(root: Path, run_id: str, database: str = "mlflow.db") -> Run:
    return MlflowClient(store_uri(root, database)).get_run(run_id)


def rows(root: Path, database: str = "mlflow.db", query: str = "SELECT run_uuid, status FROM runs") -> list[tuple]:
    connection = sqlite3.connect(root / database)
    found = connection.execute(query).fetchall()
    connection.close()
    return found


def start(script: str, stdin: bool = False, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT + script],
        stdin=subprocess.PIPE if stdin else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(SOURCES)} | environment,
    )


def trained(benchmark: str, epochs: int = 3) -> str:
    """The id of a run that tracks a training: metrics with steps, one of them undefined, a figure, a tag."""
    with stage_run(**TRAINING | {"benchmark": benchmark}, params={"lr": 0.1}) as run:
        for epoch in range(1, epochs + 1):
            run.log_metrics({"loss": 1 / epoch, "auroc": None}, step=epoch)
        run.log_figure(Figure(), "curves/loss")
        run.set_tag("device", "cpu")
    return run.run_id


def warning(capsys: pytest.CaptureFixture) -> str:
    """The one line on stderr."""
    (found,) = capsys.readouterr().err.splitlines()
    assert found.startswith("WARNING ") and found.endswith("; `python -m confidnet_core send` sends it")
    return found
