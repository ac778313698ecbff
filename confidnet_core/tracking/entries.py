"""What is logged to a row, as the plain entries that tracking/rows.py delivers."""

import math
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from confidnet_core.tracking.names import scale, tracked_name

MAX_PARAM = 6000  # characters of a value that MLflow takes
UNDEFINED = "undefined_metrics"  # the tag that names the metrics of a row which have no value

Entry = dict[str, Any]


class Logger:
    """Metrics, files, figures and tags of one row; each goes to `log` as one entry."""

    def __init__(self, log: Callable[[Entry], None]) -> None:
        self._log = log
        self._undefined: set[str] = set()

    def log_metrics(self, metrics: Mapping[str, float | None], step: int | None = None) -> None:
        """Metrics by the names of the core, rates as fractions in [0, 1]; names.py says what becomes of both in MLflow.

        step is the epoch. None, NaN and infinity are not stored: their names go to the tag undefined_metrics. ValueError for what is
        no number.
        """
        numbers = {tracked_name(name): _number(name, value) for name, value in metrics.items()}
        self._log_numbers({name: scale(name) * value for name, value in numbers.items()}, step)

    def log_results(self, results: Mapping[str, object]) -> None:
        """Numbers as metrics, by these very names and in their own units, as from names.results; words as tags."""
        words = {name: value for name, value in results.items() if isinstance(value, str)}
        self._log_numbers({name: _number(name, value) for name, value in results.items() if name not in words})
        self._log({"tags": {fitting_key(name): value for name, value in words.items()}})

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Store a file or a folder, under FOLDER of the run's artifacts. ValueError where it does not exist."""
        if not Path(path).exists():
            raise ValueError(f"{path} does not exist, so MLflow cannot store it; write it before it is logged")
        self._log({"artifact": str(path), "folder": folder})

    def log_figure(self, figure: Any, name: str) -> None:
        """Store a matplotlib figure as NAME; .png where the name has no ending."""
        path = Path(name if Path(name).suffix else f"{name}.png")
        with TemporaryDirectory() as folder:
            figure.savefig(Path(folder) / path.name)
            self._log({"artifact": f"{folder}/{path.name}", "folder": None if path.parent == Path() else path.parent.as_posix()})

    def set_tag(self, key: str, value: Any) -> None:
        self._log({"tags": {key: str(value)}})

    def _log_numbers(self, numbers: Mapping[str, float], step: int | None = None) -> None:
        now = int(time.time() * 1000)
        named = {fitting_key(name): value for name, value in numbers.items()}
        entry: Entry = {"metrics": [[name, value, now, step or 0] for name, value in named.items() if math.isfinite(value)]}
        if undefined := {name for name, value in named.items() if not math.isfinite(value)} - self._undefined:
            self._undefined |= undefined
            entry["tags"] = self._undefined_tag()
        self._log(entry)

    def _undefined_tag(self) -> dict[str, str]:
        return {UNDEFINED: ", ".join(sorted(self._undefined))} if self._undefined else {}

    def _recall(self, tags: dict[str, str]) -> None:
        self._undefined |= set(filter(None, tags.get(UNDEFINED, "").split(", ")))


def fitting_params(flat: dict[str, Any]) -> dict[str, str]:
    """Params as MLflow takes them: text of at most MAX_PARAM characters."""
    return {fitting_key(name): str(value)[:MAX_PARAM] for name, value in flat.items()}


def fitting_key(name: str) -> str:
    """The name with an underscore for each character that MLflow refuses, as in fpr@95 or iou (%)."""
    return re.sub(r"[^\w./\- ]", "_", str(name))


def _number(name: str, value: Any) -> float:
    try:
        return math.nan if value is None else float(value)
    except (TypeError, ValueError):
        raise ValueError(f"metric {name} is {value!r}; expected a number, or None where it is undefined") from None
