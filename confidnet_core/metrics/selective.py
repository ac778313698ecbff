"""Selective prediction at an operating point: answer only the most confident samples. Geifman & El-Yaniv 2017, arXiv:1705.08500."""

import math
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from confidnet_core.metrics._ranking.risk import max_accepted_at_risk, selective_risk
from confidnet_core.metrics._ranking.samples import count_above, sorted_confidences


def risk_at_coverage(confidence: ArrayLike, correct: ArrayLike, coverage: float) -> float:
    """Compute the error rate of the ceil(coverage * n) most confident samples, in [0, 1], expected over the orders of equal confidences.

    coverage: in (0, 1], taken as its decimal: 0.7 of 10 samples are 7
    Other arguments and errors as in failure_metrics, whose risk_at_80_coverage is this for 0.8; ValueError for other coverages.
    """
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage is {coverage}; give a share above 0 and up to 1, as 0.8 for 80 %")
    ranked_confidence, error_confidence = sorted_confidences(confidence, correct)
    accepted_count = math.ceil(Fraction(str(float(coverage))) * len(ranked_confidence))
    return float(selective_risk(ranked_confidence, error_confidence, np.array([accepted_count]))[0])


def coverage_at_risk(confidence: ArrayLike, correct: ArrayLike, risk: float) -> float:
    """Return the largest fraction of samples that a threshold accepts with an error rate of at most `risk`, in [0, 1]; 0 if none does.

    Equal confidences are accepted together. An error rate equal to `risk` is allowed: one error among 100 samples is a risk of 0.01.
    The result holds for the given data; for a bound on new data see threshold_with_guarantee.
    risk: in [0, 1]
    Other arguments and errors as in failure_metrics, whose coverage_at_1_risk is this for 0.01; ValueError for other risks.
    """
    if not 0 <= risk <= 1:
        raise ValueError(f"risk is {risk}; give a share from 0 to 1, as 0.05 for 5 %")
    ranked_confidence, error_confidence = sorted_confidences(confidence, correct)
    thresholds = np.unique(error_confidence)
    samples_above, errors_above = (
        np.append(count_above(values, thresholds, "right"), len(values)) for values in (ranked_confidence, error_confidence)
    )
    return int(max_accepted_at_risk(samples_above, errors_above, float(risk))) / len(ranked_confidence)
