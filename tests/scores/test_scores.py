"""Every confidence score on trained networks: the contract of all scores, and each score against its definition."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from scipy.stats import entropy as scipy_entropy
from scipy.stats import rankdata
from small import answering, same, state, trained_runs

from confidnet_core.config.registry import entry_names, find_entry
from confidnet_core.evaluation.calibrators import fit_calibrator
from confidnet_core.metrics import failure_metrics
from confidnet_core.networks.artifacts import save_network
from confidnet_core.scores.confidnet import confidnet
from confidnet_core.scores.confidnet_head import confidnet_head
from confidnet_core.scores.entropy import entropy
from confidnet_core.scores.margin import margin
from confidnet_core.scores.mcp import mcp
from confidnet_core.scores.tcp import tcp
from confidnet_core.scoring import run as run_module
from confidnet_core.scoring.run import Run, load_run

every_score = pytest.mark.parametrize("name", entry_names("scores"))
both_tasks = pytest.mark.parametrize("task", ["digits", "segmentation"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Run]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONFIDNET_DEVICE", "cpu")
        yield trained_runs(tmp_path_factory)


@pytest.fixture
def runs(trained: dict[str, Run]) -> dict[str, Run]:
    """Fresh runs, which have loaded nothing yet."""
    return {task: replace(run) for task, run in trained.items()}


@pytest.fixture
def digits_run(runs: dict[str, Run]) -> Run:
    return runs["digits"]


def stored_logits(run: Run) -> np.ndarray:
    """Return the logits of the labelled predictions, float64 (n, classes)."""
    return np.moveaxis(np.load(run.predictions_folder / run.split / "logits.npy"), 1, -1)[run.is_labelled].astype(np.float64)


@both_tasks
def test_undefined_logits_are_refused_with_their_file(runs: dict[str, Run], task: str, tmp_path: Path):
    run = replace(runs[task], predictions_folder=tmp_path)
    shutil.copytree(runs[task].predictions_folder, tmp_path, dirs_exist_ok=True)
    logits = np.load(tmp_path / "test/logits.npy")
    logits[-1] = np.nan
    np.save(tmp_path / "test/logits.npy", logits)
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path}/test/logits.npy holds NaN; delete it and run `dvc repro`")):
        entropy(run)


@both_tasks
@every_score
def test_every_score_gives_one_finite_number_a_prediction_and_changes_nothing(runs: dict[str, Run], task: str, name: str):
    run, score = runs[task], find_entry("scores", name)
    before = state(run.classifier)
    confidence = score(run)
    labels = run.dataset.split("test")[1]
    expected = len(labels) if task == "digits" else np.sum(labels != run.dataset.void)
    assert confidence.shape == (expected,) == run.correct.shape
    assert confidence.dtype.kind == "f"
    assert np.isfinite(confidence).all()
    assert len(np.unique(confidence)) > expected / 20
    assert np.array_equal(score(run), confidence)
    assert np.array_equal(score(replace(run)), confidence)
    assert same(state(run.classifier), before)
    assert not any(part.training for part in run.classifier.modules())


@both_tasks
@every_score
def test_the_probability_of_every_score_ranks_predictions_as_the_score_does(runs: dict[str, Run], task: str, name: str):
    run, score = runs[task], find_entry("scores", name)
    confidence = score(run)
    probability = fit_calibrator(score(run.validation), run.validation.correct)(confidence)
    np.testing.assert_array_equal(rankdata(probability), rankdata(confidence))
    assert failure_metrics(probability, run.correct) == failure_metrics(confidence, run.correct)


# Passes of a barely trained network agree most where all are unsure: their disagreement alone need not find errors.
@pytest.mark.parametrize("name", [name for name in entry_names("scores") if name != "mc_dropout_mutual_information"])
def test_every_score_ranks_the_digits_that_the_classifier_gets_right_above_its_errors(digits_run: Run, name: str):
    assert failure_metrics(find_entry("scores", name)(digits_run), digits_run.correct)["auroc"] > 0.6


def test_only_tcp_is_an_oracle():
    assert [name for name in entry_names("scores") if getattr(find_entry("scores", name), "oracle", False)] == ["tcp"]


@pytest.mark.parametrize("chunk", [2**20, 1])
@both_tasks
def test_predictions_are_in_the_order_of_the_labels(runs: dict[str, Run], task: str, chunk: int, monkeypatch: pytest.MonkeyPatch):
    run, maps = runs[task], runs[task].dataset.split("test")[1]
    monkeypatch.setattr(run_module, "PREDICTIONS_PER_CHUNK", chunk)
    assert np.array_equal(run.map_logits(lambda logits, labels: labels), run.labels)
    assert np.array_equal(run.map_logits(lambda logits, labels: logits.argmax(1)), run.predicted)
    assert np.array_equal(run.map_images(lambda images, labels: labels, maps), run.labels)
    assert np.mean(run.map_images(lambda images: run.classifier(images).argmax(1)) == run.predicted) > 0.999
    assert np.array_equal(run.labels, [label for label in maps.ravel() if label != run.dataset.void])


def test_a_run_is_loaded_from_the_folders_of_the_stages(digits_run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(digits_run.models_folder.parents[2])
    assert np.array_equal(mcp(load_run("digits", digits_run.benchmark, 0, "mcp", ())), mcp(digits_run))


@both_tasks
def test_scores_of_the_softmax_are_their_definitions(runs: dict[str, Run], task: str):
    run = runs[task]
    probabilities = softmax(stored_logits(run), axis=1)
    ordered = np.sort(probabilities, axis=1)
    assert mcp(run) == pytest.approx(ordered[:, -1], rel=1e-12)
    assert margin(run) == pytest.approx(ordered[:, -1] - ordered[:, -2], abs=1e-12)
    assert entropy(run) == pytest.approx(-scipy_entropy(probabilities, axis=1), abs=1e-12)
    assert tcp(run) == pytest.approx(np.exp(log_softmax(stored_logits(run), axis=1))[np.arange(len(run.labels)), run.labels], rel=1e-12)
    assert np.array_equal(tcp(run)[run.correct], mcp(run)[run.correct])
    assert (tcp(run)[~run.correct] <= 0.5).all()


def test_confident_predictions_that_tie_in_float32_have_different_scores(digits_run: Run, tmp_path: Path):
    """Gaps between the first logit and the others of 20 to 33; in float32 all these probabilities are 1."""
    gaps = np.linspace(20, 33, len(digits_run.labels))
    logits = np.where(np.arange(10) == 0, gaps[:, None], 0)
    run = answering(digits_run, logits, tmp_path / "answers")
    assert (softmax(logits.astype(np.float32), axis=1).max(1) == 1).all()
    for score in (mcp, entropy, margin):
        assert (np.diff(score(run)) > 0).mean() > 0.99


def test_logits_40_apart_give_no_nan(digits_run: Run, tmp_path: Path):
    logits = np.random.default_rng(0).choice([-1e4, -40.0, 0.0, 40.0, 1e4], (len(digits_run.labels), 10))
    run = answering(digits_run, logits, tmp_path / "answers")
    assert all(np.isfinite(score(run)).all() for score in (mcp, entropy, margin, tcp))


def test_for_two_classes_mcp_entropy_and_margin_rank_alike(digits_run: Run, tmp_path: Path):
    two = replace(digits_run.dataset, labels=np.asarray(digits_run.dataset.labels) % 2, classes=("even", "odd"))
    logits = np.random.default_rng(0).normal(0, 3, (len(digits_run.labels), 2))
    run = answering(replace(digits_run, dataset=two), logits, tmp_path / "answers")
    first, second, third = (rankdata(score(run).round(12)) for score in (mcp, entropy, margin))
    assert np.array_equal(first, second)
    assert np.array_equal(first, third)


def test_before_and_after_fine_tuning_agree_where_it_changed_nothing(runs: dict[str, Run], tmp_path: Path):
    for task, run in runs.items():
        untouched = run.confidnet_head().finetuning_copy()
        for part in ("baseline", "confidnet"):
            (tmp_path / task).mkdir(exist_ok=True)
            (tmp_path / task / part).symlink_to(run.models_folder / part)
        save_network(tmp_path / task / "finetune", untouched.state_dict(), {}, {})
        again = replace(run, models_folder=tmp_path / task)
        assert np.array_equal(confidnet(again), confidnet_head(again))
        assert not np.array_equal(confidnet(run), confidnet_head(run))


@pytest.mark.parametrize("score", [confidnet, confidnet_head])
def test_learned_confidences_are_probabilities_that_do_not_saturate(digits_run: Run, score: object):
    confidence = score(digits_run)
    assert confidence.dtype == np.float64
    assert 0 < confidence.min() < confidence.max() < 1
