"""Differences between methods on the same resamples of the test set: intervals, p-values, and which are significant.

Percentile intervals, Efron & Tibshirani 1993, chapter 13; p-values corrected for the number of comparisons, Holm 1979,
"A simple sequentially rejective multiple test procedure".
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from confidnet_core.comparison.frames import BY_METRIC, HEADLINE, SHOWN, mean_over_seeds
from confidnet_core.comparison.lines import groups_of, lines_of
from confidnet_core.comparison.main_table import units
from confidnet_core.comparison.names import display_name
from confidnet_core.comparison.tables import ALIKE, BETTER, MARKS, UNDEFINED, WORSE, Cell, Column, Row, Table, joined
from confidnet_core.evaluation.intervals import central_interval
from confidnet_core.metrics import METRICS


def mean_replicates(replicates: Mapping[tuple[str, int, str], np.ndarray]) -> dict[tuple[str, str], np.ndarray]:
    """(benchmark, seed, method) -> (benchmark, method), means over seeds of the same resample: of the test set, not of trainings."""
    groups: dict[tuple[str, str], list[np.ndarray]] = {}
    for (benchmark, _, method), rows in replicates.items():
        groups.setdefault((benchmark, method), []).append(rows)
    return {key: np.asarray(np.mean(group, axis=0, dtype=np.float64)) for key, group in groups.items()}


def differences(
    frame: pd.DataFrame, replicates: Mapping[tuple[str, str], np.ndarray], against: Iterable[str], level: float
) -> pd.DataFrame:
    """Each method minus each of AGAINST, on the same resamples: one row a benchmark, pair and metric, each pair once.

    frame: a `comparison_frame`; replicates: of `mean_replicates`. The oracle is left out, and so is what the frame has not got.
    p            twice the share of resamples whose difference is 0 or of the other sign
    p_corrected  by Holm's method over the pairs of a benchmark and metric
    verdict      better, worse or "no significant difference", as p_corrected < 1 - LEVEL says; NaN where the difference is undefined
    """
    rows = []
    for benchmark, group in groups_of(frame[~frame["oracle"]], "benchmark"):
        means = mean_over_seeds(group).set_index("method")
        for method, other in _pairs(list(means.index), against):
            paired = replicates[benchmark, method].astype(np.float64) - replicates[benchmark, other]
            low, high = central_interval(paired, level)
            for at, metric in enumerate(METRICS[1:], start=1):
                difference, p = means[metric][method] - means[metric][other], _p_value(paired[:, at])
                rows.append((benchmark, method, other, metric, difference, low[at], high[at], p))
    names = ["benchmark", "method", "against", "metric", "difference", "low", "high", "p"]
    compared = pd.DataFrame(rows, columns=names).astype({"difference": float, "p": float})
    compared["p_corrected"] = compared.groupby(["benchmark", "metric"], sort=False)["p"].transform(holm) if rows else compared["p"]
    compared["verdict"] = [_verdict(row, level) for row in lines_of(compared)]
    return compared


def holm(p: pd.Series) -> pd.Series:
    """Corrected so that, of all comparisons without a difference, one is below a level with no more than that probability. NaN stays."""
    ordered = p.dropna().sort_values()
    corrected = (ordered * np.arange(len(ordered), 0, -1)).cummax().clip(upper=1)
    return corrected.reindex(p.index)


def significance_tables(compared: pd.DataFrame, frame: pd.DataFrame, level: float) -> dict[str, list[Table]]:
    """BENCHMARK -> the differences of `differences` as a table, and above it in words which methods are better and worse."""
    tables = {}
    for benchmark, rows in groups_of(compared, "benchmark"):
        errors = frame[frame["benchmark"] == benchmark].drop_duplicates("seed")["errors"]
        on = " + ".join(f"{count:,}" for count in errors) if len(errors) <= 5 else f"{errors.sum():,}"
        others = list(dict.fromkeys(rows["against"]))
        words = "\n".join(f"- against {display_name(other)}: {in_words(rows[rows['against'] == other])}" for other in others)
        comparisons = len(rows) // rows["metric"].nunique()
        legend = (
            f"Method minus the other, on the same resamples, with {100 * level:g} % intervals; {units(SHOWN)}.",
            f"{MARKS[BETTER]} better, {MARKS[WORSE]} worse: p below {1 - level:.2g} after Holm correction for {comparisons} comparisons.",
        )
        tables[benchmark] = [
            Table(
                f"Differences from {joined(map(display_name, others))}",
                (Column("against", "against", words=True), *SHOWN),
                tuple(_row(str(method), str(other), group) for (method, other), group in rows.groupby(["method", "against"], sort=False)),
                notes=(f"{HEADLINE.title}, on {on} errors:", words),
                legend=legend,
            )
        ]
    return tables


def by_verdict(rows: pd.DataFrame, metric: str = HEADLINE.key) -> dict[str, list[str]]:
    """BETTER, WORSE, ALIKE and UNDEFINED -> methods, of rows of `differences` against one other; what no method has is left out."""
    verdicts = rows[rows["metric"] == metric].set_index("method")["verdict"]
    methods: dict[str, list[str]] = {verdict: [] for verdict in (BETTER, WORSE, ALIKE, UNDEFINED)}
    for method, verdict in verdicts.items():
        methods[verdict if verdict in (BETTER, WORSE) else UNDEFINED if pd.isna(verdict) else ALIKE].append(str(method))
    return {verdict: own for verdict, own in methods.items() if own}


def in_words(rows: pd.DataFrame) -> str:
    """Which methods are significantly better and worse by HEADLINE, and which are neither, of rows of `differences` against one other."""
    known = {verdict: own for verdict, own in by_verdict(rows).items() if verdict != UNDEFINED}
    return "; ".join(f"{sentence_of(verdict)}: {', '.join(map(display_name, own))}" for verdict, own in known.items()) or UNDEFINED


def sentence_of(verdict: str) -> str:
    """A verdict of differences.csv as readers see it."""
    return f"significantly {verdict}" if verdict in (BETTER, WORSE) else verdict


def _row(method: str, other: str, group: pd.DataFrame) -> Row:
    by_metric = {row.metric: row for row in lines_of(group)}
    return Row(method, display_name(method), (Cell(text=display_name(other)), *(_cell(by_metric[column.key]) for column in SHOWN)))


def _cell(row: Any) -> Cell:
    if np.isnan(row.difference):
        return Cell(np.nan)
    verdict = row.verdict if row.verdict in (BETTER, WORSE) else None
    return Cell(row.difference, low=row.low, high=row.high, verdict=verdict, signed=True)


def _pairs(methods: list[str], against: Iterable[str]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for other in against:
        if other in methods:
            pairs += [(method, other) for method in methods if method != other and (other, method) not in pairs]
    return pairs


def _p_value(paired: np.ndarray) -> float:
    defined = paired[~np.isnan(paired)]
    if len(defined) == 0:
        return np.nan
    rarer = min(np.count_nonzero(defined <= 0), np.count_nonzero(defined >= 0))
    return min(1.0, 2 * (rarer + 1) / (len(defined) + 1))


def _verdict(row: Any, level: float) -> str | float:
    if np.isnan(row.difference) or np.isnan(row.p_corrected):
        return np.nan
    if row.p_corrected >= 1 - level or row.difference == 0:
        return ALIKE
    return BETTER if (row.difference > 0) == BY_METRIC[row.metric].higher_is_better else WORSE
