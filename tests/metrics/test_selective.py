"""Selective prediction at an operating point: definitions in rational numbers, exact ties with the target, and invalid input."""

from fractions import Fraction
from itertools import pairwise, permutations
from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from confidnet_core.metrics import failure_metrics
from confidnet_core.metrics.selective import coverage_at_risk, risk_at_coverage

samples = st.lists(st.tuples(st.integers(-3, 9), st.booleans()), min_size=1, max_size=60).map(lambda pairs: tuple(zip(*pairs, strict=True)))
percents = st.integers(1, 100)


def largest_coverage(confidence, correct, risk: Fraction) -> Fraction:
    """Return the largest coverage with an allowed risk, by trying one threshold at a time."""
    coverages = [Fraction(0)]
    for threshold in set(confidence):
        accepted = [is_correct for value, is_correct in zip(confidence, correct, strict=True) if value >= threshold]
        if Fraction(accepted.count(False), len(accepted)) <= risk:
            coverages.append(Fraction(len(accepted), len(correct)))
    return max(coverages)


@given(samples, percents)
def test_coverage_at_a_risk_is_that_of_the_lowest_threshold_which_reaches_it(drawn, percent):
    assert coverage_at_risk(*drawn, percent / 100) == float(largest_coverage(*drawn, Fraction(percent, 100)))


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=6), percents)
def test_risk_at_a_coverage_is_the_mean_over_the_orders_of_equal_confidences(drawn, percent):
    accepted = ceil(Fraction(percent, 100) * len(drawn))
    orders = [order for order in permutations(drawn) if all(a[0] >= b[0] for a, b in pairwise(order))]
    expected = sum(Fraction(sum(not is_correct for _, is_correct in order[:accepted]), accepted) for order in orders) / len(orders)
    assert risk_at_coverage(*zip(*drawn, strict=True), percent / 100) == pytest.approx(float(expected), abs=1e-14)


@given(samples)
def test_the_failure_metrics_hold_both_at_their_working_points(drawn):
    found = failure_metrics(*drawn)
    assert found["risk_at_80_coverage"] == risk_at_coverage(*drawn, 0.8)
    assert found["coverage_at_1_risk"] == coverage_at_risk(*drawn, 0.01)
    assert found["coverage_at_5_risk"] == coverage_at_risk(*drawn, 0.05)


@pytest.mark.parametrize("decimals", [None, 2, 0])
def test_the_working_points_of_many_samples_are_found_across_blocks(decimals):
    generator = np.random.default_rng(0)
    correct = generator.random(400_000) < 0.9
    confidence = generator.normal(size=400_000) + 2 * correct
    confidence = confidence if decimals is None else confidence.round(decimals)
    found = failure_metrics(confidence, correct)
    order = np.argsort(-confidence, kind="stable")
    last = np.append(np.diff(confidence[order]) != 0, True)
    rates = np.cumsum(~correct[order])[last] / (accepted := np.flatnonzero(last) + 1)
    for percent in (1, 5):
        assert found[f"coverage_at_{percent}_risk"] == accepted[rates <= percent / 100].max(initial=0) / 400_000
    if decimals is None:
        assert found["risk_at_80_coverage"] == np.mean(~correct[order[:320_000]])


@pytest.mark.parametrize("percent", range(1, 100))
def test_a_risk_of_just_the_target_counts(percent):
    errors = np.arange(100) < percent
    assert coverage_at_risk(np.zeros(100), ~errors, percent / 100) == 1
    assert coverage_at_risk(np.zeros(99), ~errors[:99], percent / 100) == 0


def test_one_error_more_than_the_target_does_not_count_among_ten_million_samples():
    correct = np.ones(10_000_000, bool)
    correct[:100_000] = False
    assert failure_metrics(np.zeros(10_000_000), correct)["coverage_at_1_risk"] == 1
    correct[-1] = False
    assert failure_metrics(np.zeros(10_000_000), correct)["coverage_at_1_risk"] == 0


def test_the_largest_coverage_counts_though_a_surer_threshold_misses_the_target():
    correct = [False] + [True] * 19
    assert coverage_at_risk(-np.arange(20), correct, 0.05) == 1
    assert coverage_at_risk(-np.arange(20), correct, 0.04) == 0


def test_equal_confidences_are_kept_all_or_none():
    assert coverage_at_risk([3, 2, 2, 1], [True, True, False, True], 0) == 0.25
    assert coverage_at_risk([3, 2, 2, 1], [True, True, False, True], 1 / 3) == 1  # 1 of 4; at the threshold 2 it is 1 of 3


def test_a_coverage_is_taken_as_its_decimal():
    """0.7 * 10 is 7.000000000000001 in floats, and the eighth sample is an error."""
    assert risk_at_coverage(-np.arange(10), np.arange(10) != 7, 0.7) == 0
    assert risk_at_coverage(-np.arange(10), np.arange(10) != 7, 0.71) == 1 / 8


def test_shares_out_of_range_are_refused():
    drawn = [0.1, 0.2], [True, False]
    for coverage in (0, -0.1, 1.01, float("nan")):
        with pytest.raises(ValueError, match=f"coverage is {coverage}; give a share above 0"):
            risk_at_coverage(*drawn, coverage)
    for risk in (-0.1, 1.01, float("nan")):
        with pytest.raises(ValueError, match=f"risk is {risk}; give a share from 0 to 1"):
            coverage_at_risk(*drawn, risk)
    for function in (risk_at_coverage, coverage_at_risk):
        with pytest.raises(ValueError, match="1 of 2 confidences are NaN or infinite"):
            function([0.1, np.nan], [True, False], 0.5)
