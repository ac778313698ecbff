"""A table of results, whatever it is drawn as: typed cells below columns, and the sentences that explain them.

`rendering` draws it for files and the page, cli/latex.py for a paper, cli/terminal.py for a terminal.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

UNDEFINED = "–"  # noqa: RUF001
BETTER, WORSE, ALIKE = "better", "worse", "no significant difference"
MARKS = {BETTER: "▲", WORSE: "▼"}  # beside the value of a cell with that verdict


@dataclass(frozen=True)
class Column:
    """One quantity.

    key: its name in CSV and JSON; title: its name for readers
    higher_is_better: None of what has no best value
    scale: by which values are multiplied for readers: 100 shows a fraction in percent; CSV and JSON have the values as they are
    form: of the scaled value, as `format` takes it; words: whether its cells are text, which stands to the left
    """

    key: str
    title: str
    higher_is_better: bool | None = None
    scale: float = 1
    form: str = ".2f"
    words: bool = False

    @property
    def heading(self) -> str:
        return self.title if self.higher_is_better is None else f"{self.title} {'↑' if self.higher_is_better else '↓'}"

    def printed(self, value: float | None, sign: str = "") -> str:
        """VALUE, which is not scaled yet, as readers see it; UNDEFINED for NaN and None. sign: "+" to show it."""
        return UNDEFINED if value is None else format_value(self.scale * value, sign, self.form)

    def are_best(self, values: Sequence[float], eligible: Sequence[bool] | None = None) -> list[bool]:
        """Which of VALUES, not scaled yet, are best as printed: of two equal numbers in print, both. NaN and what is not eligible never
        are, and nothing is in a column without a direction."""
        if self.higher_is_better is None:
            return [False] * len(values)
        allowed = np.ones(len(values), bool) if eligible is None else np.asarray(eligible, bool)
        scaled = self.scale * np.asarray(values, float)
        printed = np.array([float(f"{value:{self.form}}") for value in scaled])  # "nan" is NaN again
        ranked = np.where(allowed, printed if self.higher_is_better else -printed, np.nan)
        return [] if not len(ranked) else (ranked == np.fmax.reduce(ranked)).tolist()


@dataclass(frozen=True)
class Cell:
    """A number with what is known of it, or text; both stand beside each other.

    value: NaN where it is undefined, None where there is none to show; not scaled, as deviation, low and high
    deviation: sample standard deviation over seeds; low, high: ends of the interval
    best: of its column; verdict: BETTER or WORSE than the reference if that is significant; signed: whether "+" is shown
    """

    value: float | None = None
    deviation: float | None = None
    low: float | None = None
    high: float | None = None
    text: str = ""
    best: bool = False
    verdict: str | None = None
    signed: bool = False

    def number(self, column: Column) -> str:
        """Value and deviation as readers see them; the text where there is no value."""
        if self.value is None:
            return self.text
        deviation = "" if self.deviation is None else f" ± {column.printed(self.deviation)}"
        return column.printed(self.value, "+" if self.signed else "") + deviation

    def beside(self) -> str:
        """The text beside a value."""
        return "" if self.value is None else self.text

    def mark(self) -> str:
        """The sign of a verdict; nothing where there is none."""
        return MARKS.get(self.verdict or "", "")

    def interval(self, column: Column) -> str:
        """ "[46.10, 57.03]", or nothing."""
        if self.low is None or self.high is None:
            return ""
        sign = "+" if self.signed else ""
        return f"[{column.printed(self.low, sign)}, {column.printed(self.high, sign)}]"


@dataclass(frozen=True)
class Row:
    """cells: one a column. key: of CSV and JSON; name: for readers; remark: what stands behind the name in brackets."""

    key: str
    name: str
    cells: tuple[Cell, ...]
    oracle: bool = False
    remark: str = ""

    @property
    def label(self) -> str:
        """The name as every rendering for readers shows it: an oracle is called one here and nowhere else."""
        return " ".join([self.name, *(f"({word})" for word in ("oracle" * self.oracle, self.remark) if word)])


@dataclass(frozen=True)
class Table:
    """title: its heading; stub: title of the first column, which holds the names of the rows; notes: paragraphs above, several lines that
    start with "- " are a list; legend: sentences below; sortable: whether a row says something without its neighbours"""

    title: str
    columns: tuple[Column, ...] = ()
    rows: tuple[Row, ...] = ()
    stub: str = "method"
    notes: tuple[str, ...] = ()
    legend: tuple[str, ...] = ()
    sortable: bool = True

    def column(self, key: str) -> Column:
        return self.columns[self._at(key)]

    def cells(self, key: str) -> list[Cell]:
        """All cells of a column, in the order of the rows."""
        at = self._at(key)
        return [row.cells[at] for row in self.rows]

    def marks(self, at: int) -> list[str]:
        """The sign of each cell's verdict in a column, as wide as the widest, so that numbers before it stand in line."""
        signs = [row.cells[at].mark() for row in self.rows]
        return [sign.ljust(max(map(len, signs))) for sign in signs]

    def sorted_by(self, key: str) -> "Table":
        """The best value first, undefined ones after all others, an oracle last; equal ones in their order."""
        at, sign = self._at(key), -1 if self.column(key).higher_is_better else 1
        values = {row.key: np.nan if (value := row.cells[at].value) is None else sign * value for row in self.rows}
        ordered = sorted(self.rows, key=lambda row: (row.oracle, np.isnan(values[row.key]), np.nan_to_num(values[row.key])))
        return replace(self, rows=tuple(ordered))

    def with_best(self) -> "Table":
        """The best values of each column marked; an oracle has none."""
        if not self.rows or not self.columns:
            return self
        eligible, marks = [not row.oracle for row in self.rows], []
        for column in self.columns:
            values = [np.nan if cell.value is None else cell.value for cell in self.cells(column.key)]
            marks.append(column.are_best(values, eligible))
        rows = []
        for row, best in zip(self.rows, zip(*marks, strict=True), strict=True):
            cells = (replace(cell, best=is_best) for cell, is_best in zip(row.cells, best, strict=True))
            rows.append(replace(row, cells=tuple(cells)))
        return replace(self, rows=tuple(rows))

    def without_intervals(self) -> "Table":
        rows = [replace(row, cells=tuple(replace(cell, low=None, high=None) for cell in row.cells)) for row in self.rows]
        return replace(self, rows=tuple(rows))

    def with_columns(self, keys: Iterable[str]) -> "Table":
        """These columns alone, in this order."""
        indices = [self._at(key) for key in keys]
        rows = (replace(row, cells=tuple(row.cells[at] for at in indices)) for row in self.rows)
        return replace(self, columns=tuple(self.columns[at] for at in indices), rows=tuple(rows))

    def _at(self, key: str) -> int:
        return [column.key for column in self.columns].index(key)


def format_value(value: float, sign: str = "", form: str = ".2f") -> str:
    """Two decimals, or UNDEFINED for NaN. sign: "+" to show it."""
    return UNDEFINED if np.isnan(value) else f"{value:{sign}{form}}"


def format_count(value: float) -> str:
    """Thousands apart; of a mean over seeds that is no whole number, one decimal."""
    return f"{value:,.1f}".removesuffix(".0")


def joined(names: Iterable[str]) -> str:
    """ "MCP", "MCP and Entropy", "MCP, Entropy and Margin" """
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
