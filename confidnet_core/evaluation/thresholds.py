"""The reliability of a score's probabilities, and thresholds with a guarantee, below which a classifier abstains.

Whether the test split agrees with a guarantee is tested one-sided: Clopper & Pearson 1934 (the exact binomial test, for samples); Student
1908, "The probable error of a mean" (the t-test, for images, whose pixels err together).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int, Real
from scipy.special import bdtrc, stdtr

from confidnet_core.config.params import Thresholds
from confidnet_core.evaluation.calibrators import MAX_FIT_SAMPLES, fit_calibrator, raw_probability
from confidnet_core.files import atomic_write, write_json
from confidnet_core.metrics.calibration import bootstrap_calibration, calibration_metrics, reliability_curve
from confidnet_core.metrics.guarantee import Guarantee, threshold_with_guarantee


@dataclass(frozen=True)
class ScoredSplit:
    """The confidences of one score in the predictions of one split, and whether each prediction is correct.

    confidence: real (n,); correct: bool (n,)
    pixels_per_image: (images,), for segmentation the number of labelled pixels of each image, which add up to n; else None
    """

    confidence: Real[np.ndarray, " n"]
    correct: Bool[np.ndarray, " n"]
    pixels_per_image: Int[np.ndarray, " images"] | None = None


@dataclass(frozen=True)
class Reliability:
    """How well a score's probabilities of being correct agree with the accuracy on the test split.

    calibrator_description: how probabilities were made of the confidences: "isotonic and Platt on 5,000 validation samples"
    metrics: {calibration metric: value}; metric_replicates: these metrics on bootstrap resamples, float64 (resamples, metrics)
    raw_metrics: {calibration metric: value} of the score's own probability, before the calibrator; None for a score that is only a ranking
    reliability_bins: a table of the mean probability, the accuracy and the count of samples in each bin of probability that is not empty
    """

    calibrator_description: str
    metrics: dict[str, float]
    raw_metrics: dict[str, float] | None
    metric_replicates: Float64[np.ndarray, "resamples metrics"]
    reliability_bins: pd.DataFrame


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
    validation_split: ScoredSplit, calibration_split: ScoredSplit, test_split: ScoredSplit, threshold_settings: Thresholds
) -> list[dict[str, Any]]:
    """Return, for each target risk, a dictionary of the threshold whose selective risk is guaranteed, from the calibration split.

    Its keys are the fields of Guarantee and "test": the coverage and risk of the threshold on the test split, and the p-value of a test of
    whether the target is exceeded there. The candidate thresholds are quantiles of at most MAX_FIT_SAMPLES confidences of the validation
    split.
    """
    guarantees, candidate_thresholds = [], validation_split.confidence[:: -(-len(validation_split.confidence) // MAX_FIT_SAMPLES)]
    for target_risk in threshold_settings.risks:
        guarantee = threshold_with_guarantee(
            calibration_split.confidence,
            calibration_split.correct,
            target_risk=target_risk,
            delta=threshold_settings.delta,
            pixels_per_image=calibration_split.pixels_per_image,
            reference_confidence=candidate_thresholds,
        )
        guarantees.append({**asdict(guarantee), "test": _guarantee_result_on_test(guarantee, test_split)})
    return guarantees


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


def _guarantee_result_on_test(guarantee: Guarantee, test_split: ScoredSplit) -> Mapping[str, float | None]:
    """Return {"coverage", "risk", "p"} of a guaranteed threshold on the test split.

    coverage: the fraction of the predictions that it accepts; risk: the error rate of the accepted ones. For segmentation both weigh every
    image with a labelled pixel equally; for classification each sample counts as an image of one pixel.
    p: the probability of a risk at least as high if the target is met
    Risk and p are None where the threshold accepts no prediction, and p where there is only one image.
    """
    if guarantee.threshold is None:
        return {"coverage": 0.0, "risk": None, "p": None}
    is_accepted = test_split.confidence >= guarantee.threshold
    is_error = is_accepted & ~test_split.correct
    if not is_accepted.any():
        return {"coverage": 0.0, "risk": None, "p": None}
    if test_split.pixels_per_image is None:
        accepted_count, error_count = int(np.count_nonzero(is_accepted)), int(np.count_nonzero(is_error))
        p_value = samples_excess_p_value(accepted_count, error_count, guarantee.risk)
        return {"coverage": accepted_count / len(is_accepted), "risk": error_count / accepted_count, "p": p_value}
    pixels_per_image = test_split.pixels_per_image[test_split.pixels_per_image > 0]
    first_pixel_of_image = np.cumsum(pixels_per_image) - pixels_per_image
    accepted_fraction_of_image, error_fraction_of_image = (
        np.add.reduceat(is_counted, first_pixel_of_image, dtype=np.int64) / pixels_per_image for is_counted in (is_accepted, is_error)
    )
    return {
        "coverage": float(accepted_fraction_of_image.mean()),
        "risk": float(error_fraction_of_image.sum() / accepted_fraction_of_image.sum()),
        "p": images_excess_p_value(accepted_fraction_of_image, error_fraction_of_image, guarantee.risk),
    }


def samples_excess_p_value(accepted_count: int, error_count: int, target_risk: float) -> float:
    """Return the probability of at least so many errors among the accepted samples if each is an error with probability `target_risk`.

    accepted_count: number of accepted samples, at least 1; error_count: number of errors among them; target_risk: in (0, 1)
    """
    return 1.0 if error_count == 0 else float(bdtrc(error_count - 1, accepted_count, target_risk))


def images_excess_p_value(
    accepted_fraction_of_image: Float64[np.ndarray, " images"],
    error_fraction_of_image: Float64[np.ndarray, " images"],
    target_risk: float,
) -> float | None:
    """Return the p-value of a t-test over images of whether more than `target_risk` of what is accepted is wrong; None for one image.

    accepted_fraction_of_image, error_fraction_of_image: the fractions of an image's pixels that are accepted, and accepted and wrong
    """
    excess = error_fraction_of_image - target_risk * accepted_fraction_of_image
    if len(excess) < 2:
        return None
    standard_error = excess.std(ddof=1) / len(excess) ** 0.5
    if standard_error == 0:
        return 1.0 if excess[0] <= 0 else 0.0
    return float(stdtr(len(excess) - 1, -excess.mean() / standard_error))
