"""Curves, histograms and reliability diagrams of a score as table rows, shared by `dvc plots`, the report page and the figures."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

HISTOGRAM_BINS = 25
SHARE_TICKS = (0, 0.05, 0.2, 0.5, 1)  # tick positions on the square-root axis of a histogram
MIN_BIN_COUNT, MIN_BIN_SHARE = 20, 0.001  # predictions, and their fraction, that a bin of a reliability diagram must hold
MAX_SAMPLES = 1_000_000  # for histogram edges: as accurate as all pixels of a test set, in a tenth of the time


def curve_rows(
    benchmark: str, seed: int, method: str, x: np.ndarray, y: np.ndarray, names: tuple[str, str], points: int = 200
) -> pd.DataFrame:
    """Return a curve (n,), (n,) as rows for DVC's `methods` plot, thinned to POINTS with both ends kept and undefined points left out."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    defined = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    chosen = defined[np.linspace(0, len(defined) - 1, min(points, len(defined))).round().astype(int)]
    return pd.DataFrame({"benchmark": benchmark, "seed": seed, "method": method, names[0]: x[chosen], names[1]: y[chosen]})


def histogram_rows(
    benchmark: str, seed: int, method: str, confidence: np.ndarray, correct: np.ndarray, bins: int = HISTOGRAM_BINS
) -> pd.DataFrame:
    """Return the confidence histogram of outcomes (n,) as rows for DVC's `histogram` plot.

    Columns: `outcome` ("correct" or "error"), a bin from `confidence` to `confidence_to`, its `count`, and `share`, the fraction of the
    outcome in this bin, in [0, 1].
    """
    edges, correct_counts, error_counts = outcome_bins(confidence, correct, bins)
    counts = np.concatenate([correct_counts, error_counts])
    return pd.DataFrame(
        {
            "benchmark": benchmark,
            "seed": seed,
            "method": method,
            "outcome": np.repeat(["correct", "error"], bins),
            "confidence": np.tile(edges[:-1], 2),
            "confidence_to": np.tile(edges[1:], 2),
            "count": counts,
            "share": counts / np.repeat([max(correct_counts.sum(), 1), max(error_counts.sum(), 1)], bins),
        }
    )


def outcome_bins(confidence: np.ndarray, correct: np.ndarray, bins: int = HISTOGRAM_BINS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return bin edges (bins + 1,) and the numbers of correct predictions (bins,) and of errors (bins,) per bin.

    The edges span the central 99 % of each outcome, so that few errors stay visible beside many correct predictions; values beyond are
    counted in the outermost bins. ValueError for confidences that are not finite or not as many as the outcomes.
    """
    confidence, correct = np.asarray(confidence), np.asarray(correct, dtype=bool)
    if confidence.ndim != 1 or confidence.shape != correct.shape or not len(confidence) or not np.isfinite(confidence).all():
        received = f"{confidence.shape} (finite: {np.isfinite(confidence).sum()}) and {correct.shape}"
        raise ValueError(f"expected as many finite confidences as outcomes, at least one; got {received}; check the score that gave them")
    outcomes = confidence[correct], confidence[~correct]
    edges = np.linspace(*_central_range(outcomes), bins + 1)
    scale = bins / (edges[-1] - edges[0])
    bin_indices = (np.clip((values - edges[0]) * scale, 0, bins - 1).astype(np.intp) for values in outcomes)
    correct_counts, error_counts = (np.bincount(indices, minlength=bins) for indices in bin_indices)
    return edges, correct_counts, error_counts


def reliability_rows(bins: pd.DataFrame) -> pd.DataFrame:
    """Merge neighbouring BINS from low to high until each holds enough predictions: at least MIN_BIN_COUNT and MIN_BIN_SHARE of all.

    A remainder at the upper end joins the last bin. bins: columns `probability`, `accuracy` and `count`, as `evaluate` stores them in
    reliability.csv, from low to high; the merged means are weighted by count.
    """
    counts, min_count = bins["count"].to_numpy(), max(MIN_BIN_COUNT, MIN_BIN_SHARE * bins["count"].sum())
    group, group_count, groups = 0, 0, []
    for count in counts:
        if group_count >= min_count:
            group, group_count = group + 1, 0
        groups.append(group)
        group_count += count
    groups = np.array(groups, dtype=int)
    if group_count < min_count and group:
        groups[groups == group] = group - 1
    totals = bins[["probability", "accuracy"]].mul(counts, axis=0).groupby(groups).sum()
    merged = bins["count"].groupby(groups).sum()
    return totals.div(merged, axis=0).assign(count=merged).reset_index(drop=True)


def _central_range(outcomes: Iterable[np.ndarray]) -> tuple[float, float]:
    samples = (values[:: max(len(values) // MAX_SAMPLES, 1)].astype(np.float64) for values in outcomes if len(values))
    limits = np.array([np.percentile(values, (0.5, 99.5)) for values in samples])
    low, high = limits[:, 0].min(), limits[:, 1].max()
    scale = max(abs(low), abs(high), 1e-12)
    # A confidence that is constant, up to rounding, still needs bins of positive width.
    return (low, high) if high - low > 1e-9 * scale else (low - scale / 2, high + scale / 2)
