"""Which confidence thresholds are tested, and where their sequence starts.

Both depend only on units that are not tested themselves. So for each threshold, whatever number m of samples it accepts, the errors among
these are Binomial(m, its selective risk), and whichever threshold comes first, the sequence fails with a probability of at most delta.
Thresholds at quantiles of the tested confidences would make the first bad threshold, the one that must not pass, depend on the samples
above it.
"""

import numpy as np
from jaxtyping import Bool, Float64, Int, Real
from scipy.special import bdtr, bdtrik, betaincinv, ndtr, ndtri

from confidnet_core.metrics._ranking.samples import count_above

_CANDIDATE_COVERAGES = np.arange(1, 100) / 100
_ALMOST = 0.995  # a probability of passing that is as good as the largest, as a fraction of it
_MIDDLES_OF_FIFTHS = (np.arange(5) + 0.5) / 5  # levels of the quantiles that stand for a distribution


def candidate_thresholds(reference_confidence: Real[np.ndarray, " r"]) -> Real[np.ndarray, " thresholds"]:
    """Return the confidence thresholds to test: 99 quantiles of the reference confidences from high to low, then the lowest finite number.

    Thresholds have the float type of the confidences, so that comparing the two rounds neither of them.
    """
    dtype = reference_confidence.dtype if reference_confidence.dtype.kind == "f" else np.dtype(np.float64)
    return np.append(np.quantile(reference_confidence, 1 - _CANDIDATE_COVERAGES), np.finfo(dtype).min).astype(dtype)


def fixed_start(min_coverage: float) -> int:
    """Return the index of the candidate where the sequence starts if no labels tell: at a coverage of min(4 a, max(1.5 a, 0.4)).

    min_coverage: the coverage (accepted fraction) a below which no threshold can pass its test; above 1 none can pass
    """
    return int(np.searchsorted(_CANDIDATE_COVERAGES, min(4 * min_coverage, max(1.5 * min_coverage, 0.4))))


def pass_probability_of_samples(
    thresholds: Real[np.ndarray, " thresholds"],
    reference_confidence: Real[np.ndarray, " r"],
    reference_correct: Bool[np.ndarray, " r"],
    tested_count: int,
    target_risk: float,
    delta: float,
) -> Float64[np.ndarray, " thresholds"]:
    """Predict from reference samples with what probability each threshold passes its test on `tested_count` other samples, in [0, 1].

    The number of accepted samples is about normal. Their error rate is that of the reference samples, uncertain as a beta distribution
    under a uniform prior. Each is replaced by five quantiles. A probability, and not the p-value that is expected, since the number of
    errors that a test allows is a whole one: with 299 to 472 accepted samples a target of 1 % allows none, with 473 one.
    """
    accepted_counts = count_above(np.sort(reference_confidence), thresholds, "left")
    error_counts = count_above(np.sort(reference_confidence[~reference_correct]), thresholds, "left")
    coverage = accepted_counts / len(reference_confidence)
    coverage_deviation = np.sqrt(coverage * (1 - coverage) * (1 / tested_count + 1 / len(reference_confidence)))
    predicted_coverage = np.clip(coverage + ndtri(_MIDDLES_OF_FIFTHS)[:, None] * coverage_deviation, 0, 1)
    tested_accepted_counts = np.rint(tested_count * predicted_coverage).astype(np.int64)
    error_rates = betaincinv(error_counts + 1, accepted_counts - error_counts + 1, _MIDDLES_OF_FIFTHS[:, None])
    allowed_error_counts = _allowed_error_counts(tested_accepted_counts, target_risk, delta)
    probability = bdtr(np.maximum(allowed_error_counts, 0)[:, None], tested_accepted_counts[:, None], error_rates)
    return np.where(allowed_error_counts[:, None] >= 0, probability, 0).mean(axis=(0, 1))


def _allowed_error_counts(
    accepted_counts: Int[np.ndarray, "quantiles thresholds"], target_risk: float, delta: float
) -> Float64[np.ndarray, "quantiles thresholds"]:
    """Return the largest number of errors with which so many accepted samples prove the target risk; -1 where none does."""
    accepted_counts = np.maximum(accepted_counts, 1)
    error_counts = np.floor(np.maximum(np.nan_to_num(bdtrik(delta, accepted_counts, target_risk)), 0))
    return np.where(bdtr(error_counts, accepted_counts, target_risk) <= delta, error_counts, error_counts - 1)


def pass_probability_of_images(
    accepted_fractions: Float64[np.ndarray, "images thresholds"],
    accepted_error_fractions: Float64[np.ndarray, "images thresholds"],
    tested_count: int,
    target_risk: float,
    delta: float,
) -> Float64[np.ndarray, " thresholds"]:
    """Predict from reference images with what probability each threshold passes its test on `tested_count` other images, in [0, 1].

    accepted_fractions, accepted_error_fractions: as in `is_risk_bound_proven`, of the reference images
    The logarithm of the final stake, by the bet that the test ends with, is taken as normal.
    """
    excess_errors = accepted_error_fractions - target_risk * accepted_fractions
    variance = (target_risk**2 + ((excess_errors - excess_errors.mean(axis=0)) ** 2).sum(axis=0)) / (len(excess_errors) + 1)
    betting_fractions = np.minimum(np.sqrt(-2 * np.log(delta) / (tested_count * variance)), 1 / (1 - target_risk))
    # A lost stake counts as a small one, so that a threshold with one such image can still be compared with others.
    log_gains = np.log(np.maximum(1 - betting_fractions * excess_errors, 1e-12))
    deviation = np.sqrt(tested_count * log_gains.var(axis=0) * (1 + tested_count / len(excess_errors)))
    return ndtr((tested_count * log_gains.mean(axis=0) + np.log(delta)) / (deviation + 1e-9))


def learned_start(pass_probability: Float64[np.ndarray, " thresholds"]) -> int:
    """Return the index of the candidate where the sequence starts: the highest of the thresholds that are the likeliest to pass.

    Of thresholds that pass almost surely the highest comes first, so that little is lost where the reference data are not quite alike.
    """
    return int(np.argmax(pass_probability >= _ALMOST * pass_probability.max()))


def count_passes_before_first_failure(is_test_passed: Bool[np.ndarray, " m"]) -> int:
    """Return how many of m tests pass before the first that fails. is_test_passed: bool (m,), in the order of testing"""
    return int(np.argmin(np.append(is_test_passed, False)))
