"""Failure metrics of bootstrap resamples from their numbers of samples and errors at each threshold, for many resamples at once."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float64, Int, Integer
from numpy.typing import ArrayLike

from confidnet_core.metrics._draws.groups import GROUP_COUNT, iterate_bundle_draws, sum_bundles
from confidnet_core.metrics._ranking.risk import TARGET_RISKS, expected_risk_contribution, max_accepted_at_risk

Block = TypeVar("Block")


def metrics_of_group_draws(
    sample_counts: Int[np.ndarray, "groups cells"],
    error_counts: Int[np.ndarray, "groups cells"],
    metric_values: ArrayLike,
    resample_count: int,
    seed: int,
) -> Float64[np.ndarray, "resamples metrics"]:
    """Return the failure metrics of resamples of groups: float64 (resamples, metrics), in the order of METRICS; NaN if undefined.

    sample_counts, error_counts: (groups, cells) the numbers of samples and errors of each group in each cell, the highest cell first
    metric_values: (metrics,) the exact metrics of all samples, NaN where undefined. All resamples are shifted by their differences from the
    metrics of the cells, and clipped to [0, 1].
    """
    if len(sample_counts) != GROUP_COUNT:
        raise ValueError(f"there are {len(sample_counts)} groups; expected {GROUP_COUNT}")
    is_filled = sample_counts.any(axis=0)
    sample_counts, error_counts = sample_counts[:, is_filled], error_counts[:, is_filled]
    error_cells = np.flatnonzero(error_counts.any(axis=0))
    error_counts = error_counts[:, error_cells]
    sample_totals, error_totals = (counts.sum(axis=0, keepdims=True, dtype=np.int64) for counts in (sample_counts, error_counts))
    correction = np.nan_to_num(np.asarray(metric_values, np.float64) - metrics_from_counts(sample_totals, error_totals, error_cells)[0])
    order_of_sums, sums = None, (np.empty(0), np.empty(0))

    def resampled_counts():
        nonlocal order_of_sums, sums
        for group_order, draws in iterate_bundle_draws(resample_count, seed):
            if group_order is not order_of_sums:
                order_of_sums, sums = group_order, (sum_bundles(sample_counts, group_order), sum_bundles(error_counts, group_order))
            weights = draws.astype(np.float64)
            yield (weights @ sums[0]).astype(np.int64), (weights @ sums[1]).astype(np.int64)

    metrics = map_in_threads(lambda counts: metrics_from_counts(counts[0], counts[1], error_cells), resampled_counts())
    return np.clip(np.concatenate(metrics) + correction, 0, 1)


def count_in_cells(
    groups: Integer[np.ndarray, " n"], cells: Integer[np.ndarray, " n"], correct: Bool[np.ndarray, " n"], cell_count: int
) -> tuple[Int[np.ndarray, "groups cells"], Int[np.ndarray, "groups cells"]]:
    """Return the numbers of samples and of errors of each group in each cell, the highest cell first: two integer (groups, cells).

    groups, cells: (n,) the group of each sample and its cell, 0 the lowest; correct: (n,) bool
    """
    flat_indices, shape = groups.astype(np.int64) * cell_count + (cell_count - 1 - cells), (GROUP_COUNT, cell_count)
    sample_counts = np.bincount(flat_indices, minlength=GROUP_COUNT * cell_count).astype(np.int32)
    error_counts = np.bincount(flat_indices[~correct], minlength=GROUP_COUNT * cell_count).astype(np.int32)
    return sample_counts.reshape(shape), error_counts.reshape(shape)


def map_in_threads(function: Callable[[Block], np.ndarray], blocks: Iterable[Block]) -> list[np.ndarray]:
    """Return the results of `function` for all blocks, in their order, computed by as many threads as this process has cores.

    Blocks are drawn in this thread, and no more of them are held than there are threads: NumPy releases the lock while it computes.
    """
    thread_count, results, blocks = len(os.sched_getaffinity(0)), [], iter(blocks)
    with ThreadPoolExecutor(thread_count) as pool:
        while waiting := list(islice(blocks, 2 * thread_count)):
            results += pool.map(function, waiting)
    return results


def metrics_from_counts(
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
