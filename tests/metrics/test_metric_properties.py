"""Properties of the failure metrics on every small case: they equal the definitions and are invariant where they should be."""

from collections.abc import Callable
from functools import cache, partial
from itertools import product

import numpy as np
import pytest
from metric_definitions import LARGE, Case, arrays, cases, disagreements, errors_by_linearity, errors_by_orders, neighbours_of_zero, singles

from confidnet_core.metrics import METRICS, failure_metrics, risk_coverage_curve, roc_curve
from confidnet_core.metrics.selective import coverage_at_risk, risk_at_coverage

FUNCTIONS = {
    "failure_metrics": failure_metrics,
    "risk_coverage_curve": risk_coverage_curve,
    "risk_coverage_curve, thinned": partial(risk_coverage_curve, max_curve_points=2),
    "roc_curve": roc_curve,
    "roc_curve, thinned": partial(roc_curve, max_curve_points=3),
    "risk_at_coverage": partial(risk_at_coverage, coverage=0.6),
    "coverage_at_risk": partial(coverage_at_risk, risk=0.4),
}
SMALL_CASES = [case for n in range(1, 5) for case in cases(n)]
SAMPLED_CASES_OF_EIGHT = [cases(8)[index] for index in np.random.default_rng(0).choice(len(cases(8)), 800, replace=False)]
BETTER_DIRECTION = {  # +1 where higher is better
    **{"accuracy": 1, "fpr_at_95_tpr": -1, "aupr_error": 1, "aupr_success": 1, "auroc": 1, "aurc": -1, "e_aurc": -1, "augrc": -1},
    **{"risk_at_80_coverage": -1, "coverage_at_1_risk": 1, "coverage_at_5_risk": 1},
}


def both_outcomes(case: Case) -> bool:
    return 0 < sum(errors for _, errors in case) < sum(size for size, _ in case)


@cache
def evaluate_case(name: str, case: Case) -> object:
    return FUNCTIONS[name](*arrays(case))


@pytest.mark.parametrize(
    "checked", [*map(cases, range(1, 8)), SAMPLED_CASES_OF_EIGHT], ids=[*(f"all of {n}" for n in range(1, 8)), "some of 8"]
)
def test_every_metric_of_a_small_case_is_as_defined(checked: list[Case]):
    assert next(disagreements(failure_metrics, checked), None) is None


@pytest.mark.parametrize("name", LARGE)
def test_every_metric_of_a_large_case_is_as_defined(name: str):
    assert next(disagreements(failure_metrics, [LARGE[name]], errors_by_linearity), None) is None


def test_the_errors_among_the_surest_are_meant_over_the_orders_of_ties():
    assert all(errors_by_orders(case) == errors_by_linearity(case) for n in range(1, 7) for case in cases(n))


def of_neighbours(confidence: np.ndarray, correct: np.ndarray) -> dict[str, float | None]:
    return failure_metrics(neighbours_of_zero(confidence), correct)


@pytest.mark.parametrize("metrics", [failure_metrics, of_neighbours], ids=["sorted", "counted"])
@pytest.mark.parametrize("block", [1, 2, 3, 1 << 17])
def test_blocks_of_sorted_or_counted_samples_change_nothing(block: int, metrics: Callable, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("confidnet_core.metrics._ranking.counts._BLOCK_SIZE", block)
    assert next(disagreements(metrics, [*SMALL_CASES, *cases(5)]), None) is None
    assert next(disagreements(metrics, list(LARGE.values()), errors_by_linearity), None) is None


def labelled(n: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return every weak order of n samples (1, 3, 13, 75 of them), combined with every outcome."""
    orders = [order for order in product(range(n), repeat=n) if set(order) == set(range(max(order) + 1))]
    return [(np.array(order), np.array(outcome)) for order in orders for outcome in product([False, True], repeat=n)]


def case_of(confidence: np.ndarray, correct: np.ndarray) -> Case:
    groups = [correct[confidence == value] for value in np.unique(confidence)[::-1]]
    return tuple((len(group), int((~group).sum())) for group in groups)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_order_of_the_samples_never_matters(name: str):
    for confidence, correct in [drawn for n in range(1, 5) for drawn in labelled(n)]:
        np.testing.assert_equal(FUNCTIONS[name](confidence, correct), evaluate_case(name, case_of(confidence, correct)))


INCREASING = {
    "to negative numbers": lambda c: c - 9,
    "exponential": lambda c: np.exp(2.0 * c),
    "reciprocal": lambda c: -1 / c,
    "next to each other": lambda c: 1 + (c - 3) * np.spacing(1.0),
    "huge": lambda c: c * 4e307,
    "tiny": lambda c: c * 5e-324,
    "steps of float32": lambda c: np.float32(0.5) + c.astype(np.float32) * np.spacing(np.float32(0.5)),
    "beyond the integers of float64": lambda c: c + 2**60,
    "logarithm in float32": lambda c: np.log(c).astype(np.float32),
    "signed zeros": lambda c: np.where(c == 1, np.where(np.arange(len(c)) % 2, 0.0, -0.0), c),
    **{f"as {dtype}": lambda c, dtype=dtype: c.astype(dtype) for dtype in ("f2", "f4", "f8", "g", "u1", "i1", "u8", ">i2", ">f4", ">f8")},
}


@pytest.mark.parametrize("transform", INCREASING)
def test_only_the_ranks_of_the_confidence_matter_of_any_type_and_scale(transform: str):
    for name, case in product(FUNCTIONS, cases(4)):
        confidence, correct = arrays(case)
        np.testing.assert_equal(FUNCTIONS[name](INCREASING[transform](confidence), correct), evaluate_case(name, case))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_how_the_arrays_lie_in_memory_does_not_matter_and_they_are_only_read(name: str):
    for case in cases(4):
        confidence, correct = (np.repeat(array[::-1], 2)[::-2] for array in arrays(case))
        confidence.flags.writeable = correct.flags.writeable = False
        np.testing.assert_equal(FUNCTIONS[name](confidence, correct), evaluate_case(name, case))


@pytest.mark.parametrize("n", range(2, 6))
def test_errors_and_successes_swap_their_roles_under_a_flipped_sign(n: int):
    for case in filter(both_outcomes, cases(n)):
        confidence, correct = arrays(case)
        found, swapped = evaluate_case("failure_metrics", case), failure_metrics(-confidence, ~correct)
        assert swapped["auroc"] == found["auroc"]
        assert (swapped["aupr_error"], swapped["aupr_success"]) == pytest.approx((found["aupr_success"], found["aupr_error"]), abs=1e-14)
        assert swapped["accuracy"] == pytest.approx(1 - found["accuracy"])
        # what the ranking costs, above the least that the error rate allows, is the same
        least, swapped_minimum = (1 - found["accuracy"]) ** 2 / 2, found["accuracy"] ** 2 / 2
        assert swapped["augrc"] - swapped_minimum == pytest.approx(found["augrc"] - least, abs=1e-14)
        false_positive_rate, true_positive_rate = evaluate_case("roc_curve", case)
        mirrored = 1 - true_positive_rate[::-1], 1 - false_positive_rate[::-1]
        np.testing.assert_allclose(roc_curve(-confidence, ~correct), mirrored, atol=1e-15)


def test_a_flipped_sign_turns_the_ranking_over():
    for case in filter(both_outcomes, SMALL_CASES):
        confidence, correct = arrays(case)
        assert failure_metrics(-confidence, correct)["auroc"] == pytest.approx(
            1 - evaluate_case("failure_metrics", case)["auroc"], abs=1e-15
        )


def test_every_sample_twice_changes_only_what_depends_on_their_number():
    for case in [case for n in range(1, 7) for case in cases(n)]:
        twice = evaluate_case("failure_metrics", tuple((2 * size, 2 * errors) for size, errors in case))
        for metric in set(METRICS) - {"aurc", "e_aurc", "risk_at_80_coverage"}:
            assert twice[metric] == pytest.approx(evaluate_case("failure_metrics", case)[metric], abs=1e-14), (metric, case)


@pytest.mark.parametrize("n", range(2, 9))
def test_a_success_that_overtakes_an_error_makes_no_metric_worse(n: int):
    assert set(BETTER_DIRECTION) == set(METRICS)
    for outcome in product([1, -1], repeat=n):
        for position in range(n - 1):
            if outcome[position : position + 2] != (-1, 1):
                continue
            improved_outcome = (*outcome[:position], 1, -1, *outcome[position + 2 :])
            before, after = (evaluate_case("failure_metrics", singles(*runs)) for runs in (outcome, improved_outcome))
            improvement = {metric: BETTER_DIRECTION[metric] * (after[metric] - before[metric]) for metric in METRICS}
            assert min(improvement.values()) >= -1e-15, (improvement, outcome, position)
            assert min(improvement[metric] for metric in ("auroc", "aurc", "e_aurc", "augrc", "aupr_error", "aupr_success")) > 1e-6


def test_a_surer_success_or_a_less_sure_error_more_never_lowers_auroc():
    for case in filter(both_outcomes, [case for n in range(2, 6) for case in cases(n)]):
        auroc = evaluate_case("failure_metrics", case)["auroc"]
        assert evaluate_case("failure_metrics", ((1, 0), *case))["auroc"] >= auroc
        assert evaluate_case("failure_metrics", (*case, (1, 1)))["auroc"] >= auroc
