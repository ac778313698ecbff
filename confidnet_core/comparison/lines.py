"""Lines and groups of a frame with the types that its columns have: pandas' own are those of any frame."""

from collections.abc import Iterator
from typing import Any, cast

import pandas as pd


def lines_of(frame: pd.DataFrame) -> Iterator[Any]:
    """Each line as a named tuple."""
    return iter(frame.itertuples(index=False))


def records_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Each line as a dictionary."""
    return cast("list[dict[str, Any]]", frame.to_dict("records"))


def groups_of(frame: pd.DataFrame, column: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Text of a column -> the lines that have it, in the order of the frame."""
    for key, group in frame.groupby(column, sort=False):
        yield str(key), group
