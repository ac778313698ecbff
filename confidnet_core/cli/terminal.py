"""Printing of a table of results in a terminal; a table that is too wide is split into several tables below each other."""

from dataclasses import replace

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from confidnet_core.comparison.rendering import markdown
from confidnet_core.comparison.tables import BETTER, WORSE, Cell, Column, Table

COLUMN_GAP = 2  # spaces between columns, of which rich adds one
VERDICT_STYLES = {BETTER: "green", WORSE: "red"}


def print_table(console: Console, table: Table, intervals: bool | None = None) -> None:
    """Print a table of results with its notes and without its legend; as Markdown, of any width, if CONSOLE is no terminal.

    intervals: whether to show confidence intervals; None shows them in a file or pipe, and in a terminal where they fit
    """
    if not console.is_terminal:
        shown_table = table.without_intervals() if intervals is False else table
        text = markdown(replace(shown_table, title="", legend=()), None)
        console.print(text + "\n", soft_wrap=True, markup=False)
        return
    for note in table.notes:
        console.print(Text(note))
        console.print()
    name_width = max(map(len, [table.first_column_title, *(row.label for row in table.rows)]))
    if intervals is False or (intervals is None and len(_split_columns_by_width(table, console.width - name_width)) > 1):
        table = table.without_intervals()
    for column_range in _split_columns_by_width(table, console.width - name_width):
        rich_table = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, COLUMN_GAP - 1, 0, 0), header_style="bold")
        rich_table.add_column(
            table.first_column_title, min_width=min(name_width, console.width // 2), no_wrap=name_width <= console.width // 2
        )
        columns = [_align_column(table, at) for at in range(column_range.start, column_range.stop)]
        for column, (heading, *_) in zip(table.columns[column_range], columns, strict=True):
            rich_table.add_column(heading, no_wrap=not column.is_text)
        for row, *cells in zip(table.rows, *(cells for _, *cells in columns), strict=True):
            rich_table.add_row(Text(row.label, style="dim" if row.oracle else ""), *cells)
        console.print(rich_table)
        console.print()


def print_lines(console: Console, *lines: Text, indent: int = 0) -> None:
    """Print lines of text, each indented by `indent` spaces and wrapped to the terminal's width."""
    for line in lines:
        if console.is_terminal:
            console.print(Padding(line, (0, 0, 0, indent), expand=False))
        else:
            console.print(Text.assemble(" " * indent, line), soft_wrap=True)


def _align_column(table: Table, index: int) -> list[Text]:
    """Return heading and cells of one table column as texts, with numbers padded on the left, since rich strips trailing blanks."""
    texts = [Text(table.columns[index].heading), *_style_cells(table, index)]
    width = 0 if table.columns[index].is_text else max(map(len, texts))
    return [Text.assemble(" " * (width - len(text)), text) for text in texts]


def _style_cells(table: Table, index: int) -> list[Text]:
    """Return the cells of one table column as coloured texts."""
    column, cells = table.columns[index], [row.cells[index] for row in table.rows]
    return [_style_cell(cell, column, sign) for cell, sign in zip(cells, table.verdict_signs(index), strict=True)]


def _style_cell(cell: Cell, column: Column, verdict_sign: str) -> Text:
    """Return a table cell as a coloured text: number, text beside it, sign of the verdict, and interval."""
    text_parts = (
        (cell.number_text(column), "bold green" if cell.best else ""),
        (cell.text_beside(), ""),
        (verdict_sign, VERDICT_STYLES.get(cell.verdict or "", "")),
        (cell.interval_text(column), "dim"),
    )
    return Text(" ").join(Text(text, style) for text, style in text_parts if text)


def _split_columns_by_width(table: Table, available_width: int) -> list[slice]:
    """Return ranges of table columns that each fit `available_width` characters; each range has at least one column."""
    column_groups, group_start, used_width = [], 0, 0
    for index in range(len(table.columns)):
        width = max(map(len, _align_column(table, index))) + COLUMN_GAP
        used_width += width
        if used_width > available_width and index > group_start:
            column_groups.append(slice(group_start, index))
            group_start, used_width = index, width
    return [*column_groups, slice(group_start, len(table.columns))]
