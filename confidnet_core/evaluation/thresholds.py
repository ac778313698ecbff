"""The reliability of a score's probabilities, and thresholds with a guarantee, below which a classifier abstains."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int, Real

from confidnet_core.config.params import Thresholds
from confidnet_core.evaluation.calibrators import MAX_SAMPLES, fit_calibrator
from confidnet_core.files import atomic_write, write_json
from confidnet_core.metrics.calibration import bootstrap_calibration, calibration_metrics, reliability_curve
from confidnet_core.metrics.guarantee import Guarantee, threshold_with_guarantee


@dataclass(frozen=True)
class ScoredSplit:
    """The confidences of one score in the predictions of one split, and whether each prediction is correct.

    confidence: real (n,); correct: bool (n,)
    sizes: (images,), for segmentation the number of labelled pixels of each image, which add up to n
    """

    confidence: Real[np.ndarray, " n"]
    correct: Bool[np.ndarray, " n"]
    sizes: Int[np.ndarray, " images"] | None = None


@dataclass(frozen=True)
class Reliability:
    """How well a score's probabilities of being correct agree with the accuracy on the test split.

    calibrator: the description of the calibrator that made the probabilities
    metrics: the calibration metrics; replicates: these metrics on resamples of the split, float64 (resamples, metrics)
    curve: mean probability, accuracy and count of each non-empty bin
    """

    calibrator: str
    metrics: dict[str, float]
    replicates: Float64[np.ndarray, "resamples metrics"]
    curve: pd.DataFrame


def reliability(validation: ScoredSplit, test: ScoredSplit, scale: str, *, resamples: int, seed: int) -> Reliability:
    """Return how well a score's probabilities of being correct agree with the accuracy on the test split.

    The probabilities are those of `fit_calibrator` on the validation split: the score's own, where its scale allows.
    resamples, seed: of the resampling of the test split, as in `bootstrap_calibration`
    """
    calibrator = fit_calibrator(validation.confidence, validation.correct, scale)
    probability = calibrator(test.confidence)
    replicates = bootstrap_calibration(probability, test.correct, resamples=resamples, seed=seed, sizes=test.sizes)
    columns = ("probability", "accuracy", "count")
    curve = pd.DataFrame(dict(zip(columns, reliability_curve(probability, test.correct), strict=True)))
    return Reliability(calibrator.description, calibration_metrics(probability, test.correct), replicates, curve)


def guaranteed_thresholds(
    validation: ScoredSplit, calibration: ScoredSplit, test: ScoredSplit, settings: Thresholds
) -> list[dict[str, Any]]:
    """Return for each target risk the guarantee by the calibration split and, under "test", its coverage and risk on the test split.

    Coverage and risk are defined as in the guarantee: for segmentation, every image with a labelled pixel has the same weight. The
    candidate thresholds are at most MAX_SAMPLES confidences of the validation split.
    """
    guarantees, candidate_thresholds = [], validation.confidence[:: -(-len(validation.confidence) // MAX_SAMPLES)]
    for risk in settings.risks:
        guarantee = threshold_with_guarantee(
            calibration.confidence,
            calibration.correct,
            risk=risk,
            delta=settings.delta,
            sizes=calibration.sizes,
            reference_confidence=candidate_thresholds,
        )
        guarantees.append({**asdict(guarantee), "test": _guarantee_on_test(guarantee, test)})
    return guarantees


def save_thresholds(folder: Path, reliability: Reliability, guarantees: list[dict[str, Any]]) -> None:
    """Write a score's calibration.json, replicates.npy (float32), reliability.csv and threshold.json; all files or none."""
    with atomic_write(folder) as temporary:
        temporary.mkdir(parents=True)
        write_json(temporary / "calibration.json", {"how": reliability.calibrator, "metrics": reliability.metrics})
        np.save(temporary / "replicates.npy", reliability.replicates.astype(np.float32))
        reliability.curve.to_csv(temporary / "reliability.csv", index=False)
        write_json(temporary / "threshold.json", {"thresholds": guarantees})


def _guarantee_on_test(guarantee: Guarantee, test: ScoredSplit) -> Mapping[str, float | bool | None]:
    """Return {"coverage", "risk", "kept"} on the test split; kept: whether risk <= target. Risk and kept are None without accepted ones."""
    coverage, risk = _coverage_and_risk(test, guarantee.threshold)
    risk_limit = guarantee.risk * (1 + 1e-12)  # the risk is a rounded sum of fractions, and a risk equal to the target has to count as kept
    return {"coverage": coverage, "risk": risk, "kept": None if risk is None else risk <= risk_limit}


def _coverage_and_risk(scored: ScoredSplit, threshold: float | None) -> tuple[float, float | None]:
    """Return the accepted fraction and the error rate of accepted predictions, as means over images; a sample is an image of one pixel."""
    if threshold is None:
        return 0.0, None
    is_accepted = scored.confidence >= threshold
    sizes = np.ones(len(is_accepted), np.int64) if scored.sizes is None else scored.sizes[scored.sizes > 0]
    image_starts = np.cumsum(sizes) - sizes
    is_error = is_accepted & ~scored.correct
    accepted_fraction, error_fraction = (
        np.add.reduceat(values, image_starts, dtype=np.int64) / sizes for values in (is_accepted, is_error)
    )
    return float(accepted_fraction.mean()), float(error_fraction.sum() / accepted_fraction.sum()) if is_accepted.any() else None
