"""Metrics by the conventions of other projects, which differ, so that tables of two papers often cannot be compared.

The rules are reimplemented, not copied: ConfidNet (Corbière et al. 2019), the CRL family (Moon et al. 2020; FMFP, OpenMix, SURE),
fd-shifts (Jaeger et al. 2023, Traub et al. 2024), torch-uncertainty 0.13. This project's own definitions are in failure.py.
"""

import numpy as np
from jaxtyping import Bool, Float64, Int, Real
from numpy.typing import ArrayLike

from confidnet_core.metrics._ranking.samples import check_confidence_and_correct, require_finite_confidence

_CONFIDNET_THRESHOLD_COUNT = 10_000  # evenly spaced thresholds that ConfidNet's code tries


def metrics_by_project_convention(confidence: ArrayLike, correct: ArrayLike) -> dict[str, dict[str, float | None]]:
    """Return {project: {metric: value}}: failure metrics computed by the definitions that other projects use, which differ.

    A value is a fraction, or None where the project's rule gives no number.
    confidence: (n,) finite real numbers, higher is more confident; correct: (n,) bool, or integers 0 and 1
    Raises ValueError for arrays that failure_metrics refuses.

    published          aurc: trapezoidal area over thresholds strictly below an accepted confidence, so that full coverage never counts;
                       e_aurc: aurc minus (1 - a) + a ln a with the accuracy a; fpr_at_95_tpr: at the first of 10,000 evenly spaced
                       thresholds whose TPR is 0.9495 to 0.9505
    crl                aurc: mean risk, equal confidences in the order of the samples; e_aurc: aurc minus r + (1 - r) ln(1 - r) with the
                       error rate r; fpr_at_95_tpr: at the corner of the ROC curve whose TPR is nearest to 0.95; aupr_success:
                       trapezoidal area
    fd_shifts          aurc, augrc: trapezoidal area over distinct confidences, extended to coverage 0 with the risk at the highest one;
                       e_aurc: aurc minus r + (1 - r) ln(1 - r); fpr_at_95_tpr: the lowest FPR with a TPR of at least 0.9495
    torch_uncertainty  aurc, augrc: trapezoidal area over every sample from coverage 1/n on, divided by 1 - 1/n, equal confidences in the
                       order of the samples (in the project itself they are in whatever order its sort leaves them)
    """
    confidence, correct = check_confidence_and_correct(confidence, correct)
    require_finite_confidence(confidence)
    confidence_order = np.argsort(-confidence.astype(np.float64), kind="stable")
    ranked_confidence, errors_accepted = (
        confidence[confidence_order],
        np.cumsum(~correct[confidence_order]),
    )  # errors among the accepted samples
    samples_accepted = np.arange(1, len(errors_accepted) + 1)
    last_index_of_tie = np.flatnonzero(
        np.append(ranked_confidence[1:] != ranked_confidence[:-1], True)
    )  # index of the last sample at or above each threshold
    risk_coverage_by_sample = _RiskCoverageCurve(samples_accepted / len(samples_accepted), errors_accepted / samples_accepted)
    risk_coverage_by_threshold = _RiskCoverageCurve(
        risk_coverage_by_sample.coverage[last_index_of_tie], risk_coverage_by_sample.risk[last_index_of_tie]
    )
    fpr_tpr_precision = _fpr_tpr_precision(samples_accepted[last_index_of_tie], errors_accepted[last_index_of_tie])
    optimal_aurc = _optimal_aurc(errors_accepted[-1] / samples_accepted[-1])

    confidnet_aurc, crl_aurc = risk_coverage_by_threshold.without_full_coverage().area(), float(risk_coverage_by_sample.risk.mean())
    fd_shifts_curve = risk_coverage_by_threshold.extended_to_zero_coverage()
    return {
        "published": {
            "aurc": confidnet_aurc,
            "e_aurc": None if confidnet_aurc is None else confidnet_aurc - optimal_aurc,
            "fpr_at_95_tpr": _fpr_at_95_tpr_of_confidnet(confidence, correct),
        },
        "crl": {"aurc": crl_aurc, "e_aurc": crl_aurc - optimal_aurc, **_roc_metrics_by_crl_convention(fpr_tpr_precision)},
        "fd_shifts": {
            "aurc": fd_shifts_curve.area(),
            "e_aurc": fd_shifts_curve.trapezoid() - optimal_aurc,
            "augrc": fd_shifts_curve.generalised_risk_curve().area(),
            "fpr_at_95_tpr": None if fpr_tpr_precision is None else float(fpr_tpr_precision[0][np.argmax(fpr_tpr_precision[1] >= 0.9495)]),
        },
        "torch_uncertainty": {
            "aurc": risk_coverage_by_sample.mean_risk_over_coverage(),
            "augrc": risk_coverage_by_sample.generalised_risk_curve().mean_risk_over_coverage(),
        },
    }


class _RiskCoverageCurve:
    """A curve of the error rate (risk) over the accepted fraction of samples (coverage, rising): two float64 arrays (points,)."""

    def __init__(self, coverage: Float64[np.ndarray, " points"], risk: Float64[np.ndarray, " points"]) -> None:
        self.coverage, self.risk = coverage, risk

    def trapezoid(self) -> float:
        return float(np.trapezoid(self.risk, self.coverage))

    def area(self) -> float | None:
        return self.trapezoid() if len(self.risk) > 1 else None

    def mean_risk_over_coverage(self) -> float | None:
        """Return the mean risk, which is the area under the curve divided by its range of coverage; None for a curve of one point."""
        return self.trapezoid() / float(self.coverage[-1] - self.coverage[0]) if len(self.risk) > 1 else None

    def without_full_coverage(self) -> "_RiskCoverageCurve":
        return _RiskCoverageCurve(self.coverage[:-1], self.risk[:-1])

    def extended_to_zero_coverage(self) -> "_RiskCoverageCurve":
        return _RiskCoverageCurve(np.append(0, self.coverage), np.append(self.risk[0], self.risk))

    def generalised_risk_curve(self) -> "_RiskCoverageCurve":
        return _RiskCoverageCurve(self.coverage, self.risk * self.coverage)


def _optimal_aurc(error_rate: float) -> float:
    """Return the area under the risk-coverage curve (AURC) of a perfect ranking, with every error last, for infinitely many samples."""
    return float(error_rate + (1 - error_rate) * np.log1p(-error_rate)) if error_rate < 1 else 1.0


def _fpr_tpr_precision(
    samples_accepted: Int[np.ndarray, " thresholds"], errors_accepted: Int[np.ndarray, " thresholds"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return FPR, TPR and precision, float64 (thresholds,) each, at each threshold, highest first; positives are correct predictions.

    samples_accepted, errors_accepted: number of samples and of errors at or above each threshold
    Returns None if all samples are correct or all are errors.
    """
    correct_accepted = samples_accepted - errors_accepted
    if correct_accepted[-1] == 0 or errors_accepted[-1] == 0:
        return None
    return errors_accepted / errors_accepted[-1], correct_accepted / correct_accepted[-1], correct_accepted / samples_accepted


def _roc_metrics_by_crl_convention(fpr_tpr_precision: tuple[np.ndarray, np.ndarray, np.ndarray] | None) -> dict[str, float | None]:
    if fpr_tpr_precision is None:
        return {"fpr_at_95_tpr": None, "aupr_success": None}
    fpr, tpr, precision_at_threshold = fpr_tpr_precision
    is_roc_corner = (np.abs(np.diff(fpr, 2)) > 1e-12) | (np.abs(np.diff(tpr, 2)) > 1e-12)
    roc_corner_indices = np.flatnonzero(np.concatenate([[True], is_roc_corner, [True]])[: len(fpr)])
    return {
        "fpr_at_95_tpr": float(fpr[roc_corner_indices[np.argmin(np.abs(tpr[roc_corner_indices] - 0.95))]]),
        "aupr_success": float(np.trapezoid(np.append(1, precision_at_threshold), np.append(0, tpr))),
    }


def _fpr_at_95_tpr_of_confidnet(confidence: Real[np.ndarray, " n"], correct: Bool[np.ndarray, " n"]) -> float | None:
    sorted_correct_confidence, sorted_error_confidence = np.sort(confidence[correct]), np.sort(confidence[~correct])
    if len(sorted_correct_confidence) == 0 or len(sorted_error_confidence) == 0:
        return None
    lowest_confidence, highest_confidence = float(confidence.min()), float(confidence.max())
    thresholds = lowest_confidence + (highest_confidence - lowest_confidence) / _CONFIDNET_THRESHOLD_COUNT * np.arange(
        _CONFIDNET_THRESHOLD_COUNT
    )
    tpr = 1 - np.searchsorted(sorted_correct_confidence, thresholds) / len(sorted_correct_confidence)
    indices_near_95_tpr = np.flatnonzero((tpr >= 0.9495) & (tpr <= 0.9505))
    return (
        float(1 - np.searchsorted(sorted_error_confidence, thresholds[indices_near_95_tpr[0]]) / len(sorted_error_confidence))
        if len(indices_near_95_tpr)
        else None
    )
