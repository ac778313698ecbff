"""The whole study with real DVC and a real MLflow store, on small digits trainings: what reruns, what resumes, what is shared."""

import json
import os
import signal
import subprocess

import pytest
from dvc_project import Project
from mlflow import MlflowClient
from small_study import METHODS, SMALL, rows, small_study, wait_for_epoch

from confidnet_core.comparison.names import display_name

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """After the first `dvc repro`. The tests of this file change it one after another."""
    return small_study(tmp_path_factory, tmp_path_factory.mktemp("study") / "project")


def test_the_first_repro_leaves_a_table_with_every_method(project):
    summary = json.loads((project.folder / "reports/summary.json").read_text())
    table = (project.folder / "reports/comparison.md").read_text()
    assert set(summary["digits"]["aupr_error"]) == set(METHODS) - {"tcp"}
    assert 0 < summary["digits"]["aupr_error"]["mcp"] <= summary["digits"]["best"] <= 100
    assert all(f"| {display_name(method)} " in table for method in METHODS) and "TCP (oracle)" in table
    assert "digits.aupr_error.mcp" in project.dvc("metrics", "show")


def test_every_stage_has_its_row_in_mlflow(project):
    trainings = ("train_baseline", "train_confidnet", "finetune", "finetune_augmented", "train_corrected_mcp", "train_second_opinion")
    for stage in ("evaluate", "bootstrap", "thresholds"):
        assert {run.data.tags["method"] for run in rows(project, stage=stage)} == set(METHODS)
    for stage in ("prepare", "prepare_foreign", *trainings, "predict", "evaluate_shifts", "compare"):
        (run,) = rows(project, stage=stage)
        assert run.info.status == "FINISHED" and run.data.tags["git_commit"]
    assert all(run.data.metrics["seconds"] > 0 for run in rows(project, stage="evaluate"))
    client = MlflowClient(f"sqlite:///{project.folder}/mlflow.db")
    (training,) = rows(project, stage="train_baseline")
    assert training.data.tags["dvc.md5.models/digits/seed0/baseline"] == project.md5("train_baseline@digits-0")
    (execution,) = rows(project, role="pipeline")
    assert execution.info.status == "FINISHED" and "auroc/confidnet" in execution.data.metrics
    assert len(client.get_metric_history(training.info.run_id, "val/accuracy")) == SMALL["benchmarks.digits.baseline.epochs"]


def test_every_number_of_the_table_has_its_interval_and_every_score_its_verdict(project):
    table = (project.folder / "reports/comparison.md").read_text()
    lines = [line for line in table.split("\n### ")[0].splitlines() if line.startswith("| ")][2:]
    assert len(lines) == len(METHODS) and all(line.count("[") == 7 for line in lines)
    assert "- against MCP: " in table and "- against Entropy: " in table
    (run,) = rows(project, stage="bootstrap", method="mcp")
    assert 0 < run.data.metrics["aupr_error/standard_error"] < 50  # percent, as aupr_error itself


def test_a_clone_without_a_cache_trains_again_to_the_same_files(project, tmp_path):
    project.git("clone", "--quiet", ".", str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    clone.identify()
    (clone.folder / "README.md").write_text("The same code, another commit.\n")
    clone.commit("Words")
    assert "train_baseline@digits-0" in clone.stages_run("repro", "finetune@digits-0", "predict@digits-0")
    assert clone.git("status", "--porcelain") == ""


def test_a_training_killed_in_the_middle_goes_on_to_the_same_weights(project):
    project.change(**{"benchmarks.digits.confidnet.epochs": 40})
    project.dvc("repro", "train_confidnet@digits-0")
    uninterrupted = project.md5("train_confidnet@digits-0")

    process = project.start("repro", "--force", "--single-item", "train_confidnet@digits-0")
    saved = wait_for_epoch(project, 5)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert saved.exists(), "the training was over before it could be killed"

    output = project.dvc("repro", "--force", "--single-item", "train_confidnet@digits-0")
    assert "train_confidnet: epoch 40/40" in output and "train_confidnet: epoch 4/60" not in output
    assert project.md5("train_confidnet@digits-0") == uninterrupted
    assert not saved.exists()
    project.git("reset", "--quiet", "--hard")  # DVC stages dvc.lock
    project.dvc("checkout")


def test_an_experiment_in_a_temporary_workspace_reaches_the_one_store(project):
    project.dvc("exp", "run", "--temp", "--name", "alone", "--set-param", "methods.trust_score.samples_per_class=4")
    assert "alone" in project.dvc("exp", "list", "--name-only")
    (execution,) = rows(project, dvc_exp_name="alone", role="pipeline")
    assert (execution.info.run_name, execution.info.status) == ("alone", "FINISHED") and "auroc/mcp" in execution.data.metrics
    found = rows(project, dvc_exp_name="alone", role="stage")
    assert {run.data.tags["mlflow.parentRunId"] for run in found} == {execution.info.run_id}
    assert {run.data.tags["stage"] for run in found} == {"ensemble", "evaluate", "bootstrap", "thresholds", "evaluate_shifts", "compare"}
    assert not list(project.folder.glob(".dvc/tmp/exps/**/mlflow.db"))
    assert project.git("status", "--porcelain") == ""


def test_a_clone_that_shares_the_cache_trains_nothing(project, tmp_path):
    subprocess.run(["git", "clone", "--quiet", str(project.folder), str(tmp_path / "clone")], check=True)
    clone = Project(tmp_path / "clone")
    clone.dvc("cache", "dir", "--local", str(project.folder / ".dvc/cache"))
    behind_all_others = [f"{stage}@digits-0-mc_dropout" for stage in ("bootstrap", "thresholds")]  # but `compare`, which is in no cache
    assert set(clone.stages_run("repro", *behind_all_others)) <= {"sources@digits"}  # an output of which is outside the cache, too
    assert (clone.folder / "models/digits/seed0/finetune/weights.pt").exists()
    assert clone.md5("finetune@digits-0") == project.md5("finetune@digits-0")
