"""Failure prediction: how well a confidence score ranks correct predictions above errors.

Hendrycks & Gimpel 2017, arXiv:1610.02136 (AUROC, AUPR, FPR at 95 % TPR); Geifman et al. 2019, arXiv:1805.08206 (AURC, E-AURC);
Traub et al. 2024, arXiv:2407.01032 (AUGRC); Geifman & El-Yaniv 2017, arXiv:1705.08500 (selective risk at a coverage, coverage at a
risk). All metrics come from one sort of all samples and one of the errors; where float32 confidences are dense, counting replaces
the sort, because it is faster.
"""

import math

import numpy as np
from jaxtyping import Float64, Shaped
from numpy.typing import ArrayLike

from confidnet_core.metrics._ranking.counts import SampleErrorCountBlocks, count_by_confidence, distinct_values_and_counts
from confidnet_core.metrics._ranking.risk import (
    TARGET_RISKS,
    expected_risk_contribution,
    max_accepted_at_risk,
    selective_risk,
    selective_risk_within_tie,
)
from confidnet_core.metrics._ranking.samples import check_confidence_and_correct, count_above, require_finite_confidence, sorted_confidences

METRICS = (
    *("accuracy", "fpr_at_95_tpr", "aupr_error", "aupr_success", "auroc", "aurc", "e_aurc", "augrc"),
    *("risk_at_80_coverage", "coverage_at_1_risk", "coverage_at_5_risk"),
)


def failure_metrics(confidence: ArrayLike, correct: ArrayLike) -> dict[str, float | None]:
    """Return {metric: value}: all metrics of METRICS, in that order, as fractions in [0, 1]; an undefined metric is None, never NaN.

    confidence: (n,) finite real numbers of any scale and sign, higher = more confident; they are ranked at their own precision
    correct: (n,) bool, or integers 0 and 1

    Equal confidences share one threshold: the metrics depend neither on the order of the samples nor on the scale of the confidence.

    accuracy       fraction of correct predictions
    fpr_at_95_tpr  fraction of errors at or above the largest threshold that accepts at least 95 % of the correct predictions; lower is
                   better
    aupr_error     average precision (the step-wise sum) for detecting errors by low confidence
    aupr_success   average precision for detecting correct predictions by high confidence
    auroc          probability that a correct prediction has a higher confidence than an error; ties count half
    aurc           mean over k = 1 ... n of the error rate of the k most confident samples, expected over the orders of equal confidences
    e_aurc         aurc minus the aurc of a ranking with every error last; 0 for such a ranking only
    augrc          (1 - auroc) * accuracy * r + r^2 / 2 with the error rate r; in [0, 1/2], lower is better

    Selective prediction at an operating point:

    risk_at_80_coverage   error rate of the ceil(0.8 n) most confident samples, expected over the orders of equal confidences; lower is
                          better
    coverage_at_1_risk    largest fraction of samples at or above a threshold with an error rate of at most 1 % (1 % included), or 0
    coverage_at_5_risk    the same for 5 %

    Where every sample has the same outcome:

                 accuracy  fpr_at_95_tpr  aupr_error  aupr_success  auroc  aurc  e_aurc  augrc  risk_at_80_coverage  coverage_at_1, 5_risk
    no error     1         None           None        1             None   0     0       0      0                    1
    no success   0         None           1           None          None   1     0       1/2    1                    0

    ValueError for no samples, NaN or infinite confidence, unequal lengths, more than one axis, or other types.
    """
    confidence, correct = check_confidence_and_correct(confidence, correct)
    require_finite_confidence(confidence)
    n_samples, n_correct = len(correct), int(np.count_nonzero(correct))
    has_both_outcomes = 0 < n_correct < n_samples
    return metrics_of_counts(n_samples, n_correct, count_by_confidence(confidence, correct) if has_both_outcomes else iter(()))


def metrics_of_counts(n_samples: int, n_correct: int, counts_by_confidence: SampleErrorCountBlocks) -> dict[str, float | None]:
    """Return what failure_metrics returns, from the numbers of samples and errors at each distinct confidence.

    n_samples, n_correct: the number of samples, at least 1, and of correct predictions among them
    counts_by_confidence: pairs of int64 arrays (samples, errors), none of them empty, from the highest confidence to the lowest; they are
    read once, and not at all where all samples have the same outcome
    """
    if n_correct == n_samples:
        return dict(zip(METRICS, (1.0, None, None, 1.0, None, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0), strict=True))
    if n_correct == 0:
        return dict(zip(METRICS, (0.0, None, 1.0, None, None, 1.0, 0.0, 0.5, 1.0, 0.0, 0.0), strict=True))
    return dict(zip(METRICS, _metrics_with_both_outcomes(n_samples, n_correct, counts_by_confidence), strict=True))


def risk_coverage_curve(
    confidence: ArrayLike, correct: ArrayLike, max_curve_points: int = 200
) -> tuple[Float64[np.ndarray, " points"], Float64[np.ndarray, " points"]]:
    """Return the coverages and the selective risks (error rates of the most confident samples) of a curve, float64 (points,) each.

    Coverages are evenly spaced and end at 1. There are `max_curve_points` points, or n where n samples are fewer. Within equal confidences
    the risk is the expectation over their orders, as in the metric aurc.
    confidence: (n,) finite real numbers, higher is more confident; correct: (n,) bool, or integers 0 and 1
    Raises ValueError for arrays that failure_metrics refuses, and for max_curve_points < 1.
    """
    _require_min_curve_points(max_curve_points, min_curve_points=1)
    sorted_confidence, sorted_error_confidence = sorted_confidences(confidence, correct)
    n_samples, max_curve_points = len(sorted_confidence), min(max_curve_points, len(sorted_confidence))
    accepted_counts = -(-np.arange(1, max_curve_points + 1) * n_samples // max_curve_points)  # rounded up
    return accepted_counts / n_samples, selective_risk(sorted_confidence, sorted_error_confidence, accepted_counts)


def roc_curve(
    confidence: ArrayLike, correct: ArrayLike, max_curve_points: int = 200
) -> tuple[Float64[np.ndarray, " points"], Float64[np.ndarray, " points"]]:
    """Return the false and the true positive rates of a ROC curve, float64 (at most max_curve_points,) each, from (0, 0) to (1, 1).

    Correct predictions are the positives. Every point is a threshold that accepts all equal confidences, so the area under straight lines
    between all points is AUROC. Where there are more thresholds than `max_curve_points`, half of those taken are spread evenly over all
    samples and half over the errors. Both arrays are empty where all samples have the same outcome, because the curve is then undefined.
    confidence: (n,) finite real numbers, higher is more confident; correct: (n,) bool, or integers 0 and 1
    Raises ValueError for arrays that failure_metrics refuses, and for max_curve_points < 2.
    """
    _require_min_curve_points(max_curve_points, min_curve_points=2)
    sorted_confidence, sorted_error_confidence = sorted_confidences(confidence, correct)
    n_correct = len(sorted_confidence) - len(sorted_error_confidence)
    if n_correct == 0 or len(sorted_error_confidence) == 0:
        return np.empty(0), np.empty(0)
    thresholds = _thinned_thresholds(sorted_confidence, sorted_error_confidence, max_curve_points - 1)
    errors_accepted = np.append(0, count_above(sorted_error_confidence, thresholds, "left"))
    correct_accepted = np.append(0, count_above(sorted_confidence, thresholds, "left")) - errors_accepted
    return errors_accepted / len(sorted_error_confidence), correct_accepted / n_correct


def _metrics_with_both_outcomes(n_samples: int, n_correct: int, counts_by_confidence: SampleErrorCountBlocks) -> tuple[float, ...]:
    """Return the failure metrics, in the order of METRICS, of data that has at least one correct prediction and at least one error.

    n_samples, n_correct: the number of samples, and of correct predictions among them
    counts_by_confidence: pairs of arrays (samples, errors), the number of each at each distinct confidence, highest first
    """
    n_errors, n_at_80_coverage = n_samples - n_correct, -(-4 * n_samples // 5)
    samples_accepted = errors_accepted = 0  # totals of the blocks so far, from the most confident sample on
    false_positives = risk_at_80_coverage = math.nan  # until the block that decides them
    discordant_pairs = 0  # pairs of an error and a correct prediction: 2 for each in which the error is more confident, 1 for a tie
    error_precision_sum = success_precision_sum = risk_sum = 0.0
    max_accepted_at_target_risks = [n_samples if n_errors / n_samples <= target_risk else 0 for target_risk in TARGET_RISKS]
    for sample_counts, error_counts in counts_by_confidence:
        success_counts = sample_counts - error_counts
        cumulative_accepted, cumulative_errors = samples_accepted + np.cumsum(sample_counts), errors_accepted + np.cumsum(error_counts)
        cumulative_correct = cumulative_accepted - cumulative_errors
        success_precision_sum += float(np.sum(success_counts * (cumulative_correct / cumulative_accepted)))
        if math.isnan(false_positives) and 20 * cumulative_correct[-1] >= 19 * n_correct:
            false_positives = int(cumulative_errors[np.argmax(20 * cumulative_correct >= 19 * n_correct)])
        if samples_accepted < n_at_80_coverage <= cumulative_accepted[-1]:
            index_at_80_coverage = np.searchsorted(cumulative_accepted, n_at_80_coverage)  # threshold of the last accepted sample
            samples_tied, errors_tied = sample_counts[index_at_80_coverage], error_counts[index_at_80_coverage]
            samples_above_tie = cumulative_accepted[index_at_80_coverage] - samples_tied
            errors_above_tie = cumulative_errors[index_at_80_coverage] - errors_tied
            tie_counts = (samples_above_tie, samples_tied, errors_above_tie, errors_tied)
            risk_at_80_coverage = float(selective_risk_within_tie(n_at_80_coverage, *tie_counts))
        samples_accepted, errors_accepted = int(cumulative_accepted[-1]), int(cumulative_errors[-1])

        # The sums over errors need only the thresholds at which an error lies.
        indices_with_error = np.flatnonzero(error_counts)
        sample_counts = sample_counts[indices_with_error]
        success_counts = success_counts[indices_with_error]
        error_counts = error_counts[indices_with_error]
        samples_above = cumulative_accepted[indices_with_error] - sample_counts
        errors_above = cumulative_errors[indices_with_error] - error_counts
        discordant_pairs += int(np.sum(error_counts * (2 * (n_correct - cumulative_correct[indices_with_error]) + success_counts)))
        error_precision_sum += float(np.sum(error_counts * ((n_errors - errors_above) / (n_samples - samples_above))))
        risk_sum += float(np.sum(error_counts * expected_risk_contribution(samples_above, sample_counts, n_samples)))
        max_accepted_at_target_risks = [
            max(max_accepted, int(max_accepted_at_risk(samples_above, errors_above, target_risk)))
            for max_accepted, target_risk in zip(max_accepted_at_target_risks, TARGET_RISKS, strict=True)
        ]

    aurc = min(risk_sum / n_samples, 1.0)  # rounding could exceed 1
    optimal_aurc = n_errors * float(expected_risk_contribution(np.array([n_correct]), np.array([n_errors]), n_samples)[0]) / n_samples
    return (
        n_correct / n_samples,
        false_positives / n_errors,
        error_precision_sum / n_errors,
        success_precision_sum / n_correct,
        (2 * n_correct * n_errors - discordant_pairs) / (2 * n_correct * n_errors),
        aurc,
        max(aurc - optimal_aurc, 0.0) if discordant_pairs else 0.0,
        (discordant_pairs + n_errors**2) / (2 * n_samples**2),
        risk_at_80_coverage,
        *(max_accepted / n_samples for max_accepted in max_accepted_at_target_risks),
    )


def _thinned_thresholds(
    sorted_confidence: Shaped[np.ndarray, " n"], sorted_error_confidence: Shaped[np.ndarray, " errors"], max_thresholds: int
) -> Shaped[np.ndarray, " thresholds"]:
    """Return at most `max_thresholds` confidences as thresholds of a ROC curve, from high to low; the lowest one is always among them.

    sorted_confidence, sorted_error_confidence: the confidences of all samples and those of the errors, each from low to high
    """
    if 1 + np.count_nonzero(sorted_confidence[1:] != sorted_confidence[:-1]) <= max_thresholds:
        return distinct_values_and_counts(sorted_confidence)[0][::-1]
    thresholds_from_all = sorted_confidence[
        np.linspace(0, len(sorted_confidence) - 1, max_thresholds - max_thresholds // 2).astype(np.int64)
    ]
    thresholds_from_errors = sorted_error_confidence[np.linspace(0, len(sorted_error_confidence) - 1, max_thresholds // 2).astype(np.int64)]
    return np.unique(np.concatenate([thresholds_from_all, thresholds_from_errors]))[::-1]


def _require_min_curve_points(max_curve_points: int, min_curve_points: int) -> None:
    if max_curve_points < min_curve_points:
        raise ValueError(f"max_curve_points is {max_curve_points}; expected at least {min_curve_points}")
