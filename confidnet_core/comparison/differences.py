"""Paired differences between methods on the same bootstrap resamples of the test set: intervals, p-values and significance.

Intervals are percentile intervals (Efron & Tibshirani 1993, chapter 13). P-values are corrected for the number of comparisons by Holm's
method (Holm 1979, "A simple sequentially rejective multiple test procedure").
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from confidnet_core.comparison.frames import COLUMN_BY_METRIC, HEADLINE_METRIC, MAIN_METRIC_COLUMNS, mean_over_seeds
from confidnet_core.comparison.lines import iterate_groups, iterate_rows
from confidnet_core.comparison.main_table import column_units_in_words
from confidnet_core.comparison.names import display_name
from confidnet_core.comparison.tables import (
    BETTER_VERDICT,
    NOT_SIGNIFICANT_VERDICT,
    SIGN_BY_VERDICT,
    UNDEFINED_SIGN,
    WORSE_VERDICT,
    Cell,
    Column,
    Row,
    Table,
    join_names,
)
from confidnet_core.evaluation.intervals import central_interval
from confidnet_core.metrics import METRICS


def mean_bootstrap_replicates(replicates_by_evaluation: Mapping[tuple[str, int, str], np.ndarray]) -> dict[tuple[str, str], np.ndarray]:
    """Return the bootstrap replicates of the metrics, averaged over seeds: {(benchmark, method): float64 array (resamples, metrics)}.

    replicates_by_evaluation: {(benchmark, seed, method): array (resamples, metrics)}. All seeds use the same resamples of the test set, so
    the spread of a mean is that of the test set, not of trainings.
    """
    seed_replicates_by_method: dict[tuple[str, str], list[np.ndarray]] = {}
    for (benchmark, _, method), seed_replicates in replicates_by_evaluation.items():
        seed_replicates_by_method.setdefault((benchmark, method), []).append(seed_replicates)
    return {
        benchmark_and_method: np.asarray(np.mean(replicates_of_all_seeds, axis=0, dtype=np.float64))
        for benchmark_and_method, replicates_of_all_seeds in seed_replicates_by_method.items()
    }


def method_differences(
    evaluation_rows: pd.DataFrame,
    replicates_by_method: Mapping[tuple[str, str], np.ndarray],
    reference_methods: Iterable[str],
    confidence_level: float,
) -> pd.DataFrame:
    """Compare each method with each reference method: return a data frame with one row per benchmark, pair of methods and metric.

    Both methods of a pair are compared on the same bootstrap resamples. Each pair occurs once. The oracle is left out, and so are reference
    methods without an evaluation.

    evaluation_rows: from `comparison_frame`; replicates_by_method: from `mean_bootstrap_replicates`
    reference_methods: methods to compare with; confidence_level: of the intervals, in (0, 1), such as 0.95

    Columns beside benchmark, method, against, metric, difference, low and high:
    p            twice the fraction of resamples whose difference is 0 or has the other sign
    p_corrected  p after Holm's correction over the pairs of a benchmark and metric
    verdict      better, worse or "no significant difference", as p_corrected < 1 - confidence_level decides; NaN if the difference is
    undefined
    """
    difference_tuples = []
    for benchmark, benchmark_rows in iterate_groups(evaluation_rows[~evaluation_rows["oracle"]], "benchmark"):
        method_means = mean_over_seeds(benchmark_rows).set_index("method")
        for method, reference_method in _method_pairs(list(method_means.index), reference_methods):
            resampled_differences = (
                replicates_by_method[benchmark, method].astype(np.float64) - replicates_by_method[benchmark, reference_method]
            )
            interval_lows, interval_highs = central_interval(resampled_differences, confidence_level)
            for metric_index, metric in enumerate(METRICS[1:], start=1):
                difference = method_means[metric][method] - method_means[metric][reference_method]
                interval = (interval_lows[metric_index], interval_highs[metric_index])
                p_value = _bootstrap_p_value(resampled_differences[:, metric_index])
                difference_tuples.append((benchmark, method, reference_method, metric, difference, *interval, p_value))
    column_names = ["benchmark", "method", "against", "metric", "difference", "low", "high", "p"]
    difference_frame = pd.DataFrame(difference_tuples, columns=column_names).astype({"difference": float, "p": float})
    difference_frame["p_corrected"] = (
        difference_frame.groupby(["benchmark", "metric"], sort=False)["p"].transform(holm_correction)
        if difference_tuples
        else difference_frame["p"]
    )
    difference_frame["verdict"] = [
        _difference_verdict(difference_row, confidence_level) for difference_row in iterate_rows(difference_frame)
    ]
    return difference_frame


def holm_correction(p_values: pd.Series) -> pd.Series:
    """Return p-values corrected for multiple comparisons by Holm's method, in [0, 1].

    If no comparison has a true difference, the probability that any corrected p-value is below a level is at most that level. NaN stays NaN
    and is not counted as a comparison.
    """
    ascending_p_values = p_values.dropna().sort_values()
    corrected_p_values = (ascending_p_values * np.arange(len(ascending_p_values), 0, -1)).cummax().clip(upper=1)
    return corrected_p_values.reindex(p_values.index)


def significance_tables(difference_rows: pd.DataFrame, evaluation_rows: pd.DataFrame, confidence_level: float) -> dict[str, list[Table]]:
    """Return {benchmark: a list with its table of differences between methods}.

    Sentences above the table name the significantly better and worse methods. difference_rows: from `method_differences`
    evaluation_rows: from `comparison_frame`; confidence_level: of the intervals, such as 0.95
    """
    tables_by_benchmark = {}
    for benchmark, benchmark_rows in iterate_groups(difference_rows, "benchmark"):
        error_count_by_seed = evaluation_rows[evaluation_rows["benchmark"] == benchmark].drop_duplicates("seed")["errors"]
        error_counts_in_words = (
            " + ".join(f"{error_count:,}" for error_count in error_count_by_seed)
            if len(error_count_by_seed) <= 5
            else f"{error_count_by_seed.sum():,}"
        )
        reference_methods = list(dict.fromkeys(benchmark_rows["against"]))
        rows_by_reference = {method: benchmark_rows[benchmark_rows["against"] == method] for method in reference_methods}
        verdict_summary_lines = "\n".join(
            f"- against {display_name(reference_method)}: {verdicts_in_words(rows_against_reference)}"
            for reference_method, rows_against_reference in rows_by_reference.items()
        )
        metric_units = column_units_in_words(MAIN_METRIC_COLUMNS)
        comparison_count = len(benchmark_rows) // benchmark_rows["metric"].nunique()
        legend = (
            f"Method minus the other, on the same resamples, with {100 * confidence_level:g} % intervals; {metric_units}.",
            f"{SIGN_BY_VERDICT[BETTER_VERDICT]} better, {SIGN_BY_VERDICT[WORSE_VERDICT]} worse: p below {1 - confidence_level:.2g} "
            f"after Holm correction for {comparison_count} comparisons.",
        )
        tables_by_benchmark[benchmark] = [
            Table(
                f"Differences from {join_names(map(display_name, reference_methods))}",
                (Column("against", "against", is_text=True), *MAIN_METRIC_COLUMNS),
                tuple(
                    _difference_table_row(str(method), str(reference_method), method_pair_rows)
                    for (method, reference_method), method_pair_rows in benchmark_rows.groupby(["method", "against"], sort=False)
                ),
                notes=(f"{HEADLINE_METRIC.title}, on {error_counts_in_words} errors:", verdict_summary_lines),
                legend=legend,
            )
        ]
    return tables_by_benchmark


def methods_by_verdict(difference_rows: pd.DataFrame, metric: str = HEADLINE_METRIC.key) -> dict[str, list[str]]:
    """Return {verdict: names of the methods with this verdict}; a verdict that no method has is left out.

    The verdicts are BETTER_VERDICT, WORSE_VERDICT, NOT_SIGNIFICANT_VERDICT, and UNDEFINED_SIGN where the difference is undefined.

    difference_rows: rows of `method_differences` against one reference method; metric: the name of the metric whose verdicts are used
    """
    verdict_by_method = difference_rows[difference_rows["metric"] == metric].set_index("method")["verdict"]
    methods_of_each_verdict: dict[str, list[str]] = {
        verdict: [] for verdict in (BETTER_VERDICT, WORSE_VERDICT, NOT_SIGNIFICANT_VERDICT, UNDEFINED_SIGN)
    }
    for method, verdict in verdict_by_method.items():
        methods_of_each_verdict[
            verdict if verdict in (BETTER_VERDICT, WORSE_VERDICT) else UNDEFINED_SIGN if pd.isna(verdict) else NOT_SIGNIFICANT_VERDICT
        ].append(str(method))
    return {verdict: methods for verdict, methods in methods_of_each_verdict.items() if methods}


def verdicts_in_words(difference_rows: pd.DataFrame) -> str:
    """Return a phrase that names the methods significantly better and worse than a reference method by HEADLINE_METRIC, and the other ones.

    difference_rows: rows of `method_differences` against this reference method
    """
    methods_of_each_verdict = {
        verdict: methods for verdict, methods in methods_by_verdict(difference_rows).items() if verdict != UNDEFINED_SIGN
    }
    return (
        "; ".join(
            f"{verdict_phrase(verdict)}: {', '.join(map(display_name, methods))}" for verdict, methods in methods_of_each_verdict.items()
        )
        or UNDEFINED_SIGN
    )


def verdict_phrase(verdict: str) -> str:
    """Return a verdict of differences.csv in the words that readers see, such as "significantly better" for "better"."""
    return f"significantly {verdict}" if verdict in (BETTER_VERDICT, WORSE_VERDICT) else verdict


def _difference_table_row(method: str, reference_method: str, method_pair_rows: pd.DataFrame) -> Row:
    """Return the table row of one method: its difference from a reference method in each of MAIN_METRIC_COLUMNS.

    method_pair_rows: rows of `method_differences` with these two methods
    """
    difference_row_by_metric = {row.metric: row for row in iterate_rows(method_pair_rows)}
    return Row(
        method,
        display_name(method),
        (
            Cell(text=display_name(reference_method)),
            *(_difference_cell(difference_row_by_metric[column.key]) for column in MAIN_METRIC_COLUMNS),
        ),
    )


def _difference_cell(difference_row: Any) -> Cell:
    """Return the table cell of one difference between two methods, from a row of `method_differences`, with interval and verdict."""
    if np.isnan(difference_row.difference):
        return Cell(np.nan)
    verdict = difference_row.verdict if difference_row.verdict in (BETTER_VERDICT, WORSE_VERDICT) else None
    return Cell(difference_row.difference, low=difference_row.low, high=difference_row.high, verdict=verdict, shows_plus_sign=True)


def _method_pairs(methods: list[str], reference_methods: Iterable[str]) -> list[tuple[str, str]]:
    """Return all pairs (method, reference method) to compare, each unordered pair once."""
    method_pairs: list[tuple[str, str]] = []
    for reference_method in reference_methods:
        if reference_method in methods:
            method_pairs += [
                (method, reference_method)
                for method in methods
                if method != reference_method and (reference_method, method) not in method_pairs
            ]
    return method_pairs


def _bootstrap_p_value(resampled_differences: np.ndarray) -> float:
    """Return the two-sided p-value of a difference in (0, 1], from its bootstrap replicates (resamples,); NaN if all are undefined."""
    defined_differences = resampled_differences[~np.isnan(resampled_differences)]
    if len(defined_differences) == 0:
        return np.nan
    rarer_sign_count = min(np.count_nonzero(defined_differences <= 0), np.count_nonzero(defined_differences >= 0))
    return min(1.0, 2 * (rarer_sign_count + 1) / (len(defined_differences) + 1))


def _difference_verdict(difference_row: Any, confidence_level: float) -> str | float:
    """Return the verdict for a row of `method_differences`: one of the three constants *_VERDICT; NaN if the difference is undefined."""
    if np.isnan(difference_row.difference) or np.isnan(difference_row.p_corrected):
        return np.nan
    if difference_row.p_corrected >= 1 - confidence_level or difference_row.difference == 0:
        return NOT_SIGNIFICANT_VERDICT
    return BETTER_VERDICT if (difference_row.difference > 0) == COLUMN_BY_METRIC[difference_row.metric].higher_is_better else WORSE_VERDICT
