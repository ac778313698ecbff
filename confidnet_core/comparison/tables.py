"""Classes of a results table that is independent of its output format: cells in columns and rows, with notes and a legend.

comparison/rendering.py renders it for files and the report page, cli/latex.py for a paper and cli/terminal.py for a terminal.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

UNDEFINED_SIGN = "–"  # noqa: RUF001
BETTER_VERDICT, WORSE_VERDICT, NOT_SIGNIFICANT_VERDICT = "better", "worse", "no significant difference"
SIGN_BY_VERDICT = {BETTER_VERDICT: "▲", WORSE_VERDICT: "▼"}  # shown beside the value of a cell


@dataclass(frozen=True)
class Column:
    """A column of a results table, which shows one quantity such as a metric.

    key: the column's name in CSV and JSON; title: the column's name for readers
    higher_is_better: whether the largest or the smallest value is best; None if no value is best
    scale: factor applied for readers, such as 100 for percent; CSV and JSON keep unscaled values
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
        """The column's title for readers, with an arrow up or down if the highest or lowest value is best."""
        return self.title if self.higher_is_better is None else f"{self.title} {'↑' if self.higher_is_better else '↓'}"

    def format_number(self, unscaled_value: float | None, sign_option: str = "") -> str:
        """Return a value as text for readers, multiplied by the column's scale; UNDEFINED_SIGN for NaN and None.

        sign_option: "+" also shows the sign of positive numbers
        """
        return UNDEFINED_SIGN if unscaled_value is None else format_value(self.scale * unscaled_value, sign_option, self.number_format)

    def best_mask(self, unscaled_values: Sequence[float], eligible_mask: Sequence[bool] | None = None) -> list[bool]:
        """Return a list of bools, which says for each of the unscaled values whether it is the best one of the column as printed.

        Values that print alike are both best. NaN and values that are not eligible are never best, and neither is any value of a column
        without a direction.
        """
        if self.higher_is_better is None:
            return [False] * len(unscaled_values)
        is_eligible = np.ones(len(unscaled_values), bool) if eligible_mask is None else np.asarray(eligible_mask, bool)
        scaled_values = self.scale * np.asarray(unscaled_values, float)
        printed_values = np.array(
            [float(f"{scaled_value:{self.number_format}}") for scaled_value in scaled_values]
        )  # float("nan") keeps NaN
        candidate_values = np.where(is_eligible, printed_values if self.higher_is_better else -printed_values, np.nan)
        return [] if not len(candidate_values) else (candidate_values == np.fmax.reduce(candidate_values)).tolist()


@dataclass(frozen=True)
class Cell:
    """A cell of a results table: a number with uncertainty and verdict, a text, or both side by side.

    value: NaN if undefined, None if there is no number; unscaled, as are deviation, low and high
    deviation: sample standard deviation over seeds; low, high: ends of the confidence interval
    best: whether this is the best value of its column; shows_plus_sign: whether "+" is shown before a positive number
    verdict: BETTER_VERDICT or WORSE_VERDICT if the difference from the reference method is significant
    """

    value: float | None = None
    deviation: float | None = None
    low: float | None = None
    high: float | None = None
    text: str = ""
    best: bool = False
    verdict: str | None = None
    shows_plus_sign: bool = False

    def number_text(self, column: Column) -> str:
        """Return value and standard deviation as text for readers, or the cell's own text if there is no value."""
        if self.value is None:
            return self.text
        deviation_text = "" if self.deviation is None else f" ± {column.format_number(self.deviation)}"
        return column.format_number(self.value, "+" if self.shows_plus_sign else "") + deviation_text

    def text_beside(self) -> str:
        """Return the text that stands beside the cell's number; empty if the cell has no number."""
        return "" if self.value is None else self.text

    def verdict_sign(self) -> str:
        """Return the sign of SIGN_BY_VERDICT for the cell's verdict; empty if the cell has no verdict."""
        return SIGN_BY_VERDICT.get(self.verdict or "", "")

    def interval_text(self, column: Column) -> str:
        """Return the interval as text, as in "[46.10, 57.03]"; empty if the cell has no interval."""
        if self.low is None or self.high is None:
            return ""
        sign_option = "+" if self.shows_plus_sign else ""
        return f"[{column.format_number(self.low, sign_option)}, {column.format_number(self.high, sign_option)}]"


@dataclass(frozen=True)
class Row:
    """A row of a results table, such as the results of one method.

    key: the row's name in CSV and JSON; name: for readers; cells: one per column; is_oracle: whether the method reads the labels
    remark: shown in brackets after the name
    """

    key: str
    name: str
    cells: tuple[Cell, ...]
    is_oracle: bool = False
    remark: str = ""

    @property
    def label(self) -> str:
        """Return the row's name for readers, followed by "(oracle)" and the remark in brackets. Only this property adds "(oracle)"."""
        return " ".join([self.name, *(f"({word})" for word in ("oracle" * self.is_oracle, self.remark) if word)])


@dataclass(frozen=True)
class Table:
    """A table of results with columns and rows.

    title: the table's heading; first_column_title: heading of the first column, which holds the names of the rows
    notes: paragraphs above the table, where lines that start with "- " form a list; legend: sentences below the table
    sortable: whether rows may be reordered, which is not so where neighbouring rows belong together
    """

    title: str
    columns: tuple[Column, ...] = ()
    rows: tuple[Row, ...] = ()
    first_column_title: str = "method"
    notes: tuple[str, ...] = ()
    legend: tuple[str, ...] = ()
    sortable: bool = True

    def column(self, column_key: str) -> Column:
        """Return the column with this key."""
        return self.columns[self._column_index(column_key)]

    def cells(self, column_key: str) -> list[Cell]:
        """Return all cells of the column with this key, in the order of the rows."""
        column_index = self._column_index(column_key)
        return [row.cells[column_index] for row in self.rows]

    def verdict_signs(self, column_index: int) -> list[str]:
        """Return the verdict sign of each cell in a column, padded to equal width so that the numbers before the signs stay aligned."""
        unpadded_verdict_signs = [row.cells[column_index].verdict_sign() for row in self.rows]
        return [verdict_sign.ljust(max(map(len, unpadded_verdict_signs))) for verdict_sign in unpadded_verdict_signs]

    def sorted_by(self, column_key: str) -> "Table":
        """Return the table with rows sorted by a column: best value first, then undefined values, then oracles; ties keep their order."""
        column_index, sort_direction = self._column_index(column_key), -1 if self.column(column_key).higher_is_better else 1
        sort_value_by_row = {
            row.key: np.nan if (value := row.cells[column_index].value) is None else sort_direction * value for row in self.rows
        }
        sorted_rows = sorted(
            self.rows, key=lambda row: (row.is_oracle, np.isnan(sort_value_by_row[row.key]), np.nan_to_num(sort_value_by_row[row.key]))
        )
        return replace(self, rows=tuple(sorted_rows))

    def with_best_marked(self) -> "Table":
        """Return the table with the best cells of each column marked as best; an oracle is never best."""
        if not self.rows or not self.columns:
            return self
        eligible_mask, best_masks = [not row.is_oracle for row in self.rows], []
        for column in self.columns:
            column_values = [np.nan if cell.value is None else cell.value for cell in self.cells(column.key)]
            best_masks.append(column.best_mask(column_values, eligible_mask))
        marked_rows = []
        for row, row_best_mask in zip(self.rows, zip(*best_masks, strict=True), strict=True):
            marked_cells = (replace(cell, best=is_best) for cell, is_best in zip(row.cells, row_best_mask, strict=True))
            marked_rows.append(replace(row, cells=tuple(marked_cells)))
        return replace(self, rows=tuple(marked_rows))

    def without_intervals(self) -> "Table":
        """Return the table without the confidence intervals of its cells."""
        rows_without_intervals = [replace(row, cells=tuple(replace(cell, low=None, high=None) for cell in row.cells)) for row in self.rows]
        return replace(self, rows=tuple(rows_without_intervals))

    def with_columns(self, column_keys: Iterable[str]) -> "Table":
        """Return the table with only the columns of these keys, in this order."""
        column_indices = [self._column_index(column_key) for column_key in column_keys]
        reduced_rows = (replace(row, cells=tuple(row.cells[column_index] for column_index in column_indices)) for row in self.rows)
        return replace(self, columns=tuple(self.columns[column_index] for column_index in column_indices), rows=tuple(reduced_rows))

    def _column_index(self, column_key: str) -> int:
        """Return the position of the column with this key."""
        return [column.key for column in self.columns].index(column_key)


def format_value(number: float, sign_option: str = "", number_format: str = ".2f") -> str:
    """Return a number as text, by default with two decimals; UNDEFINED_SIGN for NaN.

    sign_option: "+" also shows the sign of positive numbers; number_format: format specification
    """
    return UNDEFINED_SIGN if np.isnan(number) else f"{number:{sign_option}{number_format}}"


def format_count(item_count: float) -> str:
    """Return a count as text with thousands separators, and with one decimal if it is a mean over seeds that is not a whole number."""
    return f"{item_count:,.1f}".removesuffix(".0")


def count_in_words(item_count: float, noun: str) -> str:
    """Return a count with its noun, as in "1 error", "71 errors" and, for a mean over seeds, "72.6 errors"."""
    return f"{format_count(item_count)} {noun}{'' if item_count == 1 else 's'}"


def join_names(names: Iterable[str]) -> str:
    """Return the names as text, joined as in "MCP", "MCP and Entropy" or "MCP, Entropy and Margin"."""
    *leading_names, final_name = names
    return f"{', '.join(leading_names)} and {final_name}" if leading_names else final_name
