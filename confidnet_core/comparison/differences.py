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
    """Average bootstrap replicates over seeds: (benchmark, seed, method) -> (benchmark, method).

    Each mean is over seeds of the same resample, so its spread is that of the test set, not of trainings.
    """
    groups: dict[tuple[str, str], list[np.ndarray]] = {}
    for (benchmark, _, method), rows in replicates.items():
        groups.setdefault((benchmark, method), []).append(rows)
    return {key: np.asarray(np.mean(group, axis=0, dtype=np.float64)) for key, group in groups.items()}


def differences(
    frame: pd.DataFrame, replicates: Mapping[tuple[str, str], np.ndarray], references: Iterable[str], level: float
) -> pd.DataFrame:
    """Compare each method with each of REFERENCES on the same resamples: return one row per benchmark, pair and metric, each pair once.

    frame: a `comparison_frame`; replicates: from `mean_replicates`; references: methods to compare with; level: of the intervals, as 0.95.
    The oracle is left out, and so are references that the frame does not hold.

    p            twice the fraction of resamples whose difference is 0 or has the other sign
    p_corrected  p after Holm's correction over the pairs of a benchmark and metric
    verdict      better, worse or "no significant difference", as p_corrected < 1 - LEVEL decides; NaN where the difference is undefined
    """
    rows = []
    for benchmark, group in iterate_groups(frame[~frame["oracle"]], "benchmark"):
        means = mean_over_seeds(group).set_index("method")
        for method, reference in _method_pairs(list(means.index), references):
            resampled_differences = replicates[benchmark, method].astype(np.float64) - replicates[benchmark, reference]
            low, high = central_interval(resampled_differences, level)
            for index, metric in enumerate(METRICS[1:], start=1):
                difference, p = means[metric][method] - means[metric][reference], _p_value(resampled_differences[:, index])
                rows.append((benchmark, method, reference, metric, difference, low[index], high[index], p))
    names = ["benchmark", "method", "against", "metric", "difference", "low", "high", "p"]
    result = pd.DataFrame(rows, columns=names).astype({"difference": float, "p": float})
    result["p_corrected"] = result.groupby(["benchmark", "metric"], sort=False)["p"].transform(holm_correction) if rows else result["p"]
    result["verdict"] = [_verdict(row, level) for row in iterate_rows(result)]
    return result


def holm_correction(p: pd.Series) -> pd.Series:
    """Correct p-values by Holm's method: if no comparison has a true difference, any of them is below a level with at most that
    probability.

    NaN stays NaN and is not counted as a comparison.
    """
    ordered = p.dropna().sort_values()
    corrected = (ordered * np.arange(len(ordered), 0, -1)).cummax().clip(upper=1)
    return corrected.reindex(p.index)


def significance_tables(difference_rows: pd.DataFrame, frame: pd.DataFrame, level: float) -> dict[str, list[Table]]:
    """Return BENCHMARK -> a table of the rows of `differences`, with sentences above it that name the better and worse methods."""
    tables = {}
    for benchmark, rows in iterate_groups(difference_rows, "benchmark"):
        errors = frame[frame["benchmark"] == benchmark].drop_duplicates("seed")["errors"]
        error_counts = " + ".join(f"{count:,}" for count in errors) if len(errors) <= 5 else f"{errors.sum():,}"
        references = list(dict.fromkeys(rows["against"]))
        summary_lines = "\n".join(
            f"- against {display_name(reference)}: {verdicts_in_words(rows[rows['against'] == reference])}" for reference in references
        )
        comparisons = len(rows) // rows["metric"].nunique()
        legend = (
            f"Method minus the other, on the same resamples, with {100 * level:g} % intervals; {units_in_words(MAIN_COLUMNS)}.",
            f"{VERDICT_SIGNS[BETTER]} better, {VERDICT_SIGNS[WORSE]} worse: p below {1 - level:.2g} after Holm correction for "
            f"{comparisons} comparisons.",
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
    """Group methods by their verdict (BETTER, WORSE, NOT_SIGNIFICANT, UNDEFINED) by METRIC; a verdict without methods is left out.

    difference_rows: rows of `differences` against one reference
    """
    verdicts = difference_rows[difference_rows["metric"] == metric].set_index("method")["verdict"]
    methods: dict[str, list[str]] = {verdict: [] for verdict in (BETTER, WORSE, NOT_SIGNIFICANT, UNDEFINED)}
    for method, verdict in verdicts.items():
        methods[verdict if verdict in (BETTER, WORSE) else UNDEFINED if pd.isna(verdict) else NOT_SIGNIFICANT].append(str(method))
    return {verdict: named for verdict, named in methods.items() if named}


def verdicts_in_words(difference_rows: pd.DataFrame) -> str:
    """Name the methods that are significantly better, worse, or neither by HEADLINE_METRIC, from `differences` against one reference."""
    known = {verdict: members for verdict, members in methods_by_verdict(difference_rows).items() if verdict != UNDEFINED}
    return (
        "; ".join(f"{verdict_phrase(verdict)}: {', '.join(map(display_name, members))}" for verdict, members in known.items()) or UNDEFINED
    )


def verdict_phrase(verdict: str) -> str:
    """Return the phrase that readers see for a verdict of differences.csv."""
    return f"significantly {verdict}" if verdict in (BETTER, WORSE) else verdict


def _difference_row(method: str, reference: str, metric_rows: pd.DataFrame) -> Row:
    by_metric = {row.metric: row for row in iterate_rows(metric_rows)}
    return Row(
        method,
        display_name(method),
        (Cell(text=display_name(reference)), *(_difference_cell(by_metric[column.key]) for column in MAIN_COLUMNS)),
    )


def _difference_cell(row: Any) -> Cell:
    if np.isnan(row.difference):
        return Cell(np.nan)
    verdict = row.verdict if row.verdict in (BETTER, WORSE) else None
    return Cell(row.difference, low=row.low, high=row.high, verdict=verdict, signed=True)


def _method_pairs(methods: list[str], references: Iterable[str]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for reference in references:
        if reference in methods:
            pairs += [(method, reference) for method in methods if method != reference and (reference, method) not in pairs]
    return pairs


def _p_value(resampled_differences: np.ndarray) -> float:
    defined = resampled_differences[~np.isnan(resampled_differences)]
    if len(defined) == 0:
        return np.nan
    rarer_sign = min(np.count_nonzero(defined <= 0), np.count_nonzero(defined >= 0))
    return min(1.0, 2 * (rarer_sign + 1) / (len(defined) + 1))


def _verdict(row: Any, level: float) -> str | float:
    if np.isnan(row.difference) or np.isnan(row.p_corrected):
        return np.nan
    if row.p_corrected >= 1 - level or row.difference == 0:
        return NOT_SIGNIFICANT
    return BETTER if (row.difference > 0) == COLUMN_BY_METRIC[row.metric].higher_is_better else WORSE
