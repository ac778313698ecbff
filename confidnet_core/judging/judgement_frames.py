"""Data frames of a judgement: metrics by score, differences between scores, and thresholds."""

import pandas as pd

from confidnet_core.comparison.results import Results
from confidnet_core.comparison.study import Comparison
from confidnet_core.comparison.uncertainty import TOO_FEW_SUCCESSES, TOO_FEW_UNITS, insufficiency
from confidnet_core.evaluation.intervals import METRICS_WITHOUT_INTERVAL
from confidnet_core.evaluation.result import METRICS

SIGNIFICANCE_COLUMNS = ["method", "against", "metric", "difference", "low", "high", "p", "p_corrected", "verdict"]
# Correct predictions that are too few are units with one that are too few: there is no verdict of its own for them.
VERDICT_BY_INSUFFICIENCY = {TOO_FEW_SUCCESSES: TOO_FEW_UNITS}


def table_frame(comparison: Comparison) -> pd.DataFrame:
    """Return the metrics with their intervals, one row per score, in the order of the scores; undefined values are NaN."""
    rows = comparison.evaluations_with_intervals().set_index("method")
    interval_columns = [f"{metric}_{end}" for metric in METRICS for end in ("low", "high")]
    return rows[[*METRICS, *(column for column in interval_columns if column in rows)]]


def significance_frame(comparison: Comparison) -> pd.DataFrame:
    """Return the differences with SIGNIFICANCE_COLUMNS, of the metrics that have a test, one row per pair of scores and metric.

    Where there is too little data, differences have neither interval nor p, and the verdict says what is too few.
    """
    rows = comparison.difference_rows
    rows = rows[~rows["metric"].isin(METRICS_WITHOUT_INTERVAL)].reset_index(drop=True)
    if too_little := insufficiency(comparison.evaluation_rows):
        rows = rows.assign(verdict=VERDICT_BY_INSUFFICIENCY.get(too_little.verdict, too_little.verdict))
    return rows[SIGNIFICANCE_COLUMNS]


def thresholds_frame(results: Results) -> pd.DataFrame:
    """Return a row for each compared score and target risk: the threshold, or the reason for none, and its results on the test split."""
    rows = []
    for method in results.compared_methods():
        for guarantee in results.guarantees(method):
            on_test = {f"test_{key}": value for key, value in guarantee["test"].items()}
            rows.append({"method": method, **_without_keys(guarantee, "test", "served"), **on_test})
    return pd.DataFrame(rows)


def _without_keys(mapping: dict, *keys: str) -> dict:
    return {key: value for key, value in mapping.items() if key not in keys}
