"""Training histories (loss and metrics by epoch) as data frames for `dvc plots` and the report page, read from data/histories."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from confidnet_core import paths

TRAININGS = ("baseline", "confidnet", "finetune", "corrected_mcp")  # in the order in which they run
HISTORY_COLUMNS = ["benchmark", "seed", "training", "epoch", "metric", "value", "kept"]


def history_rows(benchmark: str, seed: int, points: int = 200) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield for each training of a benchmark and seed two pairs: "losses" with a data frame, "validation" with a data frame.

    A data frame has HISTORY_COLUMNS and at most `points` epochs, among them both ends and the epoch whose weights were kept.
    metric: "train" and "validation" of losses; "accuracy", "mean_iou", "aupr_error", ... of validation, in [0, 1]
    kept: 1 at the epoch whose weights were kept, 0 elsewhere

    Undefined values are left out. Raises ValueError for a missing file.
    """
    for training in TRAININGS:
        history = _thin_epochs(_read_history(paths.history(benchmark, seed, training)), points)
        history = history.assign(benchmark=benchmark, seed=seed, training=training)
        yield "losses", _reshape_to_long_format(history, {"train_loss": "train", "val_loss": "validation"})
        validation_columns = [name for name in map(str, history) if name.startswith("val_") and name != "val_loss"]
        yield "validation", _reshape_to_long_format(history, {name: name.removeprefix("val_") for name in validation_columns})


def _read_history(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist; `dvc repro` makes it") from None


def _thin_epochs(history: pd.DataFrame, max_epochs: int) -> pd.DataFrame:
    evenly_spaced = np.linspace(0, len(history) - 1, min(max_epochs - 1, len(history))).round().astype(int)
    return history.iloc[np.union1d(evenly_spaced, np.flatnonzero(history["kept"]))]


def _reshape_to_long_format(history: pd.DataFrame, metric_names: dict[str, str]) -> pd.DataFrame:
    """Return one row per epoch and metric from the columns that `metric_names` lists, under their new names."""
    present_columns = [name for name in metric_names if name in history]
    long_rows = history.melt(["benchmark", "seed", "training", "epoch", "kept"], present_columns, var_name="metric")
    return long_rows.replace({"metric": metric_names}).dropna(subset="value")[HISTORY_COLUMNS]
