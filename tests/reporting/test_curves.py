"""Curves and histograms as rows for `dvc plots`: thinned, and nothing lost."""

import numpy as np
import pandas as pd
import pytest

from confidnet_core.reporting.curves import curve_rows, histogram_rows


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
    assert sums.loc["success"].tolist() == pytest.approx([correct.sum(), 1])
    assert sums.loc["error"].tolist() == pytest.approx([(~correct).sum(), 1])
    assert len(rows) == 80 and (rows["confidence_to"] > rows["confidence"]).all()


def test_histogram_rows_without_errors_are_zero_not_undefined():
    rows = histogram_rows("digits", 0, "mcp", np.array([0.5, 0.7]), np.array([True, True]), bins=4)
    assert isinstance(rows, pd.DataFrame) and rows[rows["outcome"] == "error"][["count", "share"]].eq(0).all(axis=None)
