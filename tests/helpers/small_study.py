"""A small study on digits with real DVC and a real MLflow store, made once in a test session; every test file works on a copy of it."""

import time
from pathlib import Path

import pytest
from dvc_project import Project
from made_once import copy_of
from mlflow.entities import Run
from tracking_stores import client

METHODS = {
    "mcp": {},
    "entropy": {},
    "mc_dropout": {},
    "trust_score": {"samples_per_class": 20},
    "confidnet": {},
    "tcp": {},
}
SMALL = {
    "benchmarks.digits.model.width": 0.25,
    "benchmarks.digits.baseline.epochs": 4,
    "benchmarks.digits.confidnet.epochs": 3,
    "benchmarks.digits.finetune.epochs": 2,
    "benchmarks.digits.finetune_augmented.epochs": 1,
    "benchmarks.digits.corrected_mcp.epochs": 2,
    "benchmarks.digits.second_opinion.epochs": 2,
    "benchmarks.digits.shifts": {"corruptions": ["noise"], "severities": [3], "seed": 0},
    "methods": METHODS,
    "benchmarks.digits.mc_dropout.passes": 2,
}


def small_study(factory: pytest.TempPathFactory, folder: Path) -> Project:
    """A copy in FOLDER of the project after its first `dvc repro` and a commit of the results, with its cache and its MLflow store."""
    return Project(copy_of(factory, "small_study", _run_study, folder))


def _run_study(folder: Path) -> None:
    project = Project.create(folder, **SMALL)
    project.dvc("repro")
    project.commit("Results")


def rows(project: Project, **tags: str) -> list[Run]:
    """MLflow runs with these tags."""
    store = client(project.folder)
    wanted = " and ".join(f"tags.{key} = '{value}'" for key, value in tags.items())
    return store.search_runs([experiment.experiment_id for experiment in store.search_experiments()], wanted, max_results=1000)


def wait_for_epoch(project: Project, epoch: int) -> Path:
    """The saved state of the training under way, once that epoch is over."""
    end = time.monotonic() + 600
    while time.monotonic() < end:
        for row in project.folder.glob(".resume/train_confidnet-*/state.pt"):
            client_rows = rows(project, stage="train_confidnet")
            if any(run.info.status == "RUNNING" and run.data.metrics.get("epoch", 0) >= epoch for run in client_rows):
                return row
        time.sleep(0.1)
    raise AssertionError("no epoch was saved within ten minutes")
