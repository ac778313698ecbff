"""Paired differences between methods on the same bootstrap resamples of the test set: intervals, p-values and significance.

Intervals are percentile intervals (Efron & Tibshirani 1993, chapter 13). P-values are corrected for the number of comparisons by Holm's
method (Holm 1979, "A simple sequentially rejective multiple test procedure").
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from confidnet_core.comparison.frames import COLUMN_BY_METRIC, HEADLINE_METRIC, MAIN_COLUMNS, mean_over_seeds
from confidnet_core.comparison.lines import iterate_groups, iterate_rows
from confidnet_core.comparison.main_table import units_in_words
from confidnet_core.comparison.names import display_name
from confidnet_core.comparison.tables import BETTER, NOT_SIGNIFICANT, UNDEFINED, VERDICT_SIGNS, WORSE, Cell, Column, Row, Table, join_names
from confidnet_core.evaluation.intervals import central_interval
from confidnet_core.metrics import METRICS


def mean_replicates(replicates: Mapping[tuple[str, int, str], np.ndarray]) -> dict[tuple[str, str], np.ndarray]:
    """Average bootstrap replicates of the metrics over seeds: {(benchmark, seed, method): array} becomes {(benchmark, method): array}.

    Each mean is over seeds of the same resample of the test set, so its spread is that of the test set, not of trainings.
    """
    replicates_by_pair: dict[tuple[str, str], list[np.ndarray]] = {}
    for (benchmark, _, method), seed_replicates in replicates.items():
        replicates_by_pair.setdefault((benchmark, method), []).append(seed_replicates)
    return {key: np.asarray(np.mean(group, axis=0, dtype=np.float64)) for key, group in replicates_by_pair.items()}


def differences(
    frame: pd.DataFrame, replicates: Mapping[tuple[str, str], np.ndarray], references: Iterable[str], level: float
) -> pd.DataFrame:
    """Compare each method with each reference method: return a data frame with one row per benchmark, pair of methods and metric.

    Both methods of a pair are compared on the same bootstrap resamples. Each pair occurs once. The oracle is left out, and so are
    references
    that `frame` does not hold.

    frame: from `comparison_frame`; replicates: from `mean_replicates`; references: methods to compare with
    level: the confidence level of the intervals, as 0.95

    Columns beside benchmark, method, against, metric, difference, low and high:
    p            twice the fraction of resamples whose difference is 0 or has the other sign
    p_corrected  p after Holm's correction over the pairs of a benchmark and metric
    verdict      better, worse or "no significant difference", as p_corrected < 1 - level decides; NaN where the difference is undefined
    """
    rows = []
    for benchmark, group in iterate_groups(frame[~frame["oracle"]], "benchmark"):
        method_means = mean_over_seeds(group).set_index("method")
        for method, reference in _method_pairs(list(method_means.index), references):
            resampled_differences = replicates[benchmark, method].astype(np.float64) - replicates[benchmark, reference]
            low, high = central_interval(resampled_differences, level)
            for index, metric in enumerate(METRICS[1:], start=1):
                difference, p_value = (
                    method_means[metric][method] - method_means[metric][reference],
                    _bootstrap_p_value(resampled_differences[:, index]),
                )
                rows.append((benchmark, method, reference, metric, difference, low[index], high[index], p_value))
    column_names = ["benchmark", "method", "against", "metric", "difference", "low", "high", "p"]
    difference_frame = pd.DataFrame(rows, columns=column_names).astype({"difference": float, "p": float})
    difference_frame["p_corrected"] = (
        difference_frame.groupby(["benchmark", "metric"], sort=False)["p"].transform(holm_correction) if rows else difference_frame["p"]
    )
    difference_frame["verdict"] = [_difference_verdict(row, level) for row in iterate_rows(difference_frame)]
    return difference_frame


def holm_correction(p: pd.Series) -> pd.Series:
    """Return p-values corrected for multiple comparisons by Holm's method.

    If no comparison has a true difference, the probability that any corrected p-value is below a level is at most that level. NaN stays NaN
    and is not counted as a comparison.
    """
    ascending = p.dropna().sort_values()
    corrected_values = (ascending * np.arange(len(ascending), 0, -1)).cummax().clip(upper=1)
    return corrected_values.reindex(p.index)


def significance_tables(difference_rows: pd.DataFrame, frame: pd.DataFrame, level: float) -> dict[str, list[Table]]:
    """Return {benchmark: a list with its table of differences between methods}, from the data frame of `differences`.

    Sentences above the table name the significantly better and worse methods. frame: from `comparison_frame`; level: of the intervals
    """
    tables = {}
    for benchmark, rows in iterate_groups(difference_rows, "benchmark"):
        errors_by_seed = frame[frame["benchmark"] == benchmark].drop_duplicates("seed")["errors"]
        error_counts = " + ".join(f"{count:,}" for count in errors_by_seed) if len(errors_by_seed) <= 5 else f"{errors_by_seed.sum():,}"
        references = list(dict.fromkeys(rows["against"]))
        summary_lines = "\n".join(
            f"- against {display_name(reference)}: {verdicts_in_words(rows[rows['against'] == reference])}" for reference in references
        )
        comparison_count = len(rows) // rows["metric"].nunique()
        legend = (
            f"Method minus the other, on the same resamples, with {100 * level:g} % intervals; {units_in_words(MAIN_COLUMNS)}.",
            f"{VERDICT_SIGNS[BETTER]} better, {VERDICT_SIGNS[WORSE]} worse: p below {1 - level:.2g} after Holm correction for "
            f"{comparison_count} comparisons.",
        )
        tables[benchmark] = [
            Table(
                f"Differences from {join_names(map(display_name, references))}",
                (Column("against", "against", is_text=True), *MAIN_COLUMNS),
                tuple(
                    _difference_row(str(method), str(reference), group)
                    for (method, reference), group in rows.groupby(["method", "against"], sort=False)
                ),
                notes=(f"{HEADLINE_METRIC.title}, on {error_counts} errors:", summary_lines),
                legend=legend,
            )
        ]
    return tables


def methods_by_verdict(difference_rows: pd.DataFrame, metric: str = HEADLINE_METRIC.key) -> dict[str, list[str]]:
    """Return {verdict: names of the methods with this verdict}, for the verdicts BETTER, WORSE, NOT_SIGNIFICANT and UNDEFINED.

    A verdict that no method has is left out. difference_rows: rows of `differences` against one reference; metric: whose verdicts to use
    """
    verdicts = difference_rows[difference_rows["metric"] == metric].set_index("method")["verdict"]
    methods_of_verdict: dict[str, list[str]] = {verdict: [] for verdict in (BETTER, WORSE, NOT_SIGNIFICANT, UNDEFINED)}
    for method, verdict in verdicts.items():
        methods_of_verdict[verdict if verdict in (BETTER, WORSE) else UNDEFINED if pd.isna(verdict) else NOT_SIGNIFICANT].append(
            str(method)
        )
    return {verdict: members for verdict, members in methods_of_verdict.items() if members}


def verdicts_in_words(difference_rows: pd.DataFrame) -> str:
    """Return a phrase that names the methods significantly better and worse than a reference by HEADLINE_METRIC, and the other ones.

    difference_rows: rows of `differences` against this reference
    """
    defined_verdicts = {verdict: members for verdict, members in methods_by_verdict(difference_rows).items() if verdict != UNDEFINED}
    return (
        "; ".join(f"{verdict_phrase(verdict)}: {', '.join(map(display_name, members))}" for verdict, members in defined_verdicts.items())
        or UNDEFINED
    )


def verdict_phrase(verdict: str) -> str:
    """Return a verdict of differences.csv as readers see it, such as "significantly better" for "better"."""
    return f"significantly {verdict}" if verdict in (BETTER, WORSE) else verdict


def _difference_row(method: str, reference: str, metric_rows: pd.DataFrame) -> Row:
    by_metric = {row.metric: row for row in iterate_rows(metric_rows)}
    return Row(
        method,
        display_name(method),
        (Cell(text=display_name(reference)), *(_difference_cell(by_metric[column.key]) for column in MAIN_COLUMNS)),
    )


def _difference_cell(difference_row: Any) -> Cell:
    if np.isnan(difference_row.difference):
        return Cell(np.nan)
    verdict = difference_row.verdict if difference_row.verdict in (BETTER, WORSE) else None
    return Cell(difference_row.difference, low=difference_row.low, high=difference_row.high, verdict=verdict, signed=True)


def _method_pairs(methods: list[str], references: Iterable[str]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for reference in references:
        if reference in methods:
            pairs += [(method, reference) for method in methods if method != reference and (reference, method) not in pairs]
    return pairs


def _bootstrap_p_value(resampled_differences: np.ndarray) -> float:
    defined_differences = resampled_differences[~np.isnan(resampled_differences)]
    if len(defined_differences) == 0:
        return np.nan
    rarer_sign_count = min(np.count_nonzero(defined_differences <= 0), np.count_nonzero(defined_differences >= 0))
    return min(1.0, 2 * (rarer_sign_count + 1) / (len(defined_differences) + 1))


def _difference_verdict(difference_row: Any, interval_level: float) -> str | float:
    if np.isnan(difference_row.difference) or np.isnan(difference_row.p_corrected):
        return np.nan
    if difference_row.p_corrected >= 1 - interval_level or difference_row.difference == 0:
        return NOT_SIGNIFICANT
    return BETTER if (difference_row.difference > 0) == COLUMN_BY_METRIC[difference_row.metric].higher_is_better else WORSE
