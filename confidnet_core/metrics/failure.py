"""Failure prediction: how well a confidence score ranks correct predictions above errors.

Hendrycks & Gimpel 2017, arXiv:1610.02136 (AUROC, AUPR, FPR at 95 % TPR); Geifman et al. 2019, arXiv:1805.08206 (AURC, E-AURC);
Traub et al. 2024, arXiv:2407.01032 (AUGRC); Geifman & El-Yaniv 2017, arXiv:1705.08500 (selective risk at a coverage, coverage at a
risk). One sort of all samples and one of the errors serve every metric; many float32 samples are counted instead, which is faster.
"""

import math

import numpy as np
from jaxtyping import Float64, Shaped
from numpy.typing import ArrayLike

from confidnet_core.metrics._ranking.counts import Counts, counts_from_the_surest, distinct
from confidnet_core.metrics._ranking.risk import RISKS, mean_risk_of_an_error, most_kept, risk_of_the_surest, risk_within_tie
from confidnet_core.metrics._ranking.samples import checked, count_above, ranked_with_errors, require_finite

METRICS = (
    *("accuracy", "fpr_at_95_tpr", "aupr_error", "aupr_success", "auroc", "aurc", "e_aurc", "augrc"),
    *("risk_at_80_coverage", "coverage_at_1_risk", "coverage_at_5_risk"),
)


def failure_metrics(confidence: ArrayLike, correct: ArrayLike) -> dict[str, float | None]:
    """The metrics of METRICS, in that order, as fractions in [0, 1]; None where one is undefined, never NaN.

    confidence: (n,) finite real numbers of any scale and sign, higher = surer; ranked at their own precision
    correct: (n,) bool, or integers 0 and 1

    Equal confidences are one threshold: the metrics depend neither on the order of the samples nor on the scale of the confidence.

    accuracy       share of correct predictions
    fpr_at_95_tpr  share of errors at or above the largest threshold that keeps at least 95 % of the correct predictions; lower is better
    aupr_error     average precision (the step-wise sum) of finding errors at low confidence
    aupr_success   average precision of finding correct predictions at high confidence
    auroc          probability that a correct prediction is surer than an error, ties counted half
    aurc           mean over k = 1 ... n of the error rate of the k surest samples, expected over the orders of equal confidences
    e_aurc         aurc minus the aurc of a ranking with every error last; 0 for such a ranking only
    augrc          (1 - auroc) * accuracy * r + r^2 / 2 with the error rate r; in [0, 1/2], lower is better

    Selective prediction at a working point:

    risk_at_80_coverage   error rate of the ceil(0.8 n) surest samples, expected over the orders of equal confidences; lower is better
    coverage_at_1_risk    largest share of samples at or above a threshold whose error rate is at most 1 % (just 1 % counts), or 0
    coverage_at_5_risk    the same for 5 %

    Where every sample has the same outcome:

                 accuracy  fpr_at_95_tpr  aupr_error  aupr_success  auroc  aurc  e_aurc  augrc  risk_at_80_coverage  coverage_at_1, 5_risk
    no error     1         None           None        1             None   0     0       0      0                    1
    no success   0         None           1           None          None   1     0       1/2    1                    0

    ValueError for no samples, NaN or infinite confidence, unequal lengths, more than one axis, or other types.
    """
    confidence, correct = checked(confidence, correct)
    require_finite(confidence)
    total, right = len(correct), int(np.count_nonzero(correct))
    if right == total:
        return dict(zip(METRICS, (1.0, None, None, 1.0, None, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0), strict=True))
    if right == 0:
        return dict(zip(METRICS, (0.0, None, 1.0, None, None, 1.0, 0.0, 0.5, 1.0, 0.0, 0.0), strict=True))
    return dict(zip(METRICS, _of_both_outcomes(total, right, counts_from_the_surest(confidence, correct)), strict=True))


def risk_coverage_curve(
    confidence: ArrayLike, correct: ArrayLike, points: int = 200
) -> tuple[Float64[np.ndarray, " points"], Float64[np.ndarray, " points"]]:
    """Coverage and selective risk, float64 (at most `points`,) each: the error rate of the surest samples, evenly spaced up to coverage 1.

    Within equal confidences the risk is the expected one over their orders, as in aurc. Arguments and errors as in failure_metrics.
    """
    _check_points(points, least=1)
    ranked, errors = ranked_with_errors(confidence, correct)
    total, points = len(ranked), min(points, len(ranked))
    kept = -(-np.arange(1, points + 1) * total // points)  # rounded up
    return kept / total, risk_of_the_surest(ranked, errors, kept)


def roc_curve(
    confidence: ArrayLike, correct: ArrayLike, points: int = 200
) -> tuple[Float64[np.ndarray, " points"], Float64[np.ndarray, " points"]]:
    """False and true positive rate, float64 (at most `points`,) each, from (0, 0) to (1, 1); a correct prediction is the positive.

    Every point is a threshold with all of its equal confidences, so straight lines between all of them enclose auroc; beyond `points`
    thresholds, half are spread evenly over all samples and half over the errors. Both arrays are empty where all samples have the
    same outcome, for which the curve is undefined. Arguments and errors as in failure_metrics.
    """
    _check_points(points, least=2)
    ranked, errors = ranked_with_errors(confidence, correct)
    right = len(ranked) - len(errors)
    if right == 0 or len(errors) == 0:
        return np.empty(0), np.empty(0)
    value = _thinned_thresholds(ranked, errors, points - 1)
    wrong_kept = np.append(0, count_above(errors, value, "left"))
    right_kept = np.append(0, count_above(ranked, value, "left")) - wrong_kept
    return wrong_kept / len(errors), right_kept / right


def _of_both_outcomes(total: int, right: int, counts: Counts) -> tuple[float, ...]:
    """The metrics in the order of METRICS, for at least one error and one success."""
    wrong, surest = total - right, -(-4 * total // 5)
    kept = wrong_kept = 0  # totals of the blocks so far, from the surest sample on
    false_positives = surest_risk = math.nan  # until their block
    discordant = 0  # twice the pairs of a surer error and a correct prediction, a tie once
    precision_of_errors = precision_of_successes = risk = 0.0
    kept_at = [total if wrong / total <= target else 0 for target in RISKS]
    for sample_count, error_count in counts:
        success_count = sample_count - error_count
        kept_here, wrong_here = kept + np.cumsum(sample_count), wrong_kept + np.cumsum(error_count)
        right_here = kept_here - wrong_here
        precision_of_successes += float(np.sum(success_count * (right_here / kept_here)))
        if math.isnan(false_positives) and 20 * right_here[-1] >= 19 * right:
            false_positives = int(wrong_here[np.argmax(20 * right_here >= 19 * right)])
        if kept < surest <= kept_here[-1]:
            last = np.searchsorted(kept_here, surest)  # the threshold that the least sure of them is at
            tied, wrong_tied = sample_count[last], error_count[last]
            surest_risk = float(risk_within_tie(surest, kept_here[last] - tied, tied, wrong_here[last] - wrong_tied, wrong_tied))
        kept, wrong_kept = int(kept_here[-1]), int(wrong_here[-1])

        # the sums over errors need only the thresholds that have one
        has_error = np.flatnonzero(error_count)
        sample_count, success_count, error_count = sample_count[has_error], success_count[has_error], error_count[has_error]
        above, wrong_above = kept_here[has_error] - sample_count, wrong_here[has_error] - error_count
        discordant += int(np.sum(error_count * (2 * (right - right_here[has_error]) + success_count)))
        precision_of_errors += float(np.sum(error_count * ((wrong - wrong_above) / (total - above))))
        risk += float(np.sum(error_count * mean_risk_of_an_error(above, sample_count, total)))
        kept_at = [max(most, int(most_kept(above, wrong_above, target))) for most, target in zip(kept_at, RISKS, strict=True)]

    aurc = min(risk / total, 1.0)  # rounding
    optimum = wrong * float(mean_risk_of_an_error(np.array([right]), np.array([wrong]), total)[0]) / total
    return (
        right / total,
        false_positives / wrong,
        precision_of_errors / wrong,
        precision_of_successes / right,
        (2 * right * wrong - discordant) / (2 * right * wrong),
        aurc,
        max(aurc - optimum, 0.0) if discordant else 0.0,
        (discordant + wrong**2) / (2 * total**2),
        surest_risk,
        *(most / total for most in kept_at),
    )


def _thinned_thresholds(
    ranked: Shaped[np.ndarray, " n"], errors: Shaped[np.ndarray, " errors"], points: int
) -> Shaped[np.ndarray, " thresholds"]:
    """At most `points` distinct confidences, from high to low, the lowest included; all of them where there are no more."""
    if 1 + np.count_nonzero(ranked[1:] != ranked[:-1]) <= points:
        return distinct(ranked)[0][::-1]
    from_all = ranked[np.linspace(0, len(ranked) - 1, points - points // 2).astype(np.int64)]
    from_errors = errors[np.linspace(0, len(errors) - 1, points // 2).astype(np.int64)]
    return np.unique(np.concatenate([from_all, from_errors]))[::-1]


def _check_points(points: int, least: int) -> None:
    if points < least:
        raise ValueError(f"points is {points}; expected at least {least}")
