"""What other projects would print of the same predictions: their rules differ, so that tables of two papers often cannot be compared.

Facts of the rules, not their code: ConfidNet (Corbière et al. 2019), the CRL family (Moon et al. 2020; FMFP, OpenMix, SURE),
fd-shifts (Jaeger et al. 2023, Traub et al. 2024), torch-uncertainty 0.13. Ours are in failure.py.
"""

import numpy as np
from jaxtyping import Bool, Float64, Int, Real
from numpy.typing import ArrayLike

from confidnet_core.metrics._ranking.samples import checked, require_finite

_THRESHOLDS = 10_000  # of ConfidNet's scan


def conventions(confidence: ArrayLike, correct: ArrayLike) -> dict[str, dict[str, float | None]]:
    """PROJECT -> metric -> fraction, None where its rule gives nothing. Arguments and errors as in failure_metrics.

    published          aurc: the trapezoid over thresholds strictly below a kept confidence, so that full coverage never counts;
                       e_aurc: minus (1 - a) + a ln a with the accuracy a; fpr_at_95_tpr: the first of 10,000 evenly spaced thresholds
                       whose TPR is 0.9495 to 0.9505
    crl                aurc: mean risk, equal confidences in the order of the samples; e_aurc: minus r + (1 - r) ln(1 - r) with the error
                       rate r; fpr_at_95_tpr: at the corner of the ROC curve whose TPR is nearest to 0.95; aupr_success: the trapezoid
    fd_shifts          aurc, augrc: the trapezoid over distinct confidences, the last risk held to coverage 0; e_aurc: minus
                       r + (1 - r) ln(1 - r); fpr_at_95_tpr: least with a TPR of at least 0.9495
    torch_uncertainty  aurc, augrc: the trapezoid over every sample from coverage 1/n on, divided by 1 - 1/n, equal confidences in the
                       order of the samples, which the project itself leaves to the sort
    """
    confidence, correct = checked(confidence, correct)
    require_finite(confidence)
    order = np.argsort(-confidence.astype(np.float64), kind="stable")
    ranked, wrong = confidence[order], np.cumsum(~correct[order])
    kept = np.arange(1, len(wrong) + 1)
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # the last sample at or above each threshold
    points = _Points(kept / len(kept), wrong / kept)
    thresholds = _Points(points.coverage[last], points.risk[last])
    rates = _rates(kept[last], wrong[last])
    optimum = _smooth_optimum(wrong[-1] / kept[-1])

    published, crl, fd_shifts = thresholds.without_full_coverage().area(), float(points.risk.mean()), thresholds.held_to_zero()
    return {
        "published": {
            "aurc": published,
            "e_aurc": None if published is None else published - optimum,
            "fpr_at_95_tpr": _fpr_in_band(confidence, correct),
        },
        "crl": {"aurc": crl, "e_aurc": crl - optimum, **_crl_rates(rates)},
        "fd_shifts": {
            "aurc": fd_shifts.area(),
            "e_aurc": fd_shifts.trapezoid() - optimum,
            "augrc": fd_shifts.generalised().area(),
            "fpr_at_95_tpr": None if rates is None else float(rates[0][np.argmax(rates[1] >= 0.9495)]),
        },
        "torch_uncertainty": {"aurc": points.mean_height(), "augrc": points.generalised().mean_height()},
    }


class _Points:
    """A risk-coverage curve: float64 (n,) each, coverage rising."""

    def __init__(self, coverage: Float64[np.ndarray, " points"], risk: Float64[np.ndarray, " points"]) -> None:
        self.coverage, self.risk = coverage, risk

    def trapezoid(self) -> float:
        return float(np.trapezoid(self.risk, self.coverage))

    def area(self) -> float | None:
        return self.trapezoid() if len(self.risk) > 1 else None

    def mean_height(self) -> float | None:
        """None for one sample, whose curve is a point."""
        return self.trapezoid() / float(self.coverage[-1] - self.coverage[0]) if len(self.risk) > 1 else None

    def without_full_coverage(self) -> "_Points":
        return _Points(self.coverage[:-1], self.risk[:-1])

    def held_to_zero(self) -> "_Points":
        return _Points(np.append(0, self.coverage), np.append(self.risk[0], self.risk))

    def generalised(self) -> "_Points":
        return _Points(self.coverage, self.risk * self.coverage)


def _smooth_optimum(error_rate: float) -> float:
    """The AURC of a perfect ranking of infinitely many samples."""
    return float(error_rate + (1 - error_rate) * np.log1p(-error_rate)) if error_rate < 1 else 1.0


def _rates(kept: Int[np.ndarray, " thresholds"], wrong: Int[np.ndarray, " thresholds"]) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """FPR, TPR and precision of right predictions at each threshold, from the highest on; None where all outcomes are equal."""
    right = kept - wrong
    if right[-1] == 0 or wrong[-1] == 0:
        return None
    return wrong / wrong[-1], right / right[-1], right / kept


def _crl_rates(rates: tuple[np.ndarray, np.ndarray, np.ndarray] | None) -> dict[str, float | None]:
    if rates is None:
        return {"fpr_at_95_tpr": None, "aupr_success": None}
    fpr, tpr, precision = rates
    bends = (np.abs(np.diff(fpr, 2)) > 1e-12) | (np.abs(np.diff(tpr, 2)) > 1e-12)
    corners = np.flatnonzero(np.concatenate([[True], bends, [True]])[: len(fpr)])
    return {
        "fpr_at_95_tpr": float(fpr[corners[np.argmin(np.abs(tpr[corners] - 0.95))]]),
        "aupr_success": float(np.trapezoid(np.append(1, precision), np.append(0, tpr))),
    }


def _fpr_in_band(confidence: Real[np.ndarray, " n"], correct: Bool[np.ndarray, " n"]) -> float | None:
    right, wrong = np.sort(confidence[correct]), np.sort(confidence[~correct])
    if len(right) == 0 or len(wrong) == 0:
        return None
    low, high = float(confidence.min()), float(confidence.max())
    thresholds = low + (high - low) / _THRESHOLDS * np.arange(_THRESHOLDS)
    tpr = 1 - np.searchsorted(right, thresholds) / len(right)
    inside = np.flatnonzero((tpr >= 0.9495) & (tpr <= 0.9505))
    return float(1 - np.searchsorted(wrong, thresholds[inside[0]]) / len(wrong)) if len(inside) else None
