"""Curves, histograms and reliability diagrams of a score as rows: for `dvc plots`, and for the page and pictures, which draw the same."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

BINS = 25  # of a histogram, wherever it is drawn
SHARE_TICKS = (0, 0.05, 0.2, 0.5, 1)  # on the square-root axis of a histogram, from 0 to 1
MIN_BIN_COUNT, MIN_BIN_SHARE = 20, 0.001  # of the predictions: what a bin of a reliability diagram holds at least
MAX_SAMPLES = 1_000_000  # they place the edges of a histogram as well as all pixels of a test set do, and in a tenth of the time


def curve_rows(
    benchmark: str, seed: int, method: str, x: np.ndarray, y: np.ndarray, names: tuple[str, str], points: int = 200
) -> pd.DataFrame:
    """A curve (n,), (n,) as rows for DVC's `methods` plot: thinned to POINTS with both ends kept, undefined points left out."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    defined = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    kept = defined[np.linspace(0, len(defined) - 1, min(points, len(defined))).round().astype(int)]
    return pd.DataFrame({"benchmark": benchmark, "seed": seed, "method": method, names[0]: x[kept], names[1]: y[kept]})


def histogram_rows(benchmark: str, seed: int, method: str, confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> pd.DataFrame:
    """Outcomes (n,) as rows for DVC's `histogram` plot: `outcome` "correct" or "error", a bin from `confidence` to `confidence_to`, its
    count, and `share`, the fraction of the outcome that it holds, in [0, 1]."""
    edges, right, wrong = outcome_bins(confidence, correct, bins)
    counts = np.concatenate([right, wrong])
    return pd.DataFrame(
        {
            "benchmark": benchmark,
            "seed": seed,
            "method": method,
            "outcome": np.repeat(["correct", "error"], bins),
            "confidence": np.tile(edges[:-1], 2),
            "confidence_to": np.tile(edges[1:], 2),
            "count": counts,
            "share": counts / np.repeat([max(right.sum(), 1), max(wrong.sum(), 1)], bins),
        }
    )


def outcome_bins(confidence: np.ndarray, correct: np.ndarray, bins: int = BINS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges (bins + 1,) and the numbers of correct predictions (bins,) and of errors (bins,) between them.

    The edges span the central 99% of either outcome, so that few errors are not lost among many correct predictions; what lies beyond is
    counted in the outermost bins. ValueError for confidences that are not finite, or not as many as there are outcomes.
    """
    confidence, correct = np.asarray(confidence), np.asarray(correct, dtype=bool)
    if confidence.ndim != 1 or confidence.shape != correct.shape or not len(confidence) or not np.isfinite(confidence).all():
        given = f"{confidence.shape} (finite: {np.isfinite(confidence).sum()}) and {correct.shape}"
        raise ValueError(f"expected as many finite confidences as outcomes, at least one; got {given}; check the score that gave them")
    outcomes = confidence[correct], confidence[~correct]
    edges = np.linspace(*_central(outcomes), bins + 1)
    scale = bins / (edges[-1] - edges[0])
    cells = (np.clip((values - edges[0]) * scale, 0, bins - 1).astype(np.intp) for values in outcomes)
    right, wrong = (np.bincount(cell, minlength=bins) for cell in cells)
    return edges, right, wrong


def reliability_rows(bins: pd.DataFrame) -> pd.DataFrame:
    """`probability`, `accuracy` and `count` of neighbouring BINS merged from low to high until each holds enough predictions to be judged:
    at least MIN_BIN_COUNT and MIN_BIN_SHARE of all. What is left over at the upper end joins the last.

    bins: with these columns, as `evaluate` stores them in reliability.csv, from low to high; means are weighted by count
    """
    counts, least = bins["count"].to_numpy(), max(MIN_BIN_COUNT, MIN_BIN_SHARE * bins["count"].sum())
    group, held, groups = 0, 0, []
    for count in counts:
        if held >= least:
            group, held = group + 1, 0
        groups.append(group)
        held += count
    groups = np.array(groups, dtype=int)
    if held < least and group:
        groups[groups == group] = group - 1
    totals = bins[["probability", "accuracy"]].mul(counts, axis=0).groupby(groups).sum()
    merged = bins["count"].groupby(groups).sum()
    return totals.div(merged, axis=0).assign(count=merged).reset_index(drop=True)


def _central(outcomes: Iterable[np.ndarray]) -> tuple[float, float]:
    samples = (values[:: max(len(values) // MAX_SAMPLES, 1)].astype(np.float64) for values in outcomes if len(values))
    limits = np.array([np.percentile(values, (0.5, 99.5)) for values in samples])
    low, high = limits[:, 0].min(), limits[:, 1].max()
    scale = max(abs(low), abs(high), 1e-12)
    # A constant confidence, or one that differs by rounding alone, still needs bins of some width.
    return (low, high) if high - low > 1e-9 * scale else (low - scale / 2, high + scale / 2)
