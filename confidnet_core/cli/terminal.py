"""A Table in a terminal: columns in as many tables below each other as its width needs."""

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table as Drawn
from rich.text import Text

from confidnet_core.comparison.rendering import markdown
from confidnet_core.comparison.tables import BETTER, WORSE, Cell, Column, Table

GAP = 2  # blanks between columns, of which rich sets one itself
STYLES = {BETTER: "green", WORSE: "red"}


def print_table(console: Console, table: Table, intervals: bool | None = None) -> None:
    """TABLE with its notes and without its legend; as Markdown, of any width, where CONSOLE is no terminal.

    intervals: None shows them where they fit beside each other, or there is no terminal
    """
    if not console.is_terminal:
        drawn = table.without_intervals() if intervals is False else table
        console.print(markdown(Table("", drawn.columns, drawn.rows, drawn.stub, drawn.notes), None) + "\n", soft_wrap=True, markup=False)
        return
    for note in table.notes:
        console.print(Text(note))
        console.print()
    first = max(map(len, [table.stub, *(row.label for row in table.rows)]))
    if intervals is False or (intervals is None and len(_parts(table, console.width - first)) > 1):
        table = table.without_intervals()
    for part in _parts(table, console.width - first):
        drawn = Drawn(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0), header_style="bold")
        drawn.add_column(table.stub, min_width=min(first, console.width // 2), no_wrap=first <= console.width // 2)
        columns = [_aligned(table, at) for at in range(part.start, part.stop)]
        for column, (heading, *_) in zip(table.columns[part], columns, strict=True):
            drawn.add_column(heading, no_wrap=not column.words)
        for row, *cells in zip(table.rows, *(cells for _, *cells in columns), strict=True):
            drawn.add_row(Text(row.label, style="dim" if row.oracle else ""), *cells)
        console.print(drawn)
        console.print()


def print_lines(console: Console, *lines: Text, indent: int = 0) -> None:
    """Lines of text, wrapped to a terminal's width."""
    for line in lines:
        if console.is_terminal:
            console.print(Padding(line, (0, 0, 0, indent), expand=False))
        else:
            console.print(Text.assemble(" " * indent, line), soft_wrap=True)


def _aligned(table: Table, at: int) -> list[Text]:
    """Heading and cells of a column, numbers to the right: by blanks before them, since rich takes away those that stand for a mark."""
    texts = [Text(table.columns[at].heading), *_styled(table, at)]
    width = 0 if table.columns[at].words else max(map(len, texts))
    return [Text.assemble(" " * (width - len(text)), text) for text in texts]


def _styled(table: Table, at: int) -> list[Text]:
    """The cells of a column."""
    column, cells = table.columns[at], [row.cells[at] for row in table.rows]
    return [_cell(cell, column, mark) for cell, mark in zip(cells, table.marks(at), strict=True)]


def _cell(cell: Cell, column: Column, mark: str) -> Text:
    parts = (
        (cell.number(column), "bold green" if cell.best else ""),
        (cell.beside(), ""),
        (mark, STYLES.get(cell.verdict or "", "")),
        (cell.interval(column), "dim"),
    )
    return Text(" ").join(Text(text, style) for text, style in parts if text)


def _parts(table: Table, room: int) -> list[slice]:
    """The columns in groups that fit, a column at least."""
    parts, start, used = [], 0, 0
    for at in range(len(table.columns)):
        width = max(map(len, _aligned(table, at))) + GAP
        used += width
        if used > room and at > start:
            parts.append(slice(start, at))
            start, used = at, width
    return [*parts, slice(start, len(table.columns))]
