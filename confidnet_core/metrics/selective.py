"""Selective prediction at an operating point: answer only the most confident samples. Geifman & El-Yaniv 2017, arXiv:1705.08500."""

import math
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from confidnet_core.metrics._ranking.risk import max_accepted_at_risk, selective_risk
from confidnet_core.metrics._ranking.samples import count_above, sorted_confidences


def risk_at_coverage(confidence: ArrayLike, correct: ArrayLike, coverage: float) -> float:
    """Return the error rate, in [0, 1], of the ceil(coverage * n) most confident samples, expected over the orders of equal confidences.

    confidence: (n,) finite real numbers, higher is more confident; correct: (n,) bool, or integers 0 and 1
    coverage: a fraction in (0, 1], taken as its decimal: 0.7 of 10 samples are 7
    Raises ValueError for a coverage outside (0, 1], and for arrays that failure_metrics refuses.
    """
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage is {coverage}; give a share above 0 and up to 1, as 0.8 for 80 %")
    sorted_confidence, sorted_error_confidence = sorted_confidences(confidence, correct)
    accepted_count = math.ceil(Fraction(str(float(coverage))) * len(sorted_confidence))
    return float(selective_risk(sorted_confidence, sorted_error_confidence, np.array([accepted_count]))[0])


def coverage_at_risk(confidence: ArrayLike, correct: ArrayLike, risk: float) -> float:
    """Return the largest fraction of samples that a threshold accepts with an error rate of at most `risk`, in [0, 1]; 0 if none does.

    Equal confidences are accepted together. An error rate equal to `risk` is allowed: one error among 100 samples is a risk of 0.01.
    The result holds for the given data; for a bound on new data see threshold_with_guarantee.
    confidence: (n,) finite real numbers, higher is more confident; correct: (n,) bool, or integers 0 and 1
    Raises ValueError for a risk outside [0, 1], and for arrays that failure_metrics refuses.
    """
    if not 0 <= risk <= 1:
        raise ValueError(f"risk is {risk}; give a share from 0 to 1, as 0.05 for 5 %")
    sorted_confidence, sorted_error_confidence = sorted_confidences(confidence, correct)
    thresholds = np.unique(sorted_error_confidence)
    samples_above, errors_above = (
        np.append(count_above(sorted_values, thresholds, "right"), len(sorted_values))
        for sorted_values in (sorted_confidence, sorted_error_confidence)
    )
    return int(max_accepted_at_risk(samples_above, errors_above, float(risk))) / len(sorted_confidence)
