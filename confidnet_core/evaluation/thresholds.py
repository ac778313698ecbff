"""The reliability of a score's probabilities, and thresholds with a guarantee, below which a classifier abstains."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from confidnet_core.config.params import Thresholds
from confidnet_core.evaluation.at_threshold import ScoredSplit, result_at_threshold
from confidnet_core.evaluation.calibrators import MAX_FIT_SAMPLES, fit_calibrator, raw_probability
from confidnet_core.evaluation.stored import Reliability
from confidnet_core.files import atomic_write, write_json
from confidnet_core.metrics.calibration import bootstrap_calibration, calibration_metrics, reliability_curve
from confidnet_core.metrics.guarantee import Guarantee, threshold_with_guarantee


def reliability(validation_split: ScoredSplit, test_split: ScoredSplit, score_scale: str, *, resample_count: int, seed: int) -> Reliability:
    """Measure how well a score's probabilities of being correct agree with the accuracy on the test split.

    A calibrator that is fitted on the validation split turns confidences into probabilities, by the same rule for every score.
    score_scale: one of SCORE_SCALES. The probability that it means by itself, if any, is measured too, for raw_metrics
    resample_count, seed: of the resampling of the test split, as in `bootstrap_calibration`
    """
    calibrator = fit_calibrator(validation_split.confidence, validation_split.correct)
    test_probability = calibrator(test_split.confidence)
    own_probability = raw_probability(test_split.confidence, score_scale)
    metric_replicates = bootstrap_calibration(
        test_probability,
        test_split.correct,
        resample_count=resample_count,
        seed=seed,
        pixels_per_image=test_split.pixels_per_image,
    )
    column_names = ("probability", "accuracy", "count")
    reliability_bin_table = pd.DataFrame(dict(zip(column_names, reliability_curve(test_probability, test_split.correct), strict=True)))
    return Reliability(
        calibrator.description,
        calibration_metrics(test_probability, test_split.correct),
        None if own_probability is None else calibration_metrics(own_probability, test_split.correct),
        metric_replicates,
        reliability_bin_table,
    )


def guaranteed_thresholds(
    validation_split: ScoredSplit | None,
    calibration_split: ScoredSplit,
    test_split: ScoredSplit,
    threshold_settings: Thresholds,
    unit_name: str = "image",
) -> list[dict[str, Any]]:
    """Return, for each target risk, a dictionary of the threshold whose selective risk is guaranteed, from the calibration split.

    Its keys are the fields of Guarantee, "served": whether a served model uses this target, "reason": a sentence why there is no threshold,
    or None, and "test": what the threshold does on the test split, from `result_at_threshold`. At most MAX_FIT_SAMPLES predictions of
    the validation split give the candidate thresholds, by their confidences, and where their sequence starts, by their labels; without one,
    a twentieth of the calibration split does, and the sequence starts at a fixed coverage.
    unit_name: what the reasons call that which errs together
    """
    guarantees, reference = [], _thinned(validation_split) if validation_split is not None else None
    for target_risk in threshold_settings.risks:
        guarantee = threshold_with_guarantee(
            calibration_split.confidence,
            calibration_split.correct,
            target_risk=target_risk,
            delta=threshold_settings.delta,
            pixels_per_image=calibration_split.pixels_per_image,
            **({} if reference is None else _as_reference(reference)),
        )
        counted_unit = "sample" if calibration_split.pixels_per_image is None else unit_name
        guarantees.append(
            {
                **asdict(guarantee),
                "served": target_risk == threshold_settings.serve,
                "reason": _reason_without_threshold(guarantee, counted_unit),
                "test": result_at_threshold(guarantee.threshold, guarantee.risk, test_split),
            }
        )
    return guarantees


def _as_reference(split: ScoredSplit) -> dict[str, Any]:
    """Return the arguments by which `threshold_with_guarantee` takes other data."""
    return {
        "reference_confidence": split.confidence,
        "reference_correct": split.correct,
        "reference_pixels_per_image": split.pixels_per_image,
    }


def _thinned(split: ScoredSplit) -> ScoredSplit:
    """Return every k-th prediction of a split, with the least k that leaves at most MAX_FIT_SAMPLES."""
    stride = -(-len(split.confidence) // MAX_FIT_SAMPLES)
    pixels_per_image = split.pixels_per_image
    if pixels_per_image is not None:
        pixels_per_image = np.diff(-(-np.cumsum(pixels_per_image) // stride), prepend=0)
    return ScoredSplit(split.confidence[::stride], split.correct[::stride], pixels_per_image)


def _reason_without_threshold(guarantee: Guarantee, unit_name: str) -> str | None:
    """Return why there is no threshold, in a sentence without a full stop, or None where there is one.

    unit_name: "sample", or what errs together, such as "image"
    """
    if guarantee.threshold is not None:
        return None
    needed = f"at least {guarantee.min_units:,} of them accepted without an error are needed"
    counted = f"the calibration split has {guarantee.units:,} {unit_name}{'' if guarantee.units == 1 else 's'}"
    if guarantee.units < guarantee.min_units:
        return f"{counted}, and {needed}"
    at_start = f"{100 * guarantee.start_coverage:.3g} % is accepted, with {guarantee.start_errors:,} errors"
    return f"{counted}, and {needed}, or more with few errors: where the sequence starts, {at_start}, which does not prove the target"


def save_thresholds(
    thresholds_folder: Path, reliability: Reliability, guarantees: list[dict[str, Any]], warnings: Sequence[str] = ()
) -> None:
    """Write a score's calibration metrics, their bootstrap replicates, its reliability bins and its guaranteed thresholds, or nothing.

    The files are calibration.json, replicates.npy (float32), reliability.csv and threshold.json.
    warnings: sentences for threshold.json that say why the guarantees do not hold, such as images that the splits share
    """
    with atomic_write(thresholds_folder) as temporary_folder:
        temporary_folder.mkdir(parents=True)
        calibration = {"how": reliability.calibrator_description, "metrics": reliability.metrics, "raw": reliability.raw_metrics}
        write_json(temporary_folder / "calibration.json", calibration)
        np.save(temporary_folder / "replicates.npy", reliability.metric_replicates.astype(np.float32))
        reliability.reliability_bins.to_csv(temporary_folder / "reliability.csv", index=False)
        write_json(temporary_folder / "threshold.json", {"thresholds": guarantees, "warnings": list(warnings)})
