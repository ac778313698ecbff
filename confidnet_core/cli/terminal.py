"""Printing of a Table in a terminal, split into several tables below each other if its columns do not fit."""

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
    """Print a table with its notes and without its legend; as Markdown, of any width, if CONSOLE is no terminal.

    intervals: None shows them if they fit or there is no terminal
    """
    if not console.is_terminal:
        content = table.without_intervals() if intervals is False else table
        text = markdown(replace(content, title="", legend=()), None)
        console.print(text + "\n", soft_wrap=True, markup=False)
        return
    for note in table.notes:
        console.print(Text(note))
        console.print()
    name_width = max(map(len, [table.first_column_title, *(row.label for row in table.rows)]))
    if intervals is False or (intervals is None and len(_column_groups(table, console.width - name_width)) > 1):
        table = table.without_intervals()
    for part in _column_groups(table, console.width - name_width):
        drawn = RichTable(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, COLUMN_GAP - 1, 0, 0), header_style="bold")
        drawn.add_column(table.first_column_title, min_width=min(name_width, console.width // 2), no_wrap=name_width <= console.width // 2)
        columns = [_aligned_column(table, at) for at in range(part.start, part.stop)]
        for column, (heading, *_) in zip(table.columns[part], columns, strict=True):
            drawn.add_column(heading, no_wrap=not column.is_text)
        for row, *cells in zip(table.rows, *(cells for _, *cells in columns), strict=True):
            drawn.add_row(Text(row.label, style="dim" if row.oracle else ""), *cells)
        console.print(drawn)
        console.print()


def print_lines(console: Console, *lines: Text, indent: int = 0) -> None:
    """Print lines of text, wrapped to the terminal's width."""
    for line in lines:
        if console.is_terminal:
            console.print(Padding(line, (0, 0, 0, indent), expand=False))
        else:
            console.print(Text.assemble(" " * indent, line), soft_wrap=True)


def _aligned_column(table: Table, index: int) -> list[Text]:
    """Return heading and cells of a column, with numbers padded on the left, since rich strips trailing blanks."""
    texts = [Text(table.columns[index].heading), *_styled_cells(table, index)]
    width = 0 if table.columns[index].is_text else max(map(len, texts))
    return [Text.assemble(" " * (width - len(text)), text) for text in texts]


def _styled_cells(table: Table, index: int) -> list[Text]:
    """The cells of a column."""
    column, cells = table.columns[index], [row.cells[index] for row in table.rows]
    return [_styled_cell(cell, column, mark) for cell, mark in zip(cells, table.verdict_signs(index), strict=True)]


def _styled_cell(cell: Cell, column: Column, sign: str) -> Text:
    parts = (
        (cell.number_text(column), "bold green" if cell.best else ""),
        (cell.text_beside(), ""),
        (sign, VERDICT_STYLES.get(cell.verdict or "", "")),
        (cell.interval_text(column), "dim"),
    )
    return Text(" ").join(Text(text, style) for text, style in parts if text)


def _column_groups(table: Table, available_width: int) -> list[slice]:
    """Return groups of columns that fit the width, with at least one column each."""
    groups, start, used = [], 0, 0
    for index in range(len(table.columns)):
        width = max(map(len, _aligned_column(table, index))) + COLUMN_GAP
        used += width
        if used > available_width and index > start:
            groups.append(slice(start, index))
            start, used = index, width
    return [*groups, slice(start, len(table.columns))]
