"""Trust Score and the k-nearest-neighbour distance against their definitions by brute force, and where their reference points come from."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from small import CPU, trained_runs

from confidnet_core.data import labelled_mask
from confidnet_core.networks.inference import map_images
from confidnet_core.scores import _neighbours
from confidnet_core.scores.knn import knn
from confidnet_core.scores.trust_score import trust_score
from confidnet_core.scoring.run import Run

ALL = 10**6  # more than there are samples of a class


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Run]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONFIDNET_DEVICE", "cpu")
        yield trained_runs(tmp_path_factory)


@pytest.fixture
def digits_run(runs: dict[str, Run]) -> Run:
    return runs["digits"]


def training_without(run: Run, label: int) -> Run:
    train = run.dataset.splits["train"]
    remaining = train[run.dataset.labels[train] != label]
    return replace(run, dataset=replace(run.dataset, splits={**run.dataset.splits, "train": remaining}))


def features(run: Run, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of the labelled samples or pixels, float64 (n, d), and their labels."""
    images, labels = run.dataset.split(split)
    is_labelled = labelled_mask(labels, run.dataset.void)
    maps = map_images(run.classifier.encode, images, run.dataset, CPU, "features")
    return np.moveaxis(maps, 1, -1)[is_labelled].astype(np.float64), labels[is_labelled]


def brute_force(run: Run, neighbour: int, step: int, alpha: float = 0, k: int = 0) -> np.ndarray:
    """Compute Trust Score (Jiang et al. 2018) of step `step`-th prediction, with all training points but outliers as reference points."""
    (queries, _), (points, labels) = features(run, "test"), features(run, "train")
    if alpha:
        dense = np.zeros(len(points), bool)
        for label in np.unique(labels):
            own = points[labels == label]
            radius = np.sort(cdist(own, own), axis=1)[:, k - 1]
            dense[labels == label] = radius <= np.quantile(radius, 1 - alpha)
        points, labels = points[dense], labels[dense]
    distances, predicted = cdist(queries[::step], points), run.predicted[::step]
    to_class = np.full((len(distances), len(run.dataset.classes)), np.inf)
    for label in np.unique(labels):
        to_class[:, label] = np.sort(distances[:, labels == label], axis=1)[:, neighbour - 1]
    own = to_class[np.arange(len(predicted)), predicted]
    to_class[np.arange(len(predicted)), predicted] = np.inf
    return np.where(np.isinf(own), 0, to_class.min(1) / (own + 1e-12))


@pytest.mark.parametrize("neighbour", [1, 2, 5])
@pytest.mark.parametrize(("task", "step"), [("digits", 1), ("segmentation", 8)])
def test_trust_score_is_its_definition(runs: dict[str, Run], task: str, step: int, neighbour: int):
    got = trust_score(runs[task], neighbour=neighbour, samples_per_class=ALL)[::step]
    assert got == pytest.approx(brute_force(runs[task], neighbour, step), rel=1e-3)


@pytest.mark.parametrize(("alpha", "k"), [(0.1, 10), (0.5, 2), (0.9, 3)])
@pytest.mark.parametrize(("task", "step"), [("digits", 1), ("segmentation", 8)])
def test_outliers_of_a_class_are_left_out(runs: dict[str, Run], task: str, step: int, alpha: float, k: int):
    got = trust_score(runs[task], samples_per_class=ALL, alpha=alpha, k=k)[::step]
    assert got == pytest.approx(brute_force(runs[task], 1, step, alpha, k), rel=1e-3)
    assert not np.allclose(got, trust_score(runs[task], samples_per_class=ALL)[::step])


def test_a_class_smaller_than_k_or_of_one_sample_is_filtered_too(digits_run: Run):
    got = trust_score(digits_run, samples_per_class=3, alpha=0.5, k=10)
    assert np.isfinite(got).all() and len(np.unique(got)) > 100
    np.testing.assert_array_equal(trust_score(digits_run, samples_per_class=1, alpha=0.5), trust_score(digits_run, samples_per_class=1))


@pytest.mark.parametrize("neighbour", [1, 3, 50])
@pytest.mark.parametrize(("task", "step"), [("digits", 1), ("segmentation", 8)])
def test_knn_is_minus_the_distance_to_the_kth_nearest_training_sample_of_length_one(
    runs: dict[str, Run], task: str, step: int, neighbour: int
):
    both = (features(runs[task], name)[0] for name in ("test", "train"))
    queries, points = (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12) for rows in both)
    expected = -np.sort(cdist(queries[::step], points), axis=1)[:, neighbour - 1]
    # Of two points that are closer to each other than float32 tells, either may be the one.
    precision = 2 * float(np.finfo(np.float32).eps) ** 0.5
    assert knn(runs[task], neighbour=neighbour, samples_per_class=ALL)[::step] == pytest.approx(expected, abs=precision)


def test_knn_looks_at_no_prediction_and_no_test_label(digits_run: Run):
    labels = np.array(digits_run.dataset.labels)
    labels[digits_run.dataset.splits["test"]] = 0
    blind = replace(digits_run, dataset=replace(digits_run.dataset, labels=labels))
    blind.__dict__["predicted_maps"] = None
    assert np.array_equal(knn(blind, neighbour=5), knn(digits_run, neighbour=5))


def test_a_neighbour_that_knn_has_not_is_refused(digits_run: Run):
    samples = len(digits_run.dataset.splits["train"])
    with pytest.raises(ValueError, match=rf"methods\.knn\.neighbour is {samples + 1}; expected 1 to {samples}"):
        knn(digits_run, neighbour=samples + 1, samples_per_class=ALL)


@pytest.mark.parametrize("pairs", [1, 1000, 10**5])
@pytest.mark.parametrize("task", ["digits", "segmentation"])
def test_the_number_of_distances_at_once_does_not_change_the_score(
    runs: dict[str, Run], task: str, pairs: int, monkeypatch: pytest.MonkeyPatch
):
    expected = trust_score(runs[task], samples_per_class=5)
    monkeypatch.setattr(_neighbours, "MAX_DISTANCES", pairs)
    assert trust_score(runs[task], samples_per_class=5) == pytest.approx(expected, rel=1e-3)


def test_what_is_predicted_as_a_class_without_training_samples_is_trusted_least(digits_run: Run):
    label = int(np.bincount(digits_run.predicted).argmax())
    run = training_without(digits_run, label)
    got = trust_score(run)
    assert (got[run.predicted == label] == 0).all()
    assert (got[run.predicted != label] > 0).all()
    assert got == pytest.approx(brute_force(run, 1, 1), rel=1e-3)


def test_trust_score_reads_no_test_label(digits_run: Run):
    labels = np.array(digits_run.dataset.labels)
    labels[digits_run.dataset.splits["test"]] = 0
    blind = replace(digits_run, dataset=replace(digits_run.dataset, labels=labels))
    assert np.array_equal(trust_score(blind), trust_score(digits_run))


def test_a_repeated_training_image_is_trusted_most(digits_run: Run):
    """Its own class is at distance 0 but for rounding; the score is finite nonetheless."""
    images, (train, test) = np.array(digits_run.dataset.images), (digits_run.dataset.splits[name] for name in ("train", "test"))
    images[test[:50]] = images[train[:50]]
    labels = np.array(digits_run.dataset.labels)
    labels[test[:50]] = labels[train[:50]]
    predicted = digits_run.predicted_maps.copy()
    predicted[:50] = labels[train[:50]]
    run = replace(digits_run, dataset=replace(digits_run.dataset, images=images, labels=labels))
    run.__dict__["predicted_maps"] = predicted
    got = trust_score(run)
    assert np.isfinite(got).all()
    assert np.median(got[:50]) > 20 * np.max(got[50:])


def test_a_bounded_sample_of_reference_points_depends_on_the_seed(runs: dict[str, Run]):
    run = runs["segmentation"]
    few = trust_score(run, samples_per_class=20)
    assert np.array_equal(trust_score(run, samples_per_class=20), few)
    assert not np.array_equal(trust_score(replace(run, seed=1), samples_per_class=20), few)
    assert not np.allclose(few, trust_score(run, samples_per_class=ALL))


@pytest.mark.parametrize(("samples_per_class", "most"), [(5, 5), (1, 1)])
@pytest.mark.parametrize("task", ["digits", "segmentation"])
def test_a_class_has_no_more_reference_points_than_allowed(runs: dict[str, Run], task: str, samples_per_class: int, most: int):
    trust_score(runs[task], neighbour=most, samples_per_class=samples_per_class)
    with pytest.raises(ValueError, match=rf"methods\.trust_score\.neighbour is {most + 1}; expected 1 to {most} \(the smallest class\)"):
        trust_score(runs[task], neighbour=most + 1, samples_per_class=samples_per_class)


def test_a_neighbour_beyond_the_smallest_class_is_refused(digits_run: Run):
    smallest = np.bincount(digits_run.dataset.split("train")[1]).min()
    trust_score(digits_run, neighbour=int(smallest))
    with pytest.raises(ValueError, match=f"neighbour is {smallest + 1}; expected 1 to {smallest}"):
        trust_score(digits_run, neighbour=int(smallest) + 1)


@pytest.mark.parametrize("neighbour", [1, 2, 5, 300])
@pytest.mark.parametrize(("offset", "spread"), [(0, 1), (130, 0.01), (1e6, 1)])
def test_the_neighbour_is_the_nearest_however_far_from_zero_all_features_lie(offset: float, spread: float, neighbour: int):
    random = np.random.default_rng(0)
    centre = random.normal(size=64)
    centre *= offset / np.linalg.norm(centre)
    points, queries = (torch.from_numpy(centre + spread * random.normal(size=(300, 64))).float() for _ in range(2))
    expected = np.sort(cdist(queries.double(), points.double()), axis=1)[:, neighbour - 1]
    assert _neighbours.distance_to_neighbour(queries, points, neighbour).numpy() == pytest.approx(expected, rel=1e-6)


def test_the_neighbour_is_the_nearest_of_a_narrow_class_far_from_another():
    random = np.random.default_rng(0)
    points = torch.from_numpy(np.concatenate([place + 0.01 * random.normal(size=(200, 64)) for place in (-50, 50)])).float()
    queries = torch.from_numpy(50 + 0.01 * random.normal(size=(200, 64))).float()
    expected = cdist(queries.double(), points.double()).min(axis=1)
    assert _neighbours.distance_to_neighbour(queries, points, 1).numpy() == pytest.approx(expected, rel=1e-6)
