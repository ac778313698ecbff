"""Logger of one MLflow row, which converts metrics, files and tags to the plain entries that tracking/rows.py sends."""

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
    """Logs metrics, files, figures and tags of one row; each call passes one entry to the function `log`."""

    def __init__(self, log: Callable[[Entry], None]) -> None:
        self._log = log
        self._undefined: set[str] = set()

    def log_metrics(self, metrics: Mapping[str, float | None], step: int | None = None) -> None:
        """Log metrics by their project names, with rates as fractions in [0, 1]; tracking/names.py converts names and units for MLflow.

        step is the epoch. None, NaN and infinity are not stored; their names go to the tag undefined_metrics. ValueError for a value that
        is not a number.
        """
        numbers = {mlflow_metric_name(name): _number(name, value) for name, value in metrics.items()}
        self._log_numbers({name: mlflow_factor(name) * value for name, value in numbers.items()}, step)

    def log_results(self, results: Mapping[str, object]) -> None:
        """Log numbers as metrics under exactly these names and in their own units, as from `execution_results`, and texts as tags."""
        words = {name: value for name, value in results.items() if isinstance(value, str)}
        self._log_numbers({name: _number(name, value) for name, value in results.items() if name not in words})
        self._log({"tags": {mlflow_key(name): value for name, value in words.items()}})

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Store a file or folder, under FOLDER of the run's artifacts. ValueError if it does not exist."""
        if not Path(path).exists():
            raise ValueError(f"{path} does not exist, so MLflow cannot store it; write it before it is logged")
        self._log({"artifact": str(path), "folder": folder})

    def log_figure(self, figure: Any, name: str) -> None:
        """Store a matplotlib figure as NAME, with .png appended to a name without a suffix."""
        path = Path(name if Path(name).suffix else f"{name}.png")
        with TemporaryDirectory() as folder:
            figure.savefig(Path(folder) / path.name)
            self._log({"artifact": f"{folder}/{path.name}", "folder": None if path.parent == Path() else path.parent.as_posix()})

    def set_tag(self, key: str, value: Any) -> None:
        """Set a tag to the text of VALUE."""
        self._log({"tags": {key: str(value)}})

    def _log_numbers(self, numbers: Mapping[str, float], step: int | None = None) -> None:
        now = int(time.time() * 1000)
        named = {mlflow_key(name): value for name, value in numbers.items()}
        entry: Entry = {"metrics": [[name, value, now, step or 0] for name, value in named.items() if math.isfinite(value)]}
        if undefined := {name for name, value in named.items() if not math.isfinite(value)} - self._undefined:
            self._undefined |= undefined
            entry["tags"] = self._undefined_tag()
        self._log(entry)

    def _undefined_tag(self) -> dict[str, str]:
        return {UNDEFINED_TAG: ", ".join(sorted(self._undefined))} if self._undefined else {}

    def _restore_undefined(self, tags: dict[str, str]) -> None:
        self._undefined |= set(filter(None, tags.get(UNDEFINED_TAG, "").split(", ")))


def mlflow_params(flat: dict[str, Any]) -> dict[str, str]:
    """Convert parameters to text of at most MAX_PARAM_LENGTH characters, which MLflow accepts."""
    return {mlflow_key(name): str(value)[:MAX_PARAM_LENGTH] for name, value in flat.items()}


def mlflow_key(name: str) -> str:
    """Replace each character that MLflow refuses in a name by an underscore, as in fpr@95 or iou (%)."""
    return re.sub(r"[^\w./\- ]", "_", str(name))


def _number(name: str, value: Any) -> float:
    try:
        return math.nan if value is None else float(value)
    except (TypeError, ValueError):
        raise ValueError(f"metric {name} is {value!r}; expected a number, or None where it is undefined") from None
