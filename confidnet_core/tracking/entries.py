"""Logger of one MLflow run. It converts metrics, files and tags to log entries, dictionaries that tracking/rows.py sends to MLflow or
tracking/records.py writes to disk.
"""

import math
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from confidnet_core.tracking.names import mlflow_metric_name, mlflow_unit_factor

MAX_PARAM_LENGTH = 6000  # characters, the limit of MLflow
UNDEFINED_METRICS_TAG = "undefined_metrics"  # tag that lists the undefined metrics of an MLflow run

LogEntry = dict[str, Any]


class RunLogger:
    """Logs metrics, files, figures and tags of one MLflow run; each call passes a dictionary (log entry) to `store_log_entry`."""

    def __init__(self, store_log_entry: Callable[[LogEntry], None]) -> None:
        self._store_entry = store_log_entry
        self._undefined_metric_names: set[str] = set()

    def log_metrics(self, metrics: Mapping[str, float | None], epoch: int | None = None) -> None:
        """Log metrics under the project's own names, with rates as fractions in [0, 1]; tracking/names.py converts them for MLflow.

        epoch: of the training, which MLflow shows as the step. None, NaN and infinity are not stored; the names of such metrics go to the
        tag undefined_metrics. ValueError for a value that is not a number.
        """
        value_by_mlflow_name = {
            mlflow_metric_name(metric): _metric_to_float(metric, metric_value) for metric, metric_value in metrics.items()
        }
        self._log_finite_metrics(
            {metric: mlflow_unit_factor(metric) * metric_value for metric, metric_value in value_by_mlflow_name.items()}, epoch
        )

    def log_results(self, results: Mapping[str, object]) -> None:
        """Log results from `pipeline_results`: numbers as metrics and texts as tags, with names and units unchanged."""
        text_results = {result_name: result for result_name, result in results.items() if isinstance(result, str)}
        self._log_finite_metrics(
            {
                result_name: _metric_to_float(result_name, result)
                for result_name, result in results.items()
                if result_name not in text_results
            }
        )
        self._store_entry({"tags": {mlflow_safe_name(result_name): result for result_name, result in text_results.items()}})

    def log_artifact(self, path: Path, artifact_folder: str | None = None) -> None:
        """Store a file or folder as artifact of the MLflow run, in its subfolder ARTIFACT_FOLDER. ValueError if the path does not exist."""
        if not Path(path).exists():
            raise ValueError(f"{path} does not exist, so MLflow cannot store it; write it before it is logged")
        self._store_entry({"artifact": str(path), "folder": artifact_folder})

    def log_figure(self, figure: Any, file_name: str) -> None:
        """Store a matplotlib figure as the image file FILE_NAME among the MLflow run's artifacts; a name without a suffix gets .png."""
        figure_path = Path(file_name if Path(file_name).suffix else f"{file_name}.png")
        with TemporaryDirectory() as temporary_folder:
            figure.savefig(Path(temporary_folder) / figure_path.name)
            self._store_entry(
                {
                    "artifact": f"{temporary_folder}/{figure_path.name}",
                    "folder": None if figure_path.parent == Path() else figure_path.parent.as_posix(),
                }
            )

    def set_tag(self, tag_name: str, tag_value: Any) -> None:
        """Set a tag of the MLflow run to TAG_VALUE, converted to text."""
        self._store_entry({"tags": {tag_name: str(tag_value)}})

    def _log_finite_metrics(self, metric_values: Mapping[str, float], epoch: int | None = None) -> None:
        """Log the finite ones of these metric values in MLflow, and list the names of the others in the tag undefined_metrics."""
        now_ms = int(time.time() * 1000)
        value_by_mlflow_name = {mlflow_safe_name(metric): metric_value for metric, metric_value in metric_values.items()}
        log_entry: LogEntry = {
            "metrics": [
                [metric, metric_value, now_ms, epoch or 0]
                for metric, metric_value in value_by_mlflow_name.items()
                if math.isfinite(metric_value)
            ]
        }
        if (
            newly_undefined_metrics := {metric for metric, metric_value in value_by_mlflow_name.items() if not math.isfinite(metric_value)}
            - self._undefined_metric_names
        ):
            self._undefined_metric_names |= newly_undefined_metrics
            log_entry["tags"] = self._undefined_metrics_tag()
        self._store_entry(log_entry)

    def _undefined_metrics_tag(self) -> dict[str, str]:
        """Return {"undefined_metrics": names of the undefined metrics with commas between them}; empty if all metrics are defined."""
        return {UNDEFINED_METRICS_TAG: ", ".join(sorted(self._undefined_metric_names))} if self._undefined_metric_names else {}

    def _restore_undefined_metrics(self, tags: dict[str, str]) -> None:
        """Read the names of undefined metrics from the tags of a resumed MLflow run, so that later tags list these metrics, too."""
        self._undefined_metric_names |= set(filter(None, tags.get(UNDEFINED_METRICS_TAG, "").split(", ")))


def mlflow_params(flat_params: dict[str, Any]) -> dict[str, str]:
    """Return a dictionary of parameters that MLflow accepts: their values are text, cut to MAX_PARAM_LENGTH characters."""
    return {mlflow_safe_name(param_name): str(param_value)[:MAX_PARAM_LENGTH] for param_name, param_value in flat_params.items()}


def mlflow_safe_name(original_name: str) -> str:
    """Return a metric, parameter or tag name with each character that MLflow refuses replaced by _, such as @ in fpr@95."""
    return re.sub(r"[^\w./\- ]", "_", str(original_name))


def _metric_to_float(metric: str, metric_value: Any) -> float:
    """Return a metric's value as a float, NaN for None. ValueError that names the metric if the value is no number."""
    try:
        return math.nan if metric_value is None else float(metric_value)
    except (TypeError, ValueError):
        raise ValueError(f"metric {metric} is {metric_value!r}; expected a number, or None where it is undefined") from None
