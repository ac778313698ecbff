"""Names and units of metrics in MLflow: each quantity has one name and one unit in all MLflow runs.

[SPLIT/]METRIC[/PART]     the test split is not named; PART is a score, a class, or its standard error

MLflow's chart view groups metrics by what precedes the last slash (mlflow/server/js, RunsChartsCardConfig.extractChartSectionName): the run
of a pipeline execution has one section per metric with all its scores, and the run of a stage one section per split. Units are those of the
report and of `dvc exp show`: percent for rates, areas under curves and IoU; AURC, E-AURC and AUGRC times 1000; Brier score and NLL times
100. Losses, counts, seconds and learning rates are unscaled.
"""

import re
from collections.abc import Iterable, Mapping
from itertools import count

METRICS_SCALED_BY_100 = (
    *("accuracy", "iou", "mean_iou", "fpr_at_95_tpr", "aupr_error", "aupr_success", "auroc", "risk_at_80_coverage"),
    *("coverage_at_1_risk", "coverage_at_5_risk", "guaranteed_coverage", "ece", "adaptive_ece", "brier", "nll"),
)
METRICS_SCALED_BY_1000 = ("aurc", "e_aurc", "augrc")
# METRIC -> factor from a fraction to its unit.
MLFLOW_UNIT_FACTORS = dict.fromkeys(METRICS_SCALED_BY_100, 100) | dict.fromkeys(METRICS_SCALED_BY_1000, 1000)
COMPARED_METRICS = ("auroc", "aurc")  # shown for each score in a pipeline execution's MLflow run, beside the metrics of summary.json
RESULT_DECIMALS = 2  # as in tables
MAX_CLASS_NAME_LENGTH = 200  # characters; MLflow takes 250 for the whole name
MLFLOW_NAME_BY_SUMMARY_KEY = {"best": "best_aupr_error"}  # key of summary.json -> a clearer name in MLflow

_SPLIT_METRIC_PATTERN = re.compile(r"(?P<best>best_)?(?P<split>train|val|calibration|test)_(?P<metric>.+)")  # as in val_loss, best_val_loss
_STANDARD_ERROR_PATTERN = re.compile(r"(?P<metric>.+)_(?P<part>standard_error)")


def mlflow_metric_name(metric: str) -> str:
    """Return the name that a metric has in MLflow, given its name in this project.

    val_loss becomes val/loss, best_val_auroc val/best_auroc, test_samples samples, and auroc_standard_error auroc/standard_error.
    """
    if match := _SPLIT_METRIC_PATTERN.fullmatch(metric):
        split_prefix = "" if match["split"] == "test" else f"{match['split']}/"
        return f"{split_prefix}{match['best'] or ''}{match['metric']}"
    if match := _STANDARD_ERROR_PATTERN.fullmatch(metric):
        return f"{match['metric']}/{match['part']}"
    return metric


def mlflow_unit_factor(mlflow_name: str) -> int:
    """Return the factor from a fraction to a metric's unit in MLflow, given its MLflow name; 1 for metrics that are no fractions."""
    name_parts = [name_part.removeprefix("best_") for name_part in mlflow_name.split("/")]
    return next((MLFLOW_UNIT_FACTORS[metric] for metric in name_parts if metric in MLFLOW_UNIT_FACTORS), 1)


def pipeline_results(
    benchmark_summary: Mapping[str, object], mean_metrics_by_method: Mapping[str, Mapping[str, float | None]]
) -> dict[str, object]:
    """Return a dictionary METRIC -> result, in MLflow's units, for the MLflow run of a whole pipeline execution.

    benchmark_summary: the benchmark's part of summary.json, whose results are all returned
    mean_metrics_by_method: METHOD -> metric -> fraction, of which COMPARED_METRICS are returned for the scores in the summary, which
        leaves out the oracle
    """
    result_by_mlflow_name: dict[str, object] = {}
    for summary_key, result in benchmark_summary.items():
        mlflow_name = MLFLOW_NAME_BY_SUMMARY_KEY.get(summary_key, summary_key)
        result_by_mlflow_name |= (
            {f"{mlflow_name}/{subresult_name}": subresult for subresult_name, subresult in result.items()}
            if isinstance(result, Mapping)
            else {mlflow_name: result}
        )
    methods = [result_name.partition("/")[2] for result_name in result_by_mlflow_name if result_name.startswith("aupr_error/")]
    return result_by_mlflow_name | {
        f"{metric}/{method}": _scale_and_round(mean_metrics_by_method[method][metric], MLFLOW_UNIT_FACTORS[metric])
        for metric in COMPARED_METRICS
        for method in methods
    }


def class_metrics(metric: str, value_by_class: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return {METRIC/CLASS: value} with class names that MLflow takes: any text that a folder may be called, no two of which become one."""
    metrics: dict[str, float | None] = {}
    for class_name, value in value_by_class.items():
        part = re.sub(r"[^\w\- ]", "_", class_name)[:MAX_CLASS_NAME_LENGTH] or "_"
        number = next(number for number in count(1) if f"{metric}/{part}{f' {number}' * (number > 1)}" not in metrics)
        metrics[f"{metric}/{part}{f' {number}' * (number > 1)}"] = value
    return metrics


def sort_metric_names(metric_names: Iterable[str]) -> list[str]:
    """Return MLflow metric names in the order of MLflow's columns: first metrics of the classifier, then metrics of each score."""
    return sorted(metric_names, key=lambda metric_name: (metric_name.count("/"), metric_name.partition("/")[0] in COMPARED_METRICS))


def _scale_and_round(fraction: float | None, unit_factor: int) -> float | None:
    """Return a metric's fraction times UNIT_FACTOR, rounded to RESULT_DECIMALS digits; None for an undefined metric."""
    return None if fraction is None else round(unit_factor * fraction, RESULT_DECIMALS)
