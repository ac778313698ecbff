"""A threshold below which a classifier abstains, with a guarantee for new data: among what it answers, the error rate is below a target.

Geifman & El-Yaniv 2017, arXiv:1705.08500 (selection with guaranteed risk); Angelopoulos et al. 2021, arXiv:2110.01052 (fixed-sequence
testing); Clopper & Pearson 1934 (samples); Waudby-Smith & Ramdas 2023, arXiv:2010.09686 (images: bets).
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float64, Int, Real
from numpy.typing import ArrayLike
from scipy.special import betaincinv

from confidnet_core.metrics._draws import checked_sizes
from confidnet_core.metrics._ranking.samples import checked, count_above, require_finite

_HELD_OUT = 20  # every 20th unit: candidate thresholds come from these, and they are not tested
_BOUNDS = np.arange(100, 0, -1) / 100  # of the target, at which the bound for images is sought


@dataclass(frozen=True)
class Guarantee:
    """Accept a confidence >= threshold: with probability 1 - delta over calibration data, the selective risk is then at most `risk`."""

    risk: float
    delta: float
    threshold: float | None  # None where no threshold is feasible; the lowest finite number accepts everything
    coverage: float  # share of the calibration samples that it accepts, every image weighing the same; 0 without a threshold
    bound: float | None  # upper confidence bound, at level 1 - delta, of the selective risk at this threshold alone; at most `risk`
    samples: int  # for calibration
    errors: int  # among them
    units: int  # how many of them are independent: samples, or images with a pixel


def threshold_with_guarantee(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    risk: float,
    delta: float,
    sizes: ArrayLike | None = None,
    elsewhere: ArrayLike | None = None,
) -> Guarantee:
    """The lowest threshold whose selective risk is shown to be at most RISK, from calibration data that the classifier never saw.

    confidence, correct: as for failure_metrics. Units are i.i.d., and new data come from the same distribution
    risk, delta: in (0, 1)
    sizes: (images,) how many of the values each image has, in their order. Images are then the units, whose pixels may depend on one
    another in any way, and images without a pixel do not count
    elsewhere: (r,) confidences of other data, as of validation data, at whose ranks the thresholds lie that are tested. Without them
    every 20th unit places the thresholds and is not tested

    The selective risk of a threshold is, of samples, P(error | accepted); of images, E[share of an image's pixels that are accepted and
    wrong] / E[share that are accepted], so that every image weighs the same. Fixed-sequence testing: each threshold, from the surest on,
    is tested at the full level delta until the first failure. The first has the coverage min(4 a, max(1.5 a, 0.4)), where below the
    coverage a none can pass: one error among few would end it all. In simulations of 300 to 3,000 samples with risks of 1 to 5 % it
    kept 0.42 of the coverage that known risks allow; Bonferroni's correction kept 0.3, the bisection of Geifman & El-Yaniv 0.32.
    Too few units have no feasible threshold: even without an error, ln(delta) / ln(1 - risk) of them have to be accepted.

    ValueError as from failure_metrics, for a risk or delta outside (0, 1), and for sizes that do not sum to n.
    """
    confidence, correct = checked(confidence, correct)
    require_finite(confidence)
    for name, share in (("risk", risk), ("delta", delta)):
        if not 0 < share < 1:
            raise ValueError(f"{name} is {share}; give a share between 0 and 1, as 0.05 for 5 %")
    if sizes is None:
        units, lowest = len(correct), _of_samples
    else:
        sizes = checked_sizes(sizes, len(correct))
        sizes = sizes[sizes > 0]
        units, lowest = len(sizes), partial(_of_images, sizes=sizes)
    if elsewhere is None:
        held_out = np.arange(units) % _HELD_OUT == 0
        elsewhere = confidence[held_out if sizes is None else np.repeat(held_out, sizes)]
    else:
        held_out, elsewhere = np.zeros(units, bool), _finite(elsewhere, confidence.dtype)
    threshold, bound = lowest(confidence, correct, held_out, elsewhere, risk, delta)
    coverage = 0.0 if threshold is None else _coverage(confidence >= threshold, sizes)
    return Guarantee(risk, delta, threshold, coverage, bound, len(correct), int(np.count_nonzero(~correct)), units)


def _coverage(accepted: Bool[np.ndarray, " n"], sizes: Int[np.ndarray, " images"] | None) -> float:
    return float(np.mean(accepted if sizes is None else np.add.reduceat(accepted, np.cumsum(sizes) - sizes, dtype=np.int64) / sizes))


def _finite(elsewhere: ArrayLike, kind: np.dtype) -> Real[np.ndarray, " r"]:
    elsewhere = checked(elsewhere, np.ones(np.shape(elsewhere), bool))[0].astype(kind)
    require_finite(elsewhere)
    return elsewhere


# Which thresholds are tested, and from which on, follows from units that are not tested themselves. So for each of them, whatever number m
# of samples it accepts, the errors among these are Binomial(m, its selective risk). Thresholds at ranks of the tested confidences would tie
# the first bad threshold, the one that must not pass, to the samples above it.


def _of_samples(
    confidence: Real[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    held_out: Bool[np.ndarray, " n"],
    elsewhere: Real[np.ndarray, " r"],
    risk: float,
    delta: float,
) -> tuple[float | None, float | None]:
    tested = np.sort(confidence[~held_out])
    errors = np.sort(confidence[~held_out & ~correct])
    thresholds = _thresholds(elsewhere, np.log(delta) / np.log1p(-risk) / max(len(tested), 1))
    bounds = _clopper_pearson(count_above(tested, thresholds, "left"), count_above(errors, thresholds, "left"), delta)
    passed = _passed_in_sequence(bounds <= risk)
    return (float(thresholds[passed - 1]), float(bounds[passed - 1])) if passed else (None, None)


def _of_images(
    confidence: Real[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    held_out: Bool[np.ndarray, " images"],
    elsewhere: Real[np.ndarray, " r"],
    risk: float,
    delta: float,
    sizes: Int[np.ndarray, " images"],
) -> tuple[float | None, float | None]:
    tested = np.flatnonzero(~held_out)
    thresholds = _thresholds(elsewhere, (delta ** (-1 / max(len(tested), 1)) - 1) * (1 - risk) / risk)
    accepted, wrong = _shares(confidence, correct, sizes, tested, thresholds)
    passed = _passed_in_sequence(_bets_won(accepted, wrong, risk, delta))
    if passed == 0:
        return None, None
    lower = risk * _BOUNDS
    won = _passed_in_sequence(_bets_won(accepted[:, [passed - 1]], wrong[:, [passed - 1]], lower, delta))
    return float(thresholds[passed - 1]), float(lower[won - 1])


def _thresholds(elsewhere: Real[np.ndarray, " r"], least: float) -> Real[np.ndarray, " thresholds"]:
    """From the surest of the confidences elsewhere on, down to the lowest finite number.

    least: the coverage below which none can pass; above 1 none can.

    Floats of the confidence's own type, so that a comparison with the threshold rounds neither of them.
    """
    kind = elsewhere.dtype if elsewhere.dtype.kind == "f" else np.dtype(np.float64)
    coverages = np.arange(1, 100) / 100
    coverages = coverages[coverages >= min(4 * least, max(1.5 * least, 0.4))]
    return np.append(np.quantile(elsewhere, 1 - coverages), np.finfo(kind).min).astype(kind)


def _passed_in_sequence(passed: Bool[np.ndarray, " m"]) -> int:
    """How many pass before the first that does not."""
    return int(np.argmin(np.append(passed, False)))


def _clopper_pearson(accepted: Int[np.ndarray, " m"], wrong: Int[np.ndarray, " m"], delta: float) -> Float64[np.ndarray, " m"]:
    """The exact upper confidence bound, at level 1 - DELTA, of an error rate from counts."""
    return np.where(wrong < accepted, betaincinv(wrong + 1, np.maximum(accepted - wrong, 1), 1 - delta), 1.0)


def _shares(
    confidence: Real[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    sizes: Int[np.ndarray, " images"],
    images: Int[np.ndarray, " tested"],
    thresholds: Real[np.ndarray, " thresholds"],
) -> tuple[Float64[np.ndarray, "tested thresholds"], Float64[np.ndarray, "tested thresholds"]]:
    """Which share of the pixels of each of the IMAGES is accepted, and accepted and wrong: float64 (images, thresholds) each."""
    ends = np.cumsum(sizes)
    accepted, wrong = np.empty((2, len(images), len(thresholds)))
    for row, image in enumerate(images):
        inside = slice(ends[image] - sizes[image], ends[image])
        values = confidence[inside]
        accepted[row] = count_above(np.sort(values), thresholds, "left") / sizes[image]
        wrong[row] = count_above(np.sort(values[~correct[inside]]), thresholds, "left") / sizes[image]
    return accepted, wrong


def _bets_won(
    accepted: Float64[np.ndarray, "images columns"], wrong: Float64[np.ndarray, "images columns"], risk: float | np.ndarray, delta: float
) -> Bool[np.ndarray, " m"]:
    """Whether the selective risk is shown to be at most RISK, bool (m,), from shares (images, m) or, for RISK (m,), (images, 1).

    What is bet against is a mean excess of 0 or more of the excess wrong - RISK * accepted, in [-RISK, 1 - RISK]. Then no sequence of bets
    that are chosen before their image multiplies the stake by 1 / DELTA with more than probability DELTA (Ville; Waudby-Smith & Ramdas).
    Their predictable plug-in bet, with RISK^2 in place of 1/4 as the variance before the first image, at most so high that nobody owes.
    """
    excess = wrong - risk * accepted
    images = len(excess)
    before = np.arange(images)[:, None]
    total, squares = np.cumsum(excess, axis=0) - excess, np.cumsum(excess**2, axis=0) - excess**2
    variance = (risk**2 + np.maximum(squares - total**2 / np.maximum(before, 1), 0)) / (before + 1)
    bet = np.minimum(np.sqrt(-2 * np.log(delta) / (max(images, 1) * variance)), 1 / (1 - risk))
    with np.errstate(divide="ignore"):  # all is lost with the logarithm of 0
        return np.log1p(np.maximum(-bet * excess, -1)).sum(axis=0) >= -np.log(delta)
