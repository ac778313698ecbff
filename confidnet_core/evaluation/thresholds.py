"""A score in use: as the probability that a prediction is right, and with thresholds below which a classifier abstains."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int, Real

from confidnet_core.config.params import Bootstrap, Thresholds
from confidnet_core.evaluation.calibrators import MOST, fit_calibrator
from confidnet_core.files import atomic_write, write_json
from confidnet_core.metrics.calibration import bootstrap_calibration, calibration_metrics, reliability_curve
from confidnet_core.metrics.guarantee import Guarantee, threshold_with_guarantee


@dataclass(frozen=True)
class Scored:
    """A score on a split. confidence: real (n,); correct: bool (n,); sizes: (images,) how many of the n each image has, if segmentation."""

    confidence: Real[np.ndarray, " n"]
    correct: Bool[np.ndarray, " n"]
    sizes: Int[np.ndarray, " images"] | None = None


@dataclass(frozen=True)
class Reliability:
    """how: where the probabilities come from, in words; metrics: CALIBRATION_METRICS on the test split; replicates: float64 (resamples,
    metrics); curve: mean probability, accuracy and count of each bin that holds something."""

    how: str
    metrics: dict[str, float]
    replicates: Float64[np.ndarray, "resamples metrics"]
    curve: pd.DataFrame


def reliability(validation: Scored, test: Scored, scale: str, how: Bootstrap) -> Reliability:
    """The probabilities are the score's own, or learned on the validation split where its scale is no probability."""
    calibrator = fit_calibrator(validation.confidence, validation.correct, scale)
    probability = calibrator(test.confidence)
    replicates = bootstrap_calibration(probability, test.correct, resamples=how.resamples, seed=how.seed, sizes=test.sizes)
    columns = ("probability", "accuracy", "count")
    curve = pd.DataFrame(dict(zip(columns, reliability_curve(probability, test.correct), strict=True)))
    return Reliability(calibrator.how, calibration_metrics(probability, test.correct), replicates, curve)


def thresholds(validation: Scored, calibration: Scored, test: Scored, how: Thresholds) -> list[dict[str, Any]]:
    """For each target risk the guarantee that the calibration split gives, and under "test" what became of it on the test split.

    Coverage and risk are in the sense of the guarantee: of segmentation, every image with a pixel weighs the same. The validation split
    says which thresholds are tried: of its confidences, at most MOST.
    """
    found, reference_confidence = [], validation.confidence[:: -(-len(validation.confidence) // MOST)]
    for risk in how.risks:
        guarantee = threshold_with_guarantee(
            calibration.confidence,
            calibration.correct,
            risk=risk,
            delta=how.delta,
            sizes=calibration.sizes,
            reference_confidence=reference_confidence,
        )
        found.append({**asdict(guarantee), "test": _on_test(guarantee, test)})
    return found


def save_thresholds(folder: Path, found: Reliability, guarantees: list[dict[str, Any]]) -> None:
    """calibration.json, replicates.npy (float32), reliability.csv and threshold.json; all or none."""
    with atomic_write(folder) as temporary:
        temporary.mkdir(parents=True)
        write_json(temporary / "calibration.json", {"how": found.how, "metrics": found.metrics})
        np.save(temporary / "replicates.npy", found.replicates.astype(np.float32))
        found.curve.to_csv(temporary / "reliability.csv", index=False)
        write_json(temporary / "threshold.json", {"thresholds": guarantees})


def _on_test(guarantee: Guarantee, test: Scored) -> Mapping[str, float | bool | None]:
    """coverage, risk, and whether the target was kept; None where nothing is accepted."""
    coverage, risk = _selected(test, guarantee.threshold)
    within = guarantee.risk * (1 + 1e-12)  # sums of shares are rounded: a risk that is the target has to count as kept
    return {"coverage": coverage, "risk": risk, "kept": None if risk is None else risk <= within}


def _selected(scored: Scored, threshold: float | None) -> tuple[float, float | None]:
    """Coverage and selective risk of what is accepted; a sample is an image of one pixel."""
    if threshold is None:
        return 0.0, None
    accepted = scored.confidence >= threshold
    sizes = np.ones(len(accepted), np.int64) if scored.sizes is None else scored.sizes[scored.sizes > 0]
    starts = np.cumsum(sizes) - sizes
    shares, wrong = (np.add.reduceat(values, starts, dtype=np.int64) / sizes for values in (accepted, accepted & ~scored.correct))
    return float(shares.mean()), float(wrong.sum() / shares.sum()) if accepted.any() else None
