"""Iteration over the rows and groups of a data frame, with precise types: pandas' own annotations fit any frame."""

from collections.abc import Iterator
from typing import Any, cast

import pandas as pd


def iterate_rows(frame: pd.DataFrame) -> Iterator[Any]:
    """Iterate over the rows as named tuples."""
    return iter(frame.itertuples(index=False))


def row_dictionaries(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as dictionaries."""
    return cast("list[dict[str, Any]]", frame.to_dict("records"))


def iterate_groups(frame: pd.DataFrame, column: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Iterate over (value, rows with this value) of a text column, in the order of the frame."""
    for key, group in frame.groupby(column, sort=False):
        yield str(key), group
