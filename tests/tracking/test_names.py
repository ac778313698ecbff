"""Names and units of quantities in MLflow: one for each quantity, the units of the report, sections of the chart view."""

import pytest

from confidnet_core.comparison.frames import METRIC_COLUMNS, OPERATING_POINT_COLUMNS
from confidnet_core.metrics import METRICS
from confidnet_core.metrics.calibration import CALIBRATION_METRICS
from confidnet_core.tracking.names import MLFLOW_UNIT_FACTORS, mlflow_metric_name, mlflow_unit_factor, pipeline_results, sort_metric_names


@pytest.mark.parametrize(
    ("name", "expected", "factor"),
    [
        ("accuracy", "accuracy", 100),
        ("aurc", "aurc", 1000),
        ("test_samples", "samples", 1),
        ("train_loss", "train/loss", 1),
        ("val_fpr_at_95_tpr", "val/fpr_at_95_tpr", 100),
        ("best_val_auroc", "val/best_auroc", 100),
        ("coverage_at_1_risk", "coverage_at_1_risk", 100),
        ("e_aurc_standard_error", "e_aurc/standard_error", 1000),
        ("iou/low wall", "iou/low wall", 100),
        ("guaranteed_coverage/risk_0.5", "guaranteed_coverage/risk_0.5", 100),
        ("train_tcp_mean", "train/tcp_mean", 1),
        ("learning_rate", "learning_rate", 1),
    ],
)
def test_a_name_of_the_core_becomes_split_metric_and_part_in_the_unit_of_the_report(name: str, expected: str, factor: int):
    assert (mlflow_metric_name(name), mlflow_unit_factor(mlflow_metric_name(name))) == (expected, factor)


def test_every_metric_has_the_unit_that_tables_print_it_in():
    assert MLFLOW_UNIT_FACTORS.keys() >= {*METRICS, *CALIBRATION_METRICS}
    assert {column.key: MLFLOW_UNIT_FACTORS[column.key] for column in (*METRIC_COLUMNS, *OPERATING_POINT_COLUMNS)} == {
        column.key: column.scale for column in (*METRIC_COLUMNS, *OPERATING_POINT_COLUMNS)
    }


def test_results_are_those_of_the_summary_and_two_metrics_of_its_scores():
    summary = {"accuracy": 92.11, "errors": 71.0, "aupr_error": {"mcp": 36.79, "stack": None}, "best": 36.79, "best_score": "mcp"}
    means = {method: {"auroc": 0.891234, "aurc": 0.0131549, "aupr_error": 0.36791} for method in ("mcp", "stack", "tcp")}
    means["stack"]["auroc"] = None
    found = pipeline_results(summary, means)
    assert found == {
        "accuracy": 92.11,
        "errors": 71.0,
        "aupr_error/mcp": 36.79,
        "aupr_error/stack": None,
        "best_aupr_error": 36.79,
        "best_score": "mcp",
        "auroc/mcp": 89.12,
        "auroc/stack": None,
        "aurc/mcp": 13.15,
        "aurc/stack": 13.15,
    }
    assert sort_metric_names(found)[:4] == ["accuracy", "errors", "best_aupr_error", "best_score"]
    assert sort_metric_names(found)[4:6] == ["aupr_error/mcp", "aupr_error/stack"]
