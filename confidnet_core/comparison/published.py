"""Published numbers beside ours, for every benchmark that bears the name of a published one.

Corbière et al. 2019, arXiv:1910.04851: Table 1 and the ablations, which have a `variant`. published.csv holds them as printed. The
error counts were not printed: "derived" ones explain the printed rates and, of several that do, agree with an accuracy known elsewhere
or, for MC-dropout, are nearest to the classifier's own; "unverified" ones fit as others would. " | " parts the notes of a row.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from confidnet_core.comparison.frames import COLUMNS, mean_over_seeds, metric_cell
from confidnet_core.comparison.lines import groups_of, records_of
from confidnet_core.comparison.names import display_name
from confidnet_core.comparison.tables import UNDEFINED, Cell, Column, Row, Table, format_count
from confidnet_core.config.registry import names, suggestion

FILE = Path(__file__).with_suffix(".csv")
TEXTS = ("benchmark", "method", "variant", "counts", "source", "note")
RATES = ("accuracy", *(column.key for column in COLUMNS if column.scale == 100))
SIZES = ("errors", "samples")
COUNTS = ("", "derived", "unverified")
SHOWN = (*(column for column in COLUMNS if column.key in RATES), Column("accuracy", "accuracy", True, 100))
HEAD = (Column("of", "", words=True), *SHOWN, Column("errors", "errors"))


def load_published(path: Path = FILE) -> pd.DataFrame:
    """One row a benchmark, method and variant ("" outside the ablations); rates in percent, NaN where nothing is known.

    ValueError with file and line for an unknown column, method or kind of count, a number that cannot be, and a row given twice.
    """
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    for problem in _problems(frame):
        raise ValueError(f"{path}: {problem}")
    texts = frame[[*RATES, *SIZES]]
    numbers = texts.where(texts != "", "nan").astype(float)
    return frame.assign(**{str(name): column for name, column in numbers.items()})


def beside_published(frame: pd.DataFrame, published: pd.DataFrame, intervals: pd.DataFrame | None = None) -> dict[str, list[Table]]:
    """BENCHMARK -> our means over seeds, the published numbers and the differences, for benchmarks that have both.

    frame: a `comparison_frame`; published: of load_published; intervals: of our means. Unverified counts are left out, ablations too.
    """
    tables = {}
    for benchmark, theirs in groups_of(published[published["variant"] == ""], "benchmark"):
        means = mean_over_seeds(frame[frame["benchmark"] == benchmark], intervals)
        means = means[means["method"].isin(theirs["method"])]
        if len(means):
            tables[benchmark] = [_table(means, theirs.set_index("method").loc[means["method"]].reset_index())]
    return tables


def _table(means: pd.DataFrame, theirs: pd.DataFrame) -> Table:
    """means and theirs: rows of the same methods. Three rows a method: ours, published, difference."""
    verified = theirs["counts"] != "unverified"
    theirs = theirs.assign(**{name: theirs[name].where(verified) for name in ("accuracy", *SIZES)})
    lines = [
        "Published: Corbière et al. 2019, one run without deviation, on the errors of its own classifier.",
        "Difference: ours minus published, in percentage points.",
    ]
    if (theirs["errors"].notna() & (theirs["counts"] == "derived")).any():
        lines.append("Derived: error count and accuracy were not printed; they explain the printed rates.")
    notes = dict.fromkeys(note for cell in theirs["note"] for note in cell.split(" | ") if note)
    rows, printed = [], theirs.to_dict("records")
    for row, their, ours_on, theirs_on in zip(means.to_dict("records"), printed, _errors(means), _errors(theirs), strict=True):
        rows += _rows(row, their, ours_on, theirs_on)
    return Table("Beside the published numbers", HEAD, tuple(rows), legend=(*lines, *notes), sortable=False)


def _rows(row: Mapping, their: Mapping, ours_on: str, theirs_on: str) -> Iterator[Row]:
    method, derived = row["method"], f" ({their['counts']})" if theirs_on != UNDEFINED else ""
    ours = [metric_cell(row, column.key) for column in SHOWN]
    printed = [Cell(their[column.key] / column.scale) for column in SHOWN]
    differences = [Cell(row[column.key] - their[column.key] / column.scale, signed=True) for column in SHOWN]
    yield Row(method, display_name(method), (Cell(text="ours"), *ours, Cell(text=ours_on)))
    yield Row(method, "", (Cell(text="published"), *printed, Cell(text=theirs_on + derived)))
    yield Row(method, "", (Cell(text="difference"), *differences, Cell()))


def _errors(frame: pd.DataFrame) -> list[str]:
    counts = zip(frame["errors"], frame["samples"], strict=True)
    return [UNDEFINED if np.isnan(errors) else f"{format_count(errors)} among {format_count(samples)}" for errors, samples in counts]


def _problems(frame: pd.DataFrame) -> Iterator[str]:
    known = (*TEXTS, *RATES, *SIZES)
    for name in frame.columns:
        if name not in known:
            yield f"the column {name} is neither a metric nor a fact{suggestion(name, known)}"
    for name in known:
        if name not in frame.columns:
            yield f"the column {name} is missing"
    scores = names("scores")
    for line, row in enumerate(records_of(frame), start=2):
        yield from (f"line {line}: {problem}" for problem in _row_problems(row, scores))
    for line in np.flatnonzero(frame.duplicated(["benchmark", "method", "variant"])) + 2:
        yield f"line {line}: its benchmark, method and variant stand in a line above, too"


def _row_problems(row: Mapping[str, str], scores: Iterable[str]) -> Iterator[str]:
    if row["method"] not in scores:
        yield f"method is {row['method']}, which is no file of confidnet_core/scores{suggestion(row['method'], scores)}"
    for name in ("benchmark", "source"):
        if not row[name]:
            yield f"{name} is empty"
    for name in RATES:
        if row[name] and not (re.fullmatch(r"\d+\.\d\d", row[name]) and float(row[name]) <= 100):
            yield f"{name} is {row[name]}; expected 0.00 to 100.00 in percent, with two decimals as printed"
    for name in SIZES:
        if row[name] and not re.fullmatch(r"[1-9]\d*", row[name]):
            yield f"{name} is {row[name]}; expected a whole number above 0"
    if row["counts"] not in COUNTS:
        yield f"counts is {row['counts']}; expected derived, unverified or nothing"
    given = {bool(row[name]) for name in ("counts", "accuracy", *SIZES)}
    if len(given) > 1:
        yield "accuracy, errors, samples and counts come together: give all of them or none"
    if given == {True} and row["accuracy"] != f"{100 - 100 * int(row['errors']) / int(row['samples']):.2f}":
        yield f"accuracy is {row['accuracy']}, but {row['errors']} errors among {row['samples']} give another"
