"""Reads the answers that a model gave to new images, in periods, and the labels that have arrived for some of them.

A file is CSV or Parquet, by its ending. An answers file has the columns file, confidence, and label or class_index, as `confidnet predict`
writes them; a labels file has file, and label or class_index.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64
from pandas.errors import EmptyDataError, ParserError

from confidnet_core.display import display_text
from confidnet_core.monitoring.reference import Reference

FILE_COLUMN, CONFIDENCE_COLUMN, ACCEPTED_COLUMN = "file", "confidence", "accepted"
LABEL_COLUMN, CLASS_COLUMN = "label", "class_index"
MAX_COLUMN_NAME = 60  # characters, of the names that a message lists
MAX_PERIODS = 2000  # each may be the start of a change, so that the time grows with the square of their number
_FALSE_AND_TRUE = {"false": False, "true": True, "0": False, "1": True}


@dataclass(frozen=True)
class Answers:
    """A model's answers to n new images, in the order of time.

    period_names: of the D periods, in order; period: (n,), the index of the period of each answer
    file: the names of the images; confidence, class_index: (n,), of the predictions
    """

    period_names: list[str]
    period: Int64[np.ndarray, " n"]
    file: np.ndarray
    confidence: Float64[np.ndarray, " n"]
    class_index: Int64[np.ndarray, " n"]


@dataclass(frozen=True)
class Labels:
    """The true classes of k answers, in the order in which they arrived. answer: (k,), the index of the answer; class_index: (k,)"""

    answer: Int64[np.ndarray, " k"]
    class_index: Int64[np.ndarray, " k"]


def find_files(patterns: Sequence[str], argument_name: str) -> list[Path]:
    """Return the files that the patterns name, those of each pattern sorted by name. ValueError for a pattern without a file."""
    paths: list[Path] = []
    for pattern in patterns:
        found = [Path(pattern)] if Path(pattern).is_file() else sorted(path for name in glob(pattern) if (path := Path(name)).is_file())
        if not found:
            raise ValueError(f"{argument_name} {pattern} names no file; expected a CSV or Parquet file, or a pattern such as 'day-*.csv'")
        paths.extend(found)
    repeated = next((path for at, path in enumerate(paths) if path in paths[:at]), None)
    if repeated:
        raise ValueError(f"{argument_name} {repeated} is given twice; give each file once, in the order of time")
    return paths


def read_answers(paths: Sequence[Path], reference: Reference, period_column: str | None, threshold: dict) -> Answers:
    """Read answers files in the order of time: each is one period or, with a period column, each of its values is one, in sorted order.

    threshold: the one whose decisions a column `accepted` must hold, if there is one
    Raises ValueError that names file, column and row for what is missing or wrong.
    """
    frames = []
    for path in paths:
        frame = _read_table(path)
        _require_columns(path, frame, [FILE_COLUMN, CONFIDENCE_COLUMN, *([period_column] if period_column else [])])
        confidence = _numbers(path, frame, CONFIDENCE_COLUMN)
        if ACCEPTED_COLUMN in frame:
            _check_decisions(path, frame, confidence, threshold)
        columns = {
            "file": _composed(frame[FILE_COLUMN]),
            "confidence": confidence,
            "class_index": _class_indices(path, frame, reference.classes),
            "period": path.name if period_column is None else _period_values(path, frame, period_column),
        }
        frames.append(pd.DataFrame(columns))
    table = pd.concat(frames, ignore_index=True)
    if period_column is None:
        names, period = [path.name for path in paths], np.repeat(np.arange(len(paths)), [len(frame) for frame in frames])
    else:
        table = table.sort_values("period", kind="stable")
        period, unique_names = pd.factorize(table["period"])
        names = [str(name) for name in unique_names]
    if len(names) > MAX_PERIODS:
        raise ValueError(
            f"there are {len(names):,} periods, from {names[0]} to {names[-1]}; expected at most {MAX_PERIODS:,}, such as days"
        )
    if len(table) == 0:
        raise ValueError(f"{paths[0]} holds no answers; expected a row for each image")
    return Answers(
        names,
        period.astype(np.int64),
        table["file"].to_numpy(object),
        table["confidence"].to_numpy(np.float64),
        table["class_index"].to_numpy(np.int64),
    )


def read_labels(paths: Sequence[Path], answers: Answers, reference: Reference) -> Labels:
    """Read labels files, whose rows are in the order of arrival, and find the answer of each.

    Raises ValueError that names file, row and value for a file without an answer, one that was labelled or answered twice, and a label
    that is no class of the model.
    """
    frames = []
    for path in paths:
        frame = _read_table(path)
        _require_columns(path, frame, [FILE_COLUMN])
        columns = {"file": _composed(frame[FILE_COLUMN]), "class_index": _class_indices(path, frame, reference.classes), "path": str(path)}
        frames.append(pd.DataFrame(columns).assign(row=np.arange(2, len(frame) + 2)))
    table = pd.concat(frames, ignore_index=True)
    answered = pd.Index(answers.file)
    place = answered.get_indexer_for(pd.Index(table["file"])) if answered.is_unique else _places_among_repeated(answered, table)
    for wrong, problem in (
        (place < 0, "has no answer; give the labels of answered images only, under the names that the answers have"),
        (table["file"].duplicated().to_numpy(), "was labelled before; give one label for each image"),
    ):
        if wrong.any():
            row = table.iloc[int(np.argmax(wrong))]
            more = f" ({np.count_nonzero(wrong):,} such rows)" if np.count_nonzero(wrong) > 1 else ""
            raise ValueError(f"{row['path']} row {row['row']}: {row['file']} {problem}{more}")
    return Labels(place.astype(np.int64), table["class_index"].to_numpy(np.int64))


def _places_among_repeated(answered: pd.Index, table: pd.DataFrame) -> np.ndarray:
    """Return the index of the answer of each label, -1 for none. Raises ValueError for a labelled image that was answered twice."""
    is_repeated = table["file"].isin(answered[answered.duplicated()])
    if is_repeated.any():
        row = table[is_repeated].iloc[0]
        raise ValueError(
            f"{row['path']} row {row['row']}: {row['file']} is the name of several answers, so that its label fits none of them; "
            "give every image a name of its own"
        )
    first = answered[~answered.duplicated()]
    positions = np.flatnonzero(~answered.duplicated())
    found = first.get_indexer_for(pd.Index(table["file"]))
    return np.where(found < 0, -1, positions[found])


def _read_table(path: Path) -> pd.DataFrame:
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        text_columns = {FILE_COLUMN: str, LABEL_COLUMN: str, ACCEPTED_COLUMN: str}
        return pd.read_csv(path, dtype=text_columns, keep_default_na=False, na_values={CONFIDENCE_COLUMN: ["", "nan", "NaN"]})
    except (EmptyDataError, ParserError, UnicodeDecodeError, OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({str(error).splitlines()[0]}); expected CSV with a header row, or .parquet") from None


def _composed(column: pd.Series) -> pd.Series:
    """Return a column as text in Unicode's composed form (NFC), so that all spellings of a letter are equal."""
    return column.astype(str).str.normalize("NFC")


def _require_columns(path: Path, frame: pd.DataFrame, names: Sequence[str]) -> None:
    for name in names:
        if name not in frame:
            raise ValueError(f"{path} has no column {name}; it has {_column_names(frame)}")


def _column_names(frame: pd.DataFrame) -> str:
    return ", ".join(display_text(name, MAX_COLUMN_NAME) for name in frame.columns) or "none"


def _row(path: Path, is_wrong: np.ndarray) -> str:
    """Return the place of the first wrong row, counted as in an editor, where the header of a CSV file is row 1."""
    return f"{path} row {int(np.argmax(is_wrong)) + 2}"


def _numbers(path: Path, frame: pd.DataFrame, name: str) -> np.ndarray:
    numbers = pd.to_numeric(frame[name], errors="coerce").to_numpy(np.float64)
    is_wrong = ~np.isfinite(numbers)
    if is_wrong.any():
        value = frame[name].iloc[int(np.argmax(is_wrong))]
        raise ValueError(f"{_row(path, is_wrong)}: {name} is {value}; expected a finite number")
    return numbers


def _class_indices(path: Path, frame: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Return the class of each row, by its label where there is one, else by class_index."""
    if LABEL_COLUMN in frame:
        indices = pd.Index([normalize("NFC", name) for name in classes]).get_indexer_for(pd.Index(_composed(frame[LABEL_COLUMN])))
        name, expected = LABEL_COLUMN, "one of the model's classes"
    else:
        if CLASS_COLUMN not in frame:
            raise ValueError(f"{path} has no column {LABEL_COLUMN} or {CLASS_COLUMN}; it has {_column_names(frame)}")
        numbers = _numbers(path, frame, CLASS_COLUMN)
        is_index = (numbers == np.floor(numbers)) & (numbers >= 0) & (numbers < len(classes))
        indices = np.where(is_index, numbers, -1).astype(np.int64)
        name, expected = CLASS_COLUMN, f"a whole number from 0 to {len(classes) - 1}"
    if (indices < 0).any():
        value, shown = frame[name].iloc[int(np.argmax(indices < 0))], ", ".join(classes[:10]) + (", ..." if len(classes) > 10 else "")
        raise ValueError(f"{_row(path, indices < 0)}: {name} is {value}; expected {expected} ({shown})")
    return indices


def _period_values(path: Path, frame: pd.DataFrame, period_column: str) -> np.ndarray:
    is_empty = (frame[period_column].isna() | (frame[period_column].astype(str) == "")).to_numpy()
    if is_empty.any():
        raise ValueError(f"{_row(path, is_empty)}: {period_column} is empty; expected a period, such as the date 2026-03-02")
    return frame[period_column].astype(str).to_numpy(object)


def _check_decisions(path: Path, frame: pd.DataFrame, confidence: np.ndarray, threshold: dict) -> None:
    """Raise ValueError if the column `accepted` has other decisions than this threshold: another model or risk gave the answers."""
    decisions = frame[ACCEPTED_COLUMN].astype(str).str.lower().map(_FALSE_AND_TRUE)
    if decisions.isna().any():
        is_wrong = decisions.isna().to_numpy()
        value = frame[ACCEPTED_COLUMN].iloc[int(np.argmax(is_wrong))]
        raise ValueError(f"{_row(path, is_wrong)}: {ACCEPTED_COLUMN} is {value}; expected true or false")
    limit = np.inf if threshold["threshold"] is None else threshold["threshold"]
    is_at_limit = np.isclose(confidence, limit, rtol=1e-6, atol=0)  # a rounded confidence
    is_wrong = (decisions.to_numpy(bool) != (confidence >= limit)) & ~is_at_limit
    if is_wrong.any():
        decision = "accepted" if confidence[int(np.argmax(is_wrong))] < limit else "rejected"
        raise ValueError(
            f"{_row(path, is_wrong)} was {decision} with a confidence of {confidence[int(np.argmax(is_wrong))]:.6g}, but this model's "
            f"threshold for a target risk of {threshold['risk']:g} is {limit:.6g}: give --risk as the answers were given, or their model"
        )
