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

from confidnet_core.metrics._draws import check_sizes
from confidnet_core.metrics._ranking.samples import check_samples, count_above, require_finite

_HOLD_OUT_INTERVAL = 20  # every 20th unit gives candidate thresholds and is left out of the test
_TRIED_BOUND_FRACTIONS = np.arange(100, 0, -1) / 100  # fractions of the target risk that are tried as the bound for images


@dataclass(frozen=True)
class Guarantee:
    """A threshold and its guarantee: if confidences >= threshold are accepted, the selective risk is at most `risk`.

    The guarantee holds with probability 1 - delta over the draw of the calibration data.
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
    risk: float,
    delta: float,
    sizes: ArrayLike | None = None,
    reference_confidence: ArrayLike | None = None,
) -> Guarantee:
    """Find the lowest threshold whose selective risk is proven to be at most `risk`, from data that the classifier has not seen.

    confidence, correct: as for failure_metrics. Units must be i.i.d., and new data come from the same distribution
    risk, delta: the target risk and the probability that the guarantee fails, both in (0, 1)
    sizes: (images,) number of pixels of each image, in the order of the values. Images are then the units; their pixels may depend on
    one another in any way, and images without a pixel are ignored
    reference_confidence: (r,) confidences of other data, such as validation data, whose quantiles are the candidate thresholds. Without
    them every 20th unit provides the candidates and is left out of the test

    The selective risk of a threshold is P(error | accepted) for samples. For images it is E[fraction of an image's pixels that are
    accepted errors] / E[fraction that are accepted], so that every image has equal weight. Fixed-sequence testing: each threshold, from
    the highest on, is tested at the full level delta until the first failure. The first one has coverage min(4 a, max(1.5 a, 0.4)), where
    a is the coverage below which none can pass: with few accepted samples, a single error would end the sequence. In simulations of 300
    to 3,000 samples with risks of 1 to 5 % this reached 0.42 of the coverage that known risks allow; Bonferroni's correction reached 0.3,
    the bisection of Geifman & El-Yaniv 0.32. With too few units no threshold is feasible: even without an error, ln(delta) / ln(1 - risk)
    of them have to be accepted.

    ValueError as from failure_metrics, for a risk or delta outside (0, 1), and for sizes that do not sum to n.
    """
    confidence, correct = check_samples(confidence, correct)
    require_finite(confidence)
    for name, value in (("risk", risk), ("delta", delta)):
        if not 0 < value < 1:
            raise ValueError(f"{name} is {value}; give a share between 0 and 1, as 0.05 for 5 %")
    if sizes is None:
        units, find_threshold = len(correct), _threshold_from_samples
    else:
        sizes = check_sizes(sizes, len(correct))
        sizes = sizes[sizes > 0]
        units, find_threshold = len(sizes), partial(_threshold_from_images, sizes=sizes)
    if reference_confidence is None:
        is_held_out = np.arange(units) % _HOLD_OUT_INTERVAL == 0
        reference_confidence = confidence[is_held_out if sizes is None else np.repeat(is_held_out, sizes)]
    else:
        is_held_out, reference_confidence = np.zeros(units, bool), _checked_reference_confidence(reference_confidence, confidence.dtype)
    threshold, bound = find_threshold(confidence, correct, is_held_out, reference_confidence, risk, delta)
    coverage = 0.0 if threshold is None else _mean_coverage(confidence >= threshold, sizes)
    return Guarantee(risk, delta, threshold, coverage, bound, len(correct), int(np.count_nonzero(~correct)), units)


def _mean_coverage(accepted: Bool[np.ndarray, " n"], sizes: Int[np.ndarray, " images"] | None) -> float:
    return float(np.mean(accepted if sizes is None else np.add.reduceat(accepted, np.cumsum(sizes) - sizes, dtype=np.int64) / sizes))


def _checked_reference_confidence(reference_confidence: ArrayLike, dtype: np.dtype) -> Real[np.ndarray, " r"]:
    reference_confidence = check_samples(reference_confidence, np.ones(np.shape(reference_confidence), bool))[0].astype(dtype)
    require_finite(reference_confidence)
    return reference_confidence


# Which thresholds are tested, and in which order, depends only on units that are not tested themselves. So for each threshold, whatever
# number m of samples it accepts, the errors among these are Binomial(m, its selective risk). Thresholds at quantiles of the tested
# confidences would make the first bad threshold, the one that must not pass, depend on the samples above it.


def _threshold_from_samples(
    confidence: Real[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    is_held_out: Bool[np.ndarray, " n"],
    reference_confidence: Real[np.ndarray, " r"],
    risk: float,
    delta: float,
) -> tuple[float | None, float | None]:
    tested_confidence = np.sort(confidence[~is_held_out])
    error_confidence = np.sort(confidence[~is_held_out & ~correct])
    thresholds = _candidate_thresholds(reference_confidence, np.log(delta) / np.log1p(-risk) / max(len(tested_confidence), 1))
    risk_bounds = _clopper_pearson(
        count_above(tested_confidence, thresholds, "left"), count_above(error_confidence, thresholds, "left"), delta
    )
    n_passed = _count_leading_passes(risk_bounds <= risk)
    return (float(thresholds[n_passed - 1]), float(risk_bounds[n_passed - 1])) if n_passed else (None, None)


def _threshold_from_images(
    confidence: Real[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    is_held_out: Bool[np.ndarray, " images"],
    reference_confidence: Real[np.ndarray, " r"],
    risk: float,
    delta: float,
    sizes: Int[np.ndarray, " images"],
) -> tuple[float | None, float | None]:
    tested_images = np.flatnonzero(~is_held_out)
    thresholds = _candidate_thresholds(reference_confidence, (delta ** (-1 / max(len(tested_images), 1)) - 1) * (1 - risk) / risk)
    accepted_fractions, accepted_error_fractions = _accepted_fractions(confidence, correct, sizes, tested_images, thresholds)
    n_passed = _count_leading_passes(_is_risk_bound_proven(accepted_fractions, accepted_error_fractions, risk, delta))
    if n_passed == 0:
        return None, None
    risk_bounds = risk * _TRIED_BOUND_FRACTIONS
    n_proven_bounds = _count_leading_passes(
        _is_risk_bound_proven(accepted_fractions[:, [n_passed - 1]], accepted_error_fractions[:, [n_passed - 1]], risk_bounds, delta)
    )
    return float(thresholds[n_passed - 1]), float(risk_bounds[n_proven_bounds - 1])


def _candidate_thresholds(reference_confidence: Real[np.ndarray, " r"], min_coverage: float) -> Real[np.ndarray, " thresholds"]:
    """Return the thresholds to test: quantiles of the reference confidences from high to low, then the lowest finite number.

    min_coverage: the coverage below which no threshold can pass; above 1 none can
    Thresholds have the float type of the confidence, so that comparing the two rounds neither of them.
    """
    dtype = reference_confidence.dtype if reference_confidence.dtype.kind == "f" else np.dtype(np.float64)
    coverages = np.arange(1, 100) / 100
    coverages = coverages[coverages >= min(4 * min_coverage, max(1.5 * min_coverage, 0.4))]
    return np.append(np.quantile(reference_confidence, 1 - coverages), np.finfo(dtype).min).astype(dtype)


def _count_leading_passes(is_passed: Bool[np.ndarray, " m"]) -> int:
    """Return how many thresholds pass their test before the first that fails: bool (m,) in the order of testing -> int."""
    return int(np.argmin(np.append(is_passed, False)))


def _clopper_pearson(accepted: Int[np.ndarray, " m"], accepted_errors: Int[np.ndarray, " m"], delta: float) -> Float64[np.ndarray, " m"]:
    """Return the exact upper bound, at level 1 - delta, of the error rate among accepted samples: counts (m,) -> float64 (m,)."""
    return np.where(accepted_errors < accepted, betaincinv(accepted_errors + 1, np.maximum(accepted - accepted_errors, 1), 1 - delta), 1.0)


def _accepted_fractions(
    confidence: Real[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    sizes: Int[np.ndarray, " images"],
    image_indices: Int[np.ndarray, " tested"],
    thresholds: Real[np.ndarray, " thresholds"],
) -> tuple[Float64[np.ndarray, "tested thresholds"], Float64[np.ndarray, "tested thresholds"]]:
    """Return the fractions of each image's pixels that are accepted, and accepted errors: two float64 (images, thresholds)."""
    ends = np.cumsum(sizes)
    accepted_fractions, accepted_error_fractions = np.empty((2, len(image_indices), len(thresholds)))
    for row, image in enumerate(image_indices):
        pixels = slice(ends[image] - sizes[image], ends[image])
        values = confidence[pixels]
        accepted_fractions[row] = count_above(np.sort(values), thresholds, "left") / sizes[image]
        accepted_error_fractions[row] = count_above(np.sort(values[~correct[pixels]]), thresholds, "left") / sizes[image]
    return accepted_fractions, accepted_error_fractions


def _is_risk_bound_proven(
    accepted_fractions: Float64[np.ndarray, "images columns"],
    accepted_error_fractions: Float64[np.ndarray, "images columns"],
    risk: float | np.ndarray,
    delta: float,
) -> Bool[np.ndarray, " m"]:
    """Return whether betting proves that the selective risk is at most `risk`: bool (m,).

    accepted_fractions, accepted_error_fractions: fractions of each image's pixels, (images, m) with one risk, (images, 1) with risks (m,)

    The null hypothesis is that the excess error (accepted errors - risk * accepted), in [-risk, 1 - risk], has a mean >= 0. Under it, no
    sequence of bets, each fixed before its image is seen, multiplies the stake by 1 / delta with a probability above delta (Ville's
    inequality; Waudby-Smith & Ramdas). The bets are their predictable plug-in bets, with risk^2 in place of 1/4 as the variance before the
    first image, capped so that the stake never becomes negative.
    """
    excess_errors = accepted_error_fractions - risk * accepted_fractions
    image_count = len(excess_errors)
    images_before = np.arange(image_count)[:, None]
    excess_sum, squared_excess_sum = (
        np.cumsum(excess_errors, axis=0) - excess_errors,
        np.cumsum(excess_errors**2, axis=0) - excess_errors**2,
    )
    variance = (risk**2 + np.maximum(squared_excess_sum - excess_sum**2 / np.maximum(images_before, 1), 0)) / (images_before + 1)
    bets = np.minimum(np.sqrt(-2 * np.log(delta) / (max(image_count, 1) * variance)), 1 / (1 - risk))
    with np.errstate(divide="ignore"):  # the logarithm of 0 means that the whole stake is lost
        return np.log1p(np.maximum(-bets * excess_errors, -1)).sum(axis=0) >= -np.log(delta)
