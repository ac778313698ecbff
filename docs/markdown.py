"""Markdown tables whose numbers and marks stay on one line."""

import re

NO_BREAK = "\u00a0"  # a space at which no line ends
DASH = "\u2013"  # where there is no number


def markdown_table(rows: list[list[str]], left: int = 1) -> str:
    rule = ["---"] * left + ["---:"] * (len(rows[0]) - left)
    whole = re.compile(r" (?=[▲▼±\d])|(?<=,) (?=[\d+-])")
    cells = [[*row[:left], *(whole.sub(NO_BREAK, cell) for cell in row[left:])] for row in rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in (cells[0], rule, *cells[1:]))
