"""Iterators over the rows and the groups of a data frame, with more precise types than pandas' own annotations."""

from collections.abc import Iterator
from typing import Any, cast

import pandas as pd


def iterate_rows(data_frame: pd.DataFrame) -> Iterator[Any]:
    """Yield the rows of a data frame as named tuples."""
    return iter(data_frame.itertuples(index=False))


def row_dictionaries(data_frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return each row of a data frame as a dictionary {column: value}."""
    return cast("list[dict[str, Any]]", data_frame.to_dict("records"))


def iterate_groups(data_frame: pd.DataFrame, column_name: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield (value, rows) for each value of a text column, with the rows that have this value, in the order of the data frame.

    A data frame without rows, which may have no columns either, has no groups.
    """
    if data_frame.empty:
        return
    for column_value, group_rows in data_frame.groupby(column_name, sort=False):
        yield str(column_value), group_rows
