"""Which columns of a table hold what, checked against the columns and types that it has, and what a table can be asked."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from confidnet_core.config.registry import suggestion
from confidnet_core.evaluation.intervals import UnitCounts

# Kinds of types. Only their names are used in messages.
FLOAT32, FLOAT64, INTEGER, BOOLEAN, TEXT, OTHER = "float32", "float64", "integer", "boolean", "text", "of another type"
NUMBERS = (FLOAT32, FLOAT64, INTEGER)
LARGEST = float(np.finfo(np.float64).max)


@dataclass(frozen=True)
class Columns:
    """The columns of a table of predictions.

    scores: the columns with confidences: finite numbers, higher = more confident
    correct: the column that says whether each prediction is correct: booleans, or integers 0 and 1; or instead of it
    label, predicted: the columns with the true and the predicted class, both numbers or both text
    unit: None, or a column whose equal values name rows that err together, such as a patient or a document
    row_key: None, or a column that names each row. Databases need it for resamples: the rows are put into groups by its hash
    """

    scores: Sequence[str]
    correct: str | None = None
    label: str | None = None
    predicted: str | None = None
    unit: str | None = None
    row_key: str | None = None

    def check(self, table_name: str, kinds: Mapping[str, str]) -> None:
        """Raise ValueError, naming the column, unless the table has these columns, with types that fit. kinds: of each of its columns"""
        if not self.scores:
            raise ValueError("there is no column of confidences; name at least one")
        has_labels = self.label is not None and self.predicted is not None
        if (self.correct is not None) == has_labels or (self.label is None) != (self.predicted is None):
            raise ValueError("give either the column `correct`, or the two columns `label` and `predicted`")
        for name in (*self.scores, self.correct, self.label, self.predicted, self.unit, self.row_key):
            if name is not None and name not in kinds:
                raise ValueError(f"{table_name} has no column {name}{suggestion(name, kinds)}")
        for score in self.scores:
            if kinds[score] not in NUMBERS:
                raise ValueError(f"column {score} of {table_name} is {kinds[score]}; expected numbers, as a confidence is ranked")
        if self.correct is not None and kinds[self.correct] not in (BOOLEAN, INTEGER):
            raise ValueError(f"column {self.correct} of {table_name} is {kinds[self.correct]}; expected booleans, or integers 0 and 1")
        if self.label is not None and self.predicted is not None:
            families = [NUMBERS if kinds[name] in NUMBERS else (kinds[name],) for name in (self.label, self.predicted)]
            if families[0] != families[1] or families[0] == (OTHER,):
                raise ValueError(
                    f"column {self.label} of {table_name} is {kinds[self.label]} and {self.predicted} is {kinds[self.predicted]}; "
                    "expected both as text or both as numbers, since equal means correct"
                )

    @property
    def outcome_columns(self) -> tuple[str, ...]:
        """Return the columns that say whether a prediction is correct."""
        return tuple(name for name in (self.correct, self.label, self.predicted) if name is not None)


@dataclass(frozen=True)
class ScoreTotals:
    """What one pass over a table says of a score: how many values are missing or not finite, and the least and the greatest one."""

    missing: int
    not_finite: int
    lowest: float | None
    highest: float | None


@dataclass(frozen=True)
class Totals:
    """What one pass over a table says of it.

    rows, errors: the numbers of rows, and of incorrect predictions; undecided: rows whose outcome is missing, or neither 0 nor 1
    without_unit: rows without a unit, or without a row key; 0 where neither is used
    """

    rows: int
    errors: int
    undecided: int
    without_unit: int
    scores: dict[str, ScoreTotals]


# Confidences (m,) from high to low, which may repeat, and the numbers of samples and of errors, int64 (m,).
Chunks = Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]


class Table(Protocol):
    """A table that can be asked for counts; `FileTable` and `DatabaseTable` are such."""

    name: str
    kinds: dict[str, str]
    needs_row_key: bool

    def totals(self, columns: Columns) -> Totals: ...

    def first_bad_row(self, columns: Columns, bad_column: str | None) -> str:
        """Return where the first row is whose confidence, or whose outcome (None), is no use: " (the first in row 7)" or nothing."""
        ...

    def chunks(self, columns: Columns, score: str) -> Chunks:
        """Yield the counts at the confidences of a score."""
        ...

    def rows(self, columns: Columns) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray | None]:
        """Return the confidences of all scores, bool outcomes (n,), and with units the numbers of rows of each, in the order of rows."""
        ...

    def count_units(self, columns: Columns) -> UnitCounts:
        """Return how many units there are, and of each outcome."""
        ...

    def value_counts(self, column: str) -> dict[str | None, int]:
        """Return how many rows have each value of a column, as text; None for rows without one."""
        ...

    def restricted(self, column: str, values: Sequence[str], name: str) -> "Table":
        """Return the table of the rows whose column, as text, has one of these values. name: what messages call it"""
        ...

    def sampled_rows(self, columns: Columns, share: float, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray | None]:
        """Return about a share of the rows, or of the units, drawn at random: confidences, outcomes, and with units a key of each row's."""
        ...

    def unit_in_both(self, unit: str, column: str, values: Sequence[str], others: Sequence[str]) -> str | None:
        """Return a unit with rows whose column has one of the values, and rows with one of the others; None if there is none."""
        ...

    def group_counts(self, columns: Columns, edges: Mapping[str, np.ndarray], seed: int) -> Iterable[tuple[str, np.ndarray, np.ndarray]]:
        """Yield for each score its numbers of samples and of errors in (groups, cells), the highest cell first."""
        ...


def check_totals(table: Table, columns: Columns, totals: Totals) -> None:
    """Raise ValueError, naming the column and where possible the first bad row, for an empty table and for values that are no use."""
    if totals.rows == 0:
        raise ValueError(f"{table.name} has no rows; check that it holds the predictions")
    if totals.undecided:
        where, names = table.first_bad_row(columns, None), " and ".join(columns.outcome_columns)
        plural = "columns" if len(columns.outcome_columns) > 1 else "column"
        expected = "a value in every row" if columns.correct is None else "true or false, or 1 or 0, in every row"
        raise ValueError(f"{plural} {names} of {table.name}: {_of_rows(totals.undecided, totals.rows)}{where}; expected {expected}")
    for score, found in totals.scores.items():
        if found.missing or found.not_finite:
            parts = [
                f"{count:,} are {what}" for count, what in ((found.missing, "empty (NULL)"), (found.not_finite, "NaN or infinite")) if count
            ]
            where = table.first_bad_row(columns, score)
            raise ValueError(
                f"column {score} of {table.name}: of {totals.rows:,} confidences {' and '.join(parts)}{where}; "
                "a confidence must be finite to be ranked"
            )
    if totals.without_unit:
        name = columns.unit if columns.unit is not None else columns.row_key
        raise ValueError(
            f"column {name} of {table.name}: {totals.without_unit:,} of {totals.rows:,} rows are empty (NULL); expected a value in each"
        )


def _of_rows(count: int, rows: int) -> str:
    return f"{count:,} of {rows:,} rows have no outcome"


def counted(values: np.ndarray, is_error: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return single rows as a chunk: each counts as one sample."""
    return values, np.ones(len(values), np.int64), is_error.astype(np.int64)
