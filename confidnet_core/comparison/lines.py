"""Iterators over the rows and the groups of a data frame, with more precise types than pandas' own annotations."""

from collections.abc import Iterator
from typing import Any, cast

import pandas as pd


def iterate_rows(frame: pd.DataFrame) -> Iterator[Any]:
    """Iterate over the rows of a data frame as named tuples."""
    return iter(frame.itertuples(index=False))


def row_dictionaries(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return each row of a data frame as a dictionary {column: value}."""
    return cast("list[dict[str, Any]]", frame.to_dict("records"))


def iterate_groups(frame: pd.DataFrame, column: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Iterate over pairs of a value in a text column and the rows that have this value, in the order of the data frame."""
    for key, group in frame.groupby(column, sort=False):
        yield str(key), group
