"""The stack: its inputs, by brute force; that it is a logistic regression of them; and its fallback where the regression is worse."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small import CPU, trained_runs, without_test

from confidnet_core.metrics import failure_metrics
from confidnet_core.networks.inference import map_images
from confidnet_core.scores.log_odds import log_odds
from confidnet_core.scores.stack import FOLD_COUNT, LOG_ODDS_COLUMNS, apply_regression, choose_regression, compute_regression_inputs, stack
from confidnet_core.scores.tta import tta
from confidnet_core.scoring.run import Run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Run]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONFIDNET_DEVICE", "cpu")
        yield trained_runs(tmp_path_factory)


def logits(run: Run) -> np.ndarray:
    return np.load(run.predictions_folder / run.split / "logits.npy").astype(np.float64)


def odds(maps: np.ndarray) -> np.ndarray:
    """Return log(p / (1 - p)) of the largest softmax probability over the second axis."""
    ordered = np.sort(maps, axis=1)
    return ordered[:, -1] - np.log(np.exp(ordered[:, :-1]).sum(axis=1))


def distances(run: Run) -> np.ndarray:
    """Return the log-distances to the nearest training sample of the predicted and of another class, by brute force."""
    images, labels = run.dataset.split("train")
    points, queries = (map_images(run.classifier.encode, part, run.dataset, CPU, "") for part in (images, run.images))
    pairs, same = cdist(queries.astype(float), points.astype(float)), run.predicted[:, None] == labels
    return np.log(np.column_stack([np.where(same, pairs, np.inf).min(1), np.where(same, np.inf, pairs).min(1)]))


def by_hand(train: np.ndarray, correct: np.ndarray, test: np.ndarray) -> np.ndarray:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(train, correct).decision_function(test)


def by_brute_force(run: Run) -> np.ndarray:
    columns = [odds(logits(run))[run.is_labelled], tta(run)]
    return np.column_stack(columns if run.dataset.is_segmentation else [*columns, distances(run)])


@pytest.mark.parametrize("kind", ["digits", "segmentation"])
@pytest.mark.parametrize("split", ["val", "test"])
def test_the_inputs_are_mcp_other_views_and_for_classification_distances_to_training_samples(runs: dict[str, Run], kind: str, split: str):
    run = runs[kind]
    inputs = compute_regression_inputs(run, split, samples_per_class=10**6, shift=0.04)
    assert np.abs(inputs - by_brute_force(run.on_split(split))).max() < 1e-4


def test_it_is_a_logistic_regression_on_validation_data(runs: dict[str, Run]):
    run = runs["digits"]
    val, test = (by_brute_force(part) for part in (run.validation, run))
    confidence = stack(run, samples_per_class=10**6)
    assert not np.allclose(confidence, log_odds(run))  # it was better
    assert np.abs(confidence - by_hand(val, run.validation.correct, test)).max() < 1e-3


@pytest.mark.parametrize("kind", ["digits", "segmentation"])
def test_it_is_fitted_without_the_test_and_the_calibration_labels(runs: dict[str, Run], kind: str):
    run = runs[kind]
    labels = run.dataset.labels.copy()
    labels[run.dataset.splits["calibration"]] = 0
    sealed = replace(run, dataset=replace(run.dataset, labels=labels))
    assert np.array_equal(stack(replace(sealed, dataset=without_test(sealed.dataset)).validation), stack(run.validation))


def simulated(informative: float, samples: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds that are right about a success, the same with noise, and a third column that tells `informative` more."""
    rng = np.random.default_rng(0)
    log_odds, noise, other = rng.normal(2, 1.5, samples), rng.normal(0, 0.5, samples), rng.normal(size=samples)
    inputs = np.column_stack([log_odds, log_odds + noise, other])
    return inputs, rng.random(samples) < 1 / (1 + np.exp(-log_odds - informative * other))


def quality(confidence: np.ndarray, correct: np.ndarray) -> float:
    return failure_metrics(confidence, correct)["aupr_error"]


def test_a_column_that_tells_more_is_used():
    inputs, correct = simulated(informative=1.0)
    assert quality(apply_regression(choose_regression(inputs, correct), inputs), correct) > quality(inputs[:, 0], correct) + 0.05


@pytest.mark.parametrize("column", LOG_ODDS_COLUMNS)
def test_one_that_harms_on_the_other_parts_leaves_the_better_log_odds(column: int):
    inputs, correct = simulated(informative=0.0)
    part = np.arange(len(correct)) * FOLD_COUNT // len(correct)
    inputs[:, 2] = np.where(correct, 1.0, -1.0) * np.where(part % 2, 3, -3)  # what it says turns round from part to part
    inputs[:, :2] = inputs[:, [column, 1 - column]]
    assert quality(inputs[:, column], correct) > quality(inputs[:, 1 - column], correct)
    assert np.array_equal(apply_regression(choose_regression(inputs, correct), inputs), inputs[:, column])


@pytest.mark.parametrize("errors", [0, 1, 50])
def test_too_few_errors_or_successes_to_fit_leave_the_better_log_odds(errors: int):
    inputs, correct = np.random.default_rng(0).normal(size=(50, 4)), np.arange(50) >= errors
    better = max(LOG_ODDS_COLUMNS, key=lambda column: quality(inputs[:, column], correct) or 0.0)
    assert np.array_equal(apply_regression(choose_regression(inputs, correct), inputs), inputs[:, better])
