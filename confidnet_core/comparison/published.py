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
from confidnet_core.comparison.tables import UNDEFINED_SIGN, Cell, Column, Row, Table, format_count
from confidnet_core.config.registry import entry_names, suggestion

PUBLISHED_CSV_PATH = Path(__file__).with_suffix(".csv")
PUBLISHED_TEXT_COLUMNS = ("benchmark", "method", "variant", "counts", "source", "note")
PUBLISHED_RATE_COLUMNS = ("accuracy", *(column.key for column in METRIC_COLUMNS if column.scale == 100))
PUBLISHED_COUNT_COLUMNS = ("errors", "samples")
PUBLISHED_COUNT_ORIGINS = ("", "derived", "unverified")
PUBLISHED_METRIC_COLUMNS = (
    *(column for column in METRIC_COLUMNS if column.key in PUBLISHED_RATE_COLUMNS),
    Column("accuracy", "accuracy", True, 100),
)
PUBLISHED_TABLE_COLUMNS = (Column("of", "", is_text=True), *PUBLISHED_METRIC_COLUMNS, Column("errors", "errors"))


def load_published_results(csv_path: Path = PUBLISHED_CSV_PATH) -> pd.DataFrame:
    """Read the published results from a CSV file: return a data frame with one row per benchmark, method and variant ("" outside the
    ablations).

    Rates are in percent, NaN if unknown. Raises ValueError with file and line for an unknown column, method or kind of count, an impossible
    number, and a duplicate line.
    """
    text_rows = pd.read_csv(csv_path, dtype=str, keep_default_na=False)
    for problem in _published_file_problems(text_rows):
        raise ValueError(f"{csv_path}: {problem}")
    published_numbers_as_text = text_rows[[*PUBLISHED_RATE_COLUMNS, *PUBLISHED_COUNT_COLUMNS]]
    published_number_columns = published_numbers_as_text.where(published_numbers_as_text != "", "nan").astype(float)
    return text_rows.assign(**{str(name): number_column for name, number_column in published_number_columns.items()})


def published_tables(
    evaluation_rows: pd.DataFrame, published_results: pd.DataFrame, intervals_of_means: pd.DataFrame | None = None
) -> dict[str, list[Table]]:
    """Return {benchmark: a list with a table of our results, the published ones and the differences}, for benchmarks that have both.

    evaluation_rows: from `comparison_frame`, averaged over seeds here; published_results: from `load_published_results`
    intervals_of_means: of our means, from `evaluation.intervals`. Unverified counts and ablations are left out.
    """
    tables_by_benchmark = {}
    for benchmark, published_rows in iterate_groups(published_results[published_results["variant"] == ""], "benchmark"):
        our_means = mean_over_seeds(evaluation_rows[evaluation_rows["benchmark"] == benchmark], intervals_of_means)
        our_means = our_means[our_means["method"].isin(published_rows["method"])]
        if len(our_means):
            tables_by_benchmark[benchmark] = [
                _published_table(our_means, published_rows.set_index("method").loc[our_means["method"]].reset_index())
            ]
    return tables_by_benchmark


def _published_table(our_means: pd.DataFrame, published_results: pd.DataFrame) -> Table:
    """Return a table with three rows per method: our result, the published one, and the difference.

    our_means and published_results have one row per method, with the same methods in the same order.
    """
    has_verified_counts = published_results["counts"] != "unverified"
    published_results = published_results.assign(
        **{name: published_results[name].where(has_verified_counts) for name in ("accuracy", *PUBLISHED_COUNT_COLUMNS)}
    )
    legend_lines = [
        "Published: Corbière et al. 2019, one run without deviation, on the errors of its own classifier.",
        "Difference: ours minus published, in percentage points.",
    ]
    if (published_results["errors"].notna() & (published_results["counts"] == "derived")).any():
        legend_lines.append("Derived: error count and accuracy were not printed; they explain the printed rates.")
    footnotes = dict.fromkeys(note for note_cell in published_results["note"] for note in note_cell.split(" | ") if note)
    table_rows, published_row_dictionaries = [], published_results.to_dict("records")
    for our_row, published_row, our_error_count_text, published_error_count_text in zip(
        our_means.to_dict("records"),
        published_row_dictionaries,
        _error_counts_in_words(our_means),
        _error_counts_in_words(published_results),
        strict=True,
    ):
        table_rows += _ours_versus_published_rows(our_row, published_row, our_error_count_text, published_error_count_text)
    return Table(
        "Beside the published numbers", PUBLISHED_TABLE_COLUMNS, tuple(table_rows), legend=(*legend_lines, *footnotes), sortable=False
    )


def _ours_versus_published_rows(
    our_means: Mapping, published_row: Mapping, our_error_count_text: str, published_error_count_text: str
) -> Iterator[Row]:
    """Yield the three table rows of one method: our result, the published one, and the difference."""
    method, count_origin_note = our_means["method"], f" ({published_row['counts']})" if published_error_count_text != UNDEFINED_SIGN else ""
    our_cells = [metric_cell(our_means, column.key) for column in PUBLISHED_METRIC_COLUMNS]
    published_cells = [Cell(published_row[column.key] / column.scale) for column in PUBLISHED_METRIC_COLUMNS]
    difference_cells = [
        Cell(our_means[column.key] - published_row[column.key] / column.scale, shows_plus_sign=True) for column in PUBLISHED_METRIC_COLUMNS
    ]
    yield Row(method, display_name(method), (Cell(text="ours"), *our_cells, Cell(text=our_error_count_text)))
    yield Row(method, "", (Cell(text="published"), *published_cells, Cell(text=published_error_count_text + count_origin_note)))
    yield Row(method, "", (Cell(text="difference"), *difference_cells, Cell()))


def _error_counts_in_words(rows_with_counts: pd.DataFrame) -> list[str]:
    """Return for each row text such as "71 among 900", the errors among the samples; UNDEFINED_SIGN if they are unknown."""
    error_and_sample_counts = zip(rows_with_counts["errors"], rows_with_counts["samples"], strict=True)
    return [
        UNDEFINED_SIGN if np.isnan(errors) else f"{format_count(errors)} among {format_count(samples)}"
        for errors, samples in error_and_sample_counts
    ]


def _published_file_problems(published_rows: pd.DataFrame) -> Iterator[str]:
    """Yield a message for each problem in the CSV file of published results, whose cells are still texts."""
    known_columns = (*PUBLISHED_TEXT_COLUMNS, *PUBLISHED_RATE_COLUMNS, *PUBLISHED_COUNT_COLUMNS)
    for column_name in published_rows.columns:
        if column_name not in known_columns:
            yield f"the column {column_name} is neither a metric nor a fact{suggestion(column_name, known_columns)}"
    for column_name in known_columns:
        if column_name not in published_rows.columns:
            yield f"the column {column_name} is missing"
    known_methods = entry_names("scores")
    for line_number, published_row in enumerate(row_dictionaries(published_rows), start=2):
        yield from (f"line {line_number}: {problem}" for problem in _published_row_problems(published_row, known_methods))
    for line_number in np.flatnonzero(published_rows.duplicated(["benchmark", "method", "variant"])) + 2:
        yield f"line {line_number}: its benchmark, method and variant stand in a line above, too"


def _published_row_problems(published_row: Mapping[str, str], known_methods: Iterable[str]) -> Iterator[str]:
    """Yield a message for each problem in one line of the CSV file of published results, given as {column name: text}."""
    if published_row["method"] not in known_methods:
        spelling_hint = suggestion(published_row["method"], known_methods)
        yield f"method is {published_row['method']}, which is no file of confidnet_core/scores{spelling_hint}"
    for column_name in ("benchmark", "source"):
        if not published_row[column_name]:
            yield f"{column_name} is empty"
    for column_name in PUBLISHED_RATE_COLUMNS:
        if published_row[column_name] and not (
            re.fullmatch(r"\d+\.\d\d", published_row[column_name]) and float(published_row[column_name]) <= 100
        ):
            yield f"{column_name} is {published_row[column_name]}; expected 0.00 to 100.00 in percent, with two decimals as printed"
    for column_name in PUBLISHED_COUNT_COLUMNS:
        if published_row[column_name] and not re.fullmatch(r"[1-9]\d*", published_row[column_name]):
            yield f"{column_name} is {published_row[column_name]}; expected a whole number above 0"
    if published_row["counts"] not in PUBLISHED_COUNT_ORIGINS:
        yield f"counts is {published_row['counts']}; expected derived, unverified or nothing"
    count_presence_flags = {bool(published_row[column_name]) for column_name in ("counts", "accuracy", *PUBLISHED_COUNT_COLUMNS)}
    if len(count_presence_flags) > 1:
        yield "accuracy, errors, samples and counts come together: give all of them or none"
    if (
        count_presence_flags == {True}
        and published_row["accuracy"] != f"{100 - 100 * int(published_row['errors']) / int(published_row['samples']):.2f}"
    ):
        yield f"accuracy is {published_row['accuracy']}, but {published_row['errors']} errors among {published_row['samples']} give another"
