"""A Table as Markdown, HTML, CSV and JSON."""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from confidnet_core.comparison.tables import UNDEFINED, Cell, Column, Row, Table

MEANINGS = {"better": "significantly better", "worse": "significantly worse"}  # of a verdict, for those who hover over its sign

_HTML = """
{%- if heading and table.title %}<h{{ heading }}>{{ table.title }}</h{{ heading }}>
{% endif %}
{%- for kind, lines in notes %}
{%- if kind == "list" %}<ul>
{% for line in lines %}<li>{{ line }}</li>
{% endfor %}</ul>
{% else %}<p>{{ lines[0] }}</p>
{% endif %}
{%- endfor %}
{%- if table.rows %}<div class="scroll" tabindex="0" role="region" aria-label="Table: {{ label }}"><table class="metrics">
<thead>
<tr><th scope="col">{{ table.stub }}</th>
{%- for column in table.columns %}<th scope="col"{% if not column.words %} class="number"{% endif %}>{{ column.heading }}</th>{% endfor -%}
</tr>
</thead>
<tbody>
{% for row in table.rows %}<tr{% if row.oracle %} class="oracle"{% endif %}>
{%- if table.sortable %}<th scope="row" data-sort="{{ row.label }}">{% else %}<th scope="row">{% endif %}{{ row.label | breakable }}</th>
{%- for column, cell in zip(table.columns, row.cells) -%}
<td{% if classes(column, cell) %} class="{{ classes(column, cell) }}"{% endif %}
{%- if table.sortable %} data-sort="{{ sort_key(column, cell) }}"{% endif %}>{{ cell.number(column) | breakable }}
{%- if cell.beside() %} {{ cell.beside() }}{% endif %}
{%- if cell.mark() %} <span class="mark" title="{{ meanings[cell.verdict] }}">{{ cell.mark() }}</span>{% endif %}
{%- if cell.interval(column) %} <span class="interval">{{ cell.interval(column) }}</span>{% endif %}</td>
{%- endfor %}</tr>
{% endfor %}</tbody>
</table></div>
{% endif %}
{%- if table.legend %}<p class="note">{{ table.legend | join(" ") }}</p>
{% endif %}"""


def markdown(table: Table, heading: int | None = 3) -> str:
    """Aligned for reading as plain text, too. heading: of which level the title is; None leaves it out."""
    title = f"{'#' * heading} {table.title}" if heading and table.title else ""
    lines = [[table.stub, *(column.heading for column in table.columns)]]
    marks = zip(*map(table.marks, range(len(table.columns))), strict=True)
    lines += [[row.label, *map(_markdown_cell, row.cells, table.columns, own)] for row, own in zip(table.rows, marks, strict=True)]
    left = 1 + next((at for at, column in enumerate(table.columns) if not column.words), len(table.columns))
    drawn = "\n".join(aligned(lines, left)) if table.rows else ""
    return "\n\n".join(part for part in (title, *table.notes, drawn, " ".join(table.legend)) if part)


def aligned(rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Header and rows as the lines of a Markdown table, the first LEFT columns to the left, the others to the right."""
    rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    pads = [str.ljust] * left + [str.rjust] * (len(widths) - left)
    cells = [[pad(cell, width) for pad, cell, width in zip(pads, row, widths, strict=True)] for row in rows]
    rule = [*("-" * width for width in widths[:left]), *("-" * (width - 1) + ":" for width in widths[left:])]
    return ["| " + " | ".join(line) + " |" for line in (cells[0], rule, *cells[1:])]


def html(table: Table, heading: int | None = 3, label: str | None = None) -> Markup:
    """A table that scrolls in a box of its own, with headers that can be read out and, where it can be sorted, data-sort for each cell.

    Nothing in it is a link, a picture or HTML: names from params.yaml and from data sets stay text. heading: the level of its title, None
    leaves it out; label: what a screen reader calls it, by default the title
    """
    notes = [
        ("list", [line.removeprefix("- ") for line in note.splitlines()]) if note.startswith("- ") else ("text", [note])
        for note in table.notes
    ]
    return Markup(_template().render(table=table, heading=heading, notes=notes, label=label or table.title or "numbers"))


def as_frame(table: Table) -> pd.DataFrame:
    """KEY, and of each column what it has: KEY, KEY_std, KEY_low, KEY_high, KEY_verdict. The row's name and whether it is an oracle."""
    rows = []
    for row in table.rows:
        rows.append({"method": row.key, "name": row.name, "oracle": row.oracle})
        for column, cell in zip(table.columns, row.cells, strict=True):
            rows[-1] |= {name: value for name, value in _facts(column, cell).items() if value is not None}
    return pd.DataFrame(rows)


def as_csv(frame: pd.DataFrame) -> str:
    """FRAME with the digits that mean something: the same on every machine, although the last bits of a sum are not."""
    return frame.to_csv(index=False, float_format="%.6g")


def as_json(tables: Mapping[str, Table]) -> str:
    """Strict JSON: NAME -> title, columns, rows with their cells by the keys of the columns, notes and legend; undefined is null."""
    return json.dumps({name: _content(table) for name, table in tables.items()}, indent=2, ensure_ascii=False, allow_nan=False)


def _content(table: Table) -> dict[str, Any]:
    columns = [
        {"key": column.key, "title": column.title, "higher_is_better": column.higher_is_better, "scale": column.scale}
        for column in table.columns
    ]
    return {"title": table.title, "columns": columns, "rows": list(map(_row_content, table.rows, [table.columns] * len(table.rows)))} | {
        "notes": list(table.notes),
        "legend": list(table.legend),
    }


def _row_content(row: Row, columns: Iterable[Column]) -> dict[str, Any]:
    cells = {column.key: _cell_content(cell) for column, cell in zip(columns, row.cells, strict=True)}
    return {"key": row.key, "name": row.name, "oracle": row.oracle, "cells": cells}


def _cell_content(cell: Cell) -> dict[str, Any]:
    numbers = {name: getattr(cell, name) for name in ("value", "deviation", "low", "high") if getattr(cell, name) is not None}
    content: dict[str, Any] = {name: None if np.isnan(value) else float(f"{value:.6g}") for name, value in numbers.items()}
    content |= {"text": cell.text} if cell.text else {}
    return content | ({"best": True} if cell.best else {}) | ({"verdict": cell.verdict} if cell.verdict else {})


def _facts(column: Column, cell: Cell) -> dict[str, float | str | None]:
    if column.words:
        return {column.key: cell.text}
    facts: dict[str, float | str | None] = {column.key: cell.value if cell.value is not None else cell.text or None}
    facts |= {f"{column.key}_std": cell.deviation, f"{column.key}_low": cell.low, f"{column.key}_high": cell.high}
    return facts | {f"{column.key}_verdict": cell.verdict}


def _markdown_cell(cell: Cell, column: Column, mark: str) -> str:
    number = f"**{cell.number(column)}**" if cell.best else cell.number(column)
    return " ".join(part for part in (number, cell.beside(), mark, cell.interval(column)) if part)


def _classes(column: Column, cell: Cell) -> str:
    """The classes of a cell, which the page's style gives their looks."""
    return " ".join(name for name in ("" if column.words else "number", "best" if cell.best else "", cell.verdict or "") if name)


def _sort_key(column: Column, cell: Cell) -> str:
    """A number to sort by, or the text; nothing where it is undefined."""
    if cell.value is None:
        return "" if cell.text == UNDEFINED else cell.text
    return "" if np.isnan(cell.value) else f"{cell.value * column.scale:.6g}"


def _breakable(text: str) -> Markup:
    return Markup(escape(text).replace("_", Markup("_<wbr>")))  # long names may break there


@cache
def _template():
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.filters["breakable"] = _breakable
    environment.globals.update(classes=_classes, sort_key=_sort_key, meanings=MEANINGS, zip=zip)
    return environment.from_string(_HTML)
