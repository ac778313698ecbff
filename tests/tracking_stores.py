"""A training's row for tests, and real MLflow stores read back: what a run holds, all rows, and a stage in a process of its own."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run

TRAINING = {"stage": "train_baseline", "benchmark": "digits", "seed": 0}
SOURCES = Path(__file__).parents[1]
SCRIPT = "from confidnet_core.tracking import stage_run\nimport os, signal, sys, threading, time\n"


def stored(root: Path, run_id: str, database: str = "mlflow.db") -> Run:
    return MlflowClient(f"sqlite:///{(root / database).as_posix().replace('%', '%25').replace('?', '%3F')}?timeout=60").get_run(run_id)


def rows(root: Path, database: str = "mlflow.db", query: str = "SELECT run_uuid, status FROM runs") -> list[tuple]:
    connection = sqlite3.connect(root / database)
    found = connection.execute(query).fetchall()
    connection.close()
    return found


def start(script: str, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT + script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(SOURCES)} | environment,
    )
