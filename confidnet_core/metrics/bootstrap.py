"""Nonparametric bootstrap of the failure metrics: how far they would vary over other test sets of the same size.

Efron & Tibshirani 1993, "An Introduction to the Bootstrap". Samples are drawn with replacement, or for segmentation images with all
their pixels, because errors of neighbouring pixels are correlated. The draws depend on the seed and the number of samples or images
alone, so scores of the same predictions are evaluated on the same resamples and their differences are paired.
"""

import numpy as np
from jaxtyping import Bool, Float64, Int, Int64, Real
from numpy.typing import ArrayLike

from confidnet_core.metrics import failure_metrics
from confidnet_core.metrics._draws import check_pixels_per_image, iterate_draw_counts
from confidnet_core.metrics._ranking.risk import TARGET_RISKS, expected_risk_contribution, max_accepted_at_risk
from confidnet_core.metrics._ranking.samples import check_confidence_and_correct, require_finite_confidence

MAX_CONFIDENCE_BINS = 4096  # the maximum number of bins (intervals of confidence) into which the pixels of images are counted


def bootstrap(
    confidence: ArrayLike, correct: ArrayLike, *, resample_count: int, seed: int, pixels_per_image: ArrayLike | None = None
) -> Float64[np.ndarray, "resamples metrics"]:
    """Compute the failure metrics on each bootstrap resample: float64 (resamples, metrics), in the order of METRICS; NaN if undefined.

    confidence: (n,) finite real numbers, higher is more confident; correct: (n,) bool, or integers 0 and 1
    resample_count: the number of resamples; seed: the seed of the random draws
    pixels_per_image: None, or for segmentation (images,) the number of pixels of each image, in the order of the samples. Whole images are
    then drawn. Confidences are counted in at most MAX_CONFIDENCE_BINS bins, within which they count as equal. The metrics of all resamples
    are shifted by the difference that this makes to the metrics of the original data, and clipped to [0, 1].

    Raises ValueError for arrays that failure_metrics refuses, less than 1 resample, or numbers of pixels that do not sum to n.
    """
    confidence, correct = check_confidence_and_correct(confidence, correct)
    require_finite_confidence(confidence)
    rng = np.random.default_rng(seed)
    if pixels_per_image is not None:
        return _bootstrap_images(confidence, correct, check_pixels_per_image(pixels_per_image, len(correct)), resample_count, rng)
    confidence_order = np.argsort(confidence)[::-1]
    first_rank_at_threshold = np.flatnonzero(np.append(True, np.diff(confidence[confidence_order]) != 0))
    error_ranks = np.flatnonzero(~correct[confidence_order])
    error_threshold_indices, first_error_at_threshold = np.unique(
        np.searchsorted(first_rank_at_threshold, error_ranks, side="right") - 1, return_index=True
    )
    metrics_by_block = []
    for sample_counts in iterate_draw_counts(len(correct), len(correct), resample_count, rng):
        sample_counts = sample_counts.take(confidence_order, axis=1)
        error_counts = sample_counts.take(error_ranks, axis=1)
        if len(first_rank_at_threshold) < len(confidence_order):
            sample_counts = np.add.reduceat(sample_counts, first_rank_at_threshold, axis=1)
            error_counts = (
                np.add.reduceat(error_counts, first_error_at_threshold, axis=1) if len(first_error_at_threshold) else error_counts
            )
        metrics_by_block.append(_metrics_from_counts(sample_counts, error_counts, error_threshold_indices))
    return np.concatenate(metrics_by_block)


def _bootstrap_images(
    confidence: Real[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    pixels_per_image: Int[np.ndarray, " images"],
    resample_count: int,
    rng: np.random.Generator,
) -> Float64[np.ndarray, "resamples metrics"]:
    pixel_counts, error_counts = _count_pixels_in_bins(confidence, correct, pixels_per_image)
    error_threshold_indices = np.flatnonzero(error_counts.any(axis=0))
    exact_metric_values = np.array(
        [np.nan if metric_value is None else metric_value for metric_value in failure_metrics(confidence, correct).values()]
    )
    # BLAS multiplies floats only; whole numbers stay exact.
    pixel_counts, error_counts = pixel_counts.astype(float), error_counts[:, error_threshold_indices].astype(float)
    binning_correction = (
        exact_metric_values
        - _metrics_from_counts(_sum_over_images(pixel_counts), _sum_over_images(error_counts), error_threshold_indices)[0]
    )
    metrics_by_block = []
    for image_draw_counts in iterate_draw_counts(len(pixels_per_image), pixel_counts.shape[1], resample_count, rng):
        image_weights = image_draw_counts.astype(float)
        metrics_by_block.append(
            _metrics_from_counts(
                (image_weights @ pixel_counts).astype(np.int64), (image_weights @ error_counts).astype(np.int64), error_threshold_indices
            )
        )
    return np.clip(np.concatenate(metrics_by_block) + np.nan_to_num(binning_correction), 0, 1)


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


def _metrics_from_counts(
    sample_counts: Int[np.ndarray, "b thresholds"], error_counts: Int[np.ndarray, "b e"], error_threshold_indices: Int[np.ndarray, " e"]
) -> Float64[np.ndarray, "b metrics"]:
    """Return the failure metrics of b resamples, float64 (b, 11), in the order of METRICS, from counts at each confidence threshold.

    sample_counts: (b, thresholds) number of samples of each resample at each threshold, from the highest threshold on
    error_threshold_indices: (e,) indices of those thresholds at which the original data has an error
    error_counts: (b, e) number of errors of each resample at these thresholds
    """
    samples_accepted, errors_accepted = sample_counts.cumsum(axis=1), np.pad(error_counts.cumsum(axis=1), ((0, 0), (1, 0)))
    n_samples, n_errors = samples_accepted[:, -1:], errors_accepted[:, -1:]
    n_correct = n_samples - n_errors
    # For each threshold, the number of error thresholds at or above it.
    error_thresholds_reached = np.searchsorted(error_threshold_indices, np.arange(sample_counts.shape[1]), side="right")
    correct_accepted = samples_accepted - errors_accepted.take(error_thresholds_reached, axis=1)
    success_counts = np.diff(correct_accepted, axis=1, prepend=0)
    success_precision_sum = (success_counts * (correct_accepted / np.maximum(samples_accepted, 1))).sum(axis=1, keepdims=True)
    index_at_95_tpr = (20 * correct_accepted < 19 * n_correct).sum(axis=1, keepdims=True)
    false_positives = np.take_along_axis(errors_accepted, error_thresholds_reached[index_at_95_tpr], axis=1)

    samples_tied = sample_counts[:, error_threshold_indices]
    samples_above = samples_accepted[:, error_threshold_indices] - samples_tied
    discordant_pairs = (error_counts * (2 * (n_correct - samples_above) - samples_tied + error_counts + 2 * errors_accepted[:, :-1])).sum(
        axis=1, keepdims=True
    )
    error_precision_sum = (error_counts * ((n_errors - errors_accepted[:, :-1]) / np.maximum(n_samples - samples_above, 1))).sum(
        axis=1, keepdims=True
    )
    is_error_drawn = error_counts > 0
    risk_sums = np.zeros(error_counts.shape)
    risk_sums[is_error_drawn] = error_counts[is_error_drawn] * expected_risk_contribution(
        samples_above[is_error_drawn], samples_tied[is_error_drawn], np.broadcast_to(n_samples, is_error_drawn.shape)[is_error_drawn]
    )
    aurc = np.minimum(risk_sums.sum(axis=1, keepdims=True) / n_samples, 1)
    n_at_80_coverage = -(-4 * n_samples // 5)
    errors_at_80_coverage = (error_counts * np.clip((n_at_80_coverage - samples_above) / np.maximum(samples_tied, 1), 0, 1)).sum(
        axis=1, keepdims=True
    )
    samples_above_or_all = np.concatenate([samples_above, n_samples], axis=1)
    optimal_aurc = (
        n_errors * expected_risk_contribution(np.where(n_errors > 0, n_correct, 0), np.maximum(n_errors, 1), n_samples) / n_samples
    )
    nan_without_both_outcomes = np.where((n_correct > 0) & (n_errors > 0), 1, np.nan)
    with np.errstate(invalid="ignore"):  # 0 / 0 gives NaN: the metric is undefined
        metric_columns = (
            n_correct / n_samples,
            false_positives / (n_errors * nan_without_both_outcomes),
            error_precision_sum / n_errors,
            success_precision_sum / n_correct,
            1 - discordant_pairs / (2 * n_correct * n_errors * nan_without_both_outcomes),
            aurc,
            np.where(discordant_pairs > 0, np.maximum(aurc - optimal_aurc, 0), 0),
            (discordant_pairs + n_errors**2) / (2 * n_samples**2),
            errors_at_80_coverage / n_at_80_coverage,
            *(
                max_accepted_at_risk(samples_above_or_all, errors_accepted, target_risk)[:, None] / n_samples
                for target_risk in TARGET_RISKS
            ),
        )
    return np.concatenate(metric_columns, axis=1)


def _sum_over_images(counts_by_image: Real[np.ndarray, "images bins"]) -> Int64[np.ndarray, "1 bins"]:
    """Return the sum over all images of their counts in each bin of confidence: (images, bins) -> int64 (1, bins)."""
    return counts_by_image.sum(axis=0, keepdims=True, dtype=np.int64)
