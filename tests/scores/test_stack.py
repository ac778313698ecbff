"""The stack: its inputs, by brute force; that it is a logistic regression of them; and its fallback where the regression is worse."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from small import CPU, trained_runs, without_test

from confidnet_core.files import write_json
from confidnet_core.metrics import failure_metrics
from confidnet_core.networks.inference import map_images
from confidnet_core.scores.log_odds import log_odds
from confidnet_core.scores.second_opinion import second_opinion
from confidnet_core.scores.stack import (
    FOLD_COUNT,
    apply_regression,
    available_inputs,
    choose_regression,
    regression_inputs,
    stack,
)
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
    return np.column_stack([*columns, *([] if run.dataset.is_segmentation else [distances(run)]), second_opinion(run)])


def without_second_network(run: Run, folder: Path) -> Run:
    """The run of a benchmark that has no second network."""
    for name in ("baseline", "second_opinion"):
        shutil.copytree(run.models_folder / name, folder / name)
    write_json(folder / "second_opinion/model.json", {"left_out": "no recipe"})
    return replace(run, models_folder=folder)


@pytest.mark.parametrize("kind", ["digits", "segmentation"])
@pytest.mark.parametrize("split", ["val", "test"])
def test_the_inputs_are_mcp_views_for_classification_distances_and_the_second_network(runs: dict[str, Run], kind: str, split: str):
    run = runs[kind]
    inputs = regression_inputs(run.on_split(split), available_inputs(run), samples_per_class=10**6, shift=0.04)
    assert np.abs(inputs - by_brute_force(run.on_split(split))).max() < 1e-4


def test_without_a_second_network_it_is_a_logistic_regression_on_validation_data(runs: dict[str, Run], tmp_path: Path):
    run = without_second_network(runs["digits"], tmp_path)
    val, test = (by_brute_force(runs["digits"].on_split(split))[:, :-1] for split in ("val", "test"))
    confidence = stack(run, samples_per_class=10**6)
    assert not np.allclose(confidence, log_odds(run))  # it was better
    assert np.abs(confidence - by_hand(val, run.validation.correct, test)).max() < 1e-3


@pytest.mark.parametrize("kind", ["digits", "segmentation"])
def test_with_a_second_network_it_is_the_best_of_both_regressions_and_of_the_scores_alone(runs: dict[str, Run], kind: str):
    run = runs[kind]
    val, test = (by_brute_force(run.on_split(split)) for split in ("val", "test"))
    correct, folds = run.validation.correct, np.arange(len(val)) * FOLD_COUNT // len(val)
    cheap = np.s_[:, :-1]

    def held_out(columns: np.ndarray) -> np.ndarray:
        parts = [by_hand(columns[folds != fold], correct[folds != fold], columns[folds == fold]) for fold in range(FOLD_COUNT)]
        return np.concatenate(parts)

    tried = [val[:, 0], val[:, 1], val[:, -1], held_out(val[cheap]), held_out(val)]
    results = [test[:, 0], test[:, 1], test[:, -1], by_hand(val[cheap], correct, test[cheap]), by_hand(val, correct, test)]
    best = max(range(5), key=lambda index: quality(tried[index], correct))
    assert np.abs(stack(run, samples_per_class=10**6) - results[best]).max() < 1e-3


@pytest.mark.parametrize("kind", ["digits", "segmentation"])
def test_it_is_fitted_without_the_test_and_the_calibration_labels(runs: dict[str, Run], kind: str):
    run = runs[kind]
    labels = run.dataset.labels.copy()
    labels[run.dataset.splits["calibration"]] = 0
    sealed = replace(run, dataset=replace(run.dataset, labels=labels))
    assert np.array_equal(stack(replace(sealed, dataset=without_test(sealed.dataset)).validation), stack(run.validation))


def simulated(informative: float, samples: int = 4000) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Log-odds that are right about a success, the same with noise, and a third input that tells `informative` more."""
    rng = np.random.default_rng(0)
    log_odds, noise, other = rng.normal(2, 1.5, samples), rng.normal(0, 0.5, samples), rng.normal(size=samples)
    inputs = {"image": log_odds, "views": log_odds + noise, "distances": other}
    return {name: column[:, None] for name, column in inputs.items()}, rng.random(samples) < 1 / (
        1 + np.exp(-log_odds - informative * other)
    )


def quality(confidence: np.ndarray, correct: np.ndarray) -> float:
    return failure_metrics(confidence, correct)["aupr_error"]


def chosen(inputs: dict[str, np.ndarray], correct: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The names of the inputs of the regression that is chosen, and its log-odds."""
    regression = choose_regression(inputs, correct)
    return regression[0], apply_regression(regression, np.column_stack([inputs[name] for name in regression[0]]))


@pytest.mark.parametrize("name", ["distances", "second network"])
def test_an_input_that_tells_more_is_used(name: str):
    inputs, correct = simulated(informative=1.0)
    inputs[name] = inputs.pop("distances")
    names, confidence = chosen(inputs, correct)
    assert names == list(inputs) and quality(confidence, correct) > quality(inputs["image"][:, 0], correct) + 0.05


def test_a_second_network_that_tells_nothing_is_not_run():
    inputs, correct = simulated(informative=1.0)
    part = np.arange(len(correct)) * FOLD_COUNT // len(correct)
    inputs["second network"] = (np.where(correct, 1.0, -1.0) * np.where(part % 2, 3, -3))[:, None]
    assert chosen(inputs, correct)[0] == ["image", "views", "distances"]


@pytest.mark.parametrize("better", ["image", "views"])
def test_one_that_harms_on_the_other_parts_leaves_the_better_log_odds(better: str):
    inputs, correct = simulated(informative=0.0)
    part = np.arange(len(correct)) * FOLD_COUNT // len(correct)
    inputs["distances"] = (np.where(correct, 1.0, -1.0) * np.where(part % 2, 3, -3))[:, None]  # what it says turns round from part to part
    if better == "views":
        inputs["image"], inputs["views"] = inputs["views"], inputs["image"]
    names, confidence = chosen(inputs, correct)
    assert names == [better] and np.array_equal(confidence, inputs[better][:, 0])


@pytest.mark.parametrize("errors", [0, 1, 50])
def test_too_few_errors_or_successes_to_fit_leave_the_better_score(errors: int):
    generator, correct = np.random.default_rng(0), np.arange(50) >= errors
    inputs = {name: generator.normal(size=(50, 1)) for name in ("image", "views", "distances", "second network")}
    better = max(("image", "views", "second network"), key=lambda name: quality(inputs[name][:, 0], correct) or 0.0)
    names, confidence = chosen(inputs, correct)
    assert names == [better] and np.array_equal(confidence, inputs[better][:, 0])
