"""Nonparametric bootstrap of the failure metrics: how far they would vary over other test sets of the same size.

Efron & Tibshirani 1993, "An Introduction to the Bootstrap". Samples are drawn with replacement, or for segmentation images with all
their pixels, because errors of neighbouring pixels are correlated. The draws depend on the seed and the number of samples or images
alone, so scores of the same predictions are evaluated on the same resamples and their differences are paired.
"""

import numpy as np
from jaxtyping import Bool, Float64, Int, Int64, Real
from numpy.typing import ArrayLike

from confidnet_core.metrics import failure_metrics
from confidnet_core.metrics._draws import check_sizes, resample_counts
from confidnet_core.metrics._ranking.risk import TARGET_RISKS, expected_risk_contribution, max_accepted_at_risk
from confidnet_core.metrics._ranking.samples import check_samples, require_finite

MAX_CELLS = 4096  # intervals of confidence into which the pixels of images are counted


def bootstrap(
    confidence: ArrayLike, correct: ArrayLike, *, resamples: int, seed: int, sizes: ArrayLike | None = None
) -> Float64[np.ndarray, "resamples metrics"]:
    """Compute the metrics of METRICS for each resample: float64 (resamples, metrics), NaN where a metric is undefined.

    confidence, correct: as for failure_metrics; without sizes a row is, up to rounding, failure_metrics of the resample
    sizes: (images,) number of pixels of each image, in the order of the values; whole images are then resampled. Confidences are counted
    in at most MAX_CELLS cells and treated as equal within one; all rows are shifted by the difference that this makes to the metrics of
    the original data, and clipped to [0, 1].
    ValueError as from failure_metrics, for less than 1 resample, and for sizes that do not sum to n.
    """
    confidence, correct = check_samples(confidence, correct)
    require_finite(confidence)
    rng = np.random.default_rng(seed)
    if sizes is not None:
        return _bootstrap_images(confidence, correct, check_sizes(sizes, len(correct)), resamples, rng)
    confidence_order = np.argsort(confidence)[::-1]
    threshold_starts = np.flatnonzero(np.append(True, np.diff(confidence[confidence_order]) != 0))
    error_ranks = np.flatnonzero(~correct[confidence_order])
    error_thresholds, error_starts = np.unique(np.searchsorted(threshold_starts, error_ranks, side="right") - 1, return_index=True)
    metrics_of_blocks = []
    for counts in resample_counts(len(correct), len(correct), resamples, rng):
        counts = counts.take(confidence_order, axis=1)
        error_counts = counts.take(error_ranks, axis=1)
        if len(threshold_starts) < len(confidence_order):
            counts = np.add.reduceat(counts, threshold_starts, axis=1)
            error_counts = np.add.reduceat(error_counts, error_starts, axis=1) if len(error_starts) else error_counts
        metrics_of_blocks.append(_metrics_from_counts(counts, error_counts, error_thresholds))
    return np.concatenate(metrics_of_blocks)


def _bootstrap_images(
    confidence: Real[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    sizes: Int[np.ndarray, " images"],
    resamples: int,
    rng: np.random.Generator,
) -> Float64[np.ndarray, "resamples metrics"]:
    counts, error_counts = _count_in_cells(confidence, correct, sizes)
    error_thresholds = np.flatnonzero(error_counts.any(axis=0))
    exact_metrics = np.array([np.nan if value is None else value for value in failure_metrics(confidence, correct).values()])
    # BLAS multiplies floats only; whole numbers stay exact.
    counts, error_counts = counts.astype(float), error_counts[:, error_thresholds].astype(float)
    counting_correction = (
        exact_metrics - _metrics_from_counts(_sum_over_images(counts), _sum_over_images(error_counts), error_thresholds)[0]
    )
    metrics_of_blocks = []
    for draws in resample_counts(len(sizes), counts.shape[1], resamples, rng):
        image_weights = draws.astype(float)
        metrics_of_blocks.append(
            _metrics_from_counts(
                (image_weights @ counts).astype(np.int64), (image_weights @ error_counts).astype(np.int64), error_thresholds
            )
        )
    return np.clip(np.concatenate(metrics_of_blocks) + np.nan_to_num(counting_correction), 0, 1)


def _count_in_cells(
    confidence: Real[np.ndarray, " n"], correct: Bool[np.ndarray, " n"], sizes: Int[np.ndarray, " images"]
) -> tuple[Int64[np.ndarray, "images cells"], Int64[np.ndarray, "images cells"]]:
    """Count the pixels and the errors of each image by cell (interval of confidence), highest first: two int64 (images, cells)."""
    # Half of the edges follow the distribution of all confidences, half that of the errors; a thinned sample suffices for either.
    thinned_confidences = [values[:: -(-len(values) // (MAX_CELLS * 64)) or 1] for values in (confidence, confidence[~correct])]
    cell_edges = np.unique(np.concatenate([_evenly_spaced_elements(np.sort(values), MAX_CELLS // 2) for values in thinned_confidences]))
    counts = np.zeros((len(sizes), len(cell_edges) + 1), np.int64)
    error_counts = np.zeros_like(counts)
    image_ends = np.cumsum(sizes)
    for image, (start, end) in enumerate(zip(image_ends - sizes, image_ends, strict=True)):
        cell_indices = np.searchsorted(cell_edges, confidence[start:end], side="right")
        counts[image] = np.bincount(cell_indices, minlength=counts.shape[1])[::-1]
        error_counts[image] = np.bincount(cell_indices[~correct[start:end]], minlength=counts.shape[1])[::-1]
    return counts, error_counts


def _evenly_spaced_elements(ranked: Real[np.ndarray, " n"], count: int) -> Real[np.ndarray, " edges"]:
    """Return at most `count` elements of a sorted array, at evenly spaced positions from its first to its last."""
    return ranked[np.linspace(0, len(ranked) - 1, min(count, len(ranked))).astype(np.int64)]


def _metrics_from_counts(
    counts: Int[np.ndarray, "b thresholds"], error_counts: Int[np.ndarray, "b e"], error_thresholds: Int[np.ndarray, " e"]
) -> Float64[np.ndarray, "b metrics"]:
    """Return the failure metrics METRICS, float64 (b, 11), of b resamples, computed from counts at each confidence threshold.

    counts: (b, thresholds) samples of each resample at each threshold, from the highest threshold on
    error_thresholds, error_counts: the indices (e,) of the thresholds at which an error of the data lies, and the errors there (b, e)
    """
    accepted, errors_accepted = counts.cumsum(axis=1), np.pad(error_counts.cumsum(axis=1), ((0, 0), (1, 0)))
    n_samples, n_errors = accepted[:, -1:], errors_accepted[:, -1:]
    n_correct = n_samples - n_errors
    # For each threshold, the number of error thresholds at or above it.
    thresholds_reached = np.searchsorted(error_thresholds, np.arange(counts.shape[1]), side="right")
    correct_accepted = accepted - errors_accepted.take(thresholds_reached, axis=1)
    success_counts = np.diff(correct_accepted, axis=1, prepend=0)
    precision_of_successes = (success_counts * (correct_accepted / np.maximum(accepted, 1))).sum(axis=1, keepdims=True)
    threshold_index = (20 * correct_accepted < 19 * n_correct).sum(axis=1, keepdims=True)
    false_positives = np.take_along_axis(errors_accepted, thresholds_reached[threshold_index], axis=1)

    samples_tied = counts[:, error_thresholds]
    samples_above = accepted[:, error_thresholds] - samples_tied
    discordant_pairs = (error_counts * (2 * (n_correct - samples_above) - samples_tied + error_counts + 2 * errors_accepted[:, :-1])).sum(
        axis=1, keepdims=True
    )
    precision_of_errors = (error_counts * ((n_errors - errors_accepted[:, :-1]) / np.maximum(n_samples - samples_above, 1))).sum(
        axis=1, keepdims=True
    )
    is_drawn = error_counts > 0
    risk_sum = np.zeros(error_counts.shape)
    risk_sum[is_drawn] = error_counts[is_drawn] * expected_risk_contribution(
        samples_above[is_drawn], samples_tied[is_drawn], np.broadcast_to(n_samples, is_drawn.shape)[is_drawn]
    )
    aurc = np.minimum(risk_sum.sum(axis=1, keepdims=True) / n_samples, 1)
    n_at_80_coverage = -(-4 * n_samples // 5)
    errors_at_80_coverage = (error_counts * np.clip((n_at_80_coverage - samples_above) / np.maximum(samples_tied, 1), 0, 1)).sum(
        axis=1, keepdims=True
    )
    samples_above_or_all = np.concatenate([samples_above, n_samples], axis=1)
    optimal_aurc = (
        n_errors * expected_risk_contribution(np.where(n_errors > 0, n_correct, 0), np.maximum(n_errors, 1), n_samples) / n_samples
    )
    both_outcomes = np.where((n_correct > 0) & (n_errors > 0), 1, np.nan)
    with np.errstate(invalid="ignore"):  # 0 / 0 gives NaN: the metric is undefined
        metric_columns = (
            n_correct / n_samples,
            false_positives / (n_errors * both_outcomes),
            precision_of_errors / n_errors,
            precision_of_successes / n_correct,
            1 - discordant_pairs / (2 * n_correct * n_errors * both_outcomes),
            aurc,
            np.where(discordant_pairs > 0, np.maximum(aurc - optimal_aurc, 0), 0),
            (discordant_pairs + n_errors**2) / (2 * n_samples**2),
            errors_at_80_coverage / n_at_80_coverage,
            *(max_accepted_at_risk(samples_above_or_all, errors_accepted, target)[:, None] / n_samples for target in TARGET_RISKS),
        )
    return np.concatenate(metric_columns, axis=1)


def _sum_over_images(counts: Real[np.ndarray, "images cells"]) -> Int64[np.ndarray, "1 cells"]:
    """Return the sum over all images of their counts in each cell (interval of confidence): (images, cells) -> int64 (1, cells)."""
    return counts.sum(axis=0, keepdims=True, dtype=np.int64)
