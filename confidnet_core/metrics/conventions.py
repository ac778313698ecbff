"""Metrics by the conventions of other projects, which differ, so that tables of two papers often cannot be compared.

The rules are reimplemented, not copied: ConfidNet (Corbière et al. 2019), the CRL family (Moon et al. 2020; FMFP, OpenMix, SURE),
fd-shifts (Jaeger et al. 2023, Traub et al. 2024), torch-uncertainty 0.13. This project's own definitions are in failure.py.
"""

import numpy as np
from jaxtyping import Bool, Float64, Int, Real
from numpy.typing import ArrayLike

from confidnet_core.metrics._ranking.samples import check_samples, require_finite

_SCANNED_THRESHOLDS = 10_000  # evenly spaced thresholds that ConfidNet's code tries


def conventions(confidence: ArrayLike, correct: ArrayLike) -> dict[str, dict[str, float | None]]:
    """Return {project: {metric: fraction, or None where the project's rule gives no number}}. Arguments and errors as in failure_metrics.

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
    confidence, correct = check_samples(confidence, correct)
    require_finite(confidence)
    confidence_order = np.argsort(-confidence.astype(np.float64), kind="stable")
    ranked_confidence, cumulative_errors = (
        confidence[confidence_order],
        np.cumsum(~correct[confidence_order]),
    )  # errors among the accepted samples
    accepted = np.arange(1, len(cumulative_errors) + 1)
    threshold_ends = np.flatnonzero(
        np.append(ranked_confidence[1:] != ranked_confidence[:-1], True)
    )  # index of the last sample at or above each threshold
    sample_curve = _RiskCoverageCurve(accepted / len(accepted), cumulative_errors / accepted)
    threshold_curve = _RiskCoverageCurve(sample_curve.coverage[threshold_ends], sample_curve.risk[threshold_ends])
    rates = _fpr_tpr_precision(accepted[threshold_ends], cumulative_errors[threshold_ends])
    optimal_aurc = _optimal_aurc(cumulative_errors[-1] / accepted[-1])

    published_aurc, crl_aurc = threshold_curve.without_full_coverage().area(), float(sample_curve.risk.mean())
    fd_shifts_curve = threshold_curve.extended_to_zero_coverage()
    return {
        "published": {
            "aurc": published_aurc,
            "e_aurc": None if published_aurc is None else published_aurc - optimal_aurc,
            "fpr_at_95_tpr": _confidnet_fpr_at_95_tpr(confidence, correct),
        },
        "crl": {"aurc": crl_aurc, "e_aurc": crl_aurc - optimal_aurc, **_crl_roc_metrics(rates)},
        "fd_shifts": {
            "aurc": fd_shifts_curve.area(),
            "e_aurc": fd_shifts_curve.trapezoid() - optimal_aurc,
            "augrc": fd_shifts_curve.generalised_risk().area(),
            "fpr_at_95_tpr": None if rates is None else float(rates[0][np.argmax(rates[1] >= 0.9495)]),
        },
        "torch_uncertainty": {"aurc": sample_curve.mean_height(), "augrc": sample_curve.generalised_risk().mean_height()},
    }


class _RiskCoverageCurve:
    """A curve of the error rate (risk) over the accepted fraction of samples (coverage, rising): two float64 arrays (points,)."""

    def __init__(self, coverage: Float64[np.ndarray, " points"], risk: Float64[np.ndarray, " points"]) -> None:
        self.coverage, self.risk = coverage, risk

    def trapezoid(self) -> float:
        return float(np.trapezoid(self.risk, self.coverage))

    def area(self) -> float | None:
        return self.trapezoid() if len(self.risk) > 1 else None

    def mean_height(self) -> float | None:
        """Return the mean risk, which is the area under the curve divided by its range of coverage; None for a curve of one point."""
        return self.trapezoid() / float(self.coverage[-1] - self.coverage[0]) if len(self.risk) > 1 else None

    def without_full_coverage(self) -> "_RiskCoverageCurve":
        return _RiskCoverageCurve(self.coverage[:-1], self.risk[:-1])

    def extended_to_zero_coverage(self) -> "_RiskCoverageCurve":
        return _RiskCoverageCurve(np.append(0, self.coverage), np.append(self.risk[0], self.risk))

    def generalised_risk(self) -> "_RiskCoverageCurve":
        return _RiskCoverageCurve(self.coverage, self.risk * self.coverage)


def _optimal_aurc(error_rate: float) -> float:
    """Return the area under the risk-coverage curve (AURC) of infinitely many samples of this error rate, ranked perfectly."""
    return float(error_rate + (1 - error_rate) * np.log1p(-error_rate)) if error_rate < 1 else 1.0


def _fpr_tpr_precision(
    accepted: Int[np.ndarray, " thresholds"], errors: Int[np.ndarray, " thresholds"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return FPR, TPR and precision at each threshold, highest first; positives are correct predictions. None if one outcome is missing."""
    correct = accepted - errors
    if correct[-1] == 0 or errors[-1] == 0:
        return None
    return errors / errors[-1], correct / correct[-1], correct / accepted


def _crl_roc_metrics(rates: tuple[np.ndarray, np.ndarray, np.ndarray] | None) -> dict[str, float | None]:
    if rates is None:
        return {"fpr_at_95_tpr": None, "aupr_success": None}
    fpr, tpr, precision = rates
    is_bend = (np.abs(np.diff(fpr, 2)) > 1e-12) | (np.abs(np.diff(tpr, 2)) > 1e-12)
    corners = np.flatnonzero(np.concatenate([[True], is_bend, [True]])[: len(fpr)])
    return {
        "fpr_at_95_tpr": float(fpr[corners[np.argmin(np.abs(tpr[corners] - 0.95))]]),
        "aupr_success": float(np.trapezoid(np.append(1, precision), np.append(0, tpr))),
    }


def _confidnet_fpr_at_95_tpr(confidence: Real[np.ndarray, " n"], correct: Bool[np.ndarray, " n"]) -> float | None:
    correct_sorted, errors_sorted = np.sort(confidence[correct]), np.sort(confidence[~correct])
    if len(correct_sorted) == 0 or len(errors_sorted) == 0:
        return None
    lowest, highest = float(confidence.min()), float(confidence.max())
    thresholds = lowest + (highest - lowest) / _SCANNED_THRESHOLDS * np.arange(_SCANNED_THRESHOLDS)
    tpr = 1 - np.searchsorted(correct_sorted, thresholds) / len(correct_sorted)
    indices_in_band = np.flatnonzero((tpr >= 0.9495) & (tpr <= 0.9505))
    return float(1 - np.searchsorted(errors_sorted, thresholds[indices_in_band[0]]) / len(errors_sorted)) if len(indices_in_band) else None
