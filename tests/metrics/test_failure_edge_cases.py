"""failure_metrics on the cases that break other libraries: ties, one outcome, scales, precision, many samples, bad input."""

import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
import torch

from confidnet_core.metrics import METRICS, failure_metrics, risk_coverage_curve, roc_curve
from confidnet_core.metrics._ranking.counts import count_by_confidence


@pytest.mark.parametrize("close", [np.array([1 - 2e-13, 1 - 1e-13]), np.array([2**53, 2**53 + 1])])
def test_confidences_are_ranked_at_their_own_precision(close):
    assert failure_metrics(close, [False, True])["auroc"] == 1
    assert failure_metrics(close[::-1], [False, True])["auroc"] == 0
    assert failure_metrics(close.astype(np.float32), [False, True])["auroc"] == 0.5


def test_minus_zero_ties_with_zero():
    zeros = np.array([-0.0, 0.0, 0.0, -0.0, 1.0], dtype=np.float32)
    correct = [True, False, True, False, True]
    assert failure_metrics(zeros, correct) == failure_metrics(np.abs(zeros), correct)


def test_minus_zeros_among_many_half_precision_confidences_change_nothing():
    generator = np.random.default_rng(0)
    confidence, correct = generator.normal(size=30_000).round().astype(np.float16), generator.random(30_000) < 0.9
    assert failure_metrics(confidence, correct) == failure_metrics(confidence.astype(np.float64), correct)


def test_the_arguments_are_left_as_they_were():
    confidence, correct = np.array([0.3, 0.1, 0.2]), np.array([True, False, True])
    failure_metrics(confidence, correct)
    assert confidence.tolist() == [0.3, 0.1, 0.2] and correct.tolist() == [True, False, True]


ALTERNATING = (0.5, 0.5, 5 / 6, 5 / 6, 0.75, 1 / 3, 1 / 8, 3 / 16, 0.5, 0.25, 0.25)
HAND_COMPUTED = {
    "constant score, error listed first": ([0.5] * 4, [0, 1, 1, 1], 0.75, 1, 0.25, 0.75, 0.5, 0.25, 0.1875, 0.125, 0.25, 0, 0),
    "constant score, error listed last": ([0.5] * 4, [1, 1, 1, 0], 0.75, 1, 0.25, 0.75, 0.5, 0.25, 0.1875, 0.125, 0.25, 0, 0),
    "signed scores far from [0, 1]": ([98.09, 99.1, 101.2, 103.5], [0, 1, 0, 1], *ALTERNATING),
    "all negative scores": ([-4.0, -3.0, -2.0, -1.0], [0, 1, 0, 1], *ALTERNATING),
    "no error": ([0.3, 0.9], [1, 1], 1, None, None, 1, None, 0, 0, 0, 0, 1, 1),
    "no success": ([0.3, 0.9], [0, 0], 0, None, 1, None, None, 1, 0, 0.5, 1, 0, 0),
    "one right sample": ([0.3], [1], 1, None, None, 1, None, 0, 0, 0, 0, 1, 1),
    "one wrong sample": ([0.3], [0], 0, None, 1, None, None, 1, 0, 0.5, 1, 0, 0),
    "perfect": ([0.9, 0.8, 0.7, 0.1], [1, 1, 0, 0], 0.5, 0, 1, 1, 1, 5 / 24, 0, 1 / 8, 0.5, 0.5, 0.5),
    "upside down": ([0.1, 0.2, 0.3, 0.9], [1, 1, 0, 0], 0.5, 1, 5 / 12, 5 / 12, 0, 19 / 24, 7 / 12, 3 / 8, 0.5, 0, 0),
    "hard scores": ([1, 1, 0, 0], [1, 0, 1, 0], 0.5, 1, 0.5, 0.5, 0.5, 0.5, 0.5 - 5 / 24, 0.25, 0.5, 0, 0),
    "true positive rate jumps from 8/9 to 1, error last": (range(10), [0] + [1] * 9, 0.9, 0, 1, 1, 1, 0.01, 0, 0.005, 0, 0.9, 0.9),
}


@pytest.mark.parametrize("case", HAND_COMPUTED)
def test_values_worked_out_by_hand(case):
    confidence, correct, *expected = HAND_COMPUTED[case]
    found = failure_metrics(np.array(confidence), np.array(correct))
    assert found == {
        name: value if value is None else pytest.approx(value, abs=1e-14) for name, value in zip(METRICS, expected, strict=True)
    }


def test_the_false_positive_rate_exists_where_no_threshold_has_a_true_positive_rate_near_95_percent():
    error_seventh_of_ten = [1, 1, 1, 0, 1, 1, 1, 1, 1, 1]
    assert failure_metrics(np.arange(10), error_seventh_of_ten)["fpr_at_95_tpr"] == 1


@pytest.mark.parametrize(("right", "needed"), [(20, 19), (40, 38), (100, 95), (21, 20), (19, 19), (1, 1)])
def test_exactly_95_percent_of_the_successes_is_enough(right, needed):
    confidence = np.append(np.arange(right, 0, -1), [right - needed + 0.5, right - needed + 1.5])
    correct = np.append(np.ones(right, bool), [False, False])
    assert failure_metrics(confidence, correct)["fpr_at_95_tpr"] == 0.5


def test_a_part_without_an_error_leaves_the_pooled_metrics_alone():
    parts = [([0.1, 0.9], [False, True]), ([0.2, 0.4], [True, True]), ([0.3, 0.8], [True, False])]
    assert [failure_metrics(*part)["auroc"] for part in parts] == [1, None, 0]
    confidence, correct = (np.concatenate(column) for column in zip(*parts, strict=True))
    assert failure_metrics(confidence, correct)["auroc"] == 5 / 8  # of 8 pairs only those of .2, .3 and .4 with the error at .8 are wrong


def test_counts_beyond_what_float32_can_count_are_exact():
    # surest: 18,000,001 right and 1,000,000 wrong; then 500,000 of each
    groups = np.array([18_000_001, 1_000_000, 500_000, 500_000])
    confidence = np.repeat(np.array([0.97, 0.97, 0.25, 0.25], dtype=np.float32), groups)
    correct = np.repeat([True, False, True, False], groups)
    n, right, wrong, n_above = 20_000_001, 18_500_001, 1_500_000, 19_000_001
    auroc = Fraction(18_000_001 * (1_000_000 + 2 * 500_000) + 500_000 * 500_000, 2 * right * wrong)
    position = np.arange(1, 1_000_001)
    risks = n_above * (1_000_000 / n_above) + np.sum((1_000_000 + position / 2) / (n_above + position))
    found = failure_metrics(confidence, correct)
    assert found["accuracy"] == right / n
    assert found["auroc"] == float(auroc)
    assert found["augrc"] == float((1 - auroc) * Fraction(right * wrong, n * n) + Fraction(wrong * wrong, 2 * n * n))
    assert found["fpr_at_95_tpr"] == 2 / 3
    assert found["aupr_success"] == pytest.approx((18_000_001 * (18_000_001 / n_above) + 500_000 * (right / n)) / right, rel=1e-14)
    assert found["aupr_error"] == pytest.approx((500_000 * 0.5 + 1_000_000 * (wrong / n)) / wrong, rel=1e-14)
    assert found["aurc"] == pytest.approx(risks / n, rel=1e-13)


def uses_counting(confidence, correct):
    return count_by_confidence(confidence, correct).__name__ == "_count_by_float_keys"


def offset_float(value, steps):
    """Return the float32 that lies `steps` (int32) representable floats above the value, or below for negative steps."""
    return (np.float32(value).view(np.int32) + steps).view(np.float32)


def denormals(generator, n):
    """Return n random denormal float32 of both signs, zeros included."""
    return offset_float(0, generator.integers(0, 99, n, dtype=np.int32)) * generator.choice(np.array([-1, 1], np.float32), n)


RANDOM = {  # (confidences, whether they are few enough floats apart to be counted)
    "ties": (lambda generator, n: offset_float(0.5, generator.integers(0, 40, n, dtype=np.int32)), True),
    "few ties": (lambda generator, n: offset_float(0.5, generator.integers(0, n, n, dtype=np.int32)), True),
    "across a power of two": (lambda generator, n: offset_float(1, generator.integers(-n // 2, n // 2, n, dtype=np.int32)), True),
    "negative": (lambda generator, n: -offset_float(0.5, generator.integers(0, n, n, dtype=np.int32)), True),
    "denormals of both signs": (denormals, True),
    "both zeros alone": (lambda generator, n: np.where(generator.random(n) < 0.5, np.float32(-0.0), np.float32(0.0)), True),
    "one value": (lambda generator, n: np.full(n, 0.3, np.float32), True),
    "the largest floats": (lambda generator, n: offset_float(3.4028235e38, generator.integers(-99, 1, n, dtype=np.int32)), True),
    "saturated softmax": (
        lambda generator, n: offset_float(1, -np.minimum(generator.geometric(1e-4, n), 99_999).astype(np.int32) // 9),
        True,
    ),
    "both signs": (lambda generator, n: generator.normal(size=n).astype(np.float32), False),
    "many exponents": (lambda generator, n: np.exp(generator.uniform(-90, 80, n)).astype(np.float32), False),
    "both ends of float32": (lambda generator, n: np.array([-3.4028235e38, 3.4028235e38], np.float32)[generator.integers(0, 2, n)], False),
}


def join_blocks(blocks):
    return [np.concatenate(part) for part in zip(*blocks, strict=True)]


@pytest.mark.parametrize("wrong", [1, 3, 0.1, 0.5])
@pytest.mark.parametrize("case", RANDOM)
def test_counting_and_sorting_find_the_same_thresholds_and_metrics(case, wrong):
    generator = np.random.default_rng(0)
    n = 300_000
    drawn, counted = RANDOM[case]
    confidence, correct = drawn(generator, n), generator.permutation(n) >= (n * wrong if wrong < 1 else wrong)
    as_sorted = confidence.astype(np.float64), correct
    assert uses_counting(confidence, correct) == counted and not uses_counting(*as_sorted)
    counts, expected = map(join_blocks, (count_by_confidence(confidence, correct), count_by_confidence(*as_sorted)))
    for found, same in zip(counts, expected, strict=True):
        assert found.dtype == np.int64 and np.array_equal(found, same)
    assert failure_metrics(confidence, correct) == pytest.approx(failure_metrics(*as_sorted), rel=1e-12, abs=0)


@pytest.mark.parametrize("n", [2, 255, 256, 65_535, 65_536])
def test_a_count_holds_all_samples(n):
    ((samples, errors),) = count_by_confidence(np.full(n, 0.5, np.float32), np.zeros(n, bool))
    assert (samples.tolist(), errors.tolist()) == ([n], [n])


@pytest.mark.parametrize(("max_offset", "counted"), [(2_999_999, True), (3_000_000, False)])
def test_counting_takes_at_most_16_bytes_a_sample_where_it_stands_in_for_sorting(max_offset, counted):
    confidence, correct = offset_float(0.5, np.linspace(0, max_offset, 1_500_000).astype(np.int32)), np.arange(1_500_000) % 10 > 0
    assert uses_counting(confidence, correct) == counted
    tracemalloc.start()
    failure_metrics(confidence, correct)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * 1_500_000 + 20e6


@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("n_finite", [0, 9])
def test_what_is_not_finite_is_refused_where_it_would_be_counted(value, n_finite):
    confidence = np.append(np.full(n_finite, np.float32(3.4028235e38)), np.float32(value))
    message = rf"^1 of {n_finite + 1} confidences are NaN or infinite, the first at index {n_finite} \({value}\); a score must be finite"
    for drawn in (confidence, confidence.astype(np.float64)):
        with pytest.raises(ValueError, match=message):
            failure_metrics(drawn, np.arange(n_finite + 1) > 0)


REFUSED = {
    "NaN": ([0.9, np.nan, 0.2], [1, 1, 0], r"1 of 3 confidences are NaN or infinite, the first at index 1"),
    "infinity": ([0.9, 0.1, np.inf, -np.inf], [1, 1, 0, 0], r"2 of 4 confidences are NaN or infinite, the first at index 2"),
    "minus infinity, all right": ([-np.inf, 0.1], [1, 1], r"1 of 2 confidences .* index 0"),
    "nothing": ([], [], r"no samples"),
    "unequal lengths": ([0.1, 0.2], [1], r"\(2,\).*\(1,\)"),
    "two axes": ([[0.1, 0.2]], [[1, 0]], r"\(1, 2\)"),
    "no axis": (0.5, True, r"\(\)"),
    "a count for correctness": ([0.1, 0.2], [1, 2], r"integers from 1 to 2"),
    "probabilities for correctness": ([0.1, 0.2], [0.0, 1.0], r"float64.*expected bool"),
    "swapped arguments": ([True, False], [0.5, 0.1], r"confidence is bool.*swapped"),
    "words": (["a", "b"], [1, 0], r"expected real numbers"),
    "complex numbers": ([1j, 2], [1, 0], r"expected real numbers"),
    "masked confidences": (np.ma.array([0.1, 0.2], mask=[0, 1]), [1, 0], r"confidence is a masked array, with 1 of 2 elements masked"),
    "masked correctness": ([0.1, 0.2], np.ma.array([1, 0]), r"correct is a masked array, with 0 of 2 elements masked; select what counts"),
    "a tensor with gradient": (torch.ones(2, requires_grad=True), [1, 0], r"detach"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("function", [failure_metrics, risk_coverage_curve, roc_curve])
def test_bad_input_is_refused_with_the_reason(function, case):
    confidence, correct, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        function(confidence, correct)


def test_the_roc_curve_is_empty_where_it_is_undefined():
    for correct in ([True, True], [False, False]):
        assert [len(axis) for axis in roc_curve([0.1, 0.2], correct)] == [0, 0]


def test_too_few_points_are_refused():
    drawn = [0.1, 0.2], [True, False]
    with pytest.raises(ValueError, match="max_curve_points is 0; expected at least 1"):
        risk_coverage_curve(*drawn, max_curve_points=0)
    with pytest.raises(ValueError, match="max_curve_points is 1; expected at least 2"):
        roc_curve(*drawn, max_curve_points=1)
