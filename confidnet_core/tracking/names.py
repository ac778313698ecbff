"""Names and units of metrics in MLflow: each quantity has one name and one unit in all rows.

[SPLIT/]METRIC[/PART]     the test split is not named; PART is a score, a class, or an end of an interval

MLflow's chart view groups metrics by what precedes the last slash (mlflow/server/js, RunsChartsCardConfig.extractChartSectionName): the row
of an experiment has one section per metric with all its scores, and the row of a stage one section per split. Units are those of the report
and of `dvc exp show`: percent for rates, areas under curves and IoU; AURC, E-AURC and AUGRC times 1000; Brier score and NLL times 100.
Losses, counts, seconds and learning rates are unscaled.
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
_INTERVAL_END_PATTERN = re.compile(r"(?P<metric>.+)_(?P<end>low|high)")


def mlflow_metric_name(name: str) -> str:
    """Convert a metric name: val_loss to val/loss, best_val_auroc to val/best_auroc, test_samples to samples, auroc_low to auroc/low."""
    if match := _SPLIT_PATTERN.fullmatch(name):
        split = "" if match["split"] == "test" else f"{match['split']}/"
        return f"{split}{match['best'] or ''}{match['metric']}"
    if match := _INTERVAL_END_PATTERN.fullmatch(name):
        return f"{match['metric']}/{match['end']}"
    return name


def mlflow_factor(name: str) -> int:
    """Return the factor from a fraction to MLflow's unit for this MLflow name; 1 for metrics that are no fractions."""
    parts = name.split("/")
    return next((METRIC_FACTORS[metric] for part in parts if (metric := part.removeprefix("best_")) in METRIC_FACTORS), 1)


def execution_results(summary: Mapping[str, object], means: Mapping[str, Mapping[str, float | None]]) -> dict[str, object]:
    """Return the results for an execution's row, in its units: the benchmark's part of summary.json and the metrics of COMPARED_METRICS.

    means: METHOD -> metric -> fraction; only scores that summary.json names are used, which leaves out the oracle
    """
    named_results: dict[str, object] = {}
    for name, value in summary.items():
        key = SUMMARY_KEY_NAMES.get(name, name)
        named_results |= {f"{key}/{part}": part_value for part, part_value in value.items()} if isinstance(value, Mapping) else {key: value}
    methods = [name.partition("/")[2] for name in named_results if name.startswith("aupr_error/")]
    return named_results | {
        f"{metric}/{method}": _rounded(means[method][metric], METRIC_FACTORS[metric]) for metric in COMPARED_METRICS for method in methods
    }


def sorted_metrics(names: Iterable[str]) -> list[str]:
    """Sort the metrics of an execution's row in reading order: those of the classifier, then those of each score."""
    return sorted(names, key=lambda name: (name.count("/"), name.partition("/")[0] in COMPARED_METRICS))


def _rounded(value: float | None, factor: int) -> float | None:
    return None if value is None else round(factor * value, RESULT_DECIMALS)
