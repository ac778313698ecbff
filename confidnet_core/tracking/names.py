"""Names and units of metrics in MLflow: each quantity has one name and one unit in all MLflow runs.

[SPLIT/]METRIC[/PART]     the test split is not named; PART is a score, a class, or its standard error

MLflow's chart view groups metrics by what precedes the last slash (mlflow/server/js, RunsChartsCardConfig.extractChartSectionName): the run
of a pipeline execution has one section per metric with all its scores, and the run of a stage one section per split. Units are those of the
report and of `dvc exp show`: percent for rates, areas under curves and IoU; AURC, E-AURC and AUGRC times 1000; Brier score and NLL times
100. Losses, counts, seconds and learning rates are unscaled.
"""

import re
from collections.abc import Iterable, Mapping

TIMES_100_METRICS = (
    *("accuracy", "iou", "mean_iou", "fpr_at_95_tpr", "aupr_error", "aupr_success", "auroc", "risk_at_80_coverage"),
    *("coverage_at_1_risk", "coverage_at_5_risk", "guaranteed_coverage", "ece", "adaptive_ece", "brier", "nll"),
)
TIMES_1000_METRICS = ("aurc", "e_aurc", "augrc")
METRIC_FACTORS = dict.fromkeys(TIMES_100_METRICS, 100) | dict.fromkeys(
    TIMES_1000_METRICS, 1000
)  # METRIC -> factor from a fraction to its unit
COMPARED_METRICS = ("auroc", "aurc")  # shown for each score in an execution's row, beside those of summary.json
RESULT_DECIMALS = 2  # as in tables
SUMMARY_KEY_NAMES = {"best": "best_aupr_error"}  # key of summary.json -> a clearer name in MLflow

_SPLIT_PATTERN = re.compile(r"(?P<best>best_)?(?P<split>train|val|calibration|test)_(?P<metric>.+)")  # as in val_loss, best_val_loss
_UNCERTAINTY_PATTERN = re.compile(r"(?P<metric>.+)_(?P<part>standard_error)")


def mlflow_metric_name(name: str) -> str:
    """Return the MLflow name of a metric, given the project's own name.

    val_loss becomes val/loss, best_val_auroc val/best_auroc, test_samples samples, and auroc_standard_error auroc/standard_error.
    """
    if match := _SPLIT_PATTERN.fullmatch(name):
        split_prefix = "" if match["split"] == "test" else f"{match['split']}/"
        return f"{split_prefix}{match['best'] or ''}{match['metric']}"
    if match := _UNCERTAINTY_PATTERN.fullmatch(name):
        return f"{match['metric']}/{match['part']}"
    return name


def mlflow_factor(name: str) -> int:
    """Return the factor that converts a metric from a fraction to MLflow's unit, given its MLflow name; 1 for metrics that are no
    fractions.
    """
    name_parts = name.split("/")
    return next((METRIC_FACTORS[metric] for part in name_parts if (metric := part.removeprefix("best_")) in METRIC_FACTORS), 1)


def execution_results(summary: Mapping[str, object], means: Mapping[str, Mapping[str, float | None]]) -> dict[str, object]:
    """Return metric name -> result, in MLflow's units, for the MLflow run of a whole pipeline execution.

    summary: the benchmark's part of summary.json, whose results are all returned
    means: METHOD -> metric -> fraction; adds the metrics of COMPARED_METRICS for the scores in the summary, which leaves out the oracle
    """
    named_results: dict[str, object] = {}
    for name, value in summary.items():
        key = SUMMARY_KEY_NAMES.get(name, name)
        named_results |= {f"{key}/{part}": part_value for part, part_value in value.items()} if isinstance(value, Mapping) else {key: value}
    methods = [name.partition("/")[2] for name in named_results if name.startswith("aupr_error/")]
    return named_results | {
        f"{metric}/{method}": _scale_and_round(means[method][metric], METRIC_FACTORS[metric])
        for metric in COMPARED_METRICS
        for method in methods
    }


def sorted_metrics(names: Iterable[str]) -> list[str]:
    """Return metric names in reading order for a pipeline execution's results: first those of the classifier, then those of each score."""
    return sorted(names, key=lambda name: (name.count("/"), name.partition("/")[0] in COMPARED_METRICS))


def _scale_and_round(value: float | None, factor: int) -> float | None:
    """Return a fraction times `factor`, rounded to RESULT_DECIMALS; None for an undefined value."""
    return None if value is None else round(factor * value, RESULT_DECIMALS)
