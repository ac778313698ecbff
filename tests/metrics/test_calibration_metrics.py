"""Calibration metrics, reliability curve and their bootstrap: compared with slow definitions, scikit-learn and hand-computed values."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from confidnet_core.metrics import METRICS
from confidnet_core.metrics.bootstrap import bootstrap
from confidnet_core.metrics.calibration import CALIBRATION_METRICS, bootstrap_calibration, calibration_metrics, reliability_curve

TWENTIETHS = st.integers(0, 20).map(lambda i: i / 20)  # many lie on an edge of 5, 10 or 20 bins
SAMPLES = st.lists(st.tuples(TWENTIETHS, st.booleans()), min_size=1, max_size=40).map(
    lambda drawn: (np.array([p for p, _ in drawn]), np.array([is_correct for _, is_correct in drawn]))
)


def approx(metrics: dict[str, float]):
    return pytest.approx(metrics, rel=1e-13, abs=1e-15)


def synthetic(n: int, decimals: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities and outcomes of an overconfident classifier."""
    generator = np.random.default_rng(0)
    probability = generator.random(n) ** 0.3
    correct = generator.random(n) < probability**2
    return probability if decimals is None else probability.round(decimals), correct


def bin_of_width(probability: float, bins: int) -> int:
    return next(m for m in range(bins) if probability <= (m + 1) / bins)


def bin_of_count(probability: float, reference: np.ndarray, bins: int) -> int:
    """Return the equal-count bin of a probability: sorted values are cut into parts, and ties belong to the part of their first value."""
    ordered = sorted(reference)
    ends = [ordered[math.ceil(m * len(ordered) / bins) - 1] for m in range(1, bins + 1)]
    return next(m for m in range(bins) if probability <= ends[m])


def slow_calibration_error(probability: np.ndarray, correct: np.ndarray, bin_index: list[int]) -> float:
    error = 0.0
    for m in set(bin_index):
        members = [i for i in range(len(bin_index)) if bin_index[i] == m]
        accuracy = sum(float(correct[i]) for i in members) / len(members)
        error += len(members) / len(bin_index) * abs(accuracy - sum(probability[i] for i in members) / len(members))
    return error


def slow_metrics(probability: np.ndarray, correct: np.ndarray, bins: int = 15, reference: np.ndarray | None = None) -> dict[str, float]:
    """Compute the metrics directly from their definitions. reference: the probabilities that determine the bins of equal count."""
    reference = probability if reference is None else reference
    outcome_probability = [p if is_correct else 1 - p for p, is_correct in zip(probability, correct, strict=True)]
    return {
        "ece": slow_calibration_error(probability, correct, [bin_of_width(p, bins) for p in probability]),
        "adaptive_ece": slow_calibration_error(probability, correct, [bin_of_count(p, reference, bins) for p in probability]),
        "brier": sum((1 - p) ** 2 for p in outcome_probability) / len(outcome_probability),
        "nll": sum(-math.log(max(p, 2**-53)) for p in outcome_probability) / len(outcome_probability),
    }


@pytest.mark.parametrize("n", [1, 2, 14, 15, 16, 300])
@pytest.mark.parametrize("decimals", [None, 1])
@pytest.mark.parametrize("bins", [1, 5, 10, 15])
def test_the_metrics_are_their_definitions(n: int, decimals: int | None, bins: int):
    probability, correct = synthetic(n, decimals=decimals)
    found = calibration_metrics(probability, correct, bins)
    assert tuple(found) == CALIBRATION_METRICS
    assert found == approx(slow_metrics(probability, correct, bins))


def test_brier_score_and_nll_are_those_of_scikit_learn():
    probability, correct = synthetic(1000)
    found = calibration_metrics(probability, correct)
    assert found["brier"] == pytest.approx(sklearn_metrics.brier_score_loss(correct, probability), rel=1e-13)
    assert found["nll"] == pytest.approx(sklearn_metrics.log_loss(correct, probability), rel=1e-13)


MAX_NLL = 53 * math.log(2)
HAND_COMPUTED = {
    "1 is in the last bin": ([0.95, 1.0], [1, 0], 0.475, 0.525, (0.05**2 + 1) / 2, (MAX_NLL - math.log(0.95)) / 2),
    "0 is in the first bin": ([0, 1], [0, 1], 0, 0, 0, 0),
    "sure and wrong": ([0, 1], [1, 0], 1, 1, 1, MAX_NLL),
    "one sample": ([0.75], [1], 0.25, 0.25, 1 / 16, -math.log(0.75)),
    "all right": ([0.5, 0.75], [1, 1], 0.375, 0.375, 5 / 32, -math.log(0.375) / 2),
    "all wrong": ([0.5, 0.75], [0, 0], 0.625, 0.625, 13 / 32, math.log(8) / 2),
    "fewer samples than bins": ([0.25, 0.5, 0.75], [0, 1, 1], 1 / 3, 1 / 3, 0.125, -math.log(0.28125) / 3),
    "one probability": ([0.75] * 4, [1, 1, 1, 0], 0, 0, 3 / 16, -(3 * math.log(0.75) + math.log(0.25)) / 4),
}


@pytest.mark.parametrize("case", HAND_COMPUTED)
def test_values_worked_out_by_hand(case: str):
    probability, correct, *expected = HAND_COMPUTED[case]
    assert calibration_metrics(probability, correct) == approx(dict(zip(CALIBRATION_METRICS, expected, strict=True)))


def test_an_edge_belongs_to_the_bin_below_it():
    edge, above = [0.2, 0.2], [np.nextafter(0.2, 1)] * 2
    assert calibration_metrics([0.1, *edge], [0, 0, 1], bins=5)["ece"] == pytest.approx(0.5 / 3)
    assert calibration_metrics([0.1, *above], [0, 0, 1], bins=5)["ece"] == pytest.approx(0.7 / 3)


def test_bins_of_equal_count_hold_as_many_samples_as_each_other():
    probability = np.array([0.9, 0.91, 0.92, 0.93, 0.94, 0.95])
    assert calibration_metrics(probability, [1, 1, 0, 0, 1, 1], bins=3)["adaptive_ece"] == pytest.approx((0.19 + 1.85 + 0.11) / 6)
    assert calibration_metrics(probability, [1, 1, 0, 0, 1, 1], bins=2)["adaptive_ece"] == pytest.approx((0.73 + 0.82) / 6)


def test_equal_probabilities_share_a_bin_of_equal_count():
    assert calibration_metrics([0.1, 0.5, 0.5, 0.9], [0, 0, 1, 1], bins=2)["adaptive_ece"] == pytest.approx((0.1 + 0.1) / 4)


@given(SAMPLES, st.randoms(use_true_random=False))
def test_the_order_of_the_samples_does_not_matter(samples: tuple, random):
    probability, correct = samples
    order = random.sample(range(len(correct)), len(correct))
    assert calibration_metrics(probability[order], correct[order]) == approx(calibration_metrics(probability, correct))


@given(SAMPLES)
def test_each_sample_twice_is_the_same_and_errors_are_bounded(samples: tuple):
    probability, correct = samples
    found = calibration_metrics(probability, correct)
    assert calibration_metrics(np.repeat(probability, 2), np.repeat(correct, 2)) == approx(found)
    overall = abs(probability.mean() - correct.mean())
    assert overall - 1e-15 <= found["ece"] <= 1 and overall - 1e-15 <= found["adaptive_ece"] <= 1
    assert found["ece"] ** 2 <= found["brier"] + 1e-15 <= found["nll"] + 2e-15  # Jensen; (1 - q)^2 <= -log q


def test_precision_and_byte_order_of_the_probabilities_do_not_matter():
    probability, correct = synthetic(500)
    single = probability.astype(np.float32)
    assert calibration_metrics(single, correct) == calibration_metrics(single.astype(">f8"), correct.astype(np.uint8))


@pytest.mark.slow
def test_40_million_samples_are_summed_exactly():
    correct = np.ones(40_262_400, bool)
    correct[::10] = False
    found = calibration_metrics(np.broadcast_to(np.float32(0.97), correct.shape), correct)
    assert found["ece"] == pytest.approx(float(np.float32(0.97)) - 0.9, abs=1e-12)
    assert found["adaptive_ece"] == pytest.approx(0.07, abs=1e-6)
    assert found["brier"] == pytest.approx(0.9 * 0.03**2 + 0.1 * 0.97**2, abs=1e-6)


def test_the_reliability_curve_is_the_mean_of_each_filled_bin():
    mean, accuracy, count = reliability_curve([0.0, 0.2, 0.3, 0.4, 1.0], [0, 1, 1, 1, 0], bins=5)
    np.testing.assert_allclose(mean, [0.1, 0.35, 1])
    np.testing.assert_array_equal(accuracy, [0.5, 1, 0])
    np.testing.assert_array_equal(count, [2, 2, 1])
    assert (mean.dtype, accuracy.dtype, count.dtype) == (np.float64, np.float64, np.int64)


@pytest.mark.parametrize("bins", [1, 7, 15])
def test_the_ece_is_the_distance_of_the_reliability_curve_from_the_diagonal(bins: int):
    probability, correct = synthetic(200_000)  # several blocks
    mean, accuracy, count = reliability_curve(probability, correct, bins)
    assert count.sum() == 200_000 and count @ accuracy == pytest.approx(correct.sum())
    assert count @ np.abs(mean - accuracy) / 200_000 == pytest.approx(calibration_metrics(probability, correct, bins)["ece"], rel=1e-12)


@pytest.mark.parametrize("sizes", [None, [10, 0, 25, 5, 20]])
@pytest.mark.parametrize("decimals", [None, 1])
def test_a_row_of_the_bootstrap_is_the_metrics_of_a_resample_in_the_bins_of_the_data(sizes: list[int] | None, decimals: int | None):
    probability, correct = synthetic(60, decimals=decimals)
    units = np.arange(60)[:, None] if sizes is None else np.split(np.arange(60), np.cumsum(sizes)[:-1])
    rows = bootstrap_calibration(probability, correct, resample_count=20, seed=4, pixels_per_image=sizes, bins=6)
    drawn = np.random.default_rng(4).integers(len(units), size=(20, len(units)))
    for row, chosen in zip(rows, drawn, strict=True):
        index = np.concatenate([units[unit] for unit in chosen])
        expected = slow_metrics(probability[index], correct[index], 6, reference=probability)
        np.testing.assert_allclose(row, list(expected.values()), atol=1e-13)


@pytest.mark.parametrize("sizes", [None, [50] * 8])
def test_its_resamples_are_those_of_the_failure_metrics(sizes: list[int] | None):
    correct = np.random.default_rng(0).random(400) < 0.8
    accuracy = bootstrap(np.arange(400), correct, resample_count=300, seed=9, pixels_per_image=sizes)[:, METRICS.index("accuracy")]
    brier = bootstrap_calibration(np.zeros(400), correct, resample_count=300, seed=9, pixels_per_image=sizes)[
        :, CALIBRATION_METRICS.index("brier")
    ]
    np.testing.assert_allclose(brier, accuracy, atol=1e-14)


def test_a_resample_of_empty_images_is_undefined():
    rows = bootstrap_calibration([0.5, 0.75], [1, 0], resample_count=50, seed=0, pixels_per_image=[0, 2])
    empty = np.isnan(rows)
    assert empty.any() and not empty.all() and np.array_equal(empty.any(axis=1), empty.all(axis=1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"probability": [0.5, 98.1, -1.0]}, r"2 of 3 probabilities are outside \[0, 1\] or NaN, the first at index 1 \(98.1\)"),
        ({"probability": [0.5, 0.1, np.nan]}, "1 of 3 probabilities are outside .* index 2 .*map a score of another scale"),
        ({"probability": []}, r"probability has shape \(0,\) and correct \(3,\)"),
        ({"probability": [], "correct": []}, "there are no samples: probability is empty"),
        ({"probability": [True, False, True]}, "probability is bool; expected real numbers"),
        ({"correct": [0.5, 1, 0]}, "correct holds float64"),
        ({"bins": 0}, "bins is 0; expected at least 1"),
    ],
)
@pytest.mark.parametrize("function", [calibration_metrics, reliability_curve, bootstrap_calibration])
def test_what_cannot_be_judged_is_refused(function, changes: dict, message: str):
    arguments = {"probability": [0.1, 0.2, 0.3], "correct": [1, 0, 1]} | changes
    if function is bootstrap_calibration:
        arguments |= {"resample_count": 5, "seed": 0}
    with pytest.raises(ValueError, match=message):
        function(**arguments)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resample_count": 0}, "resample_count is 0; expected at least 1"),
        ({"pixels_per_image": [1, 1]}, "expected how many of the 3 values each image has"),
    ],
)
def test_what_cannot_be_resampled_is_refused(changes: dict, message: str):
    with pytest.raises(ValueError, match=message):
        bootstrap_calibration([0.1, 0.2, 0.3], [1, 0, 1], **{"resample_count": 5, "seed": 0} | changes)
