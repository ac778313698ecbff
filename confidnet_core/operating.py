"""A score in use: as the probability that a prediction is right, and with thresholds below which a classifier abstains."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from confidnet_core.calibration import MOST, fit_calibrator
from confidnet_core.files import replacing, write_json
from confidnet_core.metrics.calibration import bootstrap_calibration, calibration_metrics, reliability_curve
from confidnet_core.metrics.guarantee import Guarantee, threshold_with_guarantee
from confidnet_core.params import Bootstrap, Thresholds


@dataclass(frozen=True)
class Scored:
    """A score on a split. confidence: real (n,); correct: bool (n,); sizes: (images,) how many of the n each image has, if segmentation."""

    confidence: np.ndarray
    correct: np.ndarray
    sizes: np.ndarray | None = None


@dataclass(frozen=True)
class Reliability:
    """how: where the probabilities come from, in words; metrics: those of CALIBRATION on the test split; replicates: float64 (resamples,
    metrics); curve: mean probability, accuracy and count of each bin that holds something."""

    how: str
    metrics: dict[str, float]
    replicates: np.ndarray
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

    The validation split says which thresholds are tried: of its confidences, at most MOST.
    """
    found, elsewhere = [], validation.confidence[:: -(-len(validation.confidence) // MOST)]
    for risk in how.risks:
        guarantee = threshold_with_guarantee(
            calibration.confidence, calibration.correct, risk=risk, delta=how.delta, sizes=calibration.sizes, elsewhere=elsewhere
        )
        found.append({**asdict(guarantee), "test": _on_test(guarantee, test)})
    return found


def save_operation(folder: Path, found: Reliability, promises: list[dict[str, Any]]) -> None:
    """calibration.json, replicates.npy (float32), reliability.csv and threshold.json; all or none."""
    with replacing(folder) as temporary:
        temporary.mkdir(parents=True)
        write_json(temporary / "calibration.json", {"how": found.how, "metrics": found.metrics})
        np.save(temporary / "replicates.npy", found.replicates.astype(np.float32))
        found.curve.to_csv(temporary / "reliability.csv", index=False)
        write_json(temporary / "threshold.json", {"thresholds": promises})


def _on_test(guarantee: Guarantee, test: Scored) -> Mapping[str, float | bool | None]:
    """coverage and selective risk in the sense of the guarantee, and whether it was kept; None where nothing is accepted."""
    if guarantee.threshold is None:
        return {"coverage": 0.0, "risk": None, "kept": None}
    accepted = test.confidence >= guarantee.threshold
    if test.sizes is None:
        weight = np.full(len(accepted), 1 / len(accepted))
    else:  # an image weighs the same whatever its number of labelled pixels
        sizes = test.sizes[test.sizes > 0]
        weight = np.repeat(1 / (len(sizes) * sizes), sizes)
    coverage = float(weight[accepted].sum())
    risk = float(weight[accepted & ~test.correct].sum() / coverage) if accepted.any() else None
    return {"coverage": coverage, "risk": risk, "kept": None if risk is None else risk <= guarantee.risk}
