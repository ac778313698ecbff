"""Data frame of all metrics of a study by benchmark, seed and method; its means over seeds; and the summary.json that DVC shows.

Each metric is defined and described in metrics/failure.py.
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

# Rates and areas under precision and ROC curves are shown in percent, risks times 1000, as in the ConfidNet paper and the AURC literature.
METRIC_COLUMNS = (
    Column("fpr_at_95_tpr", "FPR@95%TPR", False, 100),
    Column("aupr_error", "AUPR-Error", True, 100),
    Column("aupr_success", "AUPR-Success", True, 100),
    Column("auroc", "AUROC", True, 100),
    Column("aurc", "AURC", False, 1000),
    Column("e_aurc", "E-AURC", False, 1000),
    Column("augrc", "AUGRC", False, 1000),
)
OPERATING_POINT_COLUMNS = (  # compared, but not shown in the main table
    Column("risk_at_80_coverage", "Risk@80%", False, 100),
    Column("coverage_at_1_risk", "Coverage@1%", True, 100),
    Column("coverage_at_5_risk", "Coverage@5%", True, 100),
)
COLUMN_BY_METRIC = {column.key: column for column in (*METRIC_COLUMNS, *OPERATING_POINT_COLUMNS)}
HEADLINE_METRIC = COLUMN_BY_METRIC["aupr_error"]  # the metric that ranks scores
# The columns of narrow tables, in which all seven would not fit.
MAIN_COLUMNS = tuple(COLUMN_BY_METRIC[key] for key in ("fpr_at_95_tpr", "aupr_error", "auroc", "aurc"))


def comparison_frame(evaluations: Iterable[Evaluation]) -> pd.DataFrame:
    """Return a data frame with the metrics of each evaluation in a row, in the given order; undefined metrics are NaN, empty in a CSV file.

    Raises ValueError if there is no evaluation, if one is given twice, or if methods were not evaluated on the same predictions.
    """
    rows = [
        {key: getattr(evaluation, key) for key in EVALUATION_KEYS} | {name: evaluation.metrics[name] for name in METRICS}
        for evaluation in evaluations
    ]
    if not rows:
        raise ValueError("there is no evaluation to compare; params.yaml must list at least one benchmark, seed and method")
    frame = pd.DataFrame(rows).astype(dict.fromkeys(METRICS, float))
    is_duplicate = frame.duplicated(["benchmark", "seed", "method"])
    if is_duplicate.any():
        raise ValueError(
            f"evaluated twice: {_evaluations_in_words(frame[is_duplicate])}; params.yaml may list a benchmark, seed or method once"
        )
    for _, group in frame.groupby(["benchmark", "seed"], sort=False):
        different_rows = group[(group[["samples", "errors"]] != group[["samples", "errors"]].iloc[0]).any(axis=1)]
        if len(different_rows):
            both_evaluations = f"{_evaluations_in_words(different_rows)} and {_evaluations_in_words(group.iloc[:1])}"
            raise ValueError(f"{both_evaluations} differ in samples or errors, so they cannot be compared; run `dvc repro`")
    return frame


def write_frame(path: Path, frame: pd.DataFrame) -> None:
    """Write a data frame as a CSV file, atomically, with six significant digits."""
    write_text(path, as_csv(frame))


def mean_over_seeds(frame: pd.DataFrame, intervals: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return a data frame with the metrics of each benchmark and method averaged over seeds, from the data frame of `comparison_frame`.

    The column `seeds` is the number of seeds; samples and errors are averaged, too. A metric that is undefined for one seed is undefined.
    With two or more seeds, `<metric>_std` is the sample standard deviation.

    intervals: of the means, from `evaluation.intervals`; its columns `<metric>_low` and `<metric>_high` are joined
    """
    groups = frame.groupby(["benchmark", "method"], sort=False)
    means = groups[["samples", "errors", *METRICS]].agg(lambda values: values.mean(skipna=False))
    means.insert(0, "oracle", groups["oracle"].first())
    means.insert(1, "seeds", groups["seed"].nunique())
    if (means["seeds"] > 1).any():
        means = means.join(groups[list(METRICS)].agg(lambda values: values.std(ddof=1, skipna=False)).add_suffix("_std"))
    return (means if intervals is None else means.join(intervals)).reset_index()


def metric_cell(row: Mapping[Any, Any] | pd.Series, metric: str, verdict: str | None = None) -> Cell:
    """Return the table cell that shows one metric, from a row of `mean_over_seeds`, with deviation and interval if known."""
    deviation, low, high = (_float_or_none(row.get(f"{metric}_{end}")) for end in ("std", "low", "high"))
    return Cell(float(row[metric]), deviation, low, high, verdict=verdict)


def method_row(row: Mapping, cells: Iterable[Cell], seeds: int = 1) -> Row:
    """Return the table row that shows one method, from its row of `mean_over_seeds` and its cells.

    seeds: the largest number of seeds that any method has; a method with fewer gets a remark
    """
    seeds_remark = f"{row['seeds']} of {seeds} seeds" if row["seeds"] < seeds else ""
    return Row(row["method"], display_name(row["method"]), tuple(cells), bool(row["oracle"]), seeds_remark)


def summary(frame: pd.DataFrame) -> dict:
    """Return what DVC shows of a study, by benchmark: accuracy, errors, the AUPR-Error of each score, and the best score.

    frame: from `comparison_frame`. Values are means over seeds in percent with two decimals, None if undefined. The oracle is left out,
    since
    it is an upper bound and not a competing method.
    """
    summary_content = {}
    for benchmark, group in frame.groupby("benchmark", sort=False):
        seed_rows, means_of_methods = group.drop_duplicates("seed"), means_by_method(group[~group["oracle"]])
        headline = {method: _rounded_percent(means[HEADLINE_METRIC.key]) for method, means in means_of_methods.items()}
        defined_values = {method: value for method, value in headline.items() if value is not None}
        best_method = max(defined_values, key=defined_values.__getitem__, default=None)
        summary_content[benchmark] = {
            "accuracy": _rounded_percent(seed_rows["accuracy"].mean()),
            "errors": round(float(seed_rows["errors"].mean()), 2),
            HEADLINE_METRIC.key: headline,
            "best_score": best_method,
            "best": None if best_method is None else headline[best_method],
        }
    return summary_content


def means_by_method(frame: pd.DataFrame) -> dict[str, dict[str, float | None]]:
    """Return {method: {metric: its mean over seeds}}, None for an undefined metric, from rows of `comparison_frame` of one benchmark."""
    means = mean_over_seeds(frame).set_index("method")[list(METRICS)]
    return {str(method): {str(name): None if np.isnan(value) else value for name, value in row.items()} for method, row in means.iterrows()}


def conventions_table(values: Mapping[str, Mapping[str, Mapping[str, float | None]]]) -> Table:
    """Return a table of the metrics that each project's code would print for each method, in the units of the main table.

    values: {method: {project: {metric: fraction}}}, as the stage `conventions` computes them under each project's metric conventions
    """
    metric_keys = {metric for by_project in values.values() for metrics in by_project.values() for metric in metrics}
    columns = tuple(column for column in METRIC_COLUMNS if column.key in metric_keys)
    rows = []
    for method, by_project in values.items():
        for project, metrics in by_project.items():
            metric_values = (metrics.get(column.key) for column in columns)
            cells = (Cell(text=project), *(Cell(np.nan if value is None else value) for value in metric_values))
            rows.append(Row(f"{method}.{project}", display_name(method), cells))
    return Table("", (Column("project", "as printed by", is_text=True), *columns), tuple(rows))


def _evaluations_in_words(frame: pd.DataFrame) -> str:
    return ", ".join(f"{row.benchmark} seed {row.seed} {row.method}" for row in frame.itertuples())


def _float_or_none(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else float(value)


def _rounded_percent(fraction: float | None) -> float | None:
    return None if fraction is None else round(100 * float(fraction), 2)
