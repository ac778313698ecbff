"""Logger of one MLflow run. It converts metrics, files and tags to entries, plain dictionaries that tracking/rows.py sends to MLflow or
tracking/records.py writes to disk.
"""

import math
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from confidnet_core.tracking.names import mlflow_factor, mlflow_metric_name

MAX_PARAM_LENGTH = 6000  # characters, the limit of MLflow
UNDEFINED_TAG = "undefined_metrics"  # tag that lists the undefined metrics of a row

Entry = dict[str, Any]


class Logger:
    """Logs metrics, files, figures and tags of one MLflow run; each call passes an entry (a dictionary) to `pass_on_entry`."""

    def __init__(self, pass_on_entry: Callable[[Entry], None]) -> None:
        self._pass_on_entry = pass_on_entry
        self._undefined_names: set[str] = set()

    def log_metrics(self, metrics: Mapping[str, float | None], step: int | None = None) -> None:
        """Log metrics under the project's own names, with rates as fractions in [0, 1]; tracking/names.py converts them for MLflow.

        step is the epoch. None, NaN and infinity are not stored; the names of such metrics go to the tag undefined_metrics. ValueError for
        a value that is not a number.
        """
        numbers = {mlflow_metric_name(name): _metric_to_float(name, value) for name, value in metrics.items()}
        self._log_numbers({name: mlflow_factor(name) * value for name, value in numbers.items()}, step)

    def log_results(self, results: Mapping[str, object]) -> None:
        """Log numbers as metrics and texts as tags, with names and units unchanged; for results as from `execution_results`."""
        texts = {name: value for name, value in results.items() if isinstance(value, str)}
        self._log_numbers({name: _metric_to_float(name, value) for name, value in results.items() if name not in texts})
        self._pass_on_entry({"tags": {mlflow_key(name): value for name, value in texts.items()}})

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Store a file or folder among the MLflow run's artifacts, in the subfolder FOLDER. ValueError if the path does not exist."""
        if not Path(path).exists():
            raise ValueError(f"{path} does not exist, so MLflow cannot store it; write it before it is logged")
        self._pass_on_entry({"artifact": str(path), "folder": folder})

    def log_figure(self, figure: Any, name: str) -> None:
        """Store a matplotlib figure as an image file NAME among the run's artifacts; .png is appended to a name without a suffix."""
        figure_path = Path(name if Path(name).suffix else f"{name}.png")
        with TemporaryDirectory() as temporary_folder:
            figure.savefig(Path(temporary_folder) / figure_path.name)
            self._pass_on_entry(
                {
                    "artifact": f"{temporary_folder}/{figure_path.name}",
                    "folder": None if figure_path.parent == Path() else figure_path.parent.as_posix(),
                }
            )

    def set_tag(self, key: str, value: Any) -> None:
        """Set a tag of the MLflow run to VALUE, converted to text."""
        self._pass_on_entry({"tags": {key: str(value)}})

    def _log_numbers(self, numbers: Mapping[str, float], step: int | None = None) -> None:
        """Log finite numbers as metrics of MLflow, and list the names of the others in the tag undefined_metrics."""
        now_ms = int(time.time() * 1000)
        numbers_by_key = {mlflow_key(name): value for name, value in numbers.items()}
        entry: Entry = {"metrics": [[name, value, now_ms, step or 0] for name, value in numbers_by_key.items() if math.isfinite(value)]}
        if new_undefined_names := {name for name, value in numbers_by_key.items() if not math.isfinite(value)} - self._undefined_names:
            self._undefined_names |= new_undefined_names
            entry["tags"] = self._undefined_tag()
        self._pass_on_entry(entry)

    def _undefined_tag(self) -> dict[str, str]:
        """Return the tag that lists undefined metrics as {name: text}; empty if all metrics are defined."""
        return {UNDEFINED_TAG: ", ".join(sorted(self._undefined_names))} if self._undefined_names else {}

    def _restore_undefined(self, tags: dict[str, str]) -> None:
        """Add the metrics that a resumed run's tags list as undefined to those that this logger knows."""
        self._undefined_names |= set(filter(None, tags.get(UNDEFINED_TAG, "").split(", ")))


def mlflow_params(flat_params: dict[str, Any]) -> dict[str, str]:
    """Return parameters with names and values that MLflow accepts: values are text, cut to MAX_PARAM_LENGTH characters."""
    return {mlflow_key(name): str(value)[:MAX_PARAM_LENGTH] for name, value in flat_params.items()}


def mlflow_key(name: str) -> str:
    """Return a metric, parameter or tag name with each character that MLflow refuses replaced by _, such as @ in fpr@95."""
    return re.sub(r"[^\w./\- ]", "_", str(name))


def _metric_to_float(name: str, value: Any) -> float:
    """Return a metric's value as a float, NaN for None. ValueError that names the metric if the value is no number."""
    try:
        return math.nan if value is None else float(value)
    except (TypeError, ValueError):
        raise ValueError(f"metric {name} is {value!r}; expected a number, or None where it is undefined") from None
