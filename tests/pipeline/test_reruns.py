"""What runs again with real DVC after a change of a parameter, of a score or of code: what the change concerns, and nothing else."""

import json

import pytest
from dvc_project import Project
from small_study import small_study

pytestmark = pytest.mark.slow

BEFORE_COMPARE = ("bootstrap", "thresholds")  # of all scores: with all that they need, every stage but `compare`, which takes the longest


def of(*methods: str, stages: tuple[str, ...] = ("evaluate", "bootstrap", "thresholds")) -> set[str]:
    """These stages of these scores."""
    return {f"{stage}@digits-0-{method}" for stage in stages for method in methods}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """After the first `dvc repro`. The tests of this file change it one after another."""
    return small_study(tmp_path_factory, tmp_path_factory.mktemp("reruns") / "project")


def test_nothing_changed_means_nothing_runs(project):
    assert "up to date" in project.dvc("repro")
    assert project.git("status", "--porcelain") == ""


def test_a_changed_setting_and_a_new_score_of_one_file_and_one_line_rerun_these_scores_and_the_comparison_alone(project):
    formula = "run.map_logits(lambda logits, _: logits.amax(1) - logits.amin(1))"
    code = f'"""Largest minus smallest logit."""\n\n\ndef logit_range(run):\n    return {formula}\n'
    (project.folder / "confidnet_core/scores/logit_range.py").write_text(code)
    project.change(**{"methods.trust_score.samples_per_class": 30, "methods.logit_range": {}})
    assert set(project.stages_run("repro")) == {
        *("ensemble@digits", "inputs@digits-0", "evaluate_shifts@digits", "compare"),
        *of("trust_score", "logit_range"),
    }
    assert "logit_range" in json.loads((project.folder / "reports/summary.json").read_text())["digits"]["aupr_error"]


def test_a_comment_in_the_code_of_trainings_trains_again_and_equal_weights_rerun_nothing_behind_them(project):
    losses = project.folder / "confidnet_core/training/losses.py"
    losses.write_text(losses.read_text() + "# A comment.\n")
    trainings = {"train_baseline", "train_confidnet", "finetune", "finetune_augmented", "train_corrected_mcp", "train_second_opinion"}
    assert set(project.stages_run("repro")) == {f"{name}@digits-0" for name in trainings}
    project.commit("A comment")


def test_a_new_model_file_retrains_nothing(project):
    (project.folder / "confidnet_core/models/unused.py").write_text(
        '"""A model of somebody."""\n\n\ndef unused(*, classes, image_shape):\n    ...\n'
    )
    assert project.stages_run("repro") == ["sources@digits"]
    project.commit("One more score and model")


def test_another_level_of_the_intervals_only_compares_anew(project):
    project.change(**{"bootstrap.level": 0.5})
    assert project.stages_run("repro") == ["compare"]
    assert "with 50 % intervals" in (project.folder / "reports/comparison.md").read_text()
    project.commit("Another level")


def test_more_passes_rerun_the_sampling_and_the_scores_that_read_it_alone(project):
    project.change(**{"benchmarks.digits.mc_dropout.passes": 7})
    expected = {"sources@digits", "sample@digits-0", "inputs@digits-0"} | of("mc_dropout")
    assert set(project.stages_run("repro", *BEFORE_COMPARE)) == expected
    project.commit("More passes")


def test_another_rate_of_the_head_reruns_the_head_its_fine_tuning_and_their_scores_alone(project):
    project.change(**{"benchmarks.digits.confidnet.learning_rate": 0.002})
    trainings = {"train_confidnet@digits-0", "finetune@digits-0", "finetune_augmented@digits-0"}
    expected = {"sources@digits", "inputs@digits-0"} | trainings | of("confidnet")
    assert set(project.stages_run("repro", *BEFORE_COMPARE)) == expected
    project.commit("Another rate")


def test_a_mistake_in_the_parameters_stops_before_any_training(project):
    project.change(**{"benchmarks.digits.baseline.epochs": 5, "benchmarks.digits.finetune.learning_rat": 0.1})
    output = project.dvc("repro", fails=True)
    assert "benchmarks.digits.finetune has learning_rat" in output and "did you mean learning_rate" in output
    assert "train_baseline: epoch" not in output
    project.git("reset", "--quiet", "--hard")
    project.change(run=["digit"])
    assert "did you mean digits" in project.dvc("repro", fails=True)
    project.git("reset", "--quiet", "--hard")  # DVC stages dvc.lock
