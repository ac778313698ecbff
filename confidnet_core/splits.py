"""The calibration split: a part of the validation data that selects no epoch and no setting.

An operating threshold with a guarantee is chosen on it later. That takes data that nothing was fitted to.
"""

import math
from dataclasses import replace

import numpy as np

from confidnet_core.config.params import CalibrationSplit
from confidnet_core.data import Dataset


def add_calibration_split(dataset: Dataset, how: CalibrationSplit) -> Dataset:
    """The same data, its "val" divided into "val" and "calibration", which gets `share` of it, rounded to a whole number.

    Classification: the last ones, where "val" was drawn, so that the first ones stay those of a published draw; where "val" is in the
    order of its storage, as a folder's classes are, ones drawn by `seed`.
    Segmentation: the last frames in the order of "val"; the frames before them, `gap` of "val", are in neither part, since neighbours
    of a video are alike.
    ValueError where either part would be empty.
    """
    val = dataset.splits["val"]
    taken = round(how.share * len(val))
    skipped = math.ceil(how.gap * len(val) - 1e-9) if dataset.is_segmentation else 0  # 0.07 * 100 is above 7
    kept = len(val) - taken - skipped
    if taken < 1 or kept < 1:
        left_out = f" and {skipped} between them" * dataset.is_segmentation
        raise ValueError(
            f"{dataset.source}: {len(val)} validation samples would be divided into {max(kept, 0)} for validation and {taken} for "
            f"calibration{left_out}; expected at least 1 each: change calibration_split.share or gap in params.yaml, or give more"
        )
    parts = (val[:kept], val[kept + skipped :])
    if not dataset.is_segmentation and np.all(np.diff(val) > 0):
        order = np.random.default_rng(how.seed).permutation(len(val))
        parts = (np.sort(val[order[:kept]]), np.sort(val[order[kept:]]))
    return replace(dataset, splits={**dataset.splits, "val": parts[0], "calibration": parts[1]})
