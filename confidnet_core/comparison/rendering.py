"""Functions that turn a results table (class Table) into Markdown, HTML, CSV and JSON."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from confidnet_core.comparison.tables import UNDEFINED_SIGN, Cell, Column, Row, Table
from confidnet_core.display import display_lines, display_text

VERDICT_TOOLTIPS = {"better": "significantly better", "worse": "significantly worse"}  # tooltips of verdict signs

_HTML_TABLE_TEMPLATE = """
{%- if heading_level and table.title %}<h{{ heading_level }}>{{ table.title }}</h{{ heading_level }}>
{% endif %}
{%- for kind, lines in notes %}
{%- if kind == "list" %}<ul>
{% for line in lines %}<li>{{ line }}</li>
{% endfor %}</ul>
{% else %}<p>{{ lines[0] }}</p>
{% endif %}
{%- endfor %}
{%- if table.rows %}<div class="scroll" tabindex="0" role="region" aria-label="Table: {{ screen_reader_label }}"><table class="metrics">
<thead>
<tr><th scope="col">{{ table.first_column_title }}</th>
{%- for column in table.columns -%}
<th scope="col"{% if not column.is_text %} class="number"{% endif %}>{{ column.heading }}</th>{% endfor -%}
</tr>
</thead>
<tbody>
{% for row in table.rows %}<tr{% if row.is_oracle %} class="oracle"{% endif %}>
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


def table_to_markdown(table: Table, heading_level: int | None = 3) -> str:
    """Return a table as Markdown text whose columns are aligned, so that it also reads well as plain text.

    heading_level: level of the table's title as a heading, 1 to 6; None leaves the title out
    """
    title_line = f"{'#' * heading_level} {table.title}" if heading_level and table.title else ""
    text_rows = [[table.first_column_title, *(column.heading for column in table.columns)]]
    verdict_sign_rows = zip(*map(table.verdict_signs, range(len(table.columns))), strict=True)
    text_rows += [
        [markdown_text(row.label), *map(_markdown_cell, row.cells, table.columns, row_verdict_signs)]
        for row, row_verdict_signs in zip(table.rows, verdict_sign_rows, strict=True)
    ]
    left_aligned_column_count = 1 + next(
        (column_index for column_index, column in enumerate(table.columns) if not column.is_text), len(table.columns)
    )
    table_text = "\n".join(align_markdown_rows(text_rows, left_aligned_column_count)) if table.rows else ""
    return "\n\n".join(
        paragraph for paragraph in (title_line, *map(markdown_text, table.notes), table_text, " ".join(table.legend)) if paragraph
    )


def markdown_text(text: str) -> str:
    """Return a text as Markdown that shows it literally: names of classes and scores begin no formula, tag, link or emphasis."""
    return re.sub(r"[\\*<\[$]", r"\\\g<0>", display_lines(text))


def align_markdown_rows(text_rows: Sequence[Sequence[str]], left_aligned_column_count: int = 1) -> list[str]:
    """Return the lines of a Markdown table, padded so that columns are aligned. text_rows: the heading row, then the other rows

    The first `left_aligned_column_count` columns are aligned left, the others right.
    """
    text_rows = [[display_text(cell_text).replace("|", "\\|") for cell_text in text_row] for text_row in text_rows]
    column_widths = [max(map(len, column_texts)) for column_texts in zip(*text_rows, strict=True)]
    pad_functions = [str.ljust] * left_aligned_column_count + [str.rjust] * (len(column_widths) - left_aligned_column_count)
    padded_rows = [
        [pad(cell_text, width) for pad, cell_text, width in zip(pad_functions, text_row, column_widths, strict=True)]
        for text_row in text_rows
    ]
    separator_cells = [
        *("-" * width for width in column_widths[:left_aligned_column_count]),
        *("-" * (width - 1) + ":" for width in column_widths[left_aligned_column_count:]),
    ]
    return ["| " + " | ".join(padded_row) + " |" for padded_row in (padded_rows[0], separator_cells, *padded_rows[1:])]


def table_to_html(table: Table, heading_level: int | None = 3, screen_reader_label: str | None = None) -> Markup:
    """Return a table as HTML that scrolls in its own box, with headers for screen readers.

    If the rows can be sorted, each table cell has the attribute `data-sort`. All text is escaped: names from params.yaml and from data sets
    cannot add links, images or markup.

    heading_level: level of the table's title as a heading, None leaves it out
    screen_reader_label: name of the table for screen readers, by default its title
    """
    note_blocks = [
        ("list", [line.removeprefix("- ") for line in note.splitlines()]) if note.startswith("- ") else ("text", [note])
        for note in table.notes
    ]
    return Markup(
        _html_table_template().render(
            table=table, heading_level=heading_level, notes=note_blocks, screen_reader_label=screen_reader_label or table.title or "numbers"
        )
    )


def table_to_frame(table: Table) -> pd.DataFrame:
    """Return a table as a data frame: the columns method, name and oracle, and up to five columns for each table column.

    A table column with the key KEY becomes KEY, KEY_std, KEY_low, KEY_high and KEY_verdict, without those that have no value.
    """
    row_dictionaries = []
    for row in table.rows:
        row_dictionaries.append({"method": row.key, "name": row.name, "oracle": row.is_oracle})
        for column, cell in zip(table.columns, row.cells, strict=True):
            row_dictionaries[-1] |= {
                column_name: cell_value
                for column_name, cell_value in _data_frame_values_of_cell(column, cell).items()
                if cell_value is not None
            }
    return pd.DataFrame(row_dictionaries)


def frame_to_csv(data_frame: pd.DataFrame) -> str:
    """Return a data frame as CSV text, with numbers to six significant digits; further digits can differ between machines."""
    return data_frame.to_csv(index=False, float_format="%.6g")


def tables_to_json(table_by_name: Mapping[str, Table]) -> str:
    """Return tables as strict JSON text: {name: title, columns, rows, notes and legend of the table}; undefined values are null."""
    return json.dumps({name: _json_table(table) for name, table in table_by_name.items()}, indent=2, ensure_ascii=False, allow_nan=False)


def _json_table(table: Table) -> dict[str, Any]:
    """Return a table as a dictionary for JSON: title, columns, rows, notes and legend."""
    json_columns = [
        {"key": column.key, "title": column.title, "higher_is_better": column.higher_is_better, "scale": column.scale}
        for column in table.columns
    ]
    return {"title": table.title, "columns": json_columns, "rows": list(map(_json_row, table.rows, [table.columns] * len(table.rows)))} | {
        "notes": list(table.notes),
        "legend": list(table.legend),
    }


def _json_row(row: Row, columns: Iterable[Column]) -> dict[str, Any]:
    """Return a table row as a dictionary for JSON: key, name, oracle, and cells by the key of their column."""
    json_cells = {column.key: _json_cell(cell) for column, cell in zip(columns, row.cells, strict=True)}
    return {"key": row.key, "name": row.name, "oracle": row.is_oracle, "cells": json_cells}


def _json_cell(cell: Cell) -> dict[str, Any]:
    """Return a table cell as a dictionary for JSON, without what the cell does not have; numbers have six significant digits."""
    cell_numbers = {
        field_name: getattr(cell, field_name)
        for field_name in ("value", "deviation", "low", "high")
        if getattr(cell, field_name) is not None
    }
    json_cell: dict[str, Any] = {
        field_name: None if np.isnan(number) else float(f"{number:.6g}") for field_name, number in cell_numbers.items()
    }
    json_cell |= {"text": cell.text} if cell.text else {}
    return json_cell | ({"best": True} if cell.best else {}) | ({"verdict": cell.verdict} if cell.verdict else {})


def _data_frame_values_of_cell(column: Column, cell: Cell) -> dict[str, float | str | None]:
    """Return {data frame column: value} for a table cell; None for what the cell does not have."""
    if column.is_text:
        return {column.key: cell.text}
    value_by_column: dict[str, float | str | None] = {column.key: cell.value if cell.value is not None else cell.text or None}
    value_by_column |= {f"{column.key}_std": cell.deviation, f"{column.key}_low": cell.low, f"{column.key}_high": cell.high}
    return value_by_column | {f"{column.key}_verdict": cell.verdict}


def _markdown_cell(cell: Cell, column: Column, verdict_sign: str) -> str:
    """Return a table cell as Markdown: number (bold if best), text beside it, sign of the verdict, and interval."""
    number_markdown = f"**{cell.number_text(column)}**" if cell.best else cell.number_text(column)
    return " ".join(
        cell_text_part
        for cell_text_part in (number_markdown, cell.text_beside(), verdict_sign, cell.interval_text(column))
        if cell_text_part
    )


def _css_classes_of_cell(column: Column, cell: Cell) -> str:
    """Return the names of the CSS classes of a table cell as text, separated by blanks."""
    return " ".join(
        css_class for css_class in ("" if column.is_text else "number", "best" if cell.best else "", cell.verdict or "") if css_class
    )


def _sort_value_of_cell(column: Column, cell: Cell) -> str:
    """Return the text by which an HTML table sorts a cell: its scaled number, or its text; empty if the cell is undefined."""
    if cell.value is None:
        return "" if cell.text == UNDEFINED_SIGN else cell.text
    return "" if np.isnan(cell.value) else f"{cell.value * column.scale:.6g}"


def _with_line_break_points(text: str) -> Markup:
    """Return the text as HTML in which lines may break after each underscore."""
    return Markup(escape(text).replace("_", Markup("_<wbr>")))  # allows line breaks in long names


@cache
def _html_table_template():
    """Return the jinja2 template of an HTML table, compiled once."""
    from jinja2 import Environment, StrictUndefined  # imported here, since `confidnet show` needs no HTML

    jinja_environment = Environment(autoescape=True, undefined=StrictUndefined)
    jinja_environment.filters["breakable"] = _with_line_break_points
    jinja_environment.globals.update(classes=_css_classes_of_cell, sort_key=_sort_value_of_cell, meanings=VERDICT_TOOLTIPS, zip=zip)
    return jinja_environment.from_string(_HTML_TABLE_TEMPLATE)
