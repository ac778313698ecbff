"""Functions that turn a results table (class Table) into Markdown, HTML, CSV and JSON."""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from confidnet_core.comparison.tables import UNDEFINED, Cell, Column, Row, Table

VERDICT_MEANINGS = {"better": "significantly better", "worse": "significantly worse"}  # tooltips of verdict signs

_HTML_TABLE_TEMPLATE = """
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
<tr><th scope="col">{{ table.first_column_title }}</th>
{%- for column in table.columns -%}
<th scope="col"{% if not column.is_text %} class="number"{% endif %}>{{ column.heading }}</th>{% endfor -%}
</tr>
</thead>
<tbody>
{% for row in table.rows %}<tr{% if row.oracle %} class="oracle"{% endif %}>
{%- if table.sortable %}<th scope="row" data-sort="{{ row.label }}">{% else %}<th scope="row">{% endif %}{{ row.label | breakable }}</th>
{%- for column, cell in zip(table.columns, row.cells) -%}
<td{% if classes(column, cell) %} class="{{ classes(column, cell) }}"{% endif %}
{%- if table.sortable %} data-sort="{{ sort_key(column, cell) }}"{% endif %}>{{ cell.number_text(column) | breakable }}
{%- if cell.text_beside() %} {{ cell.text_beside() }}{% endif %}
{%- if cell.verdict_sign() %} <span class="mark" title="{{ meanings[cell.verdict] }}">{{ cell.verdict_sign() }}</span>{% endif %}
{%- if cell.interval_text(column) %} <span class="interval">{{ cell.interval_text(column) }}</span>{% endif %}</td>
{%- endfor %}</tr>
{% endfor %}</tbody>
</table></div>
{% endif %}
{%- if table.legend %}<p class="note">{{ table.legend | join(" ") }}</p>
{% endif %}"""


def markdown(table: Table, heading: int | None = 3) -> str:
    """Return a table as Markdown text whose columns are aligned, so that it also reads well as plain text.

    heading: level of the title, 1 to 6; None leaves the title out
    """
    title = f"{'#' * heading} {table.title}" if heading and table.title else ""
    lines = [[table.first_column_title, *(column.heading for column in table.columns)]]
    sign_rows = zip(*map(table.verdict_signs, range(len(table.columns))), strict=True)
    lines += [
        [row.label, *map(_markdown_cell, row.cells, table.columns, row_signs)] for row, row_signs in zip(table.rows, sign_rows, strict=True)
    ]
    text_columns = 1 + next((at for at, column in enumerate(table.columns) if not column.is_text), len(table.columns))
    body = "\n".join(align_markdown(lines, text_columns)) if table.rows else ""
    return "\n\n".join(part for part in (title, *table.notes, body, " ".join(table.legend)) if part)


def align_markdown(rows: Sequence[Sequence[str]], left_columns: int = 1) -> list[str]:
    """Return the lines of a Markdown table, from its header and rows of text.

    The first `left_columns` columns are aligned left, the others right.
    """
    rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    pad_functions = [str.ljust] * left_columns + [str.rjust] * (len(widths) - left_columns)
    cells = [[pad(cell, width) for pad, cell, width in zip(pad_functions, row, widths, strict=True)] for row in rows]
    separator_cells = [*("-" * width for width in widths[:left_columns]), *("-" * (width - 1) + ":" for width in widths[left_columns:])]
    return ["| " + " | ".join(line) + " |" for line in (cells[0], separator_cells, *cells[1:])]


def html(table: Table, heading: int | None = 3, label: str | None = None) -> Markup:
    """Return a table as HTML that scrolls in its own box, with headers for screen readers.

    If the rows can be sorted, each table cell has the attribute `data-sort`. All text is escaped: names from params.yaml and from data sets
    cannot add links, images or markup.

    heading: level of the title, None leaves it out; label: name of the table for screen readers, by default its title
    """
    note_blocks = [
        ("list", [line.removeprefix("- ") for line in note.splitlines()]) if note.startswith("- ") else ("text", [note])
        for note in table.notes
    ]
    return Markup(_html_table_template().render(table=table, heading=heading, notes=note_blocks, label=label or table.title or "numbers"))


def as_frame(table: Table) -> pd.DataFrame:
    """Return a table as a data frame: the columns method, name and oracle, and five columns for each table column.

    A table column with the key KEY becomes KEY, KEY_std, KEY_low, KEY_high and KEY_verdict, without those that have no value.
    """
    rows = []
    for row in table.rows:
        rows.append({"method": row.key, "name": row.name, "oracle": row.oracle})
        for column, cell in zip(table.columns, row.cells, strict=True):
            rows[-1] |= {name: value for name, value in _frame_values_of_cell(column, cell).items() if value is not None}
    return pd.DataFrame(rows)


def as_csv(frame: pd.DataFrame) -> str:
    """Return a data frame as CSV text with six significant digits; further ones can differ between machines."""
    return frame.to_csv(index=False, float_format="%.6g")


def as_json(tables: Mapping[str, Table]) -> str:
    """Return named tables as strict JSON text: title, columns, rows, notes and legend of each table; undefined values are null."""
    return json.dumps({name: _json_table(table) for name, table in tables.items()}, indent=2, ensure_ascii=False, allow_nan=False)


def _json_table(table: Table) -> dict[str, Any]:
    columns = [
        {"key": column.key, "title": column.title, "higher_is_better": column.higher_is_better, "scale": column.scale}
        for column in table.columns
    ]
    return {"title": table.title, "columns": columns, "rows": list(map(_json_row, table.rows, [table.columns] * len(table.rows)))} | {
        "notes": list(table.notes),
        "legend": list(table.legend),
    }


def _json_row(row: Row, columns: Iterable[Column]) -> dict[str, Any]:
    cells = {column.key: _json_cell(cell) for column, cell in zip(columns, row.cells, strict=True)}
    return {"key": row.key, "name": row.name, "oracle": row.oracle, "cells": cells}


def _json_cell(cell: Cell) -> dict[str, Any]:
    numbers = {name: getattr(cell, name) for name in ("value", "deviation", "low", "high") if getattr(cell, name) is not None}
    json_cell: dict[str, Any] = {name: None if np.isnan(value) else float(f"{value:.6g}") for name, value in numbers.items()}
    json_cell |= {"text": cell.text} if cell.text else {}
    return json_cell | ({"best": True} if cell.best else {}) | ({"verdict": cell.verdict} if cell.verdict else {})


def _frame_values_of_cell(column: Column, cell: Cell) -> dict[str, float | str | None]:
    if column.is_text:
        return {column.key: cell.text}
    values_by_column: dict[str, float | str | None] = {column.key: cell.value if cell.value is not None else cell.text or None}
    values_by_column |= {f"{column.key}_std": cell.deviation, f"{column.key}_low": cell.low, f"{column.key}_high": cell.high}
    return values_by_column | {f"{column.key}_verdict": cell.verdict}


def _markdown_cell(cell: Cell, column: Column, verdict_sign: str) -> str:
    number_markdown = f"**{cell.number_text(column)}**" if cell.best else cell.number_text(column)
    return " ".join(part for part in (number_markdown, cell.text_beside(), verdict_sign, cell.interval_text(column)) if part)


def _css_classes_of_cell(column: Column, cell: Cell) -> str:
    """Return the CSS classes of a table cell, separated by blanks."""
    return " ".join(name for name in ("" if column.is_text else "number", "best" if cell.best else "", cell.verdict or "") if name)


def _sort_value_of_cell(column: Column, cell: Cell) -> str:
    """Return the text by which an HTML table sorts a cell: its scaled number, or its text; empty if the cell is undefined."""
    if cell.value is None:
        return "" if cell.text == UNDEFINED else cell.text
    return "" if np.isnan(cell.value) else f"{cell.value * column.scale:.6g}"


def _with_break_points(text: str) -> Markup:
    return Markup(escape(text).replace("_", Markup("_<wbr>")))  # allows line breaks in long names


@cache
def _html_table_template():
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.filters["breakable"] = _with_break_points
    environment.globals.update(classes=_css_classes_of_cell, sort_key=_sort_value_of_cell, meanings=VERDICT_MEANINGS, zip=zip)
    return environment.from_string(_HTML_TABLE_TEMPLATE)
