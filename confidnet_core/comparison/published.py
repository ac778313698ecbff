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
    """Read published results: one row per benchmark, method and variant ("" outside the ablations); rates in percent, NaN where unknown.

    ValueError with file and line for an unknown column, method or kind of count, an impossible number, and a duplicate row.
    """
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    for problem in _file_problems(frame):
        raise ValueError(f"{path}: {problem}")
    texts = frame[[*RATE_COLUMNS, *COUNT_COLUMNS]]
    numbers = texts.where(texts != "", "nan").astype(float)
    return frame.assign(**{str(name): column for name, column in numbers.items()})


def published_tables(frame: pd.DataFrame, published: pd.DataFrame, intervals: pd.DataFrame | None = None) -> dict[str, list[Table]]:
    """Return BENCHMARK -> a table of our means over seeds, the published numbers and their differences, for benchmarks that have both.

    frame: a `comparison_frame`; published: from `load_published`; intervals: of our means. Unverified counts and ablations are left out.
    """
    tables = {}
    for benchmark, published_rows in iterate_groups(published[published["variant"] == ""], "benchmark"):
        means = mean_over_seeds(frame[frame["benchmark"] == benchmark], intervals)
        means = means[means["method"].isin(published_rows["method"])]
        if len(means):
            tables[benchmark] = [_published_table(means, published_rows.set_index("method").loc[means["method"]].reset_index())]
    return tables


def _published_table(means: pd.DataFrame, published: pd.DataFrame) -> Table:
    """Return a table with three rows per method (ours, published, difference), from rows of the same methods in the same order."""
    verified = published["counts"] != "unverified"
    published = published.assign(**{name: published[name].where(verified) for name in ("accuracy", *COUNT_COLUMNS)})
    lines = [
        "Published: Corbière et al. 2019, one run without deviation, on the errors of its own classifier.",
        "Difference: ours minus published, in percentage points.",
    ]
    if (published["errors"].notna() & (published["counts"] == "derived")).any():
        lines.append("Derived: error count and accuracy were not printed; they explain the printed rates.")
    notes = dict.fromkeys(note for cell in published["note"] for note in cell.split(" | ") if note)
    rows, published_rows = [], published.to_dict("records")
    for row, published_row, our_errors, published_errors in zip(
        means.to_dict("records"), published_rows, _error_counts(means), _error_counts(published), strict=True
    ):
        rows += _method_rows(row, published_row, our_errors, published_errors)
    return Table("Beside the published numbers", TABLE_COLUMNS, tuple(rows), legend=(*lines, *notes), sortable=False)


def _method_rows(row: Mapping, published: Mapping, our_errors: str, published_errors: str) -> Iterator[Row]:
    method, origin = row["method"], f" ({published['counts']})" if published_errors != UNDEFINED else ""
    ours = [metric_cell(row, column.key) for column in PUBLISHED_COLUMNS]
    published_cells = [Cell(published[column.key] / column.scale) for column in PUBLISHED_COLUMNS]
    differences = [Cell(row[column.key] - published[column.key] / column.scale, signed=True) for column in PUBLISHED_COLUMNS]
    yield Row(method, display_name(method), (Cell(text="ours"), *ours, Cell(text=our_errors)))
    yield Row(method, "", (Cell(text="published"), *published_cells, Cell(text=published_errors + origin)))
    yield Row(method, "", (Cell(text="difference"), *differences, Cell()))


def _error_counts(frame: pd.DataFrame) -> list[str]:
    counts = zip(frame["errors"], frame["samples"], strict=True)
    return [UNDEFINED if np.isnan(errors) else f"{format_count(errors)} among {format_count(samples)}" for errors, samples in counts]


def _file_problems(frame: pd.DataFrame) -> Iterator[str]:
    known = (*TEXT_COLUMNS, *RATE_COLUMNS, *COUNT_COLUMNS)
    for name in frame.columns:
        if name not in known:
            yield f"the column {name} is neither a metric nor a fact{suggestion(name, known)}"
    for name in known:
        if name not in frame.columns:
            yield f"the column {name} is missing"
    scores = entry_names("scores")
    for line, row in enumerate(row_dictionaries(frame), start=2):
        yield from (f"line {line}: {problem}" for problem in _row_problems(row, scores))
    for line in np.flatnonzero(frame.duplicated(["benchmark", "method", "variant"])) + 2:
        yield f"line {line}: its benchmark, method and variant stand in a line above, too"


def _row_problems(row: Mapping[str, str], scores: Iterable[str]) -> Iterator[str]:
    if row["method"] not in scores:
        yield f"method is {row['method']}, which is no file of confidnet_core/scores{suggestion(row['method'], scores)}"
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
    given = {bool(row[name]) for name in ("counts", "accuracy", *COUNT_COLUMNS)}
    if len(given) > 1:
        yield "accuracy, errors, samples and counts come together: give all of them or none"
    if given == {True} and row["accuracy"] != f"{100 - 100 * int(row['errors']) / int(row['samples']):.2f}":
        yield f"accuracy is {row['accuracy']}, but {row['errors']} errors among {row['samples']} give another"
