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
    ranked: Real[np.ndarray, " n"], errors: Real[np.ndarray, " errors"], accepted: Int[np.ndarray, " points"]
) -> Float[np.ndarray, " points"]:
    """Return the error rate of the `accepted` (points,) most confident samples, (points,), expected over all orders of equal confidences.

    ranked, errors: the sorted confidences of all samples and of the errors, as from sorted_confidences
    """
    threshold = ranked[len(ranked) - accepted]
    above, errors_above = count_above(ranked, threshold, "right"), count_above(errors, threshold, "right")
    tied, errors_tied = count_above(ranked, threshold, "left") - above, count_above(errors, threshold, "left") - errors_above
    return selective_risk_within_tie(accepted, above, tied, errors_above, errors_tied)


def selective_risk_within_tie(
    accepted: np.ndarray | int,
    above: np.ndarray | np.integer,
    tied: np.ndarray | np.integer,
    errors_above: np.ndarray | np.integer,
    errors_tied: np.ndarray | np.integer,
) -> np.ndarray:
    """Compute the error rate of the `accepted` most confident samples where the cut falls into a group of equal confidences.

    above, errors_above: numbers of samples and errors with a higher confidence than the group; tied, errors_tied: those in the group.
    The result is the expectation over all orders of the group; above < accepted <= above + tied.
    """
    return np.asarray((errors_above + errors_tied * ((accepted - above) / tied)) / accepted)


def max_accepted_at_risk(
    above: Int[np.ndarray, "*sets thresholds"], errors_above: Int[np.ndarray, "*sets thresholds"], risk: float
) -> Int[np.ndarray, "*sets"]:
    """Return the largest number of samples that a threshold accepts with an error rate of at most `risk`, along the last axis, or 0.

    above, errors_above: numbers of samples and errors above each confidence at which an error lies, and, last, those of the whole set.
    Between two such confidences a lower threshold only adds correct predictions, so no other threshold accepts more.
    """
    # The quotient is the float nearest to the rate, and risk the float nearest to its decimal, so a rate of exactly 1 % equals 0.01.
    is_within_risk = errors_above / np.maximum(above, 1) <= risk
    return np.asarray(np.where(is_within_risk, above, 0).max(axis=-1, initial=0))


def expected_risk_contribution(
    above: Int[np.ndarray, "*shape"], tied: Int[np.ndarray, "*shape"], total: np.ndarray | int
) -> Float64[np.ndarray, "*shape"]:
    """Compute what one error is expected to add to the sum over k = 1 ... total of the error rate of the k most confident samples.

    An error at position p adds the sum of 1/k over k = p ... total. Its position is uniform over above + 1 ... above + tied, so with the
    harmonic numbers H the mean is H(total) - H(above + tied) + mean of j / (above + j) over j = 1 ... tied.
    """
    below_tie = _harmonic_difference(above + tied, np.atleast_1d(total))
    within_tie = 1 - above / tied * _harmonic_difference(above, above + tied)
    centre = above + (tied + 1) / 2
    is_small = (tied * 256 < centre) | (tied == 1)
    if is_small.any():  # the difference of harmonic numbers would cancel; moments of 1/i around the centre of the positions do not
        tied, above, inverse_centre = tied[is_small], above[is_small], 1 / centre[is_small]
        squared_relative_width, squared_inverse_centre = (tied * inverse_centre) ** 2, inverse_centre * inverse_centre
        second_moment, fourth_moment = (
            (squared_relative_width - squared_inverse_centre) / 12,
            (squared_relative_width - squared_inverse_centre) * (3 * squared_relative_width - 7 * squared_inverse_centre) / 240,
        )
        within_tie[is_small] = (tied + 1) * inverse_centre / 2 - above * inverse_centre * (second_moment + fourth_moment)
    return below_tie + within_tie


def _harmonic_difference(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the sum 1/(low + 1) + ... + 1/high, float64: from the table up to H(64), above by the Euler-Maclaurin series and log1p."""
    table_end = len(_HARMONIC_NUMBERS) - 1
    from_table = _HARMONIC_NUMBERS[np.minimum(high, table_end)] - _HARMONIC_NUMBERS[np.minimum(low, table_end)]
    low, high = np.maximum(low, table_end), np.maximum(high, table_end)
    return from_table + (np.log1p((high - low) / low) + (_euler_maclaurin(1 / high) - _euler_maclaurin(1 / low)))


def _euler_maclaurin(inverse_n: np.ndarray) -> np.ndarray:
    """Return H(n) - log(n) - Euler's constant, with the harmonic number H(n), from 1/n; the error is below 2e-17 for n >= 64."""
    inverse_n_squared = inverse_n * inverse_n
    return inverse_n / 2 - inverse_n_squared * (1 / 12 - inverse_n_squared * (1 / 120 - inverse_n_squared / 252))
