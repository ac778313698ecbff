"""Bootstrap of many samples in groups: its resamples scatter as single draws do, and differences between scores stay paired."""

import numpy as np
import pytest

from confidnet_core.metrics import METRICS, failure_metrics
from confidnet_core.metrics._draws import groups
from confidnet_core.metrics._resampled.cells import MAX_CELL_COUNT, edges_of_counts
from confidnet_core.metrics._resampled.metrics import count_in_cells, metrics_of_group_draws
from confidnet_core.metrics.bootstrap import bootstrap
from confidnet_core.metrics.calibration import CALIBRATION_METRICS, bootstrap_calibration

SINGLE = "confidnet_core.metrics.bootstrap.MAX_SINGLE_SAMPLES"
RESAMPLES = 500
# The noise of a standard error by groups, and by the resamples of either way, is 4.7 % together; so 4 standard deviations.
TOLERANCE = 4 * (groups.GROUPING_NOISE**2 + 1 / RESAMPLES) ** 0.5
JUMPING = ("coverage_at_1_risk", "coverage_at_5_risk")


def samples(n: int, errors: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    correct = np.ones(n, bool)
    correct[rng.choice(n, errors, replace=False)] = False
    return rng.normal(size=n) + 1.5 * correct, correct


def both_ways(confidence: np.ndarray, correct: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, np.ndarray]:
    """Return replicates (RESAMPLES, metrics) by single draws and by groups."""
    rows = []
    for most in (10**9, 0):
        monkeypatch.setattr(SINGLE, most)
        rows.append(bootstrap(confidence, correct, resample_count=RESAMPLES, seed=1))
    return rows[0], rows[1]


@pytest.mark.parametrize(("errors", "levels"), [(20, None), (500, None), (20, 12), (500, 12)])
def test_standard_errors_and_means_are_those_of_single_draws(errors: int, levels: int | None, monkeypatch: pytest.MonkeyPatch):
    confidence, correct = samples(5000, errors)
    confidence = confidence if levels is None else np.round(confidence * levels / 8)
    single, grouped = both_ways(confidence, correct, monkeypatch)
    for index, metric in enumerate(METRICS):
        error = single[:, index].std()
        if error > 0 and metric not in JUMPING:
            assert grouped[:, index].std() == pytest.approx(error, rel=TOLERANCE), metric
            assert abs(grouped[:, index].mean() - single[:, index].mean()) < 0.3 * error, metric  # 4.7 deviations


def test_differences_between_scores_are_paired(monkeypatch: pytest.MonkeyPatch):
    confidence, correct = samples(5000, 300)
    other = confidence + 0.2 * np.random.default_rng(1).normal(size=len(confidence))
    both = [both_ways(score, correct, monkeypatch) for score in (confidence.round(1), other.round(1))]
    single, grouped = ((first - second)[:, METRICS.index("auroc")] for first, second in zip(*both, strict=True))
    assert grouped.std() == pytest.approx(single.std(), rel=TOLERANCE)
    assert grouped.std() < 0.4 * both[0][1][:, METRICS.index("auroc")].std()


def test_samples_above_the_limit_are_drawn_in_groups_and_those_up_to_it_one_by_one(monkeypatch: pytest.MonkeyPatch):
    confidence, correct = samples(5000, 300)
    confidence = confidence.round(1)
    monkeypatch.setattr(SINGLE, 5000)
    at_limit = bootstrap(confidence, correct, resample_count=10, seed=0)
    monkeypatch.setattr(SINGLE, 4999)
    above = bootstrap(confidence, correct, resample_count=10, seed=0)
    assert not np.array_equal(at_limit, above)
    assert np.array_equal(above, bootstrap(np.exp(confidence), correct, resample_count=10, seed=0))


@pytest.mark.parametrize("errors", [0, 1, 3, 1000])
def test_hardly_any_error_or_no_success_gives_what_single_draws_give(errors: int, monkeypatch: pytest.MonkeyPatch):
    confidence, correct = samples(1000, errors)
    single, grouped = both_ways(confidence.round(1), correct, monkeypatch)
    assert ((np.isnan(single).all(axis=0)) == np.isnan(grouped).all(axis=0)).all()
    undefined = np.isnan(single[:, METRICS.index("auroc")]).mean(), np.isnan(grouped[:, METRICS.index("auroc")]).mean()
    assert undefined[1] == pytest.approx(undefined[0], abs=0.07)  # no error drawn, with the probability exp(-errors)
    accuracy = METRICS.index("accuracy")
    assert grouped[:, accuracy].std() == pytest.approx(single[:, accuracy].std(), rel=0.2)


def test_many_units_are_put_into_groups_whole(monkeypatch: pytest.MonkeyPatch):
    correct = np.repeat(np.random.default_rng(0).random(9000) > 0.2, 7)
    confidence = np.random.default_rng(1).integers(5, size=63_000)
    rows = bootstrap(confidence, correct, resample_count=RESAMPLES, seed=0, pixels_per_image=[7] * 9000)
    expected = (0.2 * 0.8 / 9000) ** 0.5  # of 9,000 units, not of 63,000 rows
    assert rows[:, METRICS.index("accuracy")].std() == pytest.approx(expected, rel=TOLERANCE + 0.02)


def test_calibration_metrics_scatter_as_their_losses_say():
    rng = np.random.default_rng(0)
    probability = rng.random(150_000)
    correct = rng.random(150_000) < probability**1.2
    rows = bootstrap_calibration(probability, correct, resample_count=RESAMPLES, seed=0)
    losses = {"brier": (probability - correct) ** 2, "nll": -np.log(np.where(correct, probability, 1 - probability))}
    for metric, values in losses.items():
        column = rows[:, CALIBRATION_METRICS.index(metric)]
        assert column.std() == pytest.approx(values.std() / 150_000**0.5, rel=TOLERANCE)
        assert column.mean() == pytest.approx(values.mean(), abs=0.2 * column.std())
    ece = rows[:, CALIBRATION_METRICS.index("ece")]
    assert ece.mean() == pytest.approx(np.abs(probability - probability**1.2).mean(), abs=0.003)


def blocks_of(confidence: np.ndarray, correct: np.ndarray, size: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Return (values, samples, errors) in blocks of `size` distinct confidences, from the highest down."""
    values, index, counts = np.unique(-confidence, return_inverse=True, return_counts=True)
    errors = np.bincount(index[~correct], minlength=len(values))
    return [(-values[s : s + size], counts[s : s + size], errors[s : s + size]) for s in range(0, len(values), size)]


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_cells_are_the_same_for_any_blocks_and_few_confidences_have_one_each(size: int):
    confidence, correct = samples(3000, 100)
    blocks = blocks_of(confidence, correct, size)
    edges = edges_of_counts(iter(blocks), 3000, 100)
    np.testing.assert_array_equal(edges, edges_of_counts(iter(blocks_of(confidence, correct, 10**6)), 3000, 100))
    assert len(edges) <= MAX_CELL_COUNT
    cells = np.searchsorted(edges, confidence, side="right")
    assert not set(cells[correct]) & set(cells[~correct])  # up to 256 errors are alone in their cells
    rounded = confidence.round(1)
    levels = edges_of_counts(iter(blocks_of(rounded, correct, size)), 3000, 100)
    np.testing.assert_array_equal(levels, np.unique(rounded))


def test_groups_are_of_equal_size_and_depend_on_the_seed_alone():
    drawn = groups.assign_groups(10_001, seed=3)
    assert set(np.bincount(drawn, minlength=groups.GROUP_COUNT)) == {2, 3}
    np.testing.assert_array_equal(drawn, groups.assign_groups(10_001, seed=3))
    assert not np.array_equal(drawn, groups.assign_groups(10_001, seed=4))
    for order, draws in groups.iterate_bundle_draws(50, seed=0):
        assert sorted(order) == list(range(groups.GROUP_COUNT)) and (draws.sum(axis=1) == groups.BUNDLE_COUNT - 1).all()
    assert sum(len(draws) for _, draws in groups.iterate_bundle_draws(50, seed=0)) == 50


def test_no_resample_is_refused():
    with pytest.raises(ValueError, match="resample_count is 0; expected at least 1"):
        bootstrap(*samples(100_001, 10), resample_count=0, seed=0)


def test_the_metrics_of_all_samples_lie_in_the_middle_of_the_resamples():
    confidence, correct = samples(100_001, 5000)
    confidence = confidence.round(1)
    rows = bootstrap(confidence, correct, resample_count=400, seed=0)
    for index, (metric, value) in enumerate(failure_metrics(confidence, correct).items()):
        assert metric in (*JUMPING, "fpr_at_95_tpr") or abs(rows[:, index].mean() - value) < 0.35 * rows[:, index].std()


def test_all_resamples_are_shifted_by_what_the_cells_change():
    rng = np.random.default_rng(0)
    counts = count_in_cells(rng.integers(groups.GROUP_COUNT, size=9000), rng.integers(30, size=9000), rng.random(9000) < 0.8, 30)
    values = np.full(len(METRICS), 0.4)
    shifted = [metrics_of_group_draws(*counts, values + shift, 40, 0) for shift in (0, 0.01)]
    index = METRICS.index("auroc")
    np.testing.assert_allclose(shifted[1][:, index] - shifted[0][:, index], 0.01)
    assert shifted[0][:, index].mean() == pytest.approx(0.4, abs=0.01)
