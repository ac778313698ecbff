"""Curves and histograms as rows for `dvc plots`: thinned, and nothing lost."""

import numpy as np
import pandas as pd
import pytest

from confidnet_core.reporting.curves import DEFAULT_HISTOGRAM_BINS, curve_rows, histogram_rows, outcome_histogram, reliability_rows


def test_curve_rows_are_thinned_with_both_ends_and_without_undefined_points():
    x = np.linspace(0, 1, 5001)
    y = np.where(x == 0, np.nan, x**2)
    rows = curve_rows("digits", 0, "mcp", x, y, ("coverage", "risk"))
    assert list(rows.columns) == ["benchmark", "seed", "method", "coverage", "risk"]
    assert len(rows) == 200 and rows["coverage"].is_monotonic_increasing
    assert (rows["coverage"].iloc[0], rows["coverage"].iloc[-1]) == (x[1], 1)
    assert (rows["risk"] == rows["coverage"] ** 2).all()


def test_short_curves_are_kept_whole_and_undefined_ones_are_empty():
    assert curve_rows("digits", 0, "mcp", np.array([0, 0.5, 1]), np.array([0, 1, 1]), ("fpr", "tpr"))["tpr"].tolist() == [
        0,
        1,
        1,
    ]
    assert len(curve_rows("digits", 0, "mcp", np.full(2, np.nan), np.array([0, 1]), ("fpr", "tpr"))) == 0


def test_histogram_rows_count_every_sample_of_each_outcome_once():
    generator = np.random.default_rng(0)
    correct = generator.random(900) < 0.9
    rows = histogram_rows("digits", 0, "mcp", generator.normal(size=900), correct)
    sums = rows.groupby("outcome")[["count", "share"]].sum()
    assert sums.loc["correct"].tolist() == pytest.approx([correct.sum(), 1])
    assert sums.loc["error"].tolist() == pytest.approx([(~correct).sum(), 1])
    assert len(rows) == 2 * DEFAULT_HISTOGRAM_BINS and (rows["confidence_to"] > rows["confidence"]).all()


def test_histogram_rows_without_errors_are_zero_not_undefined():
    rows = histogram_rows("digits", 0, "mcp", np.array([0.5, 0.7]), np.array([True, True]), bin_count=4)
    assert isinstance(rows, pd.DataFrame) and rows[rows["outcome"] == "error"][["count", "share"]].eq(0).all(axis=None)


def test_bins_hold_every_sample_and_reach_few_errors_far_off():
    """One error in a thousand at -8 lies outside the central 99% of all samples, but not of the errors."""
    confidence = np.concatenate([np.linspace(0, 1, 1000), [-8.0]])
    correct = confidence >= 0
    edges, right, errors = outcome_histogram(confidence, correct, bin_count=10)
    assert edges[0] == -8 and (right.sum(), errors.sum()) == (1000, 1)
    assert errors[0] == 1 and right[0] == 0


def test_bins_agree_with_numpy_histogram():
    generator = np.random.default_rng(0)
    correct = generator.random(900) < 0.93
    confidence = generator.normal(size=900) + correct
    edges, right, errors = outcome_histogram(confidence, correct)
    for counts, values in ((right, confidence[correct]), (errors, confidence[~correct])):
        np.testing.assert_array_equal(counts, np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0])


@pytest.mark.parametrize("value", [0.0, 1.0, -3e7, 1e-9])
def test_a_constant_confidence_fills_one_bin(value):
    edges, right, errors = outcome_histogram(np.full(5, value), np.array([1, 1, 1, 0, 0], bool))
    assert (np.diff(edges) > 0).all()
    assert (right.max(), errors.max()) == (3, 2)


@pytest.mark.parametrize("confidence", [[0.1, np.nan], [0.1, np.inf], [0.1], []])
def test_confidences_that_cannot_be_binned_are_refused(confidence):
    with pytest.raises(ValueError, match="expected as many finite confidences as outcomes"):
        outcome_histogram(np.array(confidence), np.array([True, False][: max(len(confidence), 2) if confidence else 0]))


def bins(*counts: int) -> pd.DataFrame:
    """Bins of a reliability diagram, of which every second holds errors alone."""
    places = np.arange(len(counts))
    return pd.DataFrame({"probability": (places + 0.5) / len(counts), "accuracy": (places % 2).astype(float), "count": counts})


def test_sparse_bins_are_merged_with_the_next_until_each_holds_20_predictions():
    assert reliability_rows(bins(2, 10, 19, 36, 20, 5))["count"].tolist() == [31, 36, 25]
    assert reliability_rows(bins(20, 20, 20))["count"].tolist() == [20, 20, 20]
    assert reliability_rows(bins(1, 2))["count"].tolist() == [3]


def test_of_many_predictions_a_bin_holds_a_thousandth():
    assert reliability_rows(bins(50, 60, 99_890))["count"].tolist() == [110, 99_890]


def test_merged_bins_keep_means_over_all_their_predictions():
    given = bins(5, 15, 30, 3)
    merged = reliability_rows(given)
    assert merged["count"].tolist() == [20, 33]
    for column in ("probability", "accuracy"):
        assert (merged[column] * merged["count"]).sum() == pytest.approx((given[column] * given["count"]).sum())
    assert merged["accuracy"].tolist() == pytest.approx([0.75, 3 / 33])
