"""Paired differences between methods on the same bootstrap resamples of the test set: intervals, p-values and significance.

P-values are corrected for the number of comparisons (Holm 1979, "A simple sequentially rejective multiple test procedure").
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from confidnet_core.comparison.frames import COLUMN_BY_METRIC, HEADLINE_METRIC, MAIN_METRIC_COLUMNS
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
from confidnet_core.comparison.uncertainty import THESE_NETWORKS, TRAINED_ANEW, error_counts_in_words, insufficiency, question
from confidnet_core.evaluation.intervals import METRICS_WITHOUT_INTERVAL, ResampledMetrics, difference_interval, two_sided_p_values
from confidnet_core.metrics import METRICS

_INTERVAL_AND_VERDICT = ("low", "high", "p", "p_corrected", "verdict")
DIFFERENCE_COLUMNS = [
    *("benchmark", "method", "against", "metric", "question", "difference", *_INTERVAL_AND_VERDICT),
    *(f"networks_{name}" for name in _INTERVAL_AND_VERDICT),
]


def method_differences(
    evaluation_rows: pd.DataFrame,
    resampled_by_method: Mapping[tuple[str, str], ResampledMetrics],
    reference_methods: Iterable[str],
    confidence_level: float,
) -> pd.DataFrame:
    """Compare each method with each reference method: return a data frame with one row per benchmark, pair of methods and metric.

    Both methods of a pair are compared on the same bootstrap resamples. Each pair occurs once. The oracle is left out, and so are reference
    methods without an evaluation.

    evaluation_rows: from `comparison_frame`; resampled_by_method: from `resampled_metrics`
    reference_methods: methods to compare with; confidence_level: of the intervals, in (0, 1), such as 0.95

    Columns beside benchmark, method, against, metric and difference:
    question     what verdict and interval are about, as `uncertainty.question` says
    low, high    the interval of the difference; p: its p-value, both as evaluation/intervals.py computes them
    p_corrected  p after Holm's correction over the pairs of a benchmark and metric
    verdict      better, worse or "no significant difference", as p_corrected < 1 - confidence_level decides; the verdict of
                 `insufficiency` where there is too little data; NaN if the difference is undefined or the metric has no test
    networks_*   the last five for the trained networks alone, on new test data
    """
    difference_frames = []
    for benchmark, benchmark_rows in iterate_groups(evaluation_rows[~evaluation_rows["oracle"]], "benchmark"):
        asked, too_little = question(benchmark_rows), insufficiency(benchmark_rows)
        for method, reference_method in _method_pairs(list(dict.fromkeys(benchmark_rows["method"])), reference_methods):
            differences = resampled_by_method[benchmark, method] - resampled_by_method[benchmark, reference_method]
            pair_columns: dict[str, Any] = {"benchmark": benchmark, "method": method, "against": reference_method, "question": asked}
            pair_columns["too_little"] = too_little.verdict if too_little else None
            difference_frames.append(pair_frame(differences, asked, confidence_level).assign(**pair_columns))
    if not difference_frames:
        return pd.DataFrame(columns=DIFFERENCE_COLUMNS)
    return with_verdicts(pd.concat(difference_frames, ignore_index=True), confidence_level)[DIFFERENCE_COLUMNS]


def pair_frame(differences: ResampledMetrics, asked: str, confidence_level: float) -> pd.DataFrame:
    """Return the differences between two methods in all metrics but the accuracy, with intervals and p-values, one row per metric.

    asked: what low, high and p are about, from `question`; the columns `networks_...` are about the trained networks in any case
    """
    columns: dict[str, Any] = {"metric": METRICS, "difference": differences.values.mean(axis=0)}
    for prefix, includes_trainings in (("", asked == TRAINED_ANEW), ("networks_", False)):
        low, high = difference_interval(differences, confidence_level, includes_trainings=includes_trainings)
        p_values = two_sided_p_values(differences, includes_trainings=includes_trainings)
        columns |= {f"{prefix}low": low, f"{prefix}high": high, f"{prefix}p": p_values}
    return pd.DataFrame(columns)[1:]


def with_verdicts(difference_frame: pd.DataFrame, confidence_level: float) -> pd.DataFrame:
    """Return rows of differences with the columns p_corrected, verdict, networks_p_corrected and networks_verdict added.

    difference_frame: with the other columns of `method_differences`, and `too_little`: the verdict of `insufficiency`, or None
    """
    difference_frame = difference_frame.copy()
    for prefix in ("", "networks_"):
        p_values = difference_frame.groupby(["benchmark", "metric"], sort=False)[f"{prefix}p"]
        difference_frame[f"{prefix}p_corrected"] = p_values.transform(holm_correction)
        difference_frame[f"{prefix}verdict"] = [
            _difference_verdict(row, getattr(row, f"{prefix}p_corrected"), confidence_level) for row in iterate_rows(difference_frame)
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
    """Return {benchmark: a list with its table of differences between methods}, with a second one if the trainings are a sample of many.

    The first answers the benchmark's `question`; the second, where that is of the method trained anew, is of these trained networks alone.
    Sentences above a table name the significantly better and worse methods, or say that there is too little data to compare.

    difference_rows: from `method_differences`; evaluation_rows: from `comparison_frame`; confidence_level: of the intervals, such as 0.95
    """
    tables_by_benchmark = {}
    for benchmark, benchmark_rows in iterate_groups(difference_rows, "benchmark"):
        benchmark_evaluations = evaluation_rows[evaluation_rows["benchmark"] == benchmark]
        title = f"Differences from {join_names(map(display_name, benchmark_rows['against'].unique()))}"
        if too_little := insufficiency(benchmark_evaluations):
            tables_by_benchmark[benchmark] = [Table(title, notes=(f"{too_little.sentence}.",))]
            continue
        asked = question(benchmark_evaluations)
        tables_by_benchmark[benchmark] = [_significance_table(title, asked, benchmark_rows, benchmark_evaluations, confidence_level)]
        if asked == TRAINED_ANEW:
            rows_of_networks = benchmark_rows.assign(**{name: benchmark_rows[f"networks_{name}"] for name in _INTERVAL_AND_VERDICT})
            title = f"The same for {THESE_NETWORKS} alone"
            networks_table = _significance_table(title, THESE_NETWORKS, rows_of_networks, benchmark_evaluations, confidence_level)
            tables_by_benchmark[benchmark].append(networks_table)
    return tables_by_benchmark


def _significance_table(
    title: str, asked: str, benchmark_rows: pd.DataFrame, evaluation_rows: pd.DataFrame, confidence_level: float
) -> Table:
    """Return a table of differences between methods and what is significant among them. asked: what they are about, from `question`"""
    verdict_summary_lines = "\n".join(
        f"- against {display_name(reference_method)}: {verdicts_in_words(rows_against_reference)}"
        for reference_method, rows_against_reference in iterate_groups(benchmark_rows, "against")
    )
    comparison_count = len(benchmark_rows) // benchmark_rows["metric"].nunique()
    legend = (
        f"Method minus the other, on the same resamples, with {100 * confidence_level:g} % intervals for {asked}, on new test data;",
        f"{column_units_in_words(MAIN_METRIC_COLUMNS)}.",
        f"{SIGN_BY_VERDICT[BETTER_VERDICT]} better, {SIGN_BY_VERDICT[WORSE_VERDICT]} worse: p below {1 - confidence_level:.2g} "
        f"after Holm correction for {comparison_count} comparisons.",
    )
    table_rows = tuple(
        _difference_table_row(str(method), str(reference_method), method_pair_rows)
        for (method, reference_method), method_pair_rows in benchmark_rows.groupby(["method", "against"], sort=False)
    )
    columns = (Column("against", "against", is_text=True), *MAIN_METRIC_COLUMNS)
    notes = f"{HEADLINE_METRIC.title} of {asked}, on {error_counts_in_words(evaluation_rows)} errors:", verdict_summary_lines
    return Table(title, columns, table_rows, notes=notes, legend=legend)


def methods_by_verdict(difference_rows: pd.DataFrame, metric: str = HEADLINE_METRIC.key) -> dict[str, list[str]]:
    """Return {verdict: names of the methods with this verdict}; a verdict that no method has is left out.

    The verdicts are those of `method_differences`, better and worse first, and UNDEFINED_SIGN where there is none.

    difference_rows: rows of `method_differences` against one reference method; metric: the name of the metric whose verdicts are used
    """
    verdict_by_method = difference_rows[difference_rows["metric"] == metric].set_index("method")["verdict"]
    methods_of_each_verdict: dict[str, list[str]] = {verdict: [] for verdict in (BETTER_VERDICT, WORSE_VERDICT, NOT_SIGNIFICANT_VERDICT)}
    for method, verdict in verdict_by_method.items():
        methods_of_each_verdict.setdefault(UNDEFINED_SIGN if pd.isna(verdict) else verdict, []).append(str(method))
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
    low, high = (None if np.isnan(end) else end for end in (difference_row.low, difference_row.high))
    return Cell(difference_row.difference, low=low, high=high, verdict=verdict, shows_plus_sign=True)


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


def _difference_verdict(difference_row: Any, p_corrected: float, confidence_level: float) -> str | float:
    """Return the verdict for a row of `method_differences` and its corrected p-value; NaN if there is none."""
    if difference_row.metric in METRICS_WITHOUT_INTERVAL:
        return np.nan
    if difference_row.too_little is not None:
        return difference_row.too_little
    if np.isnan(difference_row.difference) or np.isnan(p_corrected):
        return np.nan
    if p_corrected >= 1 - confidence_level or difference_row.difference == 0:
        return NOT_SIGNIFICANT_VERDICT
    return BETTER_VERDICT if (difference_row.difference > 0) == COLUMN_BY_METRIC[difference_row.metric].higher_is_better else WORSE_VERDICT
