"""Calibration: how far a confidence is from the probability that the prediction is right.

Guo et al. 2017, arXiv:1706.04599 (expected calibration error, reliability diagram); Nguyen & O'Connor 2015, arXiv:1508.05154, and Nixon
et al. 2019, arXiv:1904.01685 (bins of equal count); Brier 1950, Monthly Weather Review 78 (Brier score). The event is that a prediction is
right, as for the predicted class in Guo et al.; how the probabilities of the other classes are spread is not looked at.

Every metric is a function of sums over samples, so data sets of any size are summed in blocks and resamples are one matrix product.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float64, Int, Int64, Real
from numpy.typing import ArrayLike

from confidnet_core.metrics._draws import checked_sizes, draws
from confidnet_core.metrics._ranking.samples import checked

CALIBRATION = ("ece", "adaptive_ece", "brier", "nll")

_LEAST = 2.0**-53  # 1 - _LEAST is the largest float64 below 1
_BLOCK = 1 << 16  # samples worked on at a time: temporary arrays stay in cache, and long sums are sums of short ones


def calibration_metrics(probability: ArrayLike, correct: ArrayLike, bins: int = 15) -> dict[str, float]:
    """The metrics of CALIBRATION, in that order; lower is better. All are defined for any sample, one outcome only included.

    probability: (n,) real numbers in [0, 1], how probable it is that each prediction is right
    correct: (n,) bool, or integers 0 and 1

    ece           sum over bins of (samples in it / n) * |accuracy - mean probability|, in [0, 1]. The bins are ((m - 1) / bins, m / bins]
                  for m = 1 ... bins, with 0 in the first; edges are float64, and probabilities are compared with them as float64
    adaptive_ece  the same over bins of equal count: the upper edge of bin m, which it includes, is the ceil(m * n / bins)-th smallest
                  probability. Equal probabilities are never split; bins between equal edges are empty. Without ties each bin holds n / bins
                  samples, rounded up or down, and fewer samples than bins have a bin each
    brier         mean of (probability - correct)^2, in [0, 1]
    nll           mean of -log of the probability of what happened, in nats. That probability is at least 2^-53, so that one wrong sample
                  of probability 1, or right one of 0, costs 53 log 2 = 36.7 nats and not infinity

    Sums are of float64 numbers: another order of the samples changes rounding errors only. Beside blocks, one sorted copy is in memory.
    ValueError for no samples, probabilities outside [0, 1] or NaN, unequal lengths, more than one axis, other types, or less than 1 bin.
    """
    probability, correct = _checked(probability, correct, bins)
    edges = _equal_width(bins), _equal_count(probability, bins)
    sums = _of_images(probability, correct, edges, np.array([len(correct)]))
    return dict(zip(CALIBRATION, _metrics(sums, np.array([[len(correct)]]), bins)[0].tolist(), strict=True))


def reliability_curve(
    probability: ArrayLike, correct: ArrayLike, bins: int = 15
) -> tuple[Float64[np.ndarray, " bins"], Float64[np.ndarray, " bins"], Int64[np.ndarray, " bins"]]:
    """Mean probability and accuracy, float64, and number of samples, int64, of each bin of ece that is not empty: (at most `bins`,) each.

    From low to high; a calibrated score lies on the diagonal. Arguments and errors as in calibration_metrics.
    """
    probability, correct = _checked(probability, correct, bins)
    edges = _equal_width(bins)
    count, right, total = np.zeros(bins, np.int64), np.zeros(bins, np.int64), np.zeros(bins)
    for block in _blocks(0, len(correct)):
        values = probability[block].astype(np.float64)
        cell = np.searchsorted(edges, values)
        count += np.bincount(cell, minlength=bins)
        right += np.bincount(cell[correct[block]], minlength=bins)
        total += np.bincount(cell, values, bins)
    filled = count > 0
    count = count[filled]
    return total[filled] / count, right[filled] / count, count


def bootstrap_calibration(
    probability: ArrayLike, correct: ArrayLike, *, resamples: int, seed: int, sizes: ArrayLike | None = None, bins: int = 15
) -> Float64[np.ndarray, "resamples metrics"]:
    """The metrics of CALIBRATION of each resample: float64 (resamples, 4), NaN where all images drawn are empty.

    sizes: (images,) how many of the values each image has, in their order. A resample is then one of images with all their pixels.
    The draws are those of metrics.bootstrap for the same seed and number of samples or images. All resamples have the bins of the data:
    those of equal count are not made anew. A calibration error is a sum of absolute values, which chance alone raises: where the
    calibration is good, that of a resample is larger than that of the data on average (Kumar et al. 2019, arXiv:1909.10155).
    Other arguments and errors as in calibration_metrics; ValueError also for less than 1 resample and for sizes that do not sum to n.
    """
    probability, correct = _checked(probability, correct, bins)
    edges = _equal_width(bins), _equal_count(probability, bins)
    if sizes is None:
        sizes = np.ones(len(correct), np.int64)
        sums = _summed(probability, correct, edges, np.arange(len(correct)), len(correct))
    else:
        sizes = checked_sizes(sizes, len(correct))
        sums = _of_images(probability, correct, edges, sizes)
    rows = []
    for drawn in draws(len(sizes), sums.shape[1], resamples, np.random.default_rng(seed)):
        rows.append(_metrics(drawn.astype(np.float64) @ sums, (drawn @ sizes)[:, None], bins))
    return np.concatenate(rows)


def _of_images(
    probability: Real[np.ndarray, " n"], correct: Bool[np.ndarray, " n"], edges: tuple[np.ndarray, ...], sizes: Int[np.ndarray, " images"]
) -> Float64[np.ndarray, "images k"]:
    """The sums of each image, float64 (images, k)."""
    ends = np.cumsum(sizes)
    sums = np.zeros((len(sizes), sum(len(edge) + 1 for edge in edges) + 2))
    for image, (start, end) in enumerate(zip((ends - sizes).tolist(), ends.tolist(), strict=True)):
        for block in _blocks(start, end):
            values = probability[block]
            sums[image] += _summed(values, correct[block], edges, np.zeros(len(values), np.int64), 1)[0]
    return sums


def _summed(
    probability: Real[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    edges: tuple[np.ndarray, ...],
    unit: Int[np.ndarray, " n"],
    units: int,
) -> Float64[np.ndarray, "units k"]:
    """Sums over the samples of each UNIT (n,): float64 (units, k), of probability - correct in each bin of all EDGES, of brier, of nll."""
    probability = probability.astype(np.float64)
    gap = probability - correct
    of_outcome = np.where(correct, probability, 1 - probability)
    columns = []
    for edge in edges:
        bins = len(edge) + 1
        cell = np.searchsorted(edge, probability) + unit * bins
        columns.append(np.bincount(cell, gap, units * bins).reshape(units, bins))
    for value in (gap * gap, -np.log(np.maximum(of_outcome, _LEAST))):
        columns.append(np.bincount(unit, value, units)[:, None])
    return np.hstack(columns)


def _metrics(sums: Float64[np.ndarray, "b k"], samples: Int[np.ndarray, "b 1"], bins: int) -> Float64[np.ndarray, "b metrics"]:
    """CALIBRATION (b, 4) of b data sets from their sums (b, k) and numbers of samples (b, 1)."""
    errors = np.abs(sums[:, :bins]).sum(axis=1), np.abs(sums[:, bins:-2]).sum(axis=1)
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN, undefined
        return np.column_stack([*errors, sums[:, -2:]]) / samples


def _equal_width(bins: int) -> Float64[np.ndarray, " edges"]:
    """The edges between bins, float64 (bins - 1,); a value belongs to the bin of as many edges below it."""
    return np.arange(1, bins) / bins


def _equal_count(probability: Real[np.ndarray, " n"], bins: int) -> Float64[np.ndarray, " edges"]:
    """As _equal_width, and at most as many."""
    place = -(-np.arange(1, bins) * len(probability) // bins)  # rounded up
    return np.unique(np.sort(probability)[place - 1]).astype(np.float64)


def _blocks(start: int, end: int) -> Iterator[slice]:
    for first in range(start, end, _BLOCK):
        yield slice(first, min(first + _BLOCK, end))


def _checked(probability: ArrayLike, correct: ArrayLike, bins: int) -> tuple[Real[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    if bins < 1:
        raise ValueError(f"bins is {bins}; expected at least 1")
    probability, correct = checked(probability, correct, "probability")
    if not (probability.min() >= 0 and probability.max() <= 1):  # NaN compares as False
        bad = ~((probability >= 0) & (probability <= 1))
        raise ValueError(
            f"{bad.sum()} of {len(bad)} probabilities are outside [0, 1] or NaN, the first at index {bad.argmax()} "
            f"({probability[bad.argmax()]}); map a score of another scale to probabilities first, as evaluation/calibrators.py does"
        )
    return probability, correct
