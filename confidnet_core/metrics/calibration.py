"""Calibration metrics: how far a confidence is from the probability that the prediction is correct.

Guo et al. 2017, arXiv:1706.04599 (expected calibration error, reliability diagram); Nguyen & O'Connor 2015, arXiv:1508.05154, and Nixon
et al. 2019, arXiv:1904.01685 (bins of equal count); Brier 1950, Monthly Weather Review 78 (Brier score). As in Guo et al., calibration
is that of the predicted class: the event is a correct prediction, and the probabilities of the other classes are ignored.

Every metric is a function of sums over samples, so large data sets are summed in blocks and a bootstrap is one matrix product.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float64, Int, Int64, Real
from numpy.typing import ArrayLike

from confidnet_core.metrics._draws import check_sizes, resample_counts
from confidnet_core.metrics._ranking.samples import check_samples

CALIBRATION_METRICS = ("ece", "adaptive_ece", "brier", "nll")

_MIN_PROBABILITY = 2.0**-53  # 1 - _MIN_PROBABILITY is the largest float64 below 1
_BLOCK_SIZE = 1 << 16  # samples processed at a time: temporary arrays stay in cache, and long sums are sums of short ones


def calibration_metrics(probability: ArrayLike, correct: ArrayLike, bins: int = 15) -> dict[str, float]:
    """Compute the metrics of CALIBRATION_METRICS, in that order; lower is better. All are defined even if all outcomes are equal.

    probability: (n,) real numbers in [0, 1], the probability that each prediction is correct
    correct: (n,) bool, or integers 0 and 1

    ece           sum over bins of (samples in it / n) * |accuracy - mean probability|, in [0, 1]. The bins are ((m - 1) / bins, m / bins]
                  for m = 1 ... bins, with 0 in the first; edges are float64, and probabilities are compared with them as float64
    adaptive_ece  the same over bins of equal count: the upper edge of bin m, which it includes, is the ceil(m * n / bins)-th smallest
                  probability. Equal probabilities are never split; bins between equal edges are empty. Without ties each bin holds n / bins
                  samples, rounded up or down; if there are fewer samples than bins, each sample has its own bin
    brier         mean of (probability - correct)^2, in [0, 1]
    nll           mean of -log of the probability of the observed outcome, in nats. That probability is clipped to at least 2^-53, so that
                  an error with probability 1, or a correct prediction with 0, costs 53 log 2 = 36.7 nats and not infinity

    Sums are in float64: another order of the samples changes rounding errors only. Beside blocks, one sorted copy is held in memory.
    ValueError for no samples, probabilities outside [0, 1] or NaN, unequal lengths, more than one axis, other types, or less than 1 bin.
    """
    probability, correct = _check_probabilities(probability, correct, bins)
    edges_of_binnings = _equal_width_edges(bins), _equal_count_edges(probability, bins)
    sums = _sum_samples_by_image(probability, correct, edges_of_binnings, np.array([len(correct)]))
    return dict(zip(CALIBRATION_METRICS, _metrics_from_sums(sums, np.array([[len(correct)]]), bins)[0].tolist(), strict=True))


def reliability_curve(
    probability: ArrayLike, correct: ArrayLike, bins: int = 15
) -> tuple[Float64[np.ndarray, " bins"], Float64[np.ndarray, " bins"], Int64[np.ndarray, " bins"]]:
    """Return three arrays (at most `bins`,) for the non-empty bins of ece: mean probability, accuracy (float64), sample count (int64).

    Bins are ordered from low to high probability; a calibrated score lies on the diagonal. Arguments and errors as in
    calibration_metrics.
    """
    probability, correct = _check_probabilities(probability, correct, bins)
    bin_edges = _equal_width_edges(bins)
    sample_count, correct_count, probability_sum = np.zeros(bins, np.int64), np.zeros(bins, np.int64), np.zeros(bins)
    for block in _sample_slices(0, len(correct)):
        values = probability[block].astype(np.float64)
        bin_index = np.searchsorted(bin_edges, values)
        sample_count += np.bincount(bin_index, minlength=bins)
        correct_count += np.bincount(bin_index[correct[block]], minlength=bins)
        probability_sum += np.bincount(bin_index, values, bins)
    is_filled = sample_count > 0
    sample_count = sample_count[is_filled]
    return probability_sum[is_filled] / sample_count, correct_count[is_filled] / sample_count, sample_count


def bootstrap_calibration(
    probability: ArrayLike, correct: ArrayLike, *, resamples: int, seed: int, sizes: ArrayLike | None = None, bins: int = 15
) -> Float64[np.ndarray, "resamples metrics"]:
    """Compute CALIBRATION_METRICS for each resample: float64 (resamples, 4), NaN where all drawn images are empty.

    sizes: (images,) number of pixels of each image, in the order of the values; whole images are then resampled.
    The draws equal those of metrics.bootstrap for the same seed and number of samples or images. All resamples use the bins of the
    original data, also those of equal count. A calibration error is a sum of absolute values, which chance alone raises: where the
    calibration is good, that of a resample is on average larger than that of the data (Kumar et al. 2019, arXiv:1909.10155).
    Other arguments and errors as in calibration_metrics; ValueError also for less than 1 resample and for sizes that do not sum to n.
    """
    probability, correct = _check_probabilities(probability, correct, bins)
    edges_of_binnings = _equal_width_edges(bins), _equal_count_edges(probability, bins)
    if sizes is None:
        sizes = np.ones(len(correct), np.int64)
        sums = _sum_samples_by_unit(probability, correct, edges_of_binnings, np.arange(len(correct)), len(correct))
    else:
        sizes = check_sizes(sizes, len(correct))
        sums = _sum_samples_by_image(probability, correct, edges_of_binnings, sizes)
    replicates = []
    for counts in resample_counts(len(sizes), sums.shape[1], resamples, np.random.default_rng(seed)):
        replicates.append(_metrics_from_sums(counts.astype(np.float64) @ sums, (counts @ sizes)[:, None], bins))
    return np.concatenate(replicates)


def _sum_samples_by_image(
    probability: Real[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    edges_of_binnings: tuple[np.ndarray, ...],
    sizes: Int[np.ndarray, " images"],
) -> Float64[np.ndarray, "images k"]:
    """Return the sums of _sum_samples_by_unit with each image as a unit, float64 (images, k); pixels are processed in blocks."""
    image_ends = np.cumsum(sizes)
    sums_by_image = np.zeros((len(sizes), sum(len(bin_edges) + 1 for bin_edges in edges_of_binnings) + 2))
    for image, (start, end) in enumerate(zip((image_ends - sizes).tolist(), image_ends.tolist(), strict=True)):
        for block in _sample_slices(start, end):
            values = probability[block]
            sums_by_image[image] += _sum_samples_by_unit(values, correct[block], edges_of_binnings, np.zeros(len(values), np.int64), 1)[0]
    return sums_by_image


def _sum_samples_by_unit(
    probability: Real[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    edges_of_binnings: tuple[np.ndarray, ...],
    unit_indices: Int[np.ndarray, " n"],
    unit_count: int,
) -> Float64[np.ndarray, "units k"]:
    """Return sums over the samples of each unit (a sample or an image), float64 (units, k), from which calibration metrics follow.

    The k columns are the sum of probability - correct in each bin of both binnings, of the squared error, and of the negative
    log-likelihood. unit_indices: (n,) the unit of each sample; edges_of_binnings: the edges between bins of equal width and of equal count
    """
    probability = probability.astype(np.float64)
    signed_error = probability - correct
    outcome_probability = np.where(correct, probability, 1 - probability)
    sum_columns = []
    for bin_edges in edges_of_binnings:
        bins = len(bin_edges) + 1
        bin_index = np.searchsorted(bin_edges, probability) + unit_indices * bins
        sum_columns.append(np.bincount(bin_index, signed_error, unit_count * bins).reshape(unit_count, bins))
    for sample_losses in (signed_error * signed_error, -np.log(np.maximum(outcome_probability, _MIN_PROBABILITY))):
        sum_columns.append(np.bincount(unit_indices, sample_losses, unit_count)[:, None])
    return np.hstack(sum_columns)


def _metrics_from_sums(
    sums: Float64[np.ndarray, "b k"], sample_counts: Int[np.ndarray, "b 1"], bins: int
) -> Float64[np.ndarray, "b metrics"]:
    """Return CALIBRATION_METRICS, float64 (b, 4), of b data sets from their sums of _sum_samples_by_unit (b, k) and sample counts."""
    bin_errors = np.abs(sums[:, :bins]).sum(axis=1), np.abs(sums[:, bins:-2]).sum(axis=1)
    with np.errstate(invalid="ignore"):  # 0 / 0 gives NaN: the metric is undefined
        return np.column_stack([*bin_errors, sums[:, -2:]]) / sample_counts


def _equal_width_edges(bins: int) -> Float64[np.ndarray, " edges"]:
    """Return the edges between bins of equal width, float64 (bins - 1,). A value's bin index is the number of edges below it."""
    return np.arange(1, bins) / bins


def _equal_count_edges(probability: Real[np.ndarray, " n"], bins: int) -> Float64[np.ndarray, " edges"]:
    """Return the edges between bins of equal count, float64 (at most bins - 1,): a value's bin index is the number of edges below it."""
    edge_ranks = -(-np.arange(1, bins) * len(probability) // bins)  # rounded up
    return np.unique(np.sort(probability)[edge_ranks - 1]).astype(np.float64)


def _sample_slices(start: int, end: int) -> Iterator[slice]:
    for block_start in range(start, end, _BLOCK_SIZE):
        yield slice(block_start, min(block_start + _BLOCK_SIZE, end))


def _check_probabilities(probability: ArrayLike, correct: ArrayLike, bins: int) -> tuple[Real[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    if bins < 1:
        raise ValueError(f"bins is {bins}; expected at least 1")
    probability, correct = check_samples(probability, correct, "probability")
    if not (probability.min() >= 0 and probability.max() <= 1):  # NaN compares as False
        is_invalid = ~((probability >= 0) & (probability <= 1))
        raise ValueError(
            f"{is_invalid.sum()} of {len(is_invalid)} probabilities are outside [0, 1] or NaN, the first at index {is_invalid.argmax()} "
            f"({probability[is_invalid.argmax()]}); map a score of another scale to probabilities first, as evaluation/calibrators.py does"
        )
    return probability, correct
