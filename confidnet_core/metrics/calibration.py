"""Calibration metrics: how far a confidence is from the probability that the prediction is correct.

Guo et al. 2017, arXiv:1706.04599 (expected calibration error, reliability diagram); Nguyen & O'Connor 2015, arXiv:1508.05154, and Nixon
et al. 2019, arXiv:1904.01685 (bins of equal count); Brier 1950, Monthly Weather Review 78 (Brier score). As in Guo et al., calibration
is that of the predicted class: the event is a correct prediction, and the probabilities of the other classes are ignored.

Every metric is a function of sums over samples, so large data sets are summed in blocks and a bootstrap is one matrix product.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float64, Int, Int64, Integer, Real
from numpy.typing import ArrayLike

from confidnet_core.metrics._draws.groups import (
    GROUP_COUNT,
    MAX_SINGLE_SAMPLES,
    MAX_SINGLE_UNITS,
    assign_groups,
    iterate_bundle_draws,
    sum_bundles,
)
from confidnet_core.metrics._draws.single import check_pixels_per_image, iterate_draw_counts
from confidnet_core.metrics._ranking.samples import check_confidence_and_correct

CALIBRATION_METRICS = ("ece", "adaptive_ece", "brier", "nll")

_MIN_PROBABILITY = 2.0**-53  # 1 - _MIN_PROBABILITY is the largest float64 below 1
_BLOCK_SIZE = 1 << 16  # samples processed at a time: temporary arrays stay in cache, and long sums are sums of short ones


def calibration_metrics(probability: ArrayLike, correct: ArrayLike, bins: int = 15) -> dict[str, float]:
    """Return the calibration metrics {"ece", "adaptive_ece", "brier", "nll"}; lower is better, and all are defined for any outcomes.

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
    Raises ValueError for no samples, probabilities outside [0, 1] or NaN, unequal lengths, more than one axis, other types, or bins < 1.
    """
    probability, correct = _check_probabilities(probability, correct, bins)
    bin_edges_by_binning = _equal_width_bin_edges(bins), _equal_count_bin_edges(probability, bins)
    calibration_sums = _sum_samples_by_image(probability, correct, bin_edges_by_binning, np.array([len(correct)]))
    return dict(zip(CALIBRATION_METRICS, _metrics_from_sums(calibration_sums, np.array([[len(correct)]]), bins)[0].tolist(), strict=True))


def reliability_curve(
    probability: ArrayLike, correct: ArrayLike, bins: int = 15
) -> tuple[Float64[np.ndarray, " bins"], Float64[np.ndarray, " bins"], Int64[np.ndarray, " bins"]]:
    """Return a reliability diagram: mean probability and accuracy (float64), and sample count (int64), of each bin that is not empty.

    The three arrays, of at most `bins` elements, go from low to high probability. The bins are `bins` intervals of equal width in [0, 1].
    Mean probability and accuracy are equal for a perfectly calibrated score.
    probability: (n,) real numbers in [0, 1], the probability that each prediction is correct; correct: (n,) bool, or integers 0 and 1
    Raises ValueError for arrays that calibration_metrics refuses, and for less than 1 bin.
    """
    probability, correct = _check_probabilities(probability, correct, bins)
    bin_edges = _equal_width_bin_edges(bins)
    samples_per_bin, correct_per_bin, probability_sum_per_bin = np.zeros(bins, np.int64), np.zeros(bins, np.int64), np.zeros(bins)
    for block_slice in _block_slices(0, len(correct)):
        block_probabilities = probability[block_slice].astype(np.float64)
        bin_indices = np.searchsorted(bin_edges, block_probabilities)
        samples_per_bin += np.bincount(bin_indices, minlength=bins)
        correct_per_bin += np.bincount(bin_indices[correct[block_slice]], minlength=bins)
        probability_sum_per_bin += np.bincount(bin_indices, block_probabilities, bins)
    is_nonempty_bin = samples_per_bin > 0
    samples_per_bin = samples_per_bin[is_nonempty_bin]
    return probability_sum_per_bin[is_nonempty_bin] / samples_per_bin, correct_per_bin[is_nonempty_bin] / samples_per_bin, samples_per_bin


def bootstrap_calibration(
    probability: ArrayLike, correct: ArrayLike, *, resample_count: int, seed: int, pixels_per_image: ArrayLike | None = None, bins: int = 15
) -> Float64[np.ndarray, "resamples metrics"]:
    """Compute the calibration metrics on each bootstrap resample: float64 (resamples, 4), in the order of CALIBRATION_METRICS.

    Values are NaN where all drawn images are without pixels.
    pixels_per_image: None, or for segmentation (images,) the number of pixels of each image, in the order of the samples; whole images are
    then resampled.
    The draws equal those of `bootstrap` for the same seed and number of samples or images; many are drawn in groups there and here. All
    resamples use the bins of the original data, also those of equal count. A calibration error is a sum of absolute values, which chance
    alone raises: where the calibration is good, that of a resample is on average larger than that of the data (Kumar et al. 2019,
    arXiv:1909.10155).
    probability, correct, bins: as for calibration_metrics
    Raises ValueError for arrays that calibration_metrics refuses, less than 1 resample, or numbers of pixels that do not sum to n.
    """
    probability, correct = _check_probabilities(probability, correct, bins)
    bin_edges_by_binning = _equal_width_bin_edges(bins), _equal_count_bin_edges(probability, bins)
    if pixels_per_image is not None:
        pixels_per_image = check_pixels_per_image(pixels_per_image, len(correct))
    if len(correct) > MAX_SINGLE_SAMPLES if pixels_per_image is None else len(pixels_per_image) > MAX_SINGLE_UNITS:
        groups = assign_groups(len(correct if pixels_per_image is None else pixels_per_image), seed)
        groups = groups if pixels_per_image is None else np.repeat(groups, pixels_per_image)
        return _bootstrap_groups(probability, correct, bin_edges_by_binning, groups, resample_count, seed)
    if pixels_per_image is None:
        pixels_per_image = np.ones(len(correct), np.int64)
        sums_by_bootstrap_unit = _sum_samples_by_bootstrap_unit(
            probability, correct, bin_edges_by_binning, np.arange(len(correct)), len(correct)
        )
    else:
        sums_by_bootstrap_unit = _sum_samples_by_image(probability, correct, bin_edges_by_binning, pixels_per_image)
    metrics_by_block = []
    for draw_counts in iterate_draw_counts(
        len(pixels_per_image), sums_by_bootstrap_unit.shape[1], resample_count, np.random.default_rng(seed)
    ):
        metrics_by_block.append(
            _metrics_from_sums(draw_counts.astype(np.float64) @ sums_by_bootstrap_unit, (draw_counts @ pixels_per_image)[:, None], bins)
        )
    return np.concatenate(metrics_by_block)


def _bootstrap_groups(
    probability: Real[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    bin_edges_by_binning: tuple[np.ndarray, ...],
    groups: Integer[np.ndarray, " n"],
    resample_count: int,
    seed: int,
) -> Float64[np.ndarray, "resamples metrics"]:
    """Return the calibration metrics of resamples of groups, float64 (resamples, 4). groups: (n,) the group of each sample"""
    sums_by_group: np.ndarray | float = 0.0
    for block_slice in _block_slices(0, len(correct), 1 << 20):
        sums_by_group = sums_by_group + _sum_samples_by_bootstrap_unit(
            probability[block_slice], correct[block_slice], bin_edges_by_binning, groups[block_slice].astype(np.int64), GROUP_COUNT
        )
    bin_count = len(bin_edges_by_binning[0]) + 1
    sums_and_sizes = np.column_stack([sums_by_group, np.bincount(groups, minlength=GROUP_COUNT)])
    order_of_sums, bundle_sums, metrics_by_block = None, sums_and_sizes, []
    for group_order, draws in iterate_bundle_draws(resample_count, seed):
        if group_order is not order_of_sums:
            order_of_sums, bundle_sums = group_order, sum_bundles(sums_and_sizes, group_order)
        resampled_sums = draws.astype(np.float64) @ bundle_sums
        metrics_by_block.append(_metrics_from_sums(resampled_sums[:, :-1], resampled_sums[:, -1:].astype(np.int64), bin_count))
    return np.concatenate(metrics_by_block)


def _sum_samples_by_image(
    probability: Real[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    bin_edges_by_binning: tuple[np.ndarray, ...],
    pixels_per_image: Int[np.ndarray, " images"],
) -> Float64[np.ndarray, "images k"]:
    """Return sums over the pixels of each image, float64 (images, k), from which calibration metrics follow.

    The k columns are those of _sum_samples_by_bootstrap_unit: probability - correct in each bin of both binnings, squared error, and
    negative log-likelihood. Pixels are processed in blocks, which bounds memory.
    """
    end_pixel_of_image = np.cumsum(pixels_per_image)
    sums_by_image = np.zeros((len(pixels_per_image), sum(len(bin_edges) + 1 for bin_edges in bin_edges_by_binning) + 2))
    for image_index, (first_pixel, end_pixel) in enumerate(
        zip((end_pixel_of_image - pixels_per_image).tolist(), end_pixel_of_image.tolist(), strict=True)
    ):
        for block_slice in _block_slices(first_pixel, end_pixel):
            block_probabilities = probability[block_slice]
            sums_by_image[image_index] += _sum_samples_by_bootstrap_unit(
                block_probabilities, correct[block_slice], bin_edges_by_binning, np.zeros(len(block_probabilities), np.int64), 1
            )[0]
    return sums_by_image


def _sum_samples_by_bootstrap_unit(
    probability: Real[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    bin_edges_by_binning: tuple[np.ndarray, ...],
    bootstrap_unit_of_sample: Int[np.ndarray, " n"],
    bootstrap_unit_count: int,
) -> Float64[np.ndarray, "units k"]:
    """Return sums over the samples of each unit (a sample or an image), float64 (units, k), from which calibration metrics follow.

    The k columns are the sum of probability - correct in each bin of both binnings, of the squared error, and of the negative
    log-likelihood.
    bin_edges_by_binning: the edges between bins of equal width, and those between bins of equal count
    bootstrap_unit_of_sample: (n,) index, below bootstrap_unit_count, of the unit to which each sample belongs
    """
    probability = probability.astype(np.float64)
    signed_errors = probability - correct
    outcome_probability = np.where(correct, probability, 1 - probability)
    sum_columns = []
    for bin_edges in bin_edges_by_binning:
        bin_count = len(bin_edges) + 1
        flat_bin_indices = np.searchsorted(bin_edges, probability) + bootstrap_unit_of_sample * bin_count
        sum_columns.append(
            np.bincount(flat_bin_indices, signed_errors, bootstrap_unit_count * bin_count).reshape(bootstrap_unit_count, bin_count)
        )
    for sample_losses in (signed_errors * signed_errors, -np.log(np.maximum(outcome_probability, _MIN_PROBABILITY))):
        sum_columns.append(np.bincount(bootstrap_unit_of_sample, sample_losses, bootstrap_unit_count)[:, None])
    return np.hstack(sum_columns)


def _metrics_from_sums(
    calibration_sums: Float64[np.ndarray, "b k"], samples_per_resample: Int[np.ndarray, "b 1"], bin_count: int
) -> Float64[np.ndarray, "b metrics"]:
    """Return the calibration metrics of b resamples of a data set, float64 (b, 4), in the order of CALIBRATION_METRICS.

    calibration_sums: (b, k) sums over the samples of each resample, with the k columns of _sum_samples_by_bootstrap_unit
    samples_per_resample: (b, 1) number of samples of each resample
    """
    calibration_error_sums = np.abs(calibration_sums[:, :bin_count]).sum(axis=1), np.abs(calibration_sums[:, bin_count:-2]).sum(axis=1)
    with np.errstate(invalid="ignore"):  # 0 / 0 gives NaN: the metric is undefined
        return np.column_stack([*calibration_error_sums, calibration_sums[:, -2:]]) / samples_per_resample


def _equal_width_bin_edges(bin_count: int) -> Float64[np.ndarray, " edges"]:
    """Return the edges between bins of equal width in [0, 1], float64 (bin_count - 1,).

    The bin index of a value is the number of edges below it.
    """
    return np.arange(1, bin_count) / bin_count


def _equal_count_bin_edges(probability: Real[np.ndarray, " n"], bin_count: int) -> Float64[np.ndarray, " edges"]:
    """Return the edges between bins with equally many of the probabilities, float64 (at most bin_count - 1,).

    The bin index of a value is the number of edges below it. Equal edges are returned once.
    """
    edge_ranks = -(-np.arange(1, bin_count) * len(probability) // bin_count)  # rounded up
    return np.unique(np.sort(probability)[edge_ranks - 1]).astype(np.float64)


def _block_slices(first_sample: int, end_sample: int, block_size: int = _BLOCK_SIZE) -> Iterator[slice]:
    for block_start in range(first_sample, end_sample, block_size):
        yield slice(block_start, min(block_start + block_size, end_sample))


def _check_probabilities(probability: ArrayLike, correct: ArrayLike, bins: int) -> tuple[Real[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    if bins < 1:
        raise ValueError(f"bins is {bins}; expected at least 1")
    probability, correct = check_confidence_and_correct(probability, correct, "probability")
    if not (probability.min() >= 0 and probability.max() <= 1):  # NaN compares as False
        is_invalid_probability = ~((probability >= 0) & (probability <= 1))
        first_invalid_index = is_invalid_probability.argmax()
        raise ValueError(
            f"{is_invalid_probability.sum()} of {len(is_invalid_probability)} probabilities are outside [0, 1] or NaN, the first at index "
            f"{first_invalid_index} ({probability[first_invalid_index]}); map a score of another scale to probabilities first, as "
            "evaluation/calibrators.py does"
        )
    return probability, correct
