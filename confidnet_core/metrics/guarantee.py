"""A confidence threshold for abstaining, with a guarantee on new data: the error rate among accepted predictions is below a target.

Geifman & El-Yaniv 2017, arXiv:1705.08500 (selection with guaranteed risk); Angelopoulos et al. 2021, arXiv:2110.01052 (fixed-sequence
testing); Clopper & Pearson 1934 (bound for samples); Waudby-Smith & Ramdas 2023, arXiv:2010.09686 (bound for images, by betting).
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float64, Int, Real
from numpy.typing import ArrayLike
from scipy.special import betaincinv

from confidnet_core.metrics._draws import check_pixels_per_image
from confidnet_core.metrics._ranking.samples import check_confidence_and_correct, count_above, require_finite_confidence

_HOLD_OUT_INTERVAL = 20  # every 20th unit gives candidate thresholds and is left out of the test
_TRIED_TARGET_RISK_FRACTIONS = np.arange(100, 0, -1) / 100  # fractions of the target risk that are tried as the bound for images


@dataclass(frozen=True)
class Guarantee:
    """A confidence threshold and its guarantee: predictions with confidence >= threshold have a selective risk of at most `risk`.

    The selective risk is the error rate among accepted predictions on new data. The guarantee holds with probability 1 - delta over the
    draw of the calibration data.
    """

    risk: float
    delta: float
    threshold: float | None  # None where no threshold is feasible; the lowest finite number accepts everything
    coverage: float  # fraction of the calibration samples that are accepted, every image with equal weight; 0 without a threshold
    bound: float | None  # upper confidence bound, at level 1 - delta, of the selective risk at this threshold alone; at most `risk`
    samples: int  # number of calibration samples (pixels)
    errors: int  # number of errors among them
    units: int  # number of independent units: samples, or images with a labelled pixel


def threshold_with_guarantee(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    target_risk: float,
    delta: float,
    pixels_per_image: ArrayLike | None = None,
    reference_confidence: ArrayLike | None = None,
) -> Guarantee:
    """Find the lowest confidence threshold whose selective risk (error rate among accepted predictions) is proven to be below a target.

    confidence: (n,) finite real numbers, higher is more confident; correct: (n,) bool, or integers 0 and 1. They must come from data that
    the classifier has not seen. The independent units, samples or whole images, must be i.i.d., as must be new data
    target_risk, delta: the largest selective risk allowed, and the probability that the guarantee fails, both in (0, 1)
    pixels_per_image: None, or for segmentation (images,) the number of pixels of each image, in the order of the samples. Images are then
    the units; their pixels may depend on one another in any way, and images without a pixel are ignored
    reference_confidence: (r,) confidences of other data, such as validation data, whose quantiles are the candidate thresholds. Without
    them every 20th unit provides the candidates and is left out of the test

    The selective risk of a threshold is P(error | accepted) for samples. For images it is E[fraction of an image's pixels that are
    accepted errors] / E[fraction that are accepted], so that every image has equal weight. Fixed-sequence testing: each threshold, from
    the highest on, is tested at the full level delta until the first failure. The first one has coverage min(4 a, max(1.5 a, 0.4)), where
    a is the coverage below which none can pass: with few accepted samples, a single error would end the sequence. In simulations of 300
    to 3,000 samples with risks of 1 to 5 % this reached 0.42 of the coverage that known risks allow; Bonferroni's correction reached 0.3,
    the bisection of Geifman & El-Yaniv 0.32. With too few units no threshold is feasible: even without an error, ln(delta) / ln(1 - risk)
    of them have to be accepted.

    Raises ValueError for arrays that failure_metrics refuses, a target_risk or delta outside (0, 1), or numbers of pixels that do not sum
    to n.
    """
    confidence, correct = check_confidence_and_correct(confidence, correct)
    require_finite_confidence(confidence)
    for parameter_name, parameter_value in (("risk", target_risk), ("delta", delta)):
        if not 0 < parameter_value < 1:
            raise ValueError(f"{parameter_name} is {parameter_value}; give a share between 0 and 1, as 0.05 for 5 %")
    if pixels_per_image is None:
        independent_unit_count, find_threshold = len(correct), _threshold_from_samples
    else:
        pixels_per_image = check_pixels_per_image(pixels_per_image, len(correct))
        pixels_per_image = pixels_per_image[pixels_per_image > 0]
        independent_unit_count, find_threshold = len(pixels_per_image), partial(_threshold_from_images, pixels_per_image=pixels_per_image)
    if reference_confidence is None:
        is_held_out = np.arange(independent_unit_count) % _HOLD_OUT_INTERVAL == 0
        reference_confidence = confidence[is_held_out if pixels_per_image is None else np.repeat(is_held_out, pixels_per_image)]
    else:
        is_held_out = np.zeros(independent_unit_count, bool)
        reference_confidence = _check_reference_confidence(reference_confidence, confidence.dtype)
    threshold, bound = find_threshold(confidence, correct, is_held_out, reference_confidence, target_risk, delta)
    coverage = 0.0 if threshold is None else _mean_coverage(confidence >= threshold, pixels_per_image)
    return Guarantee(target_risk, delta, threshold, coverage, bound, len(correct), int(np.count_nonzero(~correct)), independent_unit_count)


def _mean_coverage(is_accepted: Bool[np.ndarray, " n"], pixels_per_image: Int[np.ndarray, " images"] | None) -> float:
    return float(
        np.mean(
            is_accepted
            if pixels_per_image is None
            else np.add.reduceat(is_accepted, np.cumsum(pixels_per_image) - pixels_per_image, dtype=np.int64) / pixels_per_image
        )
    )


def _check_reference_confidence(reference_confidence: ArrayLike, dtype: np.dtype) -> Real[np.ndarray, " r"]:
    reference_confidence, _ = check_confidence_and_correct(reference_confidence, np.ones(np.shape(reference_confidence), bool))
    reference_confidence = reference_confidence.astype(dtype)
    require_finite_confidence(reference_confidence)
    return reference_confidence


# Which thresholds are tested, and in which order, depends only on units that are not tested themselves. So for each threshold, whatever
# number m of samples it accepts, the errors among these are Binomial(m, its selective risk). Thresholds at quantiles of the tested
# confidences would make the first bad threshold, the one that must not pass, depend on the samples above it.


def _threshold_from_samples(
    confidence: Real[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    is_held_out: Bool[np.ndarray, " n"],
    reference_confidence: Real[np.ndarray, " r"],
    target_risk: float,
    delta: float,
) -> tuple[float | None, float | None]:
    tested_confidence = np.sort(confidence[~is_held_out])
    tested_error_confidence = np.sort(confidence[~is_held_out & ~correct])
    thresholds = _candidate_thresholds(reference_confidence, np.log(delta) / np.log1p(-target_risk) / max(len(tested_confidence), 1))
    risk_bound_of_threshold = _clopper_pearson_bound(
        count_above(tested_confidence, thresholds, "left"), count_above(tested_error_confidence, thresholds, "left"), delta
    )
    n_passed_thresholds = _count_passes_before_first_failure(risk_bound_of_threshold <= target_risk)
    return (
        (float(thresholds[n_passed_thresholds - 1]), float(risk_bound_of_threshold[n_passed_thresholds - 1]))
        if n_passed_thresholds
        else (None, None)
    )


def _threshold_from_images(
    confidence: Real[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    is_held_out: Bool[np.ndarray, " images"],
    reference_confidence: Real[np.ndarray, " r"],
    target_risk: float,
    delta: float,
    pixels_per_image: Int[np.ndarray, " images"],
) -> tuple[float | None, float | None]:
    tested_image_indices = np.flatnonzero(~is_held_out)
    thresholds = _candidate_thresholds(
        reference_confidence, (delta ** (-1 / max(len(tested_image_indices), 1)) - 1) * (1 - target_risk) / target_risk
    )
    accepted_fractions, accepted_error_fractions = _accepted_fractions(
        confidence, correct, pixels_per_image, tested_image_indices, thresholds
    )
    n_passed_thresholds = _count_passes_before_first_failure(
        _is_risk_bound_proven(accepted_fractions, accepted_error_fractions, target_risk, delta)
    )
    if n_passed_thresholds == 0:
        return None, None
    tried_risk_bounds = target_risk * _TRIED_TARGET_RISK_FRACTIONS
    n_proven_bounds = _count_passes_before_first_failure(
        _is_risk_bound_proven(
            accepted_fractions[:, [n_passed_thresholds - 1]],
            accepted_error_fractions[:, [n_passed_thresholds - 1]],
            tried_risk_bounds,
            delta,
        )
    )
    return float(thresholds[n_passed_thresholds - 1]), float(tried_risk_bounds[n_proven_bounds - 1])


def _candidate_thresholds(reference_confidence: Real[np.ndarray, " r"], min_coverage: float) -> Real[np.ndarray, " thresholds"]:
    """Return the confidence thresholds to test: quantiles of the reference confidences from high to low, then the lowest finite number.

    min_coverage: the coverage (accepted fraction) below which no threshold can pass its test; above 1 none can pass
    Thresholds have the float type of the confidences, so that comparing the two rounds neither of them.
    """
    dtype = reference_confidence.dtype if reference_confidence.dtype.kind == "f" else np.dtype(np.float64)
    candidate_coverages = np.arange(1, 100) / 100
    candidate_coverages = candidate_coverages[candidate_coverages >= min(4 * min_coverage, max(1.5 * min_coverage, 0.4))]
    return np.append(np.quantile(reference_confidence, 1 - candidate_coverages), np.finfo(dtype).min).astype(dtype)


def _count_passes_before_first_failure(is_test_passed: Bool[np.ndarray, " m"]) -> int:
    """Return how many of m tests pass before the first that fails. is_test_passed: bool (m,), in the order of testing"""
    return int(np.argmin(np.append(is_test_passed, False)))


def _clopper_pearson_bound(
    accepted_counts: Int[np.ndarray, " m"], accepted_error_counts: Int[np.ndarray, " m"], delta: float
) -> Float64[np.ndarray, " m"]:
    """Return the exact upper confidence bound, at level 1 - delta, of the error rate among accepted samples, float64 (m,).

    accepted_counts, accepted_error_counts: (m,) number of accepted samples, and of errors among them, at each of m thresholds
    """
    return np.where(
        accepted_error_counts < accepted_counts,
        betaincinv(accepted_error_counts + 1, np.maximum(accepted_counts - accepted_error_counts, 1), 1 - delta),
        1.0,
    )


def _accepted_fractions(
    confidence: Real[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    pixels_per_image: Int[np.ndarray, " images"],
    image_indices: Int[np.ndarray, " tested"],
    thresholds: Real[np.ndarray, " thresholds"],
) -> tuple[Float64[np.ndarray, "tested thresholds"], Float64[np.ndarray, "tested thresholds"]]:
    """Return the fraction of an image's pixels that are accepted, and that are accepted errors: two float64 arrays (images, thresholds).

    The images are those of `image_indices`; a pixel is accepted if its confidence is at or above the threshold.
    """
    end_pixel_of_image = np.cumsum(pixels_per_image)
    accepted_fractions, accepted_error_fractions = np.empty((2, len(image_indices), len(thresholds)))
    for tested_index, image_index in enumerate(image_indices):
        pixel_slice = slice(end_pixel_of_image[image_index] - pixels_per_image[image_index], end_pixel_of_image[image_index])
        image_confidence = confidence[pixel_slice]
        accepted_fractions[tested_index] = count_above(np.sort(image_confidence), thresholds, "left") / pixels_per_image[image_index]
        accepted_error_fractions[tested_index] = (
            count_above(np.sort(image_confidence[~correct[pixel_slice]]), thresholds, "left") / pixels_per_image[image_index]
        )
    return accepted_fractions, accepted_error_fractions


def _is_risk_bound_proven(
    accepted_fractions: Float64[np.ndarray, "images columns"],
    accepted_error_fractions: Float64[np.ndarray, "images columns"],
    target_risk: float | np.ndarray,
    delta: float,
) -> Bool[np.ndarray, " m"]:
    """Return whether a test by betting proves that the selective risk is at most `target_risk`: bool (m,).

    accepted_fractions, accepted_error_fractions: the fraction of each image's pixels that are accepted, and that are accepted errors;
    (images, m) for m thresholds with one target risk, or (images, 1) for one threshold with target risks (m,)

    The null hypothesis is that the excess error (accepted errors - risk * accepted), in [-risk, 1 - risk], has a mean >= 0. Under it, no
    sequence of bets, each fixed before its image is seen, multiplies the stake by 1 / delta with a probability above delta (Ville's
    inequality; Waudby-Smith & Ramdas). The bets are their predictable plug-in bets, with risk^2 in place of 1/4 as the variance before the
    first image, capped so that the stake never becomes negative.
    """
    excess_errors = accepted_error_fractions - target_risk * accepted_fractions
    image_count = len(excess_errors)
    preceding_image_count = np.arange(image_count)[:, None]
    preceding_excess_sum = np.cumsum(excess_errors, axis=0) - excess_errors
    preceding_squared_excess_sum = np.cumsum(excess_errors**2, axis=0) - excess_errors**2
    estimated_variance = (
        target_risk**2 + np.maximum(preceding_squared_excess_sum - preceding_excess_sum**2 / np.maximum(preceding_image_count, 1), 0)
    ) / (preceding_image_count + 1)
    betting_fractions = np.minimum(np.sqrt(-2 * np.log(delta) / (max(image_count, 1) * estimated_variance)), 1 / (1 - target_risk))
    with np.errstate(divide="ignore"):  # the logarithm of 0 means that the whole stake is lost
        return np.log1p(np.maximum(-betting_fractions * excess_errors, -1)).sum(axis=0) >= -np.log(delta)
