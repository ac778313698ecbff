"""Training histories of a benchmark and seed, epoch by epoch, as rows for `dvc plots` and the page; read from data/histories."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from confidnet_core import paths

TRAININGS = ("baseline", "confidnet", "finetune", "corrected_mcp")  # in the order in which they run
HISTORY_COLUMNS = ["benchmark", "seed", "training", "epoch", "metric", "value", "kept"]


def history_rows(benchmark: str, seed: int, points: int = 200) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield ("losses" or "validation", its rows) of each training: HISTORY_COLUMNS, thinned to POINTS epochs with both ends and the kept
    one.

    metric: "train" and "validation" of losses; "accuracy", "mean_iou", "aupr_error", ... of validation, in [0, 1]
    kept: 1 at the epoch whose weights were kept, 0 elsewhere

    Undefined values are left out. ValueError for a missing file.
    """
    for training in TRAININGS:
        history = _thin_epochs(_read_history(paths.history(benchmark, seed, training)), points)
        history = history.assign(benchmark=benchmark, seed=seed, training=training)
        yield "losses", _long_format(history, {"train_loss": "train", "val_loss": "validation"})
        measured = [name for name in map(str, history) if name.startswith("val_") and name != "val_loss"]
        yield "validation", _long_format(history, {name: name.removeprefix("val_") for name in measured})


def _read_history(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist; `dvc repro` makes it") from None


def _thin_epochs(history: pd.DataFrame, points: int) -> pd.DataFrame:
    rows = np.linspace(0, len(history) - 1, min(points - 1, len(history))).round().astype(int)
    return history.iloc[np.union1d(rows, np.flatnonzero(history["kept"]))]


def _long_format(history: pd.DataFrame, metric_names: dict[str, str]) -> pd.DataFrame:
    """Reshape the columns that METRIC_NAMES lists to one row per epoch and metric, under their new names."""
    present = [name for name in metric_names if name in history]
    rows = history.melt(["benchmark", "seed", "training", "epoch", "kept"], present, var_name="metric")
    return rows.replace({"metric": metric_names}).dropna(subset="value")[HISTORY_COLUMNS]
