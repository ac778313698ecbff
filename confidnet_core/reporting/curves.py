"""Curves, histograms and reliability diagrams of a score as data frames, shared by `dvc plots`, the report page and the figures."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

DEFAULT_HISTOGRAM_BINS = 25
HISTOGRAM_FRACTION_TICKS = (0, 0.05, 0.2, 0.5, 1)  # tick positions on the square-root axis of a histogram
MIN_PREDICTIONS_PER_BIN, MIN_FRACTION_PER_BIN = 20, 0.001  # predictions, and their fraction, that a bin of a reliability diagram must hold
MAX_SAMPLES_FOR_BIN_EDGES = 1_000_000  # for histogram edges: as accurate as all pixels of a test set, in a tenth of the time


def curve_rows(
    benchmark: str, seed: int, method: str, x: np.ndarray, y: np.ndarray, axis_names: tuple[str, str], max_curve_points: int = 200
) -> pd.DataFrame:
    """Return a curve as a data frame for DVC's `methods` plot, with at most `max_curve_points` points, both ends kept.

    x, y: arrays (n,), which become the columns `axis_names`; points where one of them is not finite are left out
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    finite_indices = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    kept_indices = finite_indices[np.linspace(0, len(finite_indices) - 1, min(max_curve_points, len(finite_indices))).round().astype(int)]
    return pd.DataFrame(
        {"benchmark": benchmark, "seed": seed, "method": method, axis_names[0]: x[kept_indices], axis_names[1]: y[kept_indices]}
    )


def histogram_rows(
    benchmark: str,
    seed: int,
    method: str,
    confidence: np.ndarray,
    correct: np.ndarray,
    weights: np.ndarray | None = None,
    bin_count: int = DEFAULT_HISTOGRAM_BINS,
) -> pd.DataFrame:
    """Return the histograms of confidence for correct predictions and for errors as a data frame for DVC's `histogram` plot.

    confidence: array (n,), higher is more confident; correct: bool array (n,); weights: (n,) whole numbers of predictions, None for 1 each
    Columns: `outcome` ("correct" or "error"), a bin from `confidence` to `confidence_to`, its `count`, and `share`, the fraction of the
    outcome's predictions that lie in this bin, in [0, 1].
    """
    bin_edges, correct_counts, error_counts = outcome_histogram(confidence, correct, weights, bin_count)
    bin_counts = np.concatenate([correct_counts, error_counts])
    return pd.DataFrame(
        {
            "benchmark": benchmark,
            "seed": seed,
            "method": method,
            "outcome": np.repeat(["correct", "error"], bin_count),
            "confidence": np.tile(bin_edges[:-1], 2),
            "confidence_to": np.tile(bin_edges[1:], 2),
            "count": bin_counts,
            "share": bin_counts / np.repeat([max(correct_counts.sum(), 1), max(error_counts.sum(), 1)], bin_count),
        }
    )


def outcome_histogram(
    confidence: np.ndarray, correct: np.ndarray, weights: np.ndarray | None = None, bin_count: int = DEFAULT_HISTOGRAM_BINS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return bin edges of confidence (bin_count + 1,) and the numbers of correct predictions and of errors in each bin, both (bin_count,).

    The edges span the central 99 % of each outcome, so that few errors stay visible beside many correct predictions; values beyond are
    counted in the outermost bins.
    weights: (n,) whole numbers, how many predictions each element stands for; None for 1 each
    Raises ValueError for confidences that are not finite, and where they are not as many as the outcomes.
    """
    confidence, correct = np.asarray(confidence), np.asarray(correct, dtype=bool)
    if confidence.ndim != 1 or confidence.shape != correct.shape or not len(confidence) or not np.isfinite(confidence).all():
        input_shapes_in_words = f"{confidence.shape} (finite: {np.isfinite(confidence).sum()}) and {correct.shape}"
        raise ValueError(
            f"expected as many finite confidences as outcomes, at least one; got {input_shapes_in_words}; check the score that gave them"
        )
    confidence_by_outcome = confidence[correct], confidence[~correct]
    weights_by_outcome = (None, None) if weights is None else (weights[correct], weights[~correct])
    bin_edges = np.linspace(*_central_confidence_range(zip(confidence_by_outcome, weights_by_outcome, strict=True)), bin_count + 1)
    bins_per_unit = bin_count / (bin_edges[-1] - bin_edges[0])
    bin_indices = (
        np.clip((outcome_confidence - bin_edges[0]) * bins_per_unit, 0, bin_count - 1).astype(np.intp)
        for outcome_confidence in confidence_by_outcome
    )
    correct_counts, error_counts = (
        np.bincount(indices, outcome_weights, bin_count).astype(np.int64)
        for indices, outcome_weights in zip(bin_indices, weights_by_outcome, strict=True)
    )
    return bin_edges, correct_counts, error_counts


def reliability_rows(reliability_bins: pd.DataFrame) -> pd.DataFrame:
    """Return the bins of a reliability diagram after merging neighbours, so that each holds enough predictions.

    Each merged bin holds at least MIN_PREDICTIONS_PER_BIN and MIN_FRACTION_PER_BIN; a remainder at the upper end joins the last bin.
    reliability_bins: columns `probability`, `accuracy` and `count`, from low to high, as the stage `thresholds` stores them in
    reliability.csv; the merged means are weighted by count.
    """
    bin_counts = reliability_bins["count"].to_numpy()
    min_predictions_in_merged_bin = max(MIN_PREDICTIONS_PER_BIN, MIN_FRACTION_PER_BIN * reliability_bins["count"].sum())
    merged_bin_index, predictions_in_merged_bin, merged_bin_indices = 0, 0, []
    for predictions_in_bin in bin_counts:
        if predictions_in_merged_bin >= min_predictions_in_merged_bin:
            merged_bin_index, predictions_in_merged_bin = merged_bin_index + 1, 0
        merged_bin_indices.append(merged_bin_index)
        predictions_in_merged_bin += predictions_in_bin
    merged_bin_indices = np.array(merged_bin_indices, dtype=int)
    if predictions_in_merged_bin < min_predictions_in_merged_bin and merged_bin_index:
        merged_bin_indices[merged_bin_indices == merged_bin_index] = merged_bin_index - 1
    weighted_sums = reliability_bins[["probability", "accuracy"]].mul(bin_counts, axis=0).groupby(merged_bin_indices).sum()
    merged_counts = reliability_bins["count"].groupby(merged_bin_indices).sum()
    return weighted_sums.div(merged_counts, axis=0).assign(count=merged_counts).reset_index(drop=True)


def _central_confidence_range(outcomes: Iterable[tuple[np.ndarray, np.ndarray | None]]) -> tuple[float, float]:
    """Return the lowest and the highest confidence of the central 99 % of both outcomes, given as confidences with their weights."""
    percentiles = np.array(
        [
            _central_percentiles(confidence, weights)
            for confidence, weights in outcomes
            if len(confidence if weights is None else weights[weights > 0])
        ]
    )
    lowest_confidence, highest_confidence = percentiles[:, 0].min(), percentiles[:, 1].max()
    largest_magnitude = max(abs(lowest_confidence), abs(highest_confidence), 1e-12)
    # A confidence that is constant, up to rounding, still needs bins of positive width.
    return (
        (lowest_confidence, highest_confidence)
        if highest_confidence - lowest_confidence > 1e-9 * largest_magnitude
        else (lowest_confidence - largest_magnitude / 2, highest_confidence + largest_magnitude / 2)
    )


def _central_percentiles(confidence: np.ndarray, weights: np.ndarray | None) -> tuple[float, float]:
    """Return the 0.5th and the 99.5th percentile of confidences (n,) with whole weights (n,), or of a thinned sample without weights."""
    if weights is None:
        thinned = confidence[:: max(len(confidence) // MAX_SAMPLES_FOR_BIN_EDGES, 1)].astype(np.float64)
        low, high = np.percentile(thinned, (0.5, 99.5))
        return float(low), float(high)
    order = np.argsort(confidence, kind="stable")
    weight_up_to = np.cumsum(weights[order])
    low, high = confidence[order][np.searchsorted(weight_up_to, np.array([0.005, 0.995]) * weight_up_to[-1])]
    return float(low), float(high)
