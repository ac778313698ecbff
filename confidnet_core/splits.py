"""The calibration split: a part of the validation data that selects no epoch and no setting.

Thresholds with a guarantee are chosen on it, which needs data that nothing was fitted to.
"""

import math
from dataclasses import replace

import numpy as np

from confidnet_core.config.params import CalibrationSplit
from confidnet_core.data import Dataset


def add_calibration_split(dataset: Dataset, split_settings: CalibrationSplit) -> Dataset:
    """Return the data set with its split "val" divided into "val" and "calibration".

    split_settings: `share` is the fraction of "val" that becomes "calibration", rounded to a whole number of samples

    Classification: the calibration split has the last samples if "val" was drawn at random, so that the first ones stay those of a
    published draw. If "val" is in the order of its storage, such as the classes of a folder, its samples are drawn at random with `seed`.
    Segmentation: the calibration split has the last frames of "val". The frames before them, the fraction `gap` of "val", are in neither
    split, since neighbouring frames of a video are alike.
    Raises ValueError if either split would be empty.
    """
    all_val_indices = dataset.splits["val"]
    calibration_size = round(split_settings.share * len(all_val_indices))
    gap_fraction = split_settings.gap if dataset.is_segmentation else 0
    gap_size = math.ceil(gap_fraction * len(all_val_indices) - 1e-9)  # 0.07 * 100 is above 7 in floating point
    val_size = len(all_val_indices) - calibration_size - gap_size
    if calibration_size < 1 or val_size < 1:
        gap_text = f" and {gap_size} between them" * dataset.is_segmentation
        raise ValueError(
            f"{dataset.source}: {len(all_val_indices)} validation samples would be divided into {max(val_size, 0)} for validation and "
            f"{calibration_size} for calibration{gap_text}; expected at least 1 each: change calibration_split.share or gap in "
            "params.yaml, or give more"
        )
    val_indices, calibration_indices = all_val_indices[:val_size], all_val_indices[val_size + gap_size :]
    if not dataset.is_segmentation and np.all(np.diff(all_val_indices) > 0):
        shuffled_positions = np.random.default_rng(split_settings.seed).permutation(len(all_val_indices))
        val_indices = np.sort(all_val_indices[shuffled_positions[:val_size]])
        calibration_indices = np.sort(all_val_indices[shuffled_positions[val_size:]])
    return replace(dataset, splits={**dataset.splits, "val": val_indices, "calibration": calibration_indices})
