"""Find the confidence threshold with a guarantee.

Geifman & El-Yaniv 2017, arXiv:1705.08500 (selection with guaranteed risk); Angelopoulos et al. 2021, arXiv:2110.01052 (fixed-sequence
testing, with an order that other data may choose).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int, Real
from numpy.typing import ArrayLike

from confidnet_core.metrics._draws.single import check_pixels_per_image
from confidnet_core.metrics._ranking.samples import check_confidence_and_correct, count_above, require_finite_confidence
from confidnet_core.metrics.guarantee._bounds import (
    accepted_fractions_of_images,
    clopper_pearson_bound,
    is_risk_bound_proven,
    least_image_count,
    least_sample_count,
)
from confidnet_core.metrics.guarantee._sequence import (
    candidate_thresholds,
    count_passes_before_first_failure,
    fixed_start,
    learned_start,
    pass_probability_of_images,
    pass_probability_of_samples,
)

FIXED_START, LEARNED_START = "at a fixed coverage", "learned from validation labels"
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
    min_units: int  # the least number of accepted units, all without an error, with which any threshold is feasible
    start: str  # how the first threshold of the sequence was chosen: FIXED_START or LEARNED_START
    start_threshold: float
    start_coverage: float  # as coverage, of the first threshold
    start_errors: int  # number of errors among the calibration samples that it accepts


@dataclass(frozen=True)
class _LabelledUnits:
    """Samples with their confidence and correctness, (n,) each, and for segmentation the number of pixels of each image, above 0."""

    confidence: Real[np.ndarray, " n"]
    correct: Bool[np.ndarray, " n"]
    pixels_per_image: Int[np.ndarray, " images"] | None

    @property
    def unit_count(self) -> int:
        return len(self.correct) if self.pixels_per_image is None else len(self.pixels_per_image)

    def mean_coverage(self, threshold: float) -> float:
        """Return the fraction of the samples that are accepted, every image with equal weight."""
        is_accepted = self.confidence >= threshold
        if self.pixels_per_image is None:
            return float(is_accepted.mean())
        first_pixel_of_image = np.cumsum(self.pixels_per_image) - self.pixels_per_image
        return float(np.mean(np.add.reduceat(is_accepted, first_pixel_of_image, dtype=np.int64) / self.pixels_per_image))


def threshold_with_guarantee(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    target_risk: float,
    delta: float,
    pixels_per_image: ArrayLike | None = None,
    reference_confidence: ArrayLike | None = None,
    reference_correct: ArrayLike | None = None,
    reference_pixels_per_image: ArrayLike | None = None,
) -> Guarantee:
    """Find the lowest confidence threshold whose selective risk (error rate among accepted predictions) is proven to be below a target.

    confidence: (n,) finite real numbers, higher is more confident; correct: (n,) bool, or integers 0 and 1. They must come from data that
    the classifier has not seen. The independent units, samples or whole images, must be i.i.d., as must be new data
    target_risk, delta: the largest selective risk allowed, and the probability that the guarantee fails, both in (0, 1)
    pixels_per_image: None, or for segmentation (images,) the number of pixels of each image, in the order of the samples. Images are then
    the units; their pixels may depend on one another in any way, and images without a pixel are ignored
    reference_confidence: (r,) confidences of other data, such as validation data, whose quantiles are the candidate thresholds. Without
    them every 20th unit provides the candidates and is left out of the test
    reference_correct, reference_pixels_per_image: (r,) and for segmentation (reference images,), as those above, of these other data. With
    them the sequence starts where it is most likely to pass, otherwise at a coverage that depends on the number of units alone

    The selective risk of a threshold is P(error | accepted) for samples. For images it is E[fraction of an image's pixels that are
    accepted errors] / E[fraction that are accepted], so that every image has equal weight. Fixed-sequence testing: each threshold, from
    the first on downwards, is tested at the full level delta until the first failure. Where to start matters: with few accepted samples,
    or errors among the most confident, the first test ends the sequence. The start does not depend on what is tested, so that it costs
    nothing of the guarantee. With too few units no threshold is feasible: even without an error, ln(delta) / ln(1 - risk) of them have
    to be accepted (min_units). `python -m benchmarks.guarantee` measures coverage and violations.

    Raises ValueError for arrays that failure_metrics refuses, a target_risk or delta outside (0, 1), numbers of pixels that do not sum to
    n, or an incomplete reference.
    """
    units = _check_units(confidence, correct, pixels_per_image)
    for parameter_name, parameter_value in (("risk", target_risk), ("delta", delta)):
        if not 0 < parameter_value < 1:
            raise ValueError(f"{parameter_name} is {parameter_value}; give a share between 0 and 1, as 0.05 for 5 %")
    if reference_confidence is None:
        if reference_correct is not None:
            raise ValueError("reference_correct is given without reference_confidence; give both, of the same data, or neither")
        is_held_out = np.arange(units.unit_count) % _HOLD_OUT_INTERVAL == 0
        of_units = is_held_out if units.pixels_per_image is None else np.repeat(is_held_out, units.pixels_per_image)
        return _test_in_sequence(units, is_held_out, candidate_thresholds(units.confidence[of_units]), None, target_risk, delta)
    labels = np.ones(np.shape(reference_confidence), bool) if reference_correct is None else reference_correct
    reference = _check_units(reference_confidence, labels, reference_pixels_per_image, units.confidence.dtype)
    if reference_correct is not None and (units.pixels_per_image is None) != (reference.pixels_per_image is None):
        raise ValueError("only one of pixels_per_image and reference_pixels_per_image is given; give both for segmentation, or neither")
    labelled_reference, is_held_out = None if reference_correct is None else reference, np.zeros(units.unit_count, bool)
    return _test_in_sequence(units, is_held_out, candidate_thresholds(reference.confidence), labelled_reference, target_risk, delta)


def _test_in_sequence(
    units: _LabelledUnits,
    is_held_out: Bool[np.ndarray, " units"],
    thresholds: Real[np.ndarray, " thresholds"],
    reference: _LabelledUnits | None,
    target_risk: float,
    delta: float,
) -> Guarantee:
    """Return the guarantee of the last candidate threshold before the first failure, tested on the units that are not held out."""
    first = _first_threshold(units, is_held_out, thresholds, reference, target_risk, delta)
    if units.pixels_per_image is None:
        min_units = least_sample_count(target_risk, delta)
        threshold, bound = _threshold_from_samples(units, is_held_out, thresholds[first:], target_risk, delta)
    else:
        min_units = least_image_count(target_risk, delta)
        fractions = accepted_fractions_of_images(
            units.confidence, units.correct, units.pixels_per_image, np.flatnonzero(~is_held_out), thresholds[first:]
        )
        threshold, bound = _threshold_from_images(*fractions, thresholds[first:], target_risk, delta)
    return Guarantee(
        risk=target_risk,
        delta=delta,
        threshold=threshold,
        coverage=0.0 if threshold is None else units.mean_coverage(threshold),
        bound=bound,
        samples=len(units.correct),
        errors=int(np.count_nonzero(~units.correct)),
        units=units.unit_count,
        min_units=min_units,
        start=FIXED_START if reference is None else LEARNED_START,
        start_threshold=float(thresholds[first]),
        start_coverage=units.mean_coverage(thresholds[first]),
        start_errors=int(np.count_nonzero(~units.correct & (units.confidence >= thresholds[first]))),
    )


def _check_units(
    confidence: ArrayLike, correct: ArrayLike, pixels_per_image: ArrayLike | None, dtype: np.dtype | None = None
) -> _LabelledUnits:
    """Return checked labelled units without images that have no pixel. dtype: of the confidences, by default as they are"""
    confidence, correct = check_confidence_and_correct(confidence, correct)
    confidence = confidence if dtype is None else confidence.astype(dtype)
    require_finite_confidence(confidence)
    if pixels_per_image is None:
        return _LabelledUnits(confidence, correct, None)
    pixels_per_image = check_pixels_per_image(pixels_per_image, len(correct))
    return _LabelledUnits(confidence, correct, pixels_per_image[pixels_per_image > 0])


def _first_threshold(
    units: _LabelledUnits,
    is_held_out: Bool[np.ndarray, " units"],
    thresholds: Real[np.ndarray, " thresholds"],
    reference: _LabelledUnits | None,
    target_risk: float,
    delta: float,
) -> int:
    """Return the index of the threshold where the sequence starts: the likeliest to pass by the reference, if there is one."""
    tested_count = max(int(np.count_nonzero(~is_held_out)), 1)
    if reference is not None and reference.pixels_per_image is not None:
        fractions = accepted_fractions_of_images(
            reference.confidence, reference.correct, reference.pixels_per_image, np.arange(reference.unit_count), thresholds
        )
        return learned_start(pass_probability_of_images(*fractions, tested_count, target_risk, delta))
    if reference is not None:
        return learned_start(
            pass_probability_of_samples(thresholds, reference.confidence, reference.correct, tested_count, target_risk, delta)
        )
    if units.pixels_per_image is None:
        return fixed_start(np.log(delta) / np.log1p(-target_risk) / tested_count)
    return fixed_start((delta ** (-1 / tested_count) - 1) * (1 - target_risk) / target_risk)


def _threshold_from_samples(
    units: _LabelledUnits,
    is_held_out: Bool[np.ndarray, " n"],
    thresholds: Real[np.ndarray, " thresholds"],
    target_risk: float,
    delta: float,
) -> tuple[float | None, float | None]:
    """Return the last threshold of the sequence before the first failure and its bound, or None twice."""
    tested_confidence = np.sort(units.confidence[~is_held_out])
    tested_error_confidence = np.sort(units.confidence[~is_held_out & ~units.correct])
    risk_bound_of_threshold = clopper_pearson_bound(
        count_above(tested_confidence, thresholds, "left"), count_above(tested_error_confidence, thresholds, "left"), delta
    )
    n_passed_thresholds = count_passes_before_first_failure(risk_bound_of_threshold <= target_risk)
    return (
        (float(thresholds[n_passed_thresholds - 1]), float(risk_bound_of_threshold[n_passed_thresholds - 1]))
        if n_passed_thresholds
        else (None, None)
    )


def _threshold_from_images(
    accepted_fractions: Float64[np.ndarray, "images thresholds"],
    accepted_error_fractions: Float64[np.ndarray, "images thresholds"],
    thresholds: Real[np.ndarray, " thresholds"],
    target_risk: float,
    delta: float,
) -> tuple[float | None, float | None]:
    """Return the last threshold of the sequence before the first failure and its bound, or None twice."""
    n_passed_thresholds = count_passes_before_first_failure(
        is_risk_bound_proven(accepted_fractions, accepted_error_fractions, target_risk, delta)
    )
    if n_passed_thresholds == 0:
        return None, None
    tried_risk_bounds = target_risk * _TRIED_TARGET_RISK_FRACTIONS
    last_passed = [n_passed_thresholds - 1]
    n_proven_bounds = count_passes_before_first_failure(
        is_risk_bound_proven(accepted_fractions[:, last_passed], accepted_error_fractions[:, last_passed], tried_risk_bounds, delta)
    )
    return float(thresholds[n_passed_thresholds - 1]), float(tried_risk_bounds[n_proven_bounds - 1])
