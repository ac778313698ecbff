"""Evidence that may be looked at any time: against definitions, and how often it misleads where nothing is to be found."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import beta, kstest

from confidnet_core.monitoring.evidence import (
    log_evidence_not_uniform,
    log_evidence_of_starts,
    log_evidence_risk_above,
    log_evidence_risk_below,
    log_evidence_two_rates,
    to_evidence,
    upper_risk_bound,
)
from confidnet_core.monitoring.ranks import conformal_p_values, count_earlier


@pytest.mark.parametrize(("errors", "count"), [(0, 0), (0, 1), (1, 1), (3, 40), (0, 300), (30, 100)])
@pytest.mark.parametrize("target", [0.01, 0.05, 0.3])
def test_evidence_about_a_risk_is_a_mixture_of_likelihood_ratios(errors: int, count: int, target: float):
    def ratio(rate: float) -> float:
        return (rate / target) ** errors * ((1 - rate) / (1 - target)) ** (count - errors)

    prior = beta(1, 1 / target)
    above = quad(lambda rate: ratio(rate) * prior.pdf(rate), target, 1, limit=500)[0] / prior.sf(target)
    below = quad(ratio, 0, target, limit=500)[0] / target
    assert np.exp(log_evidence_risk_above(np.array(errors), np.array(count), target)) == pytest.approx(above, rel=1e-5)
    assert np.exp(log_evidence_risk_below(np.array(errors), np.array(count), target)) == pytest.approx(below, rel=1e-5)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_bet_against_a_true_hypothesis_is_worth_one_on_average(count: int):
    """Over all outcomes of so many answers, exactly; below 1 where the risk is lower than the target."""
    outcomes = np.array(np.meshgrid(*[[0, 1]] * count)).reshape(count, -1)
    errors = outcomes.sum(0)
    for risk, expected in ((0.2, 1), (0.1, None)):
        probability = risk**errors * (1 - risk) ** (count - errors)
        mean = (probability * np.exp(log_evidence_risk_above(errors, np.full(len(errors), count), 0.2))).sum()
        assert mean == pytest.approx(1) if expected else mean < 1
    bins = np.eye(16, dtype=int)[np.random.default_rng(0).integers(0, 16, (4000, 5))].sum(1)
    assert np.exp(log_evidence_not_uniform(bins)).mean() == pytest.approx(1, abs=0.05)


def test_evidence_of_two_rates_never_exceeds_a_bet_that_is_fair_at_every_common_rate():
    hits = np.arange(4)[:, None] * np.ones(5, int), np.arange(5) * np.ones(4, int)[:, None]
    ways = np.array([1, 3, 3, 1])[:, None] * np.array([1, 4, 6, 4, 1])
    evidence = np.exp(log_evidence_two_rates(hits[0], np.full((4, 5), 3), hits[1], np.full((4, 5), 4)))
    for rate in (0.01, 0.3, 0.5, 0.99):
        total = hits[0] + hits[1]
        assert (ways * rate**total * (1 - rate) ** (7 - total) * evidence).sum() <= 1


def test_later_starts_share_the_capital_and_the_rest_is_kept():
    assert np.exp(log_evidence_of_starts(np.zeros(7))) == pytest.approx(1)
    only_third = np.array([-np.inf, -np.inf, np.log(24.0)])
    assert np.exp(log_evidence_of_starts(only_third)) == pytest.approx(24 / 12 + 1 / 4)
    assert np.exp(log_evidence_of_starts(only_third, keeps_unbet=False)) == pytest.approx(2)
    assert np.isfinite(to_evidence(np.array([1e6]))).all()


@pytest.mark.parametrize(("errors", "count"), [(0, 0), (1, 1), (5, 5)])
def test_nothing_and_errors_only_bound_no_risk(errors: int, count: int):
    assert upper_risk_bound(errors, count, 0.05) == 1


def test_the_bound_of_a_risk_is_where_the_evidence_begins():
    bound = upper_risk_bound(2, 100, 0.05)
    assert np.exp(log_evidence_risk_below(np.array(2), np.array(100), bound)) == pytest.approx(20)
    assert 0.02 < upper_risk_bound(20, 1000, 0.05) < bound < 0.1


@pytest.mark.parametrize("count", [0, 1, 2, 3, 64, 65, 100])
def test_earlier_values_are_counted_with_ties(count: int):
    values = np.random.default_rng(count).integers(0, 9, count) / 3
    lower, not_higher = count_earlier(values)
    assert lower.tolist() == [int((values[:at] < values[at]).sum()) for at in range(count)]
    assert not_higher.tolist() == [int((values[:at] <= values[at]).sum()) for at in range(count)]


def test_conformal_p_values_are_uniform_and_independent_even_with_ties_and_few_reference_values():
    generator = np.random.default_rng(0)
    found = np.array([conformal_p_values(*np.split(generator.integers(0, 4, 30) / 1.0, [10]))[[0, 19]] for _ in range(2000)])
    # The tie-breaking is the same in each repetition, so that its numbers do not vary: compare ranks with their expectation instead.
    assert abs(found.mean(0) - 0.5).max() < 0.08 and abs(np.corrcoef(found.T)[0, 1]) < 0.08
    assert kstest(conformal_p_values(generator.normal(size=50), generator.normal(size=3000)), "uniform").pvalue > 0.001


def test_conformal_p_values_of_earlier_answers_stay_when_answers_are_added():
    values = np.random.default_rng(0).integers(0, 50, 400) / 1.0
    np.testing.assert_array_equal(conformal_p_values(values[:99], values[99:200]), conformal_p_values(values[:99], values[99:])[:101])


def test_low_confidences_have_low_p_values():
    p_values = conformal_p_values(np.arange(100.0), np.array([-1.0, 1000.0, 50.5]))
    assert p_values[0] < 0.02 and p_values[1] > 0.98 and 0.4 < p_values[2] < 0.6
