"""Bootstrap percentile intervals of metrics over resamples of the test split: Efron & Tibshirani 1993, chapter 13."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float

from confidnet_core.metrics import METRICS


def metric_intervals(replicates_by_row_key: Mapping[tuple, np.ndarray], interval_level: float, row_key_names: list[str]) -> pd.DataFrame:
    """Return a table of bootstrap intervals of the failure metrics, with columns <metric>_low and <metric>_high.

    Low and high are the ends of the central interval that holds the fraction `interval_level`, such as 0.95, of the resamples. Resamples in
    which a metric is undefined are left out; where a metric is undefined in all of them, the ends are NaN.
    replicates_by_row_key: {key: metrics on each bootstrap resample (resamples, metrics)}; each key, a tuple, gives one line of the table
    row_key_names: the names of the elements of a key, such as ["benchmark", "method"]
    """
    interval_ends = [central_interval(metric_replicates, interval_level).T.ravel() for metric_replicates in replicates_by_row_key.values()]
    interval_column_names = [f"{metric}_{interval_end}" for metric in METRICS for interval_end in ("low", "high")]
    return pd.DataFrame(
        interval_ends, index=pd.MultiIndex.from_tuples(replicates_by_row_key, names=row_key_names), columns=interval_column_names
    )


def standard_errors(replicates: Float[np.ndarray, "resamples metrics"]) -> dict[str, float | None]:
    """Return METRIC -> bootstrap standard error: the standard deviation of its replicates; None for fewer than two defined replicates.

    Efron & Tibshirani 1993, equation 6.6. Resamples in which a metric is undefined are left out.
    """
    defined_replicate_counts = np.sum(~np.isnan(replicates), axis=0)
    return {
        metric: float(np.nanstd(replicates[:, index].astype(np.float64), ddof=1)) if defined_replicate_counts[index] > 1 else None
        for index, metric in enumerate(METRICS)
    }


def central_interval(metric_replicates: Float[np.ndarray, "resamples metrics"], interval_level: float) -> Float[np.ndarray, "2 metrics"]:
    """Return the lower and upper end, (2, metrics), of each metric's central interval over bootstrap resamples.

    metric_replicates: (resamples, metrics) the metrics on each resample; NaN, an undefined metric, is left out
    interval_level: the fraction of the resamples inside the interval, such as 0.95
    """
    interval_ends = np.full((2, metric_replicates.shape[1]), np.nan)
    is_metric_defined = ~np.isnan(metric_replicates).all(axis=0)
    interval_ends[:, is_metric_defined] = np.nanquantile(
        metric_replicates[:, is_metric_defined].astype(np.float64), [(1 - interval_level) / 2, (1 + interval_level) / 2], axis=0
    )
    return interval_ends
