"""Table of results, independent of its output format: typed cells in columns, with notes and a legend.

comparison/rendering.py renders it for files and the report page, cli/latex.py for a paper and cli/terminal.py for a terminal.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

UNDEFINED = "–"  # noqa: RUF001
BETTER, WORSE, NOT_SIGNIFICANT = "better", "worse", "no significant difference"
VERDICT_SIGNS = {BETTER: "▲", WORSE: "▼"}  # shown beside the value of a cell


@dataclass(frozen=True)
class Column:
    """A table column that shows one quantity.

    key: its name in CSV and JSON; title: its name for readers
    higher_is_better: None if no value is best
    scale: factor applied for readers, as 100 for percent; CSV and JSON keep unscaled values
    number_format: format specification of the scaled value; is_text: whether cells hold text, which is aligned left
    """

    key: str
    title: str
    higher_is_better: bool | None = None
    scale: float = 1
    number_format: str = ".2f"
    is_text: bool = False

    @property
    def heading(self) -> str:
        return self.title if self.higher_is_better is None else f"{self.title} {'↑' if self.higher_is_better else '↓'}"

    def format_number(self, value: float | None, sign: str = "") -> str:
        """Format an unscaled value for readers; UNDEFINED for NaN and None. sign: "+" also shows the sign of positive numbers."""
        return UNDEFINED if value is None else format_value(self.scale * value, sign, self.number_format)

    def best_mask(self, values: Sequence[float], eligible: Sequence[bool] | None = None) -> list[bool]:
        """Mark which of the unscaled VALUES are best as printed: values that print alike tie.

        NaN and values that are not eligible are never best, and neither is any value of a column without a direction.
        """
        if self.higher_is_better is None:
            return [False] * len(values)
        allowed = np.ones(len(values), bool) if eligible is None else np.asarray(eligible, bool)
        scaled = self.scale * np.asarray(values, float)
        printed = np.array([float(f"{value:{self.number_format}}") for value in scaled])  # float("nan") keeps NaN
        ranked = np.where(allowed, printed if self.higher_is_better else -printed, np.nan)
        return [] if not len(ranked) else (ranked == np.fmax.reduce(ranked)).tolist()


@dataclass(frozen=True)
class Cell:
    """A table cell: a number with its uncertainty and verdict, or text, or both side by side.

    value: NaN if undefined, None if there is no number; unscaled, as are deviation, low and high
    deviation: sample standard deviation over seeds; low, high: ends of the interval
    best: whether it is the best of its column
    verdict: BETTER or WORSE than the reference if the difference is significant; signed: whether "+" is shown
    """

    value: float | None = None
    deviation: float | None = None
    low: float | None = None
    high: float | None = None
    text: str = ""
    best: bool = False
    verdict: str | None = None
    signed: bool = False

    def number_text(self, column: Column) -> str:
        """Format value and deviation for readers; return the text if there is no value."""
        if self.value is None:
            return self.text
        deviation = "" if self.deviation is None else f" ± {column.format_number(self.deviation)}"
        return column.format_number(self.value, "+" if self.signed else "") + deviation

    def text_beside(self) -> str:
        """Return the text that stands beside a value."""
        return "" if self.value is None else self.text

    def verdict_sign(self) -> str:
        """Return the sign of the verdict; empty if there is none."""
        return VERDICT_SIGNS.get(self.verdict or "", "")

    def interval_text(self, column: Column) -> str:
        """Return the interval, as in "[46.10, 57.03]"; empty if there is none."""
        if self.low is None or self.high is None:
            return ""
        sign = "+" if self.signed else ""
        return f"[{column.format_number(self.low, sign)}, {column.format_number(self.high, sign)}]"


@dataclass(frozen=True)
class Row:
    """A table row. key: its name in CSV and JSON; name: for readers; cells: one per column; remark: shown in brackets after the name."""

    key: str
    name: str
    cells: tuple[Cell, ...]
    oracle: bool = False
    remark: str = ""

    @property
    def label(self) -> str:
        """The row's name for readers, with "(oracle)" and its remark; the only place that adds "(oracle)"."""
        return " ".join([self.name, *(f"({word})" for word in ("oracle" * self.oracle, self.remark) if word)])


@dataclass(frozen=True)
class Table:
    """A table with columns and rows.

    title: its heading; first_column_title: heading of the first column, which holds the names of the rows
    notes: paragraphs above the table, where lines that start with "- " form a list; legend: sentences below it
    sortable: whether rows may be reordered, which is not so where neighbouring rows belong together
    """

    title: str
    columns: tuple[Column, ...] = ()
    rows: tuple[Row, ...] = ()
    first_column_title: str = "method"
    notes: tuple[str, ...] = ()
    legend: tuple[str, ...] = ()
    sortable: bool = True

    def column(self, key: str) -> Column:
        return self.columns[self._index(key)]

    def cells(self, key: str) -> list[Cell]:
        """Return all cells of a column, in the order of the rows."""
        index = self._index(key)
        return [row.cells[index] for row in self.rows]

    def verdict_signs(self, index: int) -> list[str]:
        """Return the verdict sign of each cell in a column, padded to equal width so that the numbers before them stay aligned."""
        signs = [row.cells[index].verdict_sign() for row in self.rows]
        return [sign.ljust(max(map(len, signs))) for sign in signs]

    def sorted_by(self, key: str) -> "Table":
        """Sort rows by a column: best value first, then undefined values, then oracles; ties keep their order."""
        index, sign = self._index(key), -1 if self.column(key).higher_is_better else 1
        values = {row.key: np.nan if (value := row.cells[index].value) is None else sign * value for row in self.rows}
        ordered = sorted(self.rows, key=lambda row: (row.oracle, np.isnan(values[row.key]), np.nan_to_num(values[row.key])))
        return replace(self, rows=tuple(ordered))

    def with_best_marked(self) -> "Table":
        """Mark the best values of each column; an oracle is never best."""
        if not self.rows or not self.columns:
            return self
        eligible, marks = [not row.oracle for row in self.rows], []
        for column in self.columns:
            values = [np.nan if cell.value is None else cell.value for cell in self.cells(column.key)]
            marks.append(column.best_mask(values, eligible))
        rows = []
        for row, best in zip(self.rows, zip(*marks, strict=True), strict=True):
            cells = (replace(cell, best=is_best) for cell, is_best in zip(row.cells, best, strict=True))
            rows.append(replace(row, cells=tuple(cells)))
        return replace(self, rows=tuple(rows))

    def without_intervals(self) -> "Table":
        rows = [replace(row, cells=tuple(replace(cell, low=None, high=None) for cell in row.cells)) for row in self.rows]
        return replace(self, rows=tuple(rows))

    def with_columns(self, keys: Iterable[str]) -> "Table":
        """Keep only the columns of these keys, in this order."""
        indices = [self._index(key) for key in keys]
        rows = (replace(row, cells=tuple(row.cells[index] for index in indices)) for row in self.rows)
        return replace(self, columns=tuple(self.columns[index] for index in indices), rows=tuple(rows))

    def _index(self, key: str) -> int:
        return [column.key for column in self.columns].index(key)


def format_value(value: float, sign: str = "", number_format: str = ".2f") -> str:
    """Format a number, by default with two decimals; UNDEFINED for NaN. sign: "+" also shows the sign of positive numbers."""
    return UNDEFINED if np.isnan(value) else f"{value:{sign}{number_format}}"


def format_count(value: float) -> str:
    """Format a count with thousands separators; a mean over seeds that is not a whole number has one decimal."""
    return f"{value:,.1f}".removesuffix(".0")


def join_names(names: Iterable[str]) -> str:
    """Join names as in "MCP", "MCP and Entropy" or "MCP, Entropy and Margin"."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
