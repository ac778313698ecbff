"""What errs together, in words: the images of a segmentation, or what a user names, such as patients."""

from typing import NamedTuple

import pandas as pd

UNIT_COLUMN = "unit"  # of frames whose units are no images: the name of one


class UnitWords(NamedTuple):
    """The words for independent units. unit, units: "image" and "images"; parts: what a unit holds, or None where it is one sample"""

    unit: str
    units: str
    parts: str | None


def unit_words(rows: pd.DataFrame, sample: str = "sample") -> UnitWords:
    """Return the words for the units of a benchmark. rows: with the columns `units` and `samples`, and perhaps UNIT_COLUMN

    sample: the word for a unit that is a single sample
    """
    if not (rows["units"] < rows["samples"]).any():
        return UnitWords(sample, f"{sample}s", None)
    if UNIT_COLUMN in rows:
        name = str(rows[UNIT_COLUMN].iloc[0])
        return UnitWords(name, name if name.endswith("s") else f"{name}s", "predictions")
    return UnitWords("image", "images", "pixels")
