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


def of(*methods: str, stages: tuple[str, ...] = ("evaluate", "bootstrap", "thresholds")) -> set[str]:
    """These stages of these scores."""
    return {f"{stage}@digits-0-{method}" for stage in stages for method in methods}


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
    trainings = ("train_baseline", "train_confidnet", "finetune", "train_corrected_mcp")
    for stage in ("evaluate", "bootstrap", "thresholds"):
        assert {run.data.tags["method"] for run in rows(project, stage=stage)} == set(METHODS)
    for stage in ("prepare", *trainings, "predict", "compare"):
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
    lines = [line for line in table.split("### Differences")[0].splitlines() if line.startswith("| ")][2:]
    assert len(lines) == len(METHODS) and all(line.count("[") == 7 for line in lines)
    assert "- against MCP: " in table and "- against Entropy: " in table
    (run,) = rows(project, stage="bootstrap", method="mcp")
    summary = json.loads((project.folder / "reports/summary.json").read_text())
    assert run.data.metrics["aupr_error/low"] < summary["digits"]["aupr_error"]["mcp"]


def test_another_level_of_the_intervals_evaluates_nothing_anew(project):
    project.change(**{"bootstrap.level": 0.5})
    assert set(project.stages_run("repro")) == of(*METHODS, stages=("bootstrap", "thresholds")) | {"compare"}
    assert "with 50 % intervals" in (project.folder / "reports/comparison.md").read_text()
    project.commit("Another level")


def test_nothing_changed_means_nothing_runs(project):
    assert "up to date" in project.dvc("repro")
    assert project.git("status", "--porcelain") == ""


def test_a_clone_without_a_cache_trains_again_to_the_same_files(project, tmp_path):
    project.git("clone", "--quiet", ".", str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    clone.identify()
    (clone.folder / "README.md").write_text("The same code, another commit.\n")
    clone.commit("Words")
    assert "train_baseline@digits-0" in clone.stages_run("repro", "finetune@digits-0", "predict@digits-0")
    assert clone.git("status", "--porcelain") == ""


def test_a_changed_setting_and_a_new_score_of_one_file_and_one_line_rerun_these_scores_and_the_comparison_alone(project):
    formula = "run.map_logits(lambda logits, _: logits.amax(1) - logits.amin(1))"
    code = f'"""Largest minus smallest logit."""\n\n\ndef logit_range(run):\n    return {formula}\n'
    (project.folder / "confidnet_core/scores/logit_range.py").write_text(code)
    project.change(**{"methods.trust_score.samples_per_class": 30, "methods.logit_range": {}})
    assert set(project.stages_run("repro")) == {"ensemble@digits", "inputs@digits-0", "compare"} | of("trust_score", "logit_range")
    assert "logit_range" in json.loads((project.folder / "reports/summary.json").read_text())["digits"]["aupr_error"]


def test_more_passes_rerun_the_sampling_and_the_scores_that_read_it_alone(project):
    project.change(**{"benchmarks.digits.mc_dropout.passes": 7})
    expected = {"sources@digits", "sample@digits-0", "inputs@digits-0", "compare"} | of("mc_dropout")
    assert set(project.stages_run("repro")) == expected
    project.commit("More passes")


def test_another_rate_of_the_head_reruns_the_head_its_fine_tuning_and_their_scores_alone(project):
    project.change(**{"benchmarks.digits.confidnet.learning_rate": 0.002})
    expected = {"sources@digits", "train_confidnet@digits-0", "finetune@digits-0", "inputs@digits-0", "compare"} | of("confidnet")
    assert set(project.stages_run("repro")) == expected
    project.commit("Another rate")


def test_a_comment_in_the_code_of_trainings_trains_again_and_equal_weights_rerun_nothing_behind_them(project):
    losses = project.folder / "confidnet_core/training/losses.py"
    losses.write_text(losses.read_text() + "# A comment.\n")
    trainings = {"train_baseline", "train_confidnet", "finetune", "train_corrected_mcp"}
    assert set(project.stages_run("repro")) == {f"{name}@digits-0" for name in trainings}
    project.commit("A comment")


def test_a_new_model_file_retrains_nothing(project):
    (project.folder / "confidnet_core/models/unused.py").write_text(
        '"""A model of somebody."""\n\n\ndef unused(*, classes, image_shape):\n    ...\n'
    )
    assert project.stages_run("repro") == ["sources@digits"]
    project.commit("One more score and model")


def test_a_training_killed_in_the_middle_goes_on_to_the_same_weights(project):
    project.change(**{"benchmarks.digits.confidnet.epochs": 60})
    project.dvc("repro", "train_confidnet@digits-0")
    uninterrupted = project.md5("train_confidnet@digits-0")

    process = project.start("repro", "--force", "--single-item", "train_confidnet@digits-0")
    saved = wait_for_epoch(project, 5)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert saved.exists(), "the training was over before it could be killed"

    output = project.dvc("repro", "--force", "--single-item", "train_confidnet@digits-0")
    assert "train_confidnet: epoch 60/60" in output and "train_confidnet: epoch 4/60" not in output
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
    assert {run.data.tags["stage"] for run in found} == {"ensemble", "evaluate", "bootstrap", "thresholds", "compare"}
    assert not list(project.folder.glob(".dvc/tmp/exps/**/mlflow.db"))
    assert project.git("status", "--porcelain") == ""


def test_a_clone_that_shares_the_cache_trains_nothing(project, tmp_path):
    subprocess.run(["git", "clone", "--quiet", str(project.folder), str(tmp_path / "clone")], check=True)
    clone = Project(tmp_path / "clone")
    clone.dvc("cache", "dir", "--local", str(project.folder / ".dvc/cache"))
    assert clone.stages_run("repro") in ([], ["compare"])
    assert (clone.folder / "models/digits/seed0/finetune/weights.pt").exists()
    assert clone.md5("finetune@digits-0") == project.md5("finetune@digits-0")


def test_a_mistake_in_the_parameters_stops_before_any_training(project):
    project.change(**{"benchmarks.digits.baseline.epochs": 5, "benchmarks.digits.finetune.learning_rat": 0.1})
    output = project.dvc("repro", fails=True)
    assert "benchmarks.digits.finetune has learning_rat" in output and "did you mean learning_rate" in output
    assert "train_baseline: epoch" not in output
    project.git("reset", "--quiet", "--hard")
    project.change(run=["digit"])
    assert "did you mean digits" in project.dvc("repro", fails=True)
    project.git("reset", "--quiet", "--hard")  # DVC stages dvc.lock
