"""Scores of the logits with one fitted parameter: it is the best one on validation data, and depends on nothing else."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small import answering, trained_runs

from confidnet_core.config.registry import find_entry
from confidnet_core.metrics import failure_metrics
from confidnet_core.scores.log_odds import log_odds
from confidnet_core.scores.max_logit_pnorm import best_norm_order, max_logit_pnorm
from confidnet_core.scores.temperature import TEMPERATURE_RANGE, best_temperature, temperature
from confidnet_core.scoring import run as run_module
from confidnet_core.scoring.run import Run

every_fitted_score = pytest.mark.parametrize("name", ["temperature", "max_logit_pnorm"])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Run]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONFIDNET_DEVICE", "cpu")
        yield trained_runs(tmp_path_factory)


def drawn(samples: int, temperature: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that are `temperature` times too large for the labels, which are drawn from the softmax of the right ones."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(samples, 5, generator=generator, dtype=torch.float64)
    return logits * temperature, torch.multinomial(logits.softmax(1), 1, generator=generator).squeeze(1)


@pytest.mark.parametrize("true", [0.3, 1.0, 8.0])
def test_the_temperature_that_made_the_labels_is_found(true: float):
    assert best_temperature(*drawn(20_000, true)) == pytest.approx(true, rel=0.05)


def test_no_other_temperature_has_a_smaller_cross_entropy():
    logits, labels = drawn(500, 3.0)
    best = best_temperature(logits, labels)
    losses = [torch.nn.functional.cross_entropy(logits / (best * factor), labels).item() for factor in (0.99, 1, 1.01)]
    assert losses[1] == min(losses)


def test_a_classifier_without_an_error_has_a_temperature_near_0_and_one_without_a_success_the_largest():
    logits = 5 * torch.eye(4, dtype=torch.float64)
    assert TEMPERATURE_RANGE[0] < best_temperature(logits, torch.arange(4)) < 0.1
    assert best_temperature(logits, (torch.arange(4) + 1) % 4) == pytest.approx(TEMPERATURE_RANGE[1], rel=1e-2)


@pytest.mark.parametrize(("is_right", "outcome"), [(True, "correct"), (False, "an error")])
def test_a_temperature_that_the_data_do_not_determine_is_warned_of_once(
    runs: dict[str, Run], tmp_path: Path, capsys: pytest.CaptureFixture, is_right: bool, outcome: str
):
    run = runs["digits"]
    logits = [300 * np.eye(10, dtype=np.float32)[(part.labels + (not is_right)) % 10] for part in (run, run.validation)]
    sure = answering(run, logits[0], tmp_path / "sure", logits[1])
    assert np.array_equal(temperature(sure), temperature(sure.on_split("test")))
    (warning,) = capsys.readouterr().err.splitlines()
    assert f"as if every prediction on them were {outcome}; use the score log_odds" in warning


def test_a_temperature_that_the_data_determine_is_no_reason_to_warn(runs: dict[str, Run], capsys: pytest.CaptureFixture):
    temperature(runs["digits"])
    assert capsys.readouterr().err == ""


def test_temperature_scaling_undoes_a_scale_of_all_logits(runs: dict[str, Run], tmp_path: Path):
    run = runs["digits"]
    test, validation = (np.load(part.predictions_folder / part.split / "logits.npy") for part in (run, run.validation))
    larger = answering(run, 10 * test, tmp_path / "larger", 10 * validation)
    assert temperature(larger) == pytest.approx(temperature(run), abs=1e-3)


@pytest.mark.parametrize("task", ["digits", "segmentation"])
def test_temperature_scaled_confidence_is_mcp_of_the_scaled_logits(task: str, runs: dict[str, Run]):
    run = runs[task]
    logits = np.moveaxis(np.load(run.predictions_folder / run.split / "logits.npy"), 1, -1)[run.is_labelled].astype(float)
    scaled = logits / best_temperature(*run.validation.subsample_logits())
    probability = (np.exp(scaled) / np.exp(scaled).sum(1, keepdims=True)).max(1)
    assert 1 / (1 + np.exp(-temperature(run))) == pytest.approx(probability, abs=1e-9)


@pytest.mark.parametrize("max_samples", [1, 7, 100, 10**6])
@pytest.mark.parametrize("chunk", [1, 300, 10**6])
@pytest.mark.parametrize("task", ["digits", "segmentation"])
def test_subsampled_logits_are_evenly_spaced(
    task: str, max_samples: int, chunk: int, runs: dict[str, Run], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(run_module, "PREDICTIONS_PER_CHUNK", chunk)
    run = runs[task].validation
    everything = np.moveaxis(np.load(run.predictions_folder / run.split / "logits.npy"), 1, -1)[run.is_labelled]
    step = -(-len(everything) // max_samples)
    logits, labels = run.subsample_logits(max_samples)
    assert len(labels) <= max_samples
    np.testing.assert_array_equal(logits, everything[::step])
    np.testing.assert_array_equal(labels, run.labels[::step])


def pnorm(logits: np.ndarray, order: int) -> np.ndarray:
    centred = logits - logits.mean(1, keepdims=True)
    return centred.max(1) / (np.abs(centred) ** order).sum(1) ** (1 / order)


def broken(samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose scale says nothing: it is drawn anew for each sample, so that MCP ranks badly."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(samples, 6)) + 1e-3
    labels = np.array([generator.choice(6, p=row) for row in np.exp(3 * logits) / np.exp(3 * logits).sum(1, keepdims=True)])
    return logits * np.exp(2 * generator.normal(size=(samples, 1))), labels


def test_the_order_with_the_least_aurc_is_chosen():
    logits, labels = broken(3000, 0)
    risks = [failure_metrics(pnorm(logits, order), logits.argmax(1) == labels)["aurc"] for order in range(1, 11)]
    assert best_norm_order(torch.from_numpy(logits), torch.from_numpy(labels)) == 1 + int(np.argmin(risks))


def test_mcp_stays_where_no_norm_is_better():
    logits, labels = drawn(20_000, 1.0)
    assert best_norm_order(logits, labels) is None


def test_the_norm_repairs_a_classifier_whose_mcp_ranks_badly_on_other_data(runs: dict[str, Run], tmp_path: Path):
    run = runs["digits"]
    (validation, val_labels), (test, test_labels) = (broken(len(part.labels), seed) for seed, part in enumerate((run.validation, run)))
    labels = run.dataset.labels % 6
    labels[run.dataset.splits["val"]], labels[run.dataset.splits["test"]] = val_labels, test_labels
    dataset = replace(run.dataset, labels=labels, classes=run.dataset.classes[:6])
    run = answering(replace(run, dataset=dataset), test, tmp_path / "answers", validation)
    assert (risk := {score: failure_metrics(score(run), run.correct)["aurc"] for score in (log_odds, max_logit_pnorm)})
    assert risk[max_logit_pnorm] < 0.9 * risk[log_odds]
    order = best_norm_order(torch.from_numpy(validation.astype(np.float32)).double(), torch.from_numpy(val_labels))
    assert max_logit_pnorm(run) == pytest.approx(pnorm(test.astype(np.float32).astype(float), order), rel=1e-9)


@every_fitted_score
def test_a_fitted_score_reads_no_test_or_calibration_label_and_follows_the_validation_labels(name: str, runs: dict[str, Run]):
    score, run = find_entry("scores", name), runs["digits"]
    before = score(run)
    labels = np.array(run.dataset.labels)
    labels[run.dataset.splits["test"]] = labels[run.dataset.splits["calibration"]] = 0
    np.testing.assert_array_equal(score(replace(run, dataset=replace(run.dataset, labels=labels))), before)
    labels[run.dataset.splits["val"]] = np.random.default_rng(0).integers(10, size=len(run.dataset.splits["val"]))
    assert not np.allclose(score(replace(run, dataset=replace(run.dataset, labels=labels))), before)


@every_fitted_score
@pytest.mark.parametrize("case", [0, 1000])
def test_a_fitted_score_is_finite_however_far_or_near_the_logits_are(name: str, case: float, runs: dict[str, Run], tmp_path: Path):
    run = runs["digits"]
    test, validation = (case * np.load(part.predictions_folder / part.split / "logits.npy") for part in (run, run.validation))
    assert np.isfinite(find_entry("scores", name)(answering(run, test, tmp_path / "answers", validation))).all()
