"""Failure metrics and curves: compared with scikit-learn and exact definitions, and invariant under transformations."""

import json
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from confidnet_core.metrics import METRICS, failure_metrics, risk_coverage_curve, roc_curve

HALVES = st.integers(-6, 6).map(lambda i: i / 2)
FINITE = st.floats(-1e6, 1e6, allow_nan=False, width=32)


def samples(value=HALVES, least=1, most=40):
    pairs = st.lists(st.tuples(value, st.booleans()), min_size=least, max_size=most)
    return pairs.map(lambda drawn: (np.array([c for c, _ in drawn], dtype=np.float64), np.array([is_correct for _, is_correct in drawn])))


def both_outcomes(value=HALVES, most=40):
    return samples(value, 2, most).filter(lambda drawn: drawn[1].any() and not drawn[1].all())


def synthetic(n, decimals=None, seed=0, dtype=np.float64):
    generator = np.random.default_rng(seed)
    correct = generator.random(n) < 0.9
    confidence = generator.normal(size=n) + correct
    return (confidence if decimals is None else confidence.round(decimals)).astype(dtype), correct


def exact_metrics(confidence, correct):
    """Compute the metrics from their definitions in rational numbers, one threshold at a time."""
    n, right = len(correct), int(sum(correct))
    wrong, accepted, errors_accepted = n - right, 0, 0
    risk = aupr_success = aupr_error = Fraction(0)
    fpr = None
    for value in sorted(set(confidence), reverse=True):
        outcomes = [is_correct for c, is_correct in zip(confidence, correct, strict=True) if c == value]
        tied, errors = len(outcomes), outcomes.count(False)
        risk += sum((errors_accepted + Fraction(errors * j, tied)) / (accepted + j) for j in range(1, tied + 1))
        aupr_error += Fraction(errors * (wrong - errors_accepted), n - accepted)
        accepted, errors_accepted = accepted + tied, errors_accepted + errors
        aupr_success += Fraction((tied - errors) * (accepted - errors_accepted), accepted)
        if fpr is None and accepted - errors_accepted >= Fraction(95, 100) * right:
            fpr = Fraction(errors_accepted, wrong)
    optimum = sum(Fraction(j, right + j) for j in range(1, wrong + 1))
    return {
        "fpr_at_95_tpr": fpr,
        "aupr_error": aupr_error / wrong,
        "aupr_success": aupr_success / right,
        "aurc": risk / n,
        "e_aurc": (risk - optimum) / n,
    }


def area_under_generalised_risk(confidence, correct):
    """Compute AUGRC by Traub et al. 2024, equation 6: accepted errors as a fraction of all samples, integrated over coverage."""
    thresholds = np.unique(confidence)[::-1]
    coverage = np.array([0.0, *((confidence >= t).mean() for t in thresholds)])
    risk = np.array([0.0, *(((confidence >= t) & ~correct).mean() for t in thresholds)])
    return np.trapezoid(risk, coverage)


@pytest.mark.parametrize("decimals", [None, 3, 0])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("n", [50, 300_000])
def test_agrees_with_scikit_learn_where_scikit_learn_has_the_metric(n, dtype, decimals):
    confidence, correct = synthetic(n, decimals, dtype=dtype)
    false_positive_rate, true_positive_rate, _ = sklearn_metrics.roc_curve(correct, confidence, drop_intermediate=False)
    found = failure_metrics(confidence, correct)
    assert found["accuracy"] == correct.mean()
    assert found["auroc"] == pytest.approx(sklearn_metrics.roc_auc_score(correct, confidence), rel=1e-12)
    assert found["aupr_success"] == pytest.approx(sklearn_metrics.average_precision_score(correct, confidence), rel=1e-12)
    assert found["aupr_error"] == pytest.approx(sklearn_metrics.average_precision_score(~correct, -confidence), rel=1e-12)
    assert found["fpr_at_95_tpr"] == pytest.approx(false_positive_rate[true_positive_rate >= 0.95][0], rel=1e-15)


@given(both_outcomes(most=120))
def test_agrees_with_the_definitions_in_rational_numbers(drawn):
    confidence, correct = drawn
    found = failure_metrics(confidence, correct)
    for name, value in exact_metrics(confidence.tolist(), correct.tolist()).items():
        assert found[name] == pytest.approx(float(value), rel=1e-12, abs=1e-15), name


@pytest.mark.parametrize("decimals", [None, 5, 3, 1])
def test_aurc_of_many_samples_is_the_mean_of_the_expected_selective_risks(decimals):
    confidence, correct = synthetic(300_000, decimals)
    values, group = np.unique(-confidence, return_inverse=True)
    order = np.sort(group)
    tied, errors = np.bincount(group), np.bincount(group[~correct], minlength=len(values))
    above, errors_above = (np.cumsum(tied) - tied)[order], (np.cumsum(errors) - errors)[order]
    position_in_tie = np.arange(len(order)) - above + 1
    risk = (errors_above + (errors[order] * position_in_tie).astype(np.longdouble) / tied[order]) / (above + position_in_tie)
    assert failure_metrics(confidence, correct)["aurc"] == pytest.approx(float(risk.mean()), rel=1e-13)


@pytest.mark.parametrize("position", [1, 2, 63, 64, 65, 66, 200, 256, 257, 1000])
def test_aurc_of_one_error_is_the_sum_of_the_reciprocals_from_its_position_on(position):
    n = 1000
    expected = sum(Fraction(1, k) for k in range(position, n + 1)) / n
    assert failure_metrics(-np.arange(n), np.arange(1, n + 1) != position)["aurc"] == pytest.approx(float(expected), rel=1e-14)


@given(both_outcomes())
def test_augrc_is_the_area_under_the_generalised_risk_coverage_curve(drawn):
    assert failure_metrics(*drawn)["augrc"] == pytest.approx(area_under_generalised_risk(*drawn), abs=1e-13)


@given(samples(FINITE))
def test_every_metric_is_none_or_a_fraction_and_valid_json(drawn):
    found = failure_metrics(*drawn)
    assert tuple(found) == METRICS
    assert all(value is None or (type(value) is float and 0 <= value <= 1) for value in found.values())
    json.dumps(found, allow_nan=False)


@given(samples(), st.randoms(use_true_random=False))
def test_the_order_of_the_samples_does_not_matter(drawn, random):
    confidence, correct = drawn
    shuffled = list(range(len(correct)))
    random.shuffle(shuffled)
    assert failure_metrics(confidence[shuffled], correct[shuffled]) == failure_metrics(confidence, correct)


@given(samples())
def test_only_the_ranks_of_the_confidence_matter(drawn):
    confidence, correct = drawn
    expected = failure_metrics(confidence, correct)
    for transformed in (np.exp(confidence), 1e6 * confidence - 7e6, -1 / (confidence + 10), np.unique(confidence, return_inverse=True)[1]):
        assert failure_metrics(transformed, correct) == expected


@given(both_outcomes())
def test_e_aurc_is_zero_for_a_perfect_ranking_and_only_for_one(drawn):
    confidence, correct = drawn
    perfect = confidence[correct].min() > confidence[~correct].max()
    assert (failure_metrics(confidence, correct)["e_aurc"] == 0) == perfect
    assert failure_metrics(confidence + 100 * correct, correct)["e_aurc"] == 0


@given(samples(st.integers(-6, 6).map(float)))
def test_every_numeric_type_gives_the_same(drawn):
    confidence, correct = drawn
    expected = failure_metrics(confidence, correct)
    for dtype in (np.float16, np.float32, np.int8, np.int64, ">f4"):
        assert failure_metrics(confidence.astype(dtype), correct.astype(np.uint8)) == expected
    assert failure_metrics(torch.tensor(confidence), torch.tensor(correct)) == expected
    assert failure_metrics(confidence.tolist(), correct.tolist()) == expected


@given(samples(most=60))
def test_the_mean_of_the_whole_risk_coverage_curve_is_aurc(drawn):
    coverage, risk = risk_coverage_curve(*drawn, max_curve_points=100)
    assert np.array_equal(coverage, np.arange(1, len(drawn[1]) + 1) / len(drawn[1]))
    assert risk.mean() == pytest.approx(failure_metrics(*drawn)["aurc"], abs=1e-13)
    assert risk[-1] == (~drawn[1]).sum() / len(drawn[1])


@given(samples(most=60), st.integers(1, 59))
def test_a_thinned_risk_coverage_curve_is_part_of_the_whole_one(drawn, points):
    coverage, risk = risk_coverage_curve(*drawn, max_curve_points=points)
    n = len(drawn[1])
    full = risk_coverage_curve(*drawn, max_curve_points=n)[1]
    assert len(coverage) == min(points, n) and coverage[-1] == 1 and (np.diff(coverage) > 0).all()
    assert np.array_equal(risk, full[np.rint(coverage * n).astype(int) - 1])


@given(both_outcomes())
def test_the_whole_roc_curve_encloses_auroc(drawn):
    false_positive_rate, true_positive_rate = roc_curve(*drawn)
    assert (false_positive_rate[0], true_positive_rate[0], false_positive_rate[-1], true_positive_rate[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(true_positive_rate, false_positive_rate) == pytest.approx(failure_metrics(*drawn)["auroc"], abs=1e-13)


@given(both_outcomes(FINITE), st.integers(2, 12))
def test_a_roc_curve_has_no_more_points_than_asked_for(drawn, points):
    false_positive_rate, true_positive_rate = roc_curve(*drawn, max_curve_points=points)
    full = len(np.unique(drawn[0])) + 1
    assert len(false_positive_rate) == len(true_positive_rate) <= points
    assert len(true_positive_rate) == full or full > points
    assert (false_positive_rate[0], true_positive_rate[0], false_positive_rate[-1], true_positive_rate[-1]) == (0, 0, 1, 1)


@pytest.mark.parametrize("decimals", [None, 2])
@pytest.mark.parametrize("points", [2, 3, 50, 200])
def test_a_thinned_roc_curve_holds_points_of_scikit_learns(points, decimals):
    confidence, correct = synthetic(5_000, decimals)
    reference = {pair for pair in zip(*sklearn_metrics.roc_curve(correct, confidence, drop_intermediate=False)[:2], strict=True)}
    false_positive_rate, true_positive_rate = roc_curve(confidence, correct, max_curve_points=points)
    found = list(zip(false_positive_rate, true_positive_rate, strict=True))
    assert len(found) <= points and found[0] == (0, 0) and found[-1] == (1, 1)
    assert set(found) <= reference
    assert (np.diff(false_positive_rate) >= 0).all() and (np.diff(true_positive_rate) >= 0).all()
