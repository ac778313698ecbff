"""Nonparametric bootstrap of the failure metrics: how far they would vary over other test sets of the same size.

Efron & Tibshirani 1993, "An Introduction to the Bootstrap". Samples are drawn with replacement, or for segmentation images with all
their pixels, because errors of neighbouring pixels are correlated. The draws depend on the seed and the number of samples or images
alone, so scores of the same predictions are evaluated on the same resamples and their differences are paired.
"""

import numpy as np
from jaxtyping import Bool, Float64, Int, Int64, Integer, Real
from numpy.typing import ArrayLike

from confidnet_core.metrics import failure_metrics
from confidnet_core.metrics._draws.groups import MAX_SINGLE_SAMPLES, MAX_SINGLE_UNITS, assign_groups
from confidnet_core.metrics._draws.single import check_pixels_per_image, iterate_draw_counts
from confidnet_core.metrics._ranking.counts import distinct_values_and_counts
from confidnet_core.metrics._ranking.samples import check_confidence_and_correct, require_finite_confidence
from confidnet_core.metrics._resampled.cells import edges_of_counts
from confidnet_core.metrics._resampled.metrics import count_in_cells, map_in_threads, metrics_from_counts, metrics_of_group_draws

MAX_CONFIDENCE_BINS = 4096  # the maximum number of bins (intervals of confidence) into which the pixels of images are counted


def bootstrap(
    confidence: ArrayLike, correct: ArrayLike, *, resample_count: int, seed: int, pixels_per_image: ArrayLike | None = None
) -> Float64[np.ndarray, "resamples metrics"]:
    """Compute the failure metrics on each bootstrap resample: float64 (resamples, metrics), in the order of METRICS; NaN if undefined.

    confidence: (n,) finite real numbers, higher is more confident; correct: (n,) bool, or integers 0 and 1
    resample_count: the number of resamples; seed: the seed of the random draws
    pixels_per_image: None, or for segmentation (images,) the number of pixels of each image, in the order of the samples. Whole images are
    then drawn. The same serves any samples that err together, such as the rows of a patient, sorted by patient. Confidences are counted in
    at most MAX_CONFIDENCE_BINS bins, within which they count as equal. The metrics of all resamples are shifted by the difference that
    this makes to the metrics of the original data, and clipped to [0, 1].

    More than MAX_SINGLE_SAMPLES samples, or more than MAX_SINGLE_UNITS images, are drawn in random groups and counted in cells of
    confidence (_draws/groups.py, _resampled/cells.py), shifted in the same way; a resample then has 511 of 512 parts of the samples. A
    standard error differs from that of single draws by about 1.3 % beside the noise of the resamples: docs/large-data.md has measurements.

    Raises ValueError for arrays that failure_metrics refuses, less than 1 resample, or numbers of pixels that do not sum to n.
    """
    confidence, correct = check_confidence_and_correct(confidence, correct)
    require_finite_confidence(confidence)
    rng = np.random.default_rng(seed)
    if pixels_per_image is not None:
        pixels_per_image = check_pixels_per_image(pixels_per_image, len(correct))
        if len(pixels_per_image) > MAX_SINGLE_UNITS:
            groups = np.repeat(assign_groups(len(pixels_per_image), seed), pixels_per_image)
            return _bootstrap_groups(confidence, correct, groups, resample_count, seed)
        return _bootstrap_images(confidence, correct, pixels_per_image, resample_count, rng)
    if len(correct) > MAX_SINGLE_SAMPLES:
        return _bootstrap_groups(confidence, correct, assign_groups(len(correct), seed), resample_count, seed)
    return _bootstrap_samples(confidence, correct, resample_count, rng)


def _bootstrap_samples(
    confidence: Real[np.ndarray, " n"], correct: Bool[np.ndarray, " n"], resample_count: int, rng: np.random.Generator
) -> Float64[np.ndarray, "resamples metrics"]:
    confidence_order = np.argsort(confidence)[::-1]
    first_rank_at_threshold = np.flatnonzero(np.append(True, np.diff(confidence[confidence_order]) != 0))
    error_ranks = np.flatnonzero(~correct[confidence_order])
    error_threshold_indices, first_error_at_threshold = np.unique(
        np.searchsorted(first_rank_at_threshold, error_ranks, side="right") - 1, return_index=True
    )

    def metrics_of_block(sample_counts: Int64[np.ndarray, "b n"]) -> Float64[np.ndarray, "b metrics"]:
        sample_counts = sample_counts.take(confidence_order, axis=1)
        error_counts = sample_counts.take(error_ranks, axis=1)
        if len(first_rank_at_threshold) < len(confidence_order):
            sample_counts = np.add.reduceat(sample_counts, first_rank_at_threshold, axis=1)
            error_counts = (
                np.add.reduceat(error_counts, first_error_at_threshold, axis=1) if len(first_error_at_threshold) else error_counts
            )
        return metrics_from_counts(sample_counts, error_counts, error_threshold_indices)

    return np.concatenate(map_in_threads(metrics_of_block, iterate_draw_counts(len(correct), len(correct), resample_count, rng)))


def _bootstrap_groups(
    confidence: Real[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    groups: Integer[np.ndarray, " n"],
    resample_count: int,
    seed: int,
) -> Float64[np.ndarray, "resamples metrics"]:
    values, sample_counts = distinct_values_and_counts(np.sort(confidence))
    error_values, errors_at_values = distinct_values_and_counts(np.sort(confidence[~correct]))
    error_counts = np.zeros_like(sample_counts)
    error_counts[np.searchsorted(values, error_values)] = errors_at_values
    block = values[::-1], sample_counts[::-1], error_counts[::-1]
    edges = edges_of_counts(iter([block]), len(correct), int(np.count_nonzero(~correct)))
    counts = count_in_cells(groups, np.searchsorted(edges, confidence, side="right"), correct, len(edges) + 1)
    return metrics_of_group_draws(*counts, _metric_values(confidence, correct), resample_count, seed)


def _bootstrap_images(
    confidence: Real[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    pixels_per_image: Int[np.ndarray, " images"],
    resample_count: int,
    rng: np.random.Generator,
) -> Float64[np.ndarray, "resamples metrics"]:
    pixel_counts, error_counts = _count_pixels_in_bins(confidence, correct, pixels_per_image)
    error_threshold_indices = np.flatnonzero(error_counts.any(axis=0))
    # BLAS multiplies floats only; whole numbers stay exact.
    pixel_counts, error_counts = pixel_counts.astype(float), error_counts[:, error_threshold_indices].astype(float)
    binning_correction = (
        _metric_values(confidence, correct)
        - metrics_from_counts(_sum_over_images(pixel_counts), _sum_over_images(error_counts), error_threshold_indices)[0]
    )

    def metrics_of_block(image_draw_counts: Int64[np.ndarray, "b images"]) -> Float64[np.ndarray, "b metrics"]:
        image_weights = image_draw_counts.astype(float)
        return metrics_from_counts(
            (image_weights @ pixel_counts).astype(np.int64), (image_weights @ error_counts).astype(np.int64), error_threshold_indices
        )

    draws = iterate_draw_counts(len(pixels_per_image), pixel_counts.shape[1], resample_count, rng)
    return np.clip(np.concatenate(map_in_threads(metrics_of_block, draws)) + np.nan_to_num(binning_correction), 0, 1)


def _metric_values(confidence: Real[np.ndarray, " n"], correct: Bool[np.ndarray, " n"]) -> Float64[np.ndarray, " metrics"]:
    """Return the failure metrics in the order of METRICS, float64 (metrics,); NaN if undefined."""
    return np.array([np.nan if value is None else value for value in failure_metrics(confidence, correct).values()])


def _count_pixels_in_bins(
    confidence: Real[np.ndarray, " n"], correct: Bool[np.ndarray, " n"], pixels_per_image: Int[np.ndarray, " images"]
) -> tuple[Int64[np.ndarray, "images bins"], Int64[np.ndarray, "images bins"]]:
    """Count the pixels and the errors of each image in bins of confidence, the highest bin first: two int64 arrays (images, bins)."""
    # Half of the edges follow the distribution of all confidences, half that of the errors; a thinned sample suffices for either.
    subsampled_confidences = [
        confidences[:: -(-len(confidences) // (MAX_CONFIDENCE_BINS * 64)) or 1] for confidences in (confidence, confidence[~correct])
    ]
    bin_edges = np.unique(
        np.concatenate([_evenly_spaced_elements(np.sort(confidences), MAX_CONFIDENCE_BINS // 2) for confidences in subsampled_confidences])
    )
    pixel_counts = np.zeros((len(pixels_per_image), len(bin_edges) + 1), np.int64)
    error_counts = np.zeros_like(pixel_counts)
    end_pixel_of_image = np.cumsum(pixels_per_image)
    for image_index, (first_pixel, end_pixel) in enumerate(zip(end_pixel_of_image - pixels_per_image, end_pixel_of_image, strict=True)):
        bin_indices = np.searchsorted(bin_edges, confidence[first_pixel:end_pixel], side="right")
        pixel_counts[image_index] = np.bincount(bin_indices, minlength=pixel_counts.shape[1])[::-1]
        error_counts[image_index] = np.bincount(bin_indices[~correct[first_pixel:end_pixel]], minlength=pixel_counts.shape[1])[::-1]
    return pixel_counts, error_counts


def _evenly_spaced_elements(sorted_values: Real[np.ndarray, " n"], max_element_count: int) -> Real[np.ndarray, " edges"]:
    """Return at most `max_element_count` elements of a sorted array, at evenly spaced positions from its first to its last."""
    return sorted_values[np.linspace(0, len(sorted_values) - 1, min(max_element_count, len(sorted_values))).astype(np.int64)]


def _sum_over_images(counts_by_image: Real[np.ndarray, "images bins"]) -> Int64[np.ndarray, "1 bins"]:
    """Return the sum over all images of their counts in each bin of confidence: (images, bins) -> int64 (1, bins)."""
    return counts_by_image.sum(axis=0, keepdims=True, dtype=np.int64)
