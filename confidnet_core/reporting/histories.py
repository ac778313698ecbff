"""The trainings of a benchmark and seed epoch by epoch, as rows for `dvc plots` and the page; of data/histories."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from confidnet_core import paths

TRAININGS = ("baseline", "confidnet", "finetune", "corrected_mcp")  # networks, in the order of their trainings
COLUMNS = ["benchmark", "seed", "training", "epoch", "metric", "value", "kept"]


def history_rows(benchmark: str, seed: int, points: int = 200) -> Iterator[tuple[str, pd.DataFrame]]:
    """("losses" or "validation", its rows) of each training: COLUMNS, thinned to POINTS epochs with both ends and the kept one.

    metric: of losses "train" and "validation"; of validation "accuracy", "mean_iou", "aupr_error", ... in [0, 1]
    kept: 1 at the epoch whose weights were taken, 0 elsewhere. Undefined values are left out. ValueError for a file that is missing.
    """
    for training in TRAININGS:
        history = _thinned(_read(paths.history(benchmark, seed, training)), points)
        history = history.assign(benchmark=benchmark, seed=seed, training=training)
        yield "losses", _long(history, {"train_loss": "train", "val_loss": "validation"})
        measured = [name for name in map(str, history) if name.startswith("val_") and name != "val_loss"]
        yield "validation", _long(history, {name: name.removeprefix("val_") for name in measured})


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist; `dvc repro` makes it") from None


def _thinned(history: pd.DataFrame, points: int) -> pd.DataFrame:
    rows = np.linspace(0, len(history) - 1, min(points - 1, len(history))).round().astype(int)
    return history.iloc[np.union1d(rows, np.flatnonzero(history["kept"]))]


def _long(history: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    """A row for each epoch and each of the columns NAMES, under their other name, that the history has."""
    found = [name for name in names if name in history]
    rows = history.melt(["benchmark", "seed", "training", "epoch", "kept"], found, var_name="metric")
    return rows.replace({"metric": names}).dropna(subset="value")[COLUMNS]
