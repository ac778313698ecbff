"""Evaluations side by side: one frame over benchmarks, seeds and methods, its means over seeds, and the few numbers for DVC.

What each metric measures stands with its definition in metrics/failure.py.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from confidnet_core.comparison.names import display_name
from confidnet_core.comparison.rendering import as_csv
from confidnet_core.comparison.tables import Cell, Column, Row, Table
from confidnet_core.evaluation.result import EVALUATION_KEYS, METRICS, Evaluation
from confidnet_core.files import write_text

# Percent for rates and areas under precision and ROC curves, thousandths for risks: as in the ConfidNet paper and in the AURC literature.
COLUMNS = (
    Column("fpr_at_95_tpr", "FPR@95%TPR", False, 100),
    Column("aupr_error", "AUPR-Error", True, 100),
    Column("aupr_success", "AUPR-Success", True, 100),
    Column("auroc", "AUROC", True, 100),
    Column("aurc", "AURC", False, 1000),
    Column("e_aurc", "E-AURC", False, 1000),
    Column("augrc", "AUGRC", False, 1000),
)
OPERATING_POINTS = (  # compared, but not among the columns of the main table
    Column("risk_at_80_coverage", "Risk@80%", False, 100),
    Column("coverage_at_1_risk", "Coverage@1%", True, 100),
    Column("coverage_at_5_risk", "Coverage@5%", True, 100),
)
BY_METRIC = {column.key: column for column in (*COLUMNS, *OPERATING_POINTS)}
HEADLINE = BY_METRIC["aupr_error"]  # what scores are ranked by
SHOWN = tuple(BY_METRIC[key] for key in ("fpr_at_95_tpr", "aupr_error", "auroc", "aurc"))  # where seven columns are too many


def comparison_frame(evaluations: Iterable[Evaluation]) -> pd.DataFrame:
    """One row an evaluation, in the given order; undefined metrics are NaN, which CSV leaves empty.

    ValueError for no evaluation at all, one given twice, or methods that were not evaluated on the same predictions.
    """
    rows = [{key: getattr(one, key) for key in EVALUATION_KEYS} | {name: one.metrics[name] for name in METRICS} for one in evaluations]
    if not rows:
        raise ValueError("there is no evaluation to compare; params.yaml must list at least one benchmark, seed and method")
    frame = pd.DataFrame(rows).astype(dict.fromkeys(METRICS, float))
    twice = frame.duplicated(["benchmark", "seed", "method"])
    if twice.any():
        raise ValueError(f"evaluated twice: {_named(frame[twice])}; params.yaml may list a benchmark, seed or method once")
    for _, group in frame.groupby(["benchmark", "seed"], sort=False):
        other = group[(group[["samples", "errors"]] != group[["samples", "errors"]].iloc[0]).any(axis=1)]
        if len(other):
            pair = f"{_named(other)} and {_named(group.iloc[:1])}"
            raise ValueError(f"{pair} differ in samples or errors, so they cannot be compared; run `dvc repro`")
    return frame


def write_frame(path: Path, frame: pd.DataFrame) -> None:
    """A CSV file with six significant digits; whole or not at all."""
    write_text(path, as_csv(frame))


def mean_over_seeds(frame: pd.DataFrame, intervals: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row for each benchmark and method of a `comparison_frame`: `seeds` (their number), the means of samples, errors and metrics.

    A metric that is undefined for one seed is undefined. With two seeds or more `<metric>_std` is the sample standard deviation.
    intervals: of the means, as from `evaluation.intervals`; its `<metric>_low` and `<metric>_high` are joined
    """
    groups = frame.groupby(["benchmark", "method"], sort=False)
    means = groups[["samples", "errors", *METRICS]].agg(lambda values: values.mean(skipna=False))
    means.insert(0, "oracle", groups["oracle"].first())
    means.insert(1, "seeds", groups["seed"].nunique())
    if (means["seeds"] > 1).any():
        means = means.join(groups[list(METRICS)].agg(lambda values: values.std(ddof=1, skipna=False)).add_suffix("_std"))
    return (means if intervals is None else means.join(intervals)).reset_index()


def metric_cell(row: Mapping[Any, Any] | pd.Series, metric: str, verdict: str | None = None) -> Cell:
    """The metric of a row of `mean_over_seeds`, with its deviation and its interval where it has them."""
    deviation, low, high = (_number(row.get(f"{metric}_{end}")) for end in ("std", "low", "high"))
    return Cell(float(row[metric]), deviation, low, high, verdict=verdict)


def method_row(row: Mapping, cells: Iterable[Cell], seeds: int = 1) -> Row:
    """Of a row of `mean_over_seeds`. seeds: how many the method with most of them has; where this one has fewer, its row says so."""
    missing = f"{row['seeds']} of {seeds} seeds" if row["seeds"] < seeds else ""
    return Row(row["method"], display_name(row["method"]), tuple(cells), bool(row["oracle"]), missing)


def summary(frame: pd.DataFrame) -> dict:
    """A `comparison_frame` in the few numbers that DVC shows as columns: accuracy, errors, AUPR-Error of each score, and the best of these.

    In percent, means over seeds, two decimals, None where undefined. The oracle is left out: it is an upper bound, not a competing method.
    """
    content = {}
    for benchmark, group in frame.groupby("benchmark", sort=False):
        seeds, results = group.drop_duplicates("seed"), means_by_method(group[~group["oracle"]])
        headline = {method: _percent(means[HEADLINE.key]) for method, means in results.items()}
        known = {method: value for method, value in headline.items() if value is not None}
        best = max(known, key=known.__getitem__, default=None)
        content[benchmark] = {
            "accuracy": _percent(seeds["accuracy"].mean()),
            "errors": round(float(seeds["errors"].mean()), 2),
            HEADLINE.key: headline,
            "best_score": best,
            "best": None if best is None else headline[best],
        }
    return content


def means_by_method(frame: pd.DataFrame) -> dict[str, dict[str, float | None]]:
    """METHOD -> metric -> mean over seeds, None where undefined, of a `comparison_frame` of one benchmark."""
    means = mean_over_seeds(frame).set_index("method")[list(METRICS)]
    return {str(method): {str(name): None if np.isnan(value) else value for name, value in row.items()} for method, row in means.iterrows()}


def conventions_table(measured: Mapping[str, Mapping[str, Mapping[str, float | None]]]) -> Table:
    """METHOD -> PROJECT -> metric -> fraction, of `conventions`, in the units of the main table: a row a method and project."""
    known = {metric for by_project in measured.values() for metrics in by_project.values() for metric in metrics}
    columns = tuple(column for column in COLUMNS if column.key in known)
    rows = []
    for method, by_project in measured.items():
        for project, metrics in by_project.items():
            numbers = (metrics.get(column.key) for column in columns)
            cells = (Cell(text=project), *(Cell(np.nan if value is None else value) for value in numbers))
            rows.append(Row(f"{method}.{project}", display_name(method), cells))
    return Table("", (Column("project", "as printed by", words=True), *columns), tuple(rows))


def _named(frame: pd.DataFrame) -> str:
    return ", ".join(f"{row.benchmark} seed {row.seed} {row.method}" for row in frame.itertuples())


def _number(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else float(value)


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100 * float(value), 2)
