"""Percentile intervals of metrics over resamples of the test split: Efron & Tibshirani 1993, chapter 13."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Float

from confidnet_core.metrics import METRICS


def intervals(replicates: Mapping[tuple, np.ndarray], level: float, names: list[str]) -> pd.DataFrame:
    """<metric>_low and <metric>_high for each key: the central LEVEL of its replicates, (resamples, metrics) as from `bootstrap`.

    names: of the parts of a key. Resamples in which a metric is undefined are left out; NaN where it always is.
    """
    rows = [central(rows, level).T.ravel() for rows in replicates.values()]
    ends = [f"{metric}_{end}" for metric in METRICS for end in ("low", "high")]
    return pd.DataFrame(rows, index=pd.MultiIndex.from_tuples(replicates, names=names), columns=ends)


def central(rows: Float[np.ndarray, "resamples metrics"], level: float) -> Float[np.ndarray, "2 metrics"]:
    """Lower and upper end (2, metrics) of the central LEVEL interval of bootstrap replicates (resamples, metrics)."""
    ends = np.full((2, rows.shape[1]), np.nan)
    some = ~np.isnan(rows).all(axis=0)
    ends[:, some] = np.nanquantile(rows[:, some].astype(np.float64), [(1 - level) / 2, (1 + level) / 2], axis=0)
    return ends
