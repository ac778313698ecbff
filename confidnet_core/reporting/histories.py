"""Training histories (loss and metrics by epoch) as data frames for `dvc plots` and the report page, read from data/histories."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from confidnet_core import paths
from confidnet_core.files import read_csv

TRAINING_NAMES = (
    "baseline",
    "confidnet",
    "finetune",
    "finetune_augmented",
    "corrected_mcp",
    "second_opinion",
)  # in the order in which they run
HISTORY_COLUMNS = ["benchmark", "seed", "training", "epoch", "metric", "value", "kept"]


def history_rows(benchmark: str, seed: int, max_history_epochs: int = 200) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the history of each training of a benchmark and seed as two pairs: ("losses", data frame) and ("validation", data frame).

    A data frame has HISTORY_COLUMNS and at most `max_history_epochs` epochs, among them both ends and the epoch whose weights were kept.
    metric: "train" and "validation" of losses; "accuracy", "mean_iou", "aupr_error", ... of validation, in [0, 1]
    kept: 1 at the epoch whose weights were kept, 0 elsewhere

    Undefined values are left out. Raises ValueError for a missing file.
    """
    for training in TRAINING_NAMES:
        history = _thin_epochs(read_csv(paths.history_path(benchmark, seed, training)), max_history_epochs)
        if history.empty:  # of a network that is not trained
            continue
        history = history.assign(benchmark=benchmark, seed=seed, training=training)
        yield "losses", _reshape_to_long_format(history, {"train_loss": "train", "val_loss": "validation"})
        validation_columns = [
            column_name for column_name in map(str, history) if column_name.startswith("val_") and column_name != "val_loss"
        ]
        yield (
            "validation",
            _reshape_to_long_format(history, {column_name: column_name.removeprefix("val_") for column_name in validation_columns}),
        )


def _thin_epochs(epoch_rows: pd.DataFrame, max_history_epochs: int) -> pd.DataFrame:
    """Return at most `max_history_epochs` of a training's rows, evenly spaced, with both ends and the epoch whose weights were kept."""
    evenly_spaced_epochs = np.linspace(0, len(epoch_rows) - 1, min(max_history_epochs - 1, len(epoch_rows))).round().astype(int)
    return epoch_rows.iloc[np.union1d(evenly_spaced_epochs, np.flatnonzero(epoch_rows["kept"]))]


def _reshape_to_long_format(epoch_rows: pd.DataFrame, metric_by_column: dict[str, str]) -> pd.DataFrame:
    """Return a data frame with one row per epoch and metric, from one with a column per metric.

    metric_by_column: {column of epoch_rows: name of the metric in the result}
    """
    present_columns = [column_name for column_name in metric_by_column if column_name in epoch_rows]
    long_format_rows = epoch_rows.melt(["benchmark", "seed", "training", "epoch", "kept"], present_columns, var_name="metric")
    return long_format_rows.replace({"metric": metric_by_column}).dropna(subset="value")[HISTORY_COLUMNS]
