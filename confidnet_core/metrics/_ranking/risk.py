"""Selective risk, the error rate of the most confident samples: at a given coverage, below a target, and its mean in closed form.

Geifman & El-Yaniv 2017, arXiv:1705.08500 (selective risk); Geifman et al. 2019, arXiv:1805.08206 (AURC).
"""

import math

import numpy as np
from jaxtyping import Float, Float64, Int, Real

from confidnet_core.metrics._ranking.samples import count_above

TARGET_RISKS = (0.01, 0.05)  # error rates of the operating points in METRICS
_HARMONIC_NUMBERS = np.array([math.fsum(1 / k for k in range(1, n + 1)) for n in range(65)])  # harmonic numbers H(0) ... H(64)


def selective_risk(
    sorted_confidence: Real[np.ndarray, " n"],
    sorted_error_confidence: Real[np.ndarray, " errors"],
    accepted_counts: Int[np.ndarray, " points"],
) -> Float[np.ndarray, " points"]:
    """Return the error rate of the most confident samples, float (points,), expected over all orders of equal confidences.

    sorted_confidence, sorted_error_confidence: the confidences of all samples and those of the errors, each from low to high
    accepted_counts: (points,) how many of the most confident samples are accepted at each point, 1 to n
    """
    thresholds = sorted_confidence[len(sorted_confidence) - accepted_counts]
    samples_above = count_above(sorted_confidence, thresholds, "right")
    errors_above = count_above(sorted_error_confidence, thresholds, "right")
    samples_tied = count_above(sorted_confidence, thresholds, "left") - samples_above
    errors_tied = count_above(sorted_error_confidence, thresholds, "left") - errors_above
    return selective_risk_within_tie(accepted_counts, samples_above, samples_tied, errors_above, errors_tied)


def selective_risk_within_tie(
    accepted_count: np.ndarray | int,
    samples_above: np.ndarray | np.integer,
    samples_tied: np.ndarray | np.integer,
    errors_above: np.ndarray | np.integer,
    errors_tied: np.ndarray | np.integer,
) -> np.ndarray:
    """Return the error rate of the `accepted_count` most confident samples where the last of them is one of several equal confidences.

    samples_above, errors_above: number of samples and of errors with a higher confidence than these equal ones
    samples_tied, errors_tied: number of samples and of errors with this confidence
    The result is the expectation over all orders of the equal confidences; samples_above < accepted_count <= samples_above + samples_tied.
    """
    return np.asarray((errors_above + errors_tied * ((accepted_count - samples_above) / samples_tied)) / accepted_count)


def max_accepted_at_risk(
    samples_above: Int[np.ndarray, "*sets thresholds"], errors_above: Int[np.ndarray, "*sets thresholds"], target_risk: float
) -> Int[np.ndarray, "*sets"]:
    """Return the largest number of samples that a threshold accepts with an error rate of at most `target_risk`, or 0 if none does.

    samples_above, errors_above: (..., thresholds) number of samples and of errors above each confidence at which an error lies, and last
    those of the whole set. The result is (...), the maximum along the last axis.
    Between two such confidences a lower threshold only adds correct predictions, so no other threshold accepts more.
    """
    # The quotient is the float nearest to the rate, and risk the float nearest to its decimal, so a rate of exactly 1 % equals 0.01.
    is_within_target_risk = errors_above / np.maximum(samples_above, 1) <= target_risk
    return np.asarray(np.where(is_within_target_risk, samples_above, 0).max(axis=-1, initial=0))


def expected_risk_contribution(
    samples_above: Int[np.ndarray, "*shape"], samples_tied: Int[np.ndarray, "*shape"], sample_count: np.ndarray | int
) -> Float64[np.ndarray, "*shape"]:
    """Return what one error is expected to add to the sum over k = 1 ... n of the error rate of the k most confident samples, float64.

    n is sample_count. samples_above: number of samples with a higher confidence than the error; samples_tied: number with an equal one,
    the error included. An error at position p adds the sum of 1/k over k = p ... n. Its position is uniform over above + 1 ...
    above + tied, so with the harmonic numbers H the mean is H(n) - H(above + tied) + mean of j / (above + j) over j = 1 ... tied.
    """
    contribution_below_tie = _harmonic_number_difference(samples_above + samples_tied, np.atleast_1d(sample_count))
    contribution_within_tie = 1 - samples_above / samples_tied * _harmonic_number_difference(samples_above, samples_above + samples_tied)
    mean_position = samples_above + (samples_tied + 1) / 2
    is_narrow_tie = (samples_tied * 256 < mean_position) | (samples_tied == 1)
    if is_narrow_tie.any():  # the difference of harmonic numbers would cancel; moments of 1/i around the centre of the positions do not
        samples_tied = samples_tied[is_narrow_tie]
        samples_above = samples_above[is_narrow_tie]
        inverse_position = 1 / mean_position[is_narrow_tie]
        squared_relative_width, squared_inverse_position = (samples_tied * inverse_position) ** 2, inverse_position * inverse_position
        second_moment = (squared_relative_width - squared_inverse_position) / 12
        fourth_moment = (
            (squared_relative_width - squared_inverse_position) * (3 * squared_relative_width - 7 * squared_inverse_position) / 240
        )
        even_moments = second_moment + fourth_moment
        contribution_within_tie[is_narrow_tie] = (samples_tied + 1) * inverse_position / 2 - samples_above * inverse_position * even_moments
    return contribution_below_tie + contribution_within_tie


def _harmonic_number_difference(low_index: np.ndarray, high_index: np.ndarray) -> np.ndarray:
    """Return the difference of harmonic numbers H(high_index) - H(low_index) = 1/(low_index + 1) + ... + 1/high_index, float64.

    Harmonic numbers up to H(64) are from a table, those above from the Euler-Maclaurin series and log1p.
    """
    last_table_index = len(_HARMONIC_NUMBERS) - 1
    tabulated_difference = (
        _HARMONIC_NUMBERS[np.minimum(high_index, last_table_index)] - _HARMONIC_NUMBERS[np.minimum(low_index, last_table_index)]
    )
    low_index, high_index = np.maximum(low_index, last_table_index), np.maximum(high_index, last_table_index)
    return tabulated_difference + (
        np.log1p((high_index - low_index) / low_index) + (_harmonic_remainder(1 / high_index) - _harmonic_remainder(1 / low_index))
    )


def _harmonic_remainder(inverse_n: np.ndarray) -> np.ndarray:
    """Return H(n) - log(n) - Euler's constant, where H(n) is the n-th harmonic number, given 1/n; the error is below 2e-17 for n >= 64."""
    inverse_n_squared = inverse_n * inverse_n
    return inverse_n / 2 - inverse_n_squared * (1 / 12 - inverse_n_squared * (1 / 120 - inverse_n_squared / 252))
