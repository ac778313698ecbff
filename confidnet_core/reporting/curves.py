"""Curves and histograms of a score as rows for `dvc plots`."""

import numpy as np
import pandas as pd

from confidnet_core.reporting.plots import outcome_bins


def curve_rows(
    benchmark: str, seed: int, method: str, x: np.ndarray, y: np.ndarray, names: tuple[str, str], points: int = 200
) -> pd.DataFrame:
    """A curve (n,), (n,) as rows for DVC's `methods` plot: thinned to POINTS with both ends kept, undefined points left out."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    defined = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    kept = defined[np.linspace(0, len(defined) - 1, min(points, len(defined))).round().astype(int)]
    return pd.DataFrame({"benchmark": benchmark, "seed": seed, "method": method, names[0]: x[kept], names[1]: y[kept]})


def histogram_rows(benchmark: str, seed: int, method: str, confidence: np.ndarray, correct: np.ndarray, bins: int = 40) -> pd.DataFrame:
    """Outcomes (n,) as rows for DVC's `histogram` plot: a bin from `confidence` to `confidence_to`, its count, its share of the outcome."""
    edges, successes, errors = outcome_bins(confidence, correct, bins)
    counts = np.concatenate([successes, errors])
    return pd.DataFrame(
        {
            "benchmark": benchmark,
            "seed": seed,
            "method": method,
            "outcome": np.repeat(["success", "error"], bins),
            "confidence": np.tile(edges[:-1], 2),
            "confidence_to": np.tile(edges[1:], 2),
            "count": counts,
            "share": counts / np.repeat([max(successes.sum(), 1), max(errors.sum(), 1)], bins),
        }
    )
