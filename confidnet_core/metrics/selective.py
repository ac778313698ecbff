"""Selective prediction at a working point: answer only the surest samples. Geifman & El-Yaniv 2017, arXiv:1705.08500."""

import math
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from confidnet_core.metrics._ranking.risk import most_kept, risk_of_the_surest
from confidnet_core.metrics._ranking.samples import count_above, ranked_with_errors


def risk_at_coverage(confidence: ArrayLike, correct: ArrayLike, coverage: float) -> float:
    """Error rate of the ceil(COVERAGE * n) surest samples, in [0, 1], expected over the orders of equal confidences.

    coverage: in (0, 1], taken as its decimal: 0.7 of 10 samples are 7
    Other arguments and errors as in failure_metrics, whose risk_at_80_coverage is this for 0.8; ValueError for other coverages.
    """
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage is {coverage}; give a share above 0 and up to 1, as 0.8 for 80 %")
    ranked, errors = ranked_with_errors(confidence, correct)
    kept = math.ceil(Fraction(str(float(coverage))) * len(ranked))
    return float(risk_of_the_surest(ranked, errors, np.array([kept]))[0])


def coverage_at_risk(confidence: ArrayLike, correct: ArrayLike, risk: float) -> float:
    """The largest share of samples at or above a threshold whose error rate is at most RISK, in [0, 1]; 0 where no threshold has one.

    Equal confidences are kept all or none. An error rate that equals RISK counts: one error among 100 samples is a risk of 0.01.
    This is of the data at hand; for new data see threshold_with_guarantee.
    risk: in [0, 1]
    Other arguments and errors as in failure_metrics, whose coverage_at_1_risk is this for 0.01; ValueError for other risks.
    """
    if not 0 <= risk <= 1:
        raise ValueError(f"risk is {risk}; give a share from 0 to 1, as 0.05 for 5 %")
    ranked, errors = ranked_with_errors(confidence, correct)
    thresholds = np.unique(errors)
    above, wrong_above = (np.append(count_above(values, thresholds, "right"), len(values)) for values in (ranked, errors))
    return int(most_kept(above, wrong_above, float(risk))) / len(ranked)
