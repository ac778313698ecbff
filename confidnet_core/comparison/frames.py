"""Data frame of all metrics of a study by benchmark, seed and method; its means over seeds; and the summary.json that DVC shows.

Each metric is defined and described in metrics/failure.py.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from confidnet_core.comparison.names import display_name
from confidnet_core.comparison.rendering import frame_to_csv
from confidnet_core.comparison.tables import Cell, Column, Row, Table
from confidnet_core.comparison.uncertainty import UNIT_COLUMNS, insufficiency
from confidnet_core.evaluation.intervals import UnitCounts
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
# Column of a score's own network as a classifier by itself -> its metric. The columns are there if any score has such a network.
OWN_COLUMNS = {"own_accuracy": "accuracy", "own_aurc": "aurc"}
COLUMN_BY_METRIC = {column.key: column for column in (*METRIC_COLUMNS, *OPERATING_POINT_COLUMNS)}
HEADLINE_METRIC = COLUMN_BY_METRIC["aupr_error"]  # the metric that ranks scores
# The columns of narrow tables, in which all seven would not fit.
MAIN_METRIC_COLUMNS = tuple(COLUMN_BY_METRIC[key] for key in ("fpr_at_95_tpr", "aupr_error", "auroc", "aurc"))


def comparison_frame(
    evaluations: Iterable[Evaluation], counts_by_training: Mapping[tuple[str, int], UnitCounts] | None = None
) -> pd.DataFrame:
    """Return the metrics of all evaluations as a data frame with one row per benchmark, seed and method, in the given order.

    Undefined metrics are NaN. The columns UNIT_COLUMNS count the independent units of the test split. OWN_COLUMNS are of own networks.
    counts_by_training: {(benchmark, seed): the units of its predictions}; where it has none, each sample is a unit
    Raises ValueError if there is no evaluation, if one is given twice, or if methods were not evaluated on the
    same predictions.
    """
    evaluation_dictionaries = [
        {key: getattr(evaluation, key) for key in EVALUATION_KEYS}
        | dict(zip(UNIT_COLUMNS, _unit_counts(evaluation, counts_by_training or {}), strict=True))
        | {name: evaluation.metrics[name] for name in METRICS}
        | {column: evaluation.own[metric] for column, metric in OWN_COLUMNS.items() if evaluation.own}
        for evaluation in evaluations
    ]
    if not evaluation_dictionaries:
        raise ValueError("there is no evaluation to compare; params.yaml must list at least one benchmark, seed and method")
    evaluation_rows = pd.DataFrame(evaluation_dictionaries).astype(dict.fromkeys(METRICS, float))
    is_duplicate = evaluation_rows.duplicated(["benchmark", "seed", "method"])
    if is_duplicate.any():
        duplicate_evaluations = _evaluations_in_words(evaluation_rows[is_duplicate])
        raise ValueError(f"evaluated twice: {duplicate_evaluations}; params.yaml may list a benchmark, seed or method once")
    for _, seed_rows in evaluation_rows.groupby(["benchmark", "seed"], sort=False):
        differing_rows = seed_rows[(seed_rows[["samples", "errors"]] != seed_rows[["samples", "errors"]].iloc[0]).any(axis=1)]
        if len(differing_rows):
            differing_evaluations = f"{_evaluations_in_words(differing_rows)} and {_evaluations_in_words(seed_rows.iloc[:1])}"
            raise ValueError(f"{differing_evaluations} differ in samples or errors, so they cannot be compared; run `dvc repro`")
    return evaluation_rows


def _unit_counts(evaluation: Evaluation, counts_by_training: Mapping[tuple[str, int], UnitCounts]) -> tuple[int, int, int, float]:
    """Return the values of UNIT_COLUMNS for one evaluation."""
    counts = counts_by_training.get((evaluation.benchmark, evaluation.seed))
    if counts is None:
        successes = evaluation.samples - evaluation.errors
        return evaluation.samples, evaluation.errors, successes, float(min(evaluation.errors, successes))
    return counts.units, counts.with_errors, counts.with_successes, counts.effective


def write_frame(path: Path, data_frame: pd.DataFrame) -> None:
    """Write a data frame as a CSV file, atomically, with six significant digits."""
    write_text(path, frame_to_csv(data_frame))


def mean_over_seeds(evaluation_rows: pd.DataFrame, intervals_of_means: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the metrics averaged over seeds, as a data frame with one row per benchmark and method.

    The column `seeds` is the number of seeds; samples and errors are averaged, too. A metric that is undefined for one seed is undefined.
    So are all but the accuracy where a seed has no error or only errors, since there is nothing to separate.
    With two or more seeds, `<metric>_std` is the sample standard deviation.

    evaluation_rows: from `comparison_frame`
    intervals_of_means: of the means, from `evaluation.intervals`; its columns `<metric>_low` and `<metric>_high` are joined
    """
    has_both_outcomes = (evaluation_rows["errors"] > 0) & (evaluation_rows["errors"] < evaluation_rows["samples"])
    separation_metrics = [metric for metric in METRICS if metric != "accuracy"]
    evaluation_rows = evaluation_rows.assign(**{metric: evaluation_rows[metric].where(has_both_outcomes) for metric in separation_metrics})
    method_groups = evaluation_rows.groupby(["benchmark", "method"], sort=False)
    method_means = method_groups[["samples", "errors", *METRICS]].agg(lambda metric_values: metric_values.mean(skipna=False))
    method_means.insert(0, "oracle", method_groups["oracle"].first())
    method_means.insert(1, "seeds", method_groups["seed"].nunique())
    if (method_means["seeds"] > 1).any():
        method_means = method_means.join(
            method_groups[list(METRICS)].agg(lambda metric_values: metric_values.std(ddof=1, skipna=False)).add_suffix("_std")
        )
    return (method_means if intervals_of_means is None else method_means.join(intervals_of_means)).reset_index()


def metric_cell(method_means: Mapping[Any, Any] | pd.Series, metric: str, verdict: str | None = None) -> Cell:
    """Return the table cell of one metric, from a method's row of `mean_over_seeds`, with standard deviation and interval if known."""
    deviation, interval_low, interval_high = (
        _none_if_nan(method_means.get(f"{metric}_{column_suffix}")) for column_suffix in ("std", "low", "high")
    )
    return Cell(float(method_means[metric]), deviation, interval_low, interval_high, verdict=verdict)


def method_table_row(method_means: Mapping, cells: Iterable[Cell], max_seeds: int = 1) -> Row:
    """Return the table row of one method. method_means: the method's row of `mean_over_seeds`; cells: the cells of the table row

    max_seeds: the largest number of seeds that any method has; a method with fewer gets a remark
    """
    seeds_remark = f"{method_means['seeds']} of {max_seeds} seeds" if method_means["seeds"] < max_seeds else ""
    return Row(method_means["method"], display_name(method_means["method"]), tuple(cells), bool(method_means["oracle"]), seeds_remark)


def benchmark_summaries(evaluation_rows: pd.DataFrame) -> dict:
    """Return the content of summary.json, {benchmark: accuracy, errors, AUPR-Error by score, and best score}, which DVC shows.

    Values are means over seeds in percent with two decimals, None if undefined. The oracle is left out, since it reads the labels.
    There is no best score where `insufficiency` finds too little data to compare any.
    evaluation_rows: from `comparison_frame`
    """
    summary_by_benchmark = {}
    for benchmark, benchmark_rows in evaluation_rows.groupby("benchmark", sort=False):
        seed_rows = benchmark_rows.drop_duplicates("seed")
        metric_means_by_method = mean_metrics_by_method(benchmark_rows[~benchmark_rows["oracle"]])
        headline_percent_by_method = {
            method: _rounded_percent(metric_means[HEADLINE_METRIC.key]) for method, metric_means in metric_means_by_method.items()
        }
        defined_headline_percents = {
            method: headline_percent for method, headline_percent in headline_percent_by_method.items() if headline_percent is not None
        }
        best_method = (
            None
            if insufficiency(benchmark_rows)
            else max(defined_headline_percents, key=defined_headline_percents.__getitem__, default=None)
        )
        summary_by_benchmark[benchmark] = {
            "accuracy": _rounded_percent(seed_rows["accuracy"].mean()),
            "errors": round(float(seed_rows["errors"].mean()), 2),
            HEADLINE_METRIC.key: headline_percent_by_method,
            "best_score": best_method,
            "best": None if best_method is None else headline_percent_by_method[best_method],
        }
    return summary_by_benchmark


def mean_metrics_by_method(benchmark_rows: pd.DataFrame) -> dict[str, dict[str, float | None]]:
    """Return {method: {metric: its mean over seeds}}, None if undefined. benchmark_rows: one benchmark's rows of `comparison_frame`"""
    method_means = mean_over_seeds(benchmark_rows).set_index("method")[list(METRICS)]
    return {
        str(method): {str(metric): None if np.isnan(metric_mean) else metric_mean for metric, metric_mean in metric_means.items()}
        for method, metric_means in method_means.iterrows()
    }


def metric_conventions_table(metrics_by_method: Mapping[str, Mapping[str, Mapping[str, float | None]]]) -> Table:
    """Return a table of the metrics that each project's code would print for each method, in the units of the main table.

    metrics_by_method: {method: {project: {metric: fraction}}}, as the stage `conventions` computes them by each project's metric
    conventions
    """
    metric_keys = {
        metric for metrics_by_project in metrics_by_method.values() for metrics in metrics_by_project.values() for metric in metrics
    }
    columns = tuple(column for column in METRIC_COLUMNS if column.key in metric_keys)
    table_rows = []
    for method, metrics_by_project in metrics_by_method.items():
        for project, metrics in metrics_by_project.items():
            metric_values = (metrics.get(column.key) for column in columns)
            cells = (Cell(text=project), *(Cell(np.nan if metric_value is None else metric_value) for metric_value in metric_values))
            table_rows.append(Row(f"{method}.{project}", display_name(method), cells))
    return Table("", (Column("project", "as printed by", is_text=True), *columns), tuple(table_rows))


def _evaluations_in_words(evaluation_rows: pd.DataFrame) -> str:
    """Return text that names each evaluation, such as "digits seed 0 mcp, digits seed 1 mcp"."""
    return ", ".join(f"{row.benchmark} seed {row.seed} {row.method}" for row in evaluation_rows.itertuples())


def _none_if_nan(number: float | None) -> float | None:
    """Return the number as a float, or None if it is NaN or None."""
    return None if number is None or np.isnan(number) else float(number)


def _rounded_percent(fraction: float | None) -> float | None:
    """Return a fraction in percent, rounded to two decimals; None for None."""
    return None if fraction is None else round(100 * float(fraction), 2)
