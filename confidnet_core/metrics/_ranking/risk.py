"""Selective risk, the error rate of the surest samples: at a coverage, below a target, and on average in closed form.

Geifman & El-Yaniv 2017, arXiv:1705.08500 (selective risk); Geifman et al. 2019, arXiv:1805.08206 (AURC).
"""

import math

import numpy as np
from jaxtyping import Float, Float64, Int, Real

from confidnet_core.metrics._ranking.samples import count_above

RISKS = (0.01, 0.05)  # of the working points in METRICS
_TABLE = np.array([math.fsum(1 / k for k in range(1, n + 1)) for n in range(65)])  # harmonic numbers H(0) ... H(64)


def risk_of_the_surest(
    ranked: Real[np.ndarray, " n"], errors: Real[np.ndarray, " errors"], kept: Int[np.ndarray, " points"]
) -> Float[np.ndarray, " points"]:
    """Error rate of the KEPT surest samples, expected over the orders of equal confidences. RANKED, ERRORS: as of ranked_with_errors."""
    value = ranked[len(ranked) - kept]
    above, wrong_above = count_above(ranked, value, "right"), count_above(errors, value, "right")
    tied, wrong_tied = count_above(ranked, value, "left") - above, count_above(errors, value, "left") - wrong_above
    return risk_within_tie(kept, above, tied, wrong_above, wrong_tied)


def risk_within_tie(
    kept: np.ndarray | int,
    above: np.ndarray | np.integer,
    tied: np.ndarray | np.integer,
    wrong_above: np.ndarray | np.integer,
    wrong_tied: np.ndarray | np.integer,
) -> np.ndarray:
    """Error rate of the KEPT surest samples where the last of them are of equal confidence with others, expected over the orders of these.

    above, wrong_above: samples and errors of higher confidence, tied, wrong_tied: of that confidence; above < kept <= above + tied
    """
    return np.asarray((wrong_above + wrong_tied * ((kept - above) / tied)) / kept)


def most_kept(
    above: Int[np.ndarray, "*sets thresholds"], wrong_above: Int[np.ndarray, "*sets thresholds"], risk: float
) -> Int[np.ndarray, "*sets"]:
    """The most samples kept by a threshold with an error rate of at most RISK, along the last axis; 0 where there is none.

    above, wrong_above: samples and errors above each threshold that has errors, and all of them. In between, the rate only falls with the
    threshold, so that no other threshold keeps more.
    """
    # the quotient is the float nearest to the rate, and RISK the one nearest to its decimal, so that a rate of just 1 % is 0.01
    reached = wrong_above / np.maximum(above, 1) <= risk
    return np.asarray(np.where(reached, above, 0).max(axis=-1, initial=0))


def mean_risk_of_an_error(
    above: Int[np.ndarray, "*shape"], tied: Int[np.ndarray, "*shape"], total: np.ndarray | int
) -> Float64[np.ndarray, "*shape"]:
    """What an error adds to the sum over k of the selective risk: sum of 1/k over k = its position ... total, meant over its positions.

    Its positions are above + 1 ... above + tied. The mean is H(total) - H(above + tied) + mean of j / (above + j) over j = 1 ... tied.
    """
    below = _harmonic_between(above + tied, np.atleast_1d(total))
    within = 1 - above / tied * _harmonic_between(above, above + tied)
    centre = above + (tied + 1) / 2
    small = (tied * 256 < centre) | (tied == 1)
    if small.any():  # the difference cancels there; moments of 1/i around the centre of the positions do not
        tied, above, inverse = tied[small], above[small], 1 / centre[small]
        width, unit = (tied * inverse) ** 2, inverse * inverse
        second, fourth = (width - unit) / 12, (width - unit) * (3 * width - 7 * unit) / 240
        within[small] = (tied + 1) * inverse / 2 - above * inverse * (second + fourth)
    return below + within


def _harmonic_between(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """1/(low + 1) + ... + 1/high. Exact below the table's end, Euler-Maclaurin above, where log1p keeps small differences precise."""
    end = len(_TABLE) - 1
    tabled = _TABLE[np.minimum(high, end)] - _TABLE[np.minimum(low, end)]
    low, high = np.maximum(low, end), np.maximum(high, end)
    return tabled + (np.log1p((high - low) / low) + (_euler_maclaurin(1 / high) - _euler_maclaurin(1 / low)))


def _euler_maclaurin(inverse: np.ndarray) -> np.ndarray:
    """H(n) - log(n) - Euler's constant, from 1/n; the next term is below 2e-17 for n >= 64."""
    square = inverse * inverse
    return inverse / 2 - square * (1 / 12 - square * (1 / 120 - square / 252))
