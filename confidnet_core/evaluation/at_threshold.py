"""What a threshold does on predictions: how many it accepts, how many of these are wrong, and whether a target error rate is exceeded.

The test is one-sided: Clopper & Pearson 1934 (the exact binomial test, for samples); Student 1908, "The probable error of a mean" (the
t-test, for images, whose pixels err together).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int, Real
from scipy.special import bdtrc, stdtr

from confidnet_core.evaluation.stored import COMPATIBLE, EXCEEDED, MET

_SIGNIFICANCE_LEVEL = 0.05  # of the test of whether the target is exceeded


@dataclass(frozen=True)
class ScoredSplit:
    """The confidences of one score in the predictions of one split, and whether each prediction is correct.

    confidence: real (n,); correct: bool (n,)
    pixels_per_image: (images,), for segmentation the number of labelled pixels of each image, which add up to n; else None
    """

    confidence: Real[np.ndarray, " n"]
    correct: Bool[np.ndarray, " n"]
    pixels_per_image: Int[np.ndarray, " images"] | None = None


def result_at_threshold(threshold: float | None, target_risk: float, test_split: ScoredSplit) -> Mapping[str, float | str | None]:
    """Return {"coverage", "accepted", "errors", "risk", "p", "verdict"} of a threshold on the test split, or on any other predictions.

    threshold: None accepts nothing; target_risk: what the risk is not to exceed
    coverage: the fraction of the predictions that it accepts; risk: the error rate of the accepted ones. For segmentation both weigh every
    image with a labelled pixel equally; for classification each sample counts as an image of one pixel.
    accepted, errors: how many predictions (pixels) it accepts, and how many of these are wrong
    p: the probability of a risk at least as high if the target is met; verdict: MET, COMPATIBLE or EXCEEDED, see `_verdict`
    Risk, p and verdict are None where the threshold accepts no prediction, and p where there is only one image.
    """
    is_accepted = np.zeros(len(test_split.correct), bool) if threshold is None else test_split.confidence >= threshold
    is_error = is_accepted & ~test_split.correct
    accepted_count, error_count = int(np.count_nonzero(is_accepted)), int(np.count_nonzero(is_error))
    if accepted_count == 0:
        return {"coverage": 0.0, "accepted": 0, "errors": 0, "risk": None, "p": None, "verdict": None}
    if test_split.pixels_per_image is None:
        coverage, risk = accepted_count / len(is_accepted), error_count / accepted_count
        p_value = samples_excess_p_value(accepted_count, error_count, target_risk)
    else:
        pixels_per_image = test_split.pixels_per_image[test_split.pixels_per_image > 0]
        first_pixel_of_image = np.cumsum(pixels_per_image) - pixels_per_image
        accepted_fraction_of_image, error_fraction_of_image = (
            np.add.reduceat(is_counted, first_pixel_of_image, dtype=np.int64) / pixels_per_image for is_counted in (is_accepted, is_error)
        )
        coverage = float(accepted_fraction_of_image.mean())
        risk = float(error_fraction_of_image.sum() / accepted_fraction_of_image.sum())
        p_value = images_excess_p_value(accepted_fraction_of_image, error_fraction_of_image, target_risk)
    verdict = _verdict(risk, p_value, target_risk)
    return {"coverage": coverage, "accepted": accepted_count, "errors": error_count, "risk": risk, "p": p_value, "verdict": verdict}


def _verdict(test_risk: float, p_value: float | None, target_risk: float) -> str:
    """Return MET for a risk of at most the target, COMPATIBLE for a higher one that chance explains, else EXCEEDED."""
    if test_risk <= target_risk * (1 + 1e-12):  # the risk is a rounded sum of fractions
        return MET
    return EXCEEDED if p_value is not None and p_value < _SIGNIFICANCE_LEVEL else COMPATIBLE


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
