"""The lines of CSV files, where DuckDB does not say what is wrong with them: headings, and lines that are too short or too long."""

import csv
import gzip
from collections.abc import Sequence
from typing import Any, TextIO


def require_even_lines(files: Sequence[str]) -> None:
    """Raise ValueError that names the first line of a CSV file with another number of values than its heading, or an empty file."""
    for file in files:
        heading = csv_heading(file)
        expected_count = len(heading)
        if not heading:
            raise ValueError(f"{file} is empty; expected a heading and a row for each prediction")
        with _open_csv(file) as lines:
            for line_number, values in enumerate(csv.reader(lines, delimiter=_delimiter(file)), start=1):
                if values and len(values) != expected_count:
                    raise ValueError(f"{file} line {line_number:,} has {len(values)} values and the heading {expected_count}; mend it")


def _open_csv(file: str) -> TextIO:
    open_file: Any = gzip.open if file.lower().endswith(".gz") else open
    return open_file(file, "rt", encoding="utf-8-sig", errors="replace", newline="")


def _delimiter(file: str) -> str:
    with _open_csv(file) as lines:
        return max(",;\t|", key=lines.readline().count)


def csv_heading(file: str) -> list[str]:
    """Return the values of the first line of a CSV file, without blanks around them."""
    delimiter = _delimiter(file)
    with _open_csv(file) as lines:
        return [name.strip() for name in next(csv.reader(lines, delimiter=delimiter), [])]
