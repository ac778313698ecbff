"""The splits of predictions, and how tables and folders may call them."""

from collections.abc import Sequence

TEST, VALIDATION, CALIBRATION, IGNORED = "test", "val", "calibration", "train"
SPLIT_NAMES = {
    TEST: (TEST,),
    VALIDATION: (VALIDATION, "validation", "valid", "dev"),
    CALIBRATION: (CALIBRATION, "calib", "cal"),
    IGNORED: (IGNORED, "training"),
}
ARGUMENT_BY_SPLIT = {VALIDATION: "validation", CALIBRATION: "calibration"}  # of `judge`
_SPLIT_BY_NAME = {name: split for split, names in SPLIT_NAMES.items() for name in names}


def splits_of_values(values: Sequence[str]) -> list[str | None]:
    """Return the split that each value of a column names, in any case and with blanks around it; None for another value."""
    return [_SPLIT_BY_NAME.get(value.strip().lower()) for value in values]
