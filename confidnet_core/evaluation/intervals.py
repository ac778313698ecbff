"""Bootstrap percentile intervals of metrics over resamples of the test split: Efron & Tibshirani 1993, chapter 13."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float

from confidnet_core.metrics import METRICS


def intervals(replicates: Mapping[tuple, np.ndarray], level: float, names: list[str]) -> pd.DataFrame:
    """Return the metrics' intervals: a table, a line for each key of `replicates`, columns <metric>_low and <metric>_high.

    Low and high are the ends of the central interval that holds the fraction `level` of the replicates. Resamples in which a metric is
    undefined are left out; where a metric is undefined in all of them, the ends are NaN.
    replicates: arrays (resamples, metrics) of `bootstrap`; names: the names of the elements of a key
    """
    interval_rows = [central_interval(values, level).T.ravel() for values in replicates.values()]
    end_columns = [f"{metric}_{end}" for metric in METRICS for end in ("low", "high")]
    return pd.DataFrame(interval_rows, index=pd.MultiIndex.from_tuples(replicates, names=names), columns=end_columns)


def standard_errors(replicates: Float[np.ndarray, "resamples metrics"]) -> dict[str, float | None]:
    """Return METRIC -> bootstrap standard error: the standard deviation of its replicates; None for fewer than two defined replicates.

    Efron & Tibshirani 1993, equation 6.6. Resamples in which a metric is undefined are left out.
    """
    defined_counts = np.sum(~np.isnan(replicates), axis=0)
    return {
        metric: float(np.nanstd(replicates[:, index].astype(np.float64), ddof=1)) if defined_counts[index] > 1 else None
        for index, metric in enumerate(METRICS)
    }


def central_interval(replicates: Float[np.ndarray, "resamples metrics"], level: float) -> Float[np.ndarray, "2 metrics"]:
    """Return the lower and upper end (2, metrics) of the central `level` interval of bootstrap replicates (resamples, metrics)."""
    interval_ends = np.full((2, replicates.shape[1]), np.nan)
    is_defined = ~np.isnan(replicates).all(axis=0)
    interval_ends[:, is_defined] = np.nanquantile(replicates[:, is_defined].astype(np.float64), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return interval_ends
