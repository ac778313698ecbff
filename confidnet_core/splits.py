"""The calibration split: a part of the validation data that selects no epoch and no setting.

Thresholds with a guarantee are chosen on it, which needs data that nothing was fitted to.
"""

import math
from dataclasses import replace

import numpy as np

from confidnet_core.config.params import CalibrationSplit
from confidnet_core.data import Dataset


def add_calibration_split(dataset: Dataset, settings: CalibrationSplit) -> Dataset:
    """Return the data set with "val" divided into "val" and "calibration", which gets the fraction `share`, rounded to a whole number.

    Classification: the calibration split has the last samples if "val" was drawn at random, so that the first ones stay those of a
    published draw. If "val" is in the order of its storage, such as the classes of a folder, its samples are drawn by `seed`.
    Segmentation: the calibration split has the last frames of "val". The frames before them, the fraction `gap` of "val", are in neither
    split, since neighbouring frames of a video are alike.
    Raises ValueError where either split would be empty.
    """
    val = dataset.splits["val"]
    calibration_size = round(settings.share * len(val))
    gap_size = math.ceil(settings.gap * len(val) - 1e-9) if dataset.is_segmentation else 0  # 0.07 * 100 is above 7 in floating point
    val_size = len(val) - calibration_size - gap_size
    if calibration_size < 1 or val_size < 1:
        left_out = f" and {gap_size} between them" * dataset.is_segmentation
        raise ValueError(
            f"{dataset.source}: {len(val)} validation samples would be divided into {max(val_size, 0)} for validation and "
            f"{calibration_size} for calibration{left_out}; expected at least 1 each: change calibration_split.share or gap in "
            "params.yaml, or give more"
        )
    val_indices, calibration_indices = val[:val_size], val[val_size + gap_size :]
    if not dataset.is_segmentation and np.all(np.diff(val) > 0):
        shuffled_positions = np.random.default_rng(settings.seed).permutation(len(val))
        val_indices, calibration_indices = np.sort(val[shuffled_positions[:val_size]]), np.sort(val[shuffled_positions[val_size:]])
    return replace(dataset, splits={**dataset.splits, "val": val_indices, "calibration": calibration_indices})
