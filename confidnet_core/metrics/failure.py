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

from confidnet_core.metrics._ranking.counts import CountBlocks, count_by_confidence, distinct_values
from confidnet_core.metrics._ranking.risk import (
    TARGET_RISKS,
    expected_risk_contribution,
    max_accepted_at_risk,
    selective_risk,
    selective_risk_within_tie,
)
from confidnet_core.metrics._ranking.samples import check_samples, count_above, require_finite, sorted_confidences

METRICS = (
    *("accuracy", "fpr_at_95_tpr", "aupr_error", "aupr_success", "auroc", "aurc", "e_aurc", "augrc"),
    *("risk_at_80_coverage", "coverage_at_1_risk", "coverage_at_5_risk"),
)


def failure_metrics(confidence: ArrayLike, correct: ArrayLike) -> dict[str, float | None]:
    """Compute the metrics of METRICS, in that order, as fractions in [0, 1]; an undefined metric is None, never NaN.

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
    confidence, correct = check_samples(confidence, correct)
    require_finite(confidence)
    n_samples, n_correct = len(correct), int(np.count_nonzero(correct))
    if n_correct == n_samples:
        return dict(zip(METRICS, (1.0, None, None, 1.0, None, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0), strict=True))
    if n_correct == 0:
        return dict(zip(METRICS, (0.0, None, 1.0, None, None, 1.0, 0.0, 0.5, 1.0, 0.0, 0.0), strict=True))
    return dict(zip(METRICS, _metrics_with_both_outcomes(n_samples, n_correct, count_by_confidence(confidence, correct)), strict=True))


def risk_coverage_curve(
    confidence: ArrayLike, correct: ArrayLike, points: int = 200
) -> tuple[Float64[np.ndarray, " points"], Float64[np.ndarray, " points"]]:
    """Return coverage and selective risk (the error rate of the most confident samples), float64 (at most `points`,) each.

    Coverages are evenly spaced and end at 1. Within equal confidences the risk is the expectation over their orders, as in aurc.
    Other arguments and errors as in failure_metrics; ValueError for less than 1 point.
    """
    _require_min_points(points, minimum=1)
    ranked_confidence, error_confidence = sorted_confidences(confidence, correct)
    n_samples, points = len(ranked_confidence), min(points, len(ranked_confidence))
    accepted = -(-np.arange(1, points + 1) * n_samples // points)  # rounded up
    return accepted / n_samples, selective_risk(ranked_confidence, error_confidence, accepted)


def roc_curve(
    confidence: ArrayLike, correct: ArrayLike, points: int = 200
) -> tuple[Float64[np.ndarray, " points"], Float64[np.ndarray, " points"]]:
    """Return false and true positive rate, float64 (at most `points`,) each, from (0, 0) to (1, 1); correct predictions are positives.

    Every point is a threshold that accepts all equal confidences, so the area under straight lines between all points is auroc. Where
    there are more thresholds than `points`, half of those taken are spread evenly over all samples and half over the errors. Both arrays
    are empty where all samples have the same outcome, because the curve is then undefined. Other arguments and errors as in
    failure_metrics; ValueError for less than 2 points.
    """
    _require_min_points(points, minimum=2)
    ranked_confidence, error_confidence = sorted_confidences(confidence, correct)
    n_correct = len(ranked_confidence) - len(error_confidence)
    if n_correct == 0 or len(error_confidence) == 0:
        return np.empty(0), np.empty(0)
    thresholds = _thinned_thresholds(ranked_confidence, error_confidence, points - 1)
    errors_accepted = np.append(0, count_above(error_confidence, thresholds, "left"))
    correct_accepted = np.append(0, count_above(ranked_confidence, thresholds, "left")) - errors_accepted
    return errors_accepted / len(error_confidence), correct_accepted / n_correct


def _metrics_with_both_outcomes(n_samples: int, n_correct: int, count_blocks: CountBlocks) -> tuple[float, ...]:
    """Return the failure metrics in the order of METRICS, from blocks of (samples, errors) at each confidence; both outcomes occur."""
    n_errors, n_at_80_coverage = n_samples - n_correct, -(-4 * n_samples // 5)
    accepted = errors_accepted = 0  # totals of the blocks so far, from the most confident sample on
    false_positives = risk_at_80_coverage = math.nan  # until the block that decides them
    discordant_pairs = 0  # pairs of an error and a correct prediction: 2 for each in which the error is more confident, 1 for a tie
    precision_of_errors = precision_of_successes = risk_sum = 0.0
    max_accepted = [n_samples if n_errors / n_samples <= target else 0 for target in TARGET_RISKS]
    for sample_count, error_count in count_blocks:
        success_count = sample_count - error_count
        cum_accepted, cum_errors = accepted + np.cumsum(sample_count), errors_accepted + np.cumsum(error_count)
        cum_correct = cum_accepted - cum_errors
        precision_of_successes += float(np.sum(success_count * (cum_correct / cum_accepted)))
        if math.isnan(false_positives) and 20 * cum_correct[-1] >= 19 * n_correct:
            false_positives = int(cum_errors[np.argmax(20 * cum_correct >= 19 * n_correct)])
        if accepted < n_at_80_coverage <= cum_accepted[-1]:
            index_at_coverage = np.searchsorted(cum_accepted, n_at_80_coverage)  # threshold of the last accepted sample
            tied, errors_tied = sample_count[index_at_coverage], error_count[index_at_coverage]
            risk_at_80_coverage = float(
                selective_risk_within_tie(
                    n_at_80_coverage, cum_accepted[index_at_coverage] - tied, tied, cum_errors[index_at_coverage] - errors_tied, errors_tied
                )
            )
        accepted, errors_accepted = int(cum_accepted[-1]), int(cum_errors[-1])

        # The sums over errors need only the thresholds at which an error lies.
        indices_with_error = np.flatnonzero(error_count)
        sample_count, success_count, error_count = (
            sample_count[indices_with_error],
            success_count[indices_with_error],
            error_count[indices_with_error],
        )
        samples_above, errors_above = cum_accepted[indices_with_error] - sample_count, cum_errors[indices_with_error] - error_count
        discordant_pairs += int(np.sum(error_count * (2 * (n_correct - cum_correct[indices_with_error]) + success_count)))
        precision_of_errors += float(np.sum(error_count * ((n_errors - errors_above) / (n_samples - samples_above))))
        risk_sum += float(np.sum(error_count * expected_risk_contribution(samples_above, sample_count, n_samples)))
        max_accepted = [
            max(best_accepted, int(max_accepted_at_risk(samples_above, errors_above, target)))
            for best_accepted, target in zip(max_accepted, TARGET_RISKS, strict=True)
        ]

    aurc = min(risk_sum / n_samples, 1.0)  # rounding could exceed 1
    optimal_aurc = n_errors * float(expected_risk_contribution(np.array([n_correct]), np.array([n_errors]), n_samples)[0]) / n_samples
    return (
        n_correct / n_samples,
        false_positives / n_errors,
        precision_of_errors / n_errors,
        precision_of_successes / n_correct,
        (2 * n_correct * n_errors - discordant_pairs) / (2 * n_correct * n_errors),
        aurc,
        max(aurc - optimal_aurc, 0.0) if discordant_pairs else 0.0,
        (discordant_pairs + n_errors**2) / (2 * n_samples**2),
        risk_at_80_coverage,
        *(best_accepted / n_samples for best_accepted in max_accepted),
    )


def _thinned_thresholds(
    ranked_confidence: Shaped[np.ndarray, " n"], error_confidence: Shaped[np.ndarray, " errors"], points: int
) -> Shaped[np.ndarray, " thresholds"]:
    """Return at most `points` confidences as thresholds of an ROC curve, from high to low; the lowest confidence is always among them."""
    if 1 + np.count_nonzero(ranked_confidence[1:] != ranked_confidence[:-1]) <= points:
        return distinct_values(ranked_confidence)[0][::-1]
    thresholds_from_all = ranked_confidence[np.linspace(0, len(ranked_confidence) - 1, points - points // 2).astype(np.int64)]
    thresholds_from_errors = error_confidence[np.linspace(0, len(error_confidence) - 1, points // 2).astype(np.int64)]
    return np.unique(np.concatenate([thresholds_from_all, thresholds_from_errors]))[::-1]


def _require_min_points(points: int, minimum: int) -> None:
    if points < minimum:
        raise ValueError(f"points is {points}; expected at least {minimum}")
