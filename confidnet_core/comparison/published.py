"""Comparison with published results, for every benchmark that bears the name of a published one.

published.csv holds the numbers of Corbière et al. 2019, arXiv:1910.04851, as printed: Table 1, and the ablations, which have a `variant`.
The paper does not print error counts. The column `counts` says how they were reconstructed: "derived" counts explain the printed rates and,
where several counts do, agree with an accuracy known elsewhere or, for MC dropout, are nearest to the classifier's own; "unverified" counts
fit no better than others. In the column `note`, " | " separates the notes of a row.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from confidnet_core.comparison.frames import METRIC_COLUMNS, mean_over_seeds, metric_cell
from confidnet_core.comparison.lines import iterate_groups, row_dictionaries
from confidnet_core.comparison.names import display_name
from confidnet_core.comparison.tables import UNDEFINED, Cell, Column, Row, Table, format_count
from confidnet_core.config.registry import entry_names, suggestion

PUBLISHED_CSV = Path(__file__).with_suffix(".csv")
TEXT_COLUMNS = ("benchmark", "method", "variant", "counts", "source", "note")
RATE_COLUMNS = ("accuracy", *(column.key for column in METRIC_COLUMNS if column.scale == 100))
COUNT_COLUMNS = ("errors", "samples")
COUNT_ORIGINS = ("", "derived", "unverified")
PUBLISHED_COLUMNS = (*(column for column in METRIC_COLUMNS if column.key in RATE_COLUMNS), Column("accuracy", "accuracy", True, 100))
TABLE_COLUMNS = (Column("of", "", is_text=True), *PUBLISHED_COLUMNS, Column("errors", "errors"))


def load_published(path: Path = PUBLISHED_CSV) -> pd.DataFrame:
    """Read the published results from a CSV file: return one row per benchmark, method and variant ("" outside the ablations).

    Rates are in percent, NaN if unknown. Raises ValueError with file and line for an unknown column, method or kind of count, an impossible
    number, and a duplicate line.
    """
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    for problem in _published_file_problems(frame):
        raise ValueError(f"{path}: {problem}")
    number_texts = frame[[*RATE_COLUMNS, *COUNT_COLUMNS]]
    numbers = number_texts.where(number_texts != "", "nan").astype(float)
    return frame.assign(**{str(name): column for name, column in numbers.items()})


def published_tables(frame: pd.DataFrame, published: pd.DataFrame, intervals: pd.DataFrame | None = None) -> dict[str, list[Table]]:
    """Return {benchmark: a list with a table of our results, the published ones and the differences}, for benchmarks that have both.

    frame: from `comparison_frame`, averaged over seeds here; published: from `load_published`; intervals: of our means
    Unverified counts and ablations are left out.
    """
    tables = {}
    for benchmark, published_rows in iterate_groups(published[published["variant"] == ""], "benchmark"):
        means = mean_over_seeds(frame[frame["benchmark"] == benchmark], intervals)
        means = means[means["method"].isin(published_rows["method"])]
        if len(means):
            tables[benchmark] = [_published_table(means, published_rows.set_index("method").loc[means["method"]].reset_index())]
    return tables


def _published_table(means: pd.DataFrame, published: pd.DataFrame) -> Table:
    """Return a table with three rows per method (ours, published, difference), from two frames of the same methods in the same order."""
    is_verified = published["counts"] != "unverified"
    published = published.assign(**{name: published[name].where(is_verified) for name in ("accuracy", *COUNT_COLUMNS)})
    legend_lines = [
        "Published: Corbière et al. 2019, one run without deviation, on the errors of its own classifier.",
        "Difference: ours minus published, in percentage points.",
    ]
    if (published["errors"].notna() & (published["counts"] == "derived")).any():
        legend_lines.append("Derived: error count and accuracy were not printed; they explain the printed rates.")
    footnotes = dict.fromkeys(note for cell in published["note"] for note in cell.split(" | ") if note)
    rows, published_rows = [], published.to_dict("records")
    for our_row, published_row, our_errors, published_errors in zip(
        means.to_dict("records"), published_rows, _error_counts_in_words(means), _error_counts_in_words(published), strict=True
    ):
        rows += _ours_published_difference_rows(our_row, published_row, our_errors, published_errors)
    return Table("Beside the published numbers", TABLE_COLUMNS, tuple(rows), legend=(*legend_lines, *footnotes), sortable=False)


def _ours_published_difference_rows(our_row: Mapping, published_row: Mapping, our_errors: str, published_errors: str) -> Iterator[Row]:
    method, count_origin = our_row["method"], f" ({published_row['counts']})" if published_errors != UNDEFINED else ""
    our_cells = [metric_cell(our_row, column.key) for column in PUBLISHED_COLUMNS]
    published_cells = [Cell(published_row[column.key] / column.scale) for column in PUBLISHED_COLUMNS]
    difference_cells = [Cell(our_row[column.key] - published_row[column.key] / column.scale, signed=True) for column in PUBLISHED_COLUMNS]
    yield Row(method, display_name(method), (Cell(text="ours"), *our_cells, Cell(text=our_errors)))
    yield Row(method, "", (Cell(text="published"), *published_cells, Cell(text=published_errors + count_origin)))
    yield Row(method, "", (Cell(text="difference"), *difference_cells, Cell()))


def _error_counts_in_words(count_rows: pd.DataFrame) -> list[str]:
    error_and_sample_counts = zip(count_rows["errors"], count_rows["samples"], strict=True)
    return [
        UNDEFINED if np.isnan(errors) else f"{format_count(errors)} among {format_count(samples)}"
        for errors, samples in error_and_sample_counts
    ]


def _published_file_problems(published_rows: pd.DataFrame) -> Iterator[str]:
    known_columns = (*TEXT_COLUMNS, *RATE_COLUMNS, *COUNT_COLUMNS)
    for name in published_rows.columns:
        if name not in known_columns:
            yield f"the column {name} is neither a metric nor a fact{suggestion(name, known_columns)}"
    for name in known_columns:
        if name not in published_rows.columns:
            yield f"the column {name} is missing"
    score_names = entry_names("scores")
    for line_number, row in enumerate(row_dictionaries(published_rows), start=2):
        yield from (f"line {line_number}: {problem}" for problem in _published_row_problems(row, score_names))
    for line_number in np.flatnonzero(published_rows.duplicated(["benchmark", "method", "variant"])) + 2:
        yield f"line {line_number}: its benchmark, method and variant stand in a line above, too"


def _published_row_problems(row: Mapping[str, str], score_names: Iterable[str]) -> Iterator[str]:
    if row["method"] not in score_names:
        yield f"method is {row['method']}, which is no file of confidnet_core/scores{suggestion(row['method'], score_names)}"
    for name in ("benchmark", "source"):
        if not row[name]:
            yield f"{name} is empty"
    for name in RATE_COLUMNS:
        if row[name] and not (re.fullmatch(r"\d+\.\d\d", row[name]) and float(row[name]) <= 100):
            yield f"{name} is {row[name]}; expected 0.00 to 100.00 in percent, with two decimals as printed"
    for name in COUNT_COLUMNS:
        if row[name] and not re.fullmatch(r"[1-9]\d*", row[name]):
            yield f"{name} is {row[name]}; expected a whole number above 0"
    if row["counts"] not in COUNT_ORIGINS:
        yield f"counts is {row['counts']}; expected derived, unverified or nothing"
    is_given = {bool(row[name]) for name in ("counts", "accuracy", *COUNT_COLUMNS)}
    if len(is_given) > 1:
        yield "accuracy, errors, samples and counts come together: give all of them or none"
    if is_given == {True} and row["accuracy"] != f"{100 - 100 * int(row['errors']) / int(row['samples']):.2f}":
        yield f"accuracy is {row['accuracy']}, but {row['errors']} errors among {row['samples']} give another"
