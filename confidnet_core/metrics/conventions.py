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
    """Return {project: {metric: fraction, or None where its rule yields nothing}}. Arguments and errors as in failure_metrics.

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
    order = np.argsort(-confidence.astype(np.float64), kind="stable")
    ranked, errors = confidence[order], np.cumsum(~correct[order])  # errors among the accepted samples
    accepted = np.arange(1, len(errors) + 1)
    threshold_ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # index of the last sample at or above each threshold
    sample_curve = _RiskCoverageCurve(accepted / len(accepted), errors / accepted)
    threshold_curve = _RiskCoverageCurve(sample_curve.coverage[threshold_ends], sample_curve.risk[threshold_ends])
    rates = _roc_and_precision(accepted[threshold_ends], errors[threshold_ends])
    optimal_aurc = _optimal_aurc(errors[-1] / accepted[-1])

    published, crl = threshold_curve.without_full_coverage().area(), float(sample_curve.risk.mean())
    fd_shifts = threshold_curve.extended_to_zero_coverage()
    return {
        "published": {
            "aurc": published,
            "e_aurc": None if published is None else published - optimal_aurc,
            "fpr_at_95_tpr": _confidnet_fpr(confidence, correct),
        },
        "crl": {"aurc": crl, "e_aurc": crl - optimal_aurc, **_crl_rates(rates)},
        "fd_shifts": {
            "aurc": fd_shifts.area(),
            "e_aurc": fd_shifts.trapezoid() - optimal_aurc,
            "augrc": fd_shifts.generalised_risk().area(),
            "fpr_at_95_tpr": None if rates is None else float(rates[0][np.argmax(rates[1] >= 0.9495)]),
        },
        "torch_uncertainty": {"aurc": sample_curve.mean_height(), "augrc": sample_curve.generalised_risk().mean_height()},
    }


class _RiskCoverageCurve:
    """A risk-coverage curve: coverage, rising, and risk, float64 (points,) each. Areas are None for a curve of one point."""

    def __init__(self, coverage: Float64[np.ndarray, " points"], risk: Float64[np.ndarray, " points"]) -> None:
        self.coverage, self.risk = coverage, risk

    def trapezoid(self) -> float:
        return float(np.trapezoid(self.risk, self.coverage))

    def area(self) -> float | None:
        return self.trapezoid() if len(self.risk) > 1 else None

    def mean_height(self) -> float | None:
        """Return the area divided by the range of coverage, or None for a curve of one point."""
        return self.trapezoid() / float(self.coverage[-1] - self.coverage[0]) if len(self.risk) > 1 else None

    def without_full_coverage(self) -> "_RiskCoverageCurve":
        return _RiskCoverageCurve(self.coverage[:-1], self.risk[:-1])

    def extended_to_zero_coverage(self) -> "_RiskCoverageCurve":
        return _RiskCoverageCurve(np.append(0, self.coverage), np.append(self.risk[0], self.risk))

    def generalised_risk(self) -> "_RiskCoverageCurve":
        return _RiskCoverageCurve(self.coverage, self.risk * self.coverage)


def _optimal_aurc(error_rate: float) -> float:
    """Return the AURC of a perfect ranking of infinitely many samples."""
    return float(error_rate + (1 - error_rate) * np.log1p(-error_rate)) if error_rate < 1 else 1.0


def _roc_and_precision(
    accepted: Int[np.ndarray, " thresholds"], errors: Int[np.ndarray, " thresholds"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Return FPR, TPR and precision (correct predictions are positives) at each threshold, from the highest on; None for one outcome."""
    correct = accepted - errors
    if correct[-1] == 0 or errors[-1] == 0:
        return None
    return errors / errors[-1], correct / correct[-1], correct / accepted


def _crl_rates(rates: tuple[np.ndarray, np.ndarray, np.ndarray] | None) -> dict[str, float | None]:
    if rates is None:
        return {"fpr_at_95_tpr": None, "aupr_success": None}
    fpr, tpr, precision = rates
    is_bend = (np.abs(np.diff(fpr, 2)) > 1e-12) | (np.abs(np.diff(tpr, 2)) > 1e-12)
    corners = np.flatnonzero(np.concatenate([[True], is_bend, [True]])[: len(fpr)])
    return {
        "fpr_at_95_tpr": float(fpr[corners[np.argmin(np.abs(tpr[corners] - 0.95))]]),
        "aupr_success": float(np.trapezoid(np.append(1, precision), np.append(0, tpr))),
    }


def _confidnet_fpr(confidence: Real[np.ndarray, " n"], correct: Bool[np.ndarray, " n"]) -> float | None:
    correct_sorted, errors_sorted = np.sort(confidence[correct]), np.sort(confidence[~correct])
    if len(correct_sorted) == 0 or len(errors_sorted) == 0:
        return None
    low, high = float(confidence.min()), float(confidence.max())
    thresholds = low + (high - low) / _SCANNED_THRESHOLDS * np.arange(_SCANNED_THRESHOLDS)
    tpr = 1 - np.searchsorted(correct_sorted, thresholds) / len(correct_sorted)
    in_band = np.flatnonzero((tpr >= 0.9495) & (tpr <= 0.9505))
    return float(1 - np.searchsorted(errors_sorted, thresholds[in_band[0]]) / len(errors_sorted)) if len(in_band) else None
