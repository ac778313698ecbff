"""How sure the numbers are: intervals of the metrics over other test sets, and differences between methods on the same resamples.

Percentile intervals, Efron & Tibshirani 1993, chapter 13; p-values corrected for the number of comparisons, Holm 1979,
"A simple sequentially rejective multiple test procedure".
"""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from confidnet_core.comparison.table import COLUMNS, UNDEFINED, WORKING_POINTS, Column, aligned, mean_over_seeds
from confidnet_core.evaluation.intervals import central
from confidnet_core.metrics import METRICS

SHOWN = tuple(column for column in COLUMNS if column.metric in ("fpr_at_95_tpr", "aupr_error", "auroc", "aurc"))
HEADLINE = next(column for column in COLUMNS if column.metric == "aupr_error")
BETTER, WORSE, ALIKE = "better", "worse", "cannot be told apart"


def mean_replicates(replicates: Mapping[tuple[str, int, str], np.ndarray]) -> dict[tuple[str, str], np.ndarray]:
    """(benchmark, seed, method) -> (benchmark, method), means over seeds of the same resample: of the test set, not of trainings."""
    groups: dict[tuple[str, str], list[np.ndarray]] = {}
    for (benchmark, _, method), rows in replicates.items():
        groups.setdefault((benchmark, method), []).append(rows)
    return {key: np.mean(group, axis=0, dtype=np.float64) for key, group in groups.items()}


def differences(
    frame: pd.DataFrame, replicates: Mapping[tuple[str, str], np.ndarray], against: Iterable[str], level: float
) -> pd.DataFrame:
    """Each method minus each of AGAINST, on the same resamples: one row a benchmark, pair and metric, each pair once.

    frame: a `table`; replicates: of `mean_replicates`. The oracle is left out, and so is what the frame has not got.
    p            twice the share of resamples whose difference is 0 or of the other sign
    p_corrected  by Holm's method over the pairs of a benchmark and metric
    verdict      better, worse or "cannot be told apart", as p_corrected < 1 - LEVEL says; NaN where the difference is undefined
    """
    rows = []
    for benchmark, group in frame[~frame["oracle"]].groupby("benchmark", sort=False):
        means = mean_over_seeds(group).set_index("method")
        for method, other in _pairs(list(means.index), against):
            paired = replicates[benchmark, method].astype(np.float64) - replicates[benchmark, other]
            low, high = central(paired, level)
            for place, metric in enumerate(METRICS[1:], start=1):
                difference, p = means[metric][method] - means[metric][other], _p_value(paired[:, place])
                rows.append((benchmark, method, other, metric, difference, low[place], high[place], p))
    names = ["benchmark", "method", "against", "metric", "difference", "low", "high", "p"]
    found = pd.DataFrame(rows, columns=names).astype({"difference": float, "p": float})
    found["p_corrected"] = found.groupby(["benchmark", "metric"], sort=False)["p"].transform(holm) if rows else found["p"]
    found["verdict"] = [_verdict(row, level) for row in found.itertuples()]
    return found


def holm(p: pd.Series) -> pd.Series:
    """Corrected so that, of all comparisons without a difference, one is below a level with no more than that probability. NaN stays."""
    ordered = p.dropna().sort_values()
    corrected = (ordered * np.arange(len(ordered), 0, -1)).cummax().clip(upper=1)
    return corrected.reindex(p.index)


def told_apart(found: pd.DataFrame, frame: pd.DataFrame, level: float) -> dict[str, str]:
    """BENCHMARK -> Markdown: in words which methods are better and worse, then the differences of `differences` as a table."""
    texts = {}
    for benchmark, rows in found.groupby("benchmark", sort=False):
        errors = frame[frame["benchmark"] == benchmark].drop_duplicates("seed")["errors"]
        counted = " + ".join(f"{count:,}" for count in errors) if len(errors) <= 5 else f"{errors.sum():,}"
        names = list(dict.fromkeys(rows["against"]))
        words = "\n".join(f"- against {name}: {in_words(rows[rows['against'] == name])}" for name in names)
        comparisons = len(rows) // rows["metric"].nunique()
        legend = (
            f"Method minus the other, on the same resamples, with {100 * level:g} % intervals; better or worse: p below {1 - level:.2g} "
            f"after Holm's correction for {comparisons} comparisons. FPR, AUPR and AUROC in points, AURC times 1000."
        )
        parts = (f"### Differences from {' and '.join(names)}", f"{HEADLINE.title}, on {counted} errors:", words, _table(rows), legend)
        texts[benchmark] = "\n\n".join(parts)
    return texts


def in_words(rows: pd.DataFrame) -> str:
    """Which methods are better, worse and not told apart by HEADLINE, of rows of `differences` against one other."""
    verdicts = rows[rows["metric"] == HEADLINE.metric].set_index("method")["verdict"]
    found = ((verdict, [method for method, one in verdicts.items() if one == verdict]) for verdict in (BETTER, WORSE, ALIKE))
    return "; ".join(f"{verdict}: {', '.join(methods)}" for verdict, methods in found if methods) or UNDEFINED


def _table(rows: pd.DataFrame) -> str:
    lines = [["method", "against", *(column.heading for column in SHOWN)]]
    for (method, other), group in rows.groupby(["method", "against"], sort=False):
        cells = group.set_index("metric")
        lines.append([method, other, *(_cell(cells.loc[column.metric], column) for column in SHOWN)])
    return "\n".join(aligned(lines, left=2))


def _cell(row: pd.Series, column: Column) -> str:
    if np.isnan(row["difference"]):
        return UNDEFINED
    value, low, high = (row[["difference", "low", "high"]] * column.scale).astype(float)
    return f"{value:+.2f} [{low:+.2f}, {high:+.2f}]" + (f" **{row['verdict']}**" if row["verdict"] in (BETTER, WORSE) else "")


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


def _verdict(row: tuple, level: float) -> str | float:
    if np.isnan(row.difference) or np.isnan(row.p_corrected):
        return np.nan
    if row.p_corrected >= 1 - level or row.difference == 0:
        return ALIKE
    higher = next(column.higher_is_better for column in (*COLUMNS, *WORKING_POINTS) if column.metric == row.metric)
    return BETTER if (row.difference > 0) == higher else WORSE
