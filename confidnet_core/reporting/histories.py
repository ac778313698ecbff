"""The trainings of a benchmark and seed epoch by epoch, as rows for `dvc plots` and the page; of the history.csv beside each network."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from confidnet_core.files import read_json

TRAININGS = ("baseline", "confidnet", "finetuned", "correction")  # the folders of models/BENCHMARK/seedSEED, in the order of the trainings
COLUMNS = ["benchmark", "seed", "training", "epoch", "metric", "value", "kept"]


def history_rows(benchmark: str, seed: int, points: int = 200) -> Iterator[tuple[str, pd.DataFrame]]:
    """("losses" or "validation", its rows) of each training: COLUMNS, thinned to POINTS epochs with both ends and the kept one.

    metric: of losses "train" and "validation"; of validation "accuracy", "mean_iou", "aupr_error", ... in [0, 1]
    kept: 1 at the epoch whose weights were taken, 0 elsewhere. Undefined values are left out. ValueError for a file that is missing.
    """
    for training in TRAININGS:
        folder = Path("models") / benchmark / f"seed{seed}" / training
        history = _thinned(_read(folder / "history.csv"), read_json(folder / "model.json").get("best_epoch"), points)
        history = history.assign(benchmark=benchmark, seed=seed, training=training)
        yield "losses", _long(history, {"train_loss": "train", "val_loss": "validation"})
        measured = [name for name in history if name.startswith("val_") and name != "val_loss"]
        yield "validation", _long(history, {name: name.removeprefix("val_") for name in measured})


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist; `dvc repro` makes it") from None


def _thinned(history: pd.DataFrame, best_epoch: int | None, points: int) -> pd.DataFrame:
    kept = (history["epoch"] == best_epoch).astype(int)
    places = np.linspace(0, len(history) - 1, min(points - 1, len(history))).round().astype(int)
    return history.assign(kept=kept).iloc[np.union1d(places, np.flatnonzero(kept))]


def _long(history: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    """A row for each epoch and each of the columns NAMES, under their other name, that the history has."""
    found = [name for name in names if name in history]
    rows = history.melt(["benchmark", "seed", "training", "epoch", "kept"], found, var_name="metric")
    return rows.replace({"metric": names}).dropna(subset="value")[COLUMNS]
