"""Printing of a table of results in a terminal; a table that is too wide is split into several tables below each other."""

from dataclasses import replace

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from confidnet_core.comparison.rendering import table_to_markdown
from confidnet_core.comparison.tables import BETTER_VERDICT, WORSE_VERDICT, Cell, Column, Table

COLUMN_GAP_SPACES = 2  # spaces between columns, of which rich adds one
VERDICT_STYLES = {BETTER_VERDICT: "green", WORSE_VERDICT: "red"}


def print_results_table(console: Console, table: Table, show_intervals: bool | None = None) -> None:
    """Print a table of results with its notes and without its legend; as Markdown, of any width, if the console is no terminal.

    show_intervals: whether to show confidence intervals; None shows them in a file or pipe, and in a terminal where they fit
    """
    if not console.is_terminal:
        shown_table = table.without_intervals() if show_intervals is False else table
        table_text = table_to_markdown(replace(shown_table, title="", legend=()), None)
        console.print(table_text + "\n", soft_wrap=True, markup=False)
        return
    for note in table.notes:
        console.print(Text(note))
        console.print()
    row_name_width = max(map(len, [table.first_column_title, *(row.label for row in table.rows)]))
    if show_intervals is False or (show_intervals is None and len(_split_columns_by_width(table, console.width - row_name_width)) > 1):
        table = table.without_intervals()
    for column_range in _split_columns_by_width(table, console.width - row_name_width):
        rich_table = RichTable(
            box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, COLUMN_GAP_SPACES - 1, 0, 0), header_style="bold"
        )
        rich_table.add_column(
            table.first_column_title, min_width=min(row_name_width, console.width // 2), no_wrap=row_name_width <= console.width // 2
        )
        aligned_columns = [_align_column(table, column_index) for column_index in range(column_range.start, column_range.stop)]
        for column, (heading, *_) in zip(table.columns[column_range], aligned_columns, strict=True):
            rich_table.add_column(heading, no_wrap=not column.is_text)
        for row, *cells in zip(table.rows, *(cells for _, *cells in aligned_columns), strict=True):
            rich_table.add_row(Text(row.label, style="dim" if row.is_oracle else ""), *cells)
        console.print(rich_table)
        console.print()


def print_lines(console: Console, *lines: Text, indent_spaces: int = 0) -> None:
    """Print lines of text, each indented by `indent_spaces` spaces and wrapped to the terminal's width."""
    for line in lines:
        if console.is_terminal:
            console.print(Padding(line, (0, 0, 0, indent_spaces), expand=False))
        else:
            console.print(Text.assemble(" " * indent_spaces, line), soft_wrap=True)


def _align_column(table: Table, column_index: int) -> list[Text]:
    """Return heading and cells of one table column as texts, with numbers padded on the left, since rich strips trailing blanks."""
    cell_texts = [Text(table.columns[column_index].heading), *_style_cells(table, column_index)]
    column_width = 0 if table.columns[column_index].is_text else max(map(len, cell_texts))
    return [Text.assemble(" " * (column_width - len(cell_text)), cell_text) for cell_text in cell_texts]


def _style_cells(table: Table, column_index: int) -> list[Text]:
    """Return the cells of one table column as coloured texts."""
    column, cells = table.columns[column_index], [row.cells[column_index] for row in table.rows]
    return [_style_cell(cell, column, verdict_sign) for cell, verdict_sign in zip(cells, table.verdict_signs(column_index), strict=True)]


def _style_cell(cell: Cell, column: Column, verdict_sign: str) -> Text:
    """Return a table cell as a coloured text: number, text beside it, sign of the verdict, and interval."""
    styled_cell_parts = (
        (cell.number_text(column), "bold green" if cell.best else ""),
        (cell.text_beside(), ""),
        (verdict_sign, VERDICT_STYLES.get(cell.verdict or "", "")),
        (cell.interval_text(column), "dim"),
    )
    return Text(" ").join(Text(cell_part_text, style) for cell_part_text, style in styled_cell_parts if cell_part_text)


def _split_columns_by_width(table: Table, available_width: int) -> list[slice]:
    """Return the table's columns as ranges of positions, each of which fits `available_width` characters.

    Each range has at least one column, even if this one does not fit.
    """
    column_ranges, range_start, used_width = [], 0, 0
    for column_index in range(len(table.columns)):
        column_width = max(map(len, _align_column(table, column_index))) + COLUMN_GAP_SPACES
        used_width += column_width
        if used_width > available_width and column_index > range_start:
            column_ranges.append(slice(range_start, column_index))
            range_start, used_width = column_index, column_width
    return [*column_ranges, slice(range_start, len(table.columns))]
