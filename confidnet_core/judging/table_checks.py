"""Checks of the columns of a table of predictions; each error names the column and the first row that is wrong."""

from collections.abc import Sequence
from contextlib import suppress
from unicodedata import normalize

import numpy as np
from jaxtyping import Bool, Float, Int

from confidnet_core.config.registry import suggestion
from confidnet_core.judging.table_files import PredictionTable

MAX_SUM_DEVIATION = 0.01  # of the probabilities of a row from 1: those of a CSV file are rounded
PERCENT_SUM = 100


def numeric_column(table: PredictionTable, name: str, column: np.ndarray) -> np.ndarray:
    """Return a column of finite numbers (n,) as it is. Raises ValueError for text, bools, missing values, NaN and infinity."""
    if column.ndim != 1:
        raise ValueError(f"{table.source}: {name} has the shape {column.shape}; expected one number for each prediction")
    if column.dtype == object:  # DuckDB reads a column of CSV as text if a number in it is written as inf
        with suppress(TypeError, ValueError):
            column = column.astype(np.float64)
    if column.dtype.kind not in "fiu":
        raise ValueError(f"{table.source}: the column {name} holds {_kind_in_words(column)}{_first_text(table, column)}; expected numbers")
    is_finite = np.isfinite(column)
    if not is_finite.all():
        first = int(np.argmin(is_finite))
        value = "empty or NaN" if np.isnan(column[first]) else str(column[first])
        where = f"{table.row_in_words(first)}{_and_others(~is_finite)}"
        raise ValueError(f"{table.source}: the column {name} is {value} in {where}; expected a finite number in each row")
    return column


def bool_column(table: PredictionTable, name: str, column: np.ndarray) -> Bool[np.ndarray, " n"]:
    """Return a column of bools, or of the numbers 0 and 1, as bools. Raises ValueError for anything else."""
    if column.dtype == bool:
        return column
    if column.dtype.kind in "iuf" and np.isin(column, (0, 1)).all():
        return column.astype(bool)
    is_wrong = ~np.isin(column, (0, 1)) if column.dtype.kind in "iuf" else np.array([not isinstance(value, bool) for value in column])
    first = int(np.argmax(is_wrong))
    raise ValueError(f"{table.source}: the column {name} is {_shown(column[first])} in {table.row_in_words(first)}; expected true or false")


def class_column(table: PredictionTable, name: str, column: np.ndarray) -> np.ndarray:
    """Return a column of class names or numbers: text as objects, whole numbers as int64. Raises ValueError for others, and for none.

    Text is in Unicode's composed form (NFC), so that all spellings of a letter are equal.
    """
    if column.ndim != 1:
        raise ValueError(f"{table.source}: {name} has the shape {column.shape}; expected one class for each prediction")
    if column.dtype == object:
        is_missing = np.array([value is None for value in column])
        column = np.where(is_missing, "", column) if is_missing.any() else column
    else:
        is_missing = np.isnan(column) if column.dtype.kind == "f" else np.zeros(len(column), bool)
    if is_missing.any():
        first = int(np.argmax(is_missing))
        raise ValueError(f"{table.source}: the column {name} is empty in {table.row_in_words(first)}; expected a class in each row")
    if column.dtype.kind == "f":
        is_fraction = column != np.round(column)
        if is_fraction.any():
            first = int(np.argmax(is_fraction))
            raise ValueError(f"{table.source}: the column {name} is {column[first]} in {table.row_in_words(first)}; expected a class")
        return column.astype(np.int64)
    if column.dtype != object:
        return column.astype(np.int64)
    values, positions = np.unique(column.astype(str), return_inverse=True)
    return np.array([normalize("NFC", value) for value in values.tolist()], object)[positions]


def class_indices(table: PredictionTable, name: str, column: np.ndarray, class_names: Sequence[str]) -> Int[np.ndarray, " n"]:
    """Return the index of each row's class, int (n,), among class_names, by name; by position where rows have numbers and classes names.

    column: from `class_column`. Raises ValueError that names the first row whose class is none of them.
    """
    is_number = column.dtype != object
    by_position = is_number and not all(_is_whole_number(class_name) for class_name in class_names)
    if by_position:
        indices = column.copy()
        is_unknown = (column < 0) | (column >= len(class_names))
    else:
        values, positions = np.unique(column.astype(str), return_inverse=True)
        index_by_name = {normalize("NFC", class_name): index for index, class_name in enumerate(class_names)}
        index_of_value = np.array([index_by_name.get(value, -1) for value in values.tolist()], np.int64)
        indices = index_of_value[positions]
        is_unknown = indices < 0
    if is_unknown.any():
        first = int(np.argmax(is_unknown))
        known = f"0 to {len(class_names) - 1}" if by_position else ", ".join([*class_names[:5], *(["..."] if len(class_names) > 5 else [])])
        hint = "" if is_number else suggestion(str(column[first]), class_names) if len(class_names) <= 20 else ""
        hint = hint if hint.startswith("; did") else ""
        raise ValueError(
            f"{table.source}: the column {name} is {_shown(column[first])} in {table.row_in_words(first)}, which is none of the "
            f"{len(class_names)} classes, {known}{hint}"
        )
    return indices


def require_equal_kinds(table: PredictionTable, label_name: str, labels: np.ndarray, predicted_name: str, predicted: np.ndarray) -> None:
    """Raise ValueError where the labels are text and the predictions are numbers, or the reverse, so that all would be errors."""
    if (labels.dtype == object) != (predicted.dtype == object):
        raise ValueError(
            f"{table.source}: the column {label_name} holds {_kind_in_words(labels)} ({_shown(labels[0])} in {table.row_in_words(0)}) and "
            f"{predicted_name} {_kind_in_words(predicted)} ({_shown(predicted[0])}); give both as names, or both as numbers"
        )


def probability_matrix(table: PredictionTable, names: Sequence[str], matrix: np.ndarray) -> Float[np.ndarray, "n classes"]:
    """Return probabilities (n, classes) if they are some. Raises ValueError that names column and row for what is not."""
    is_outside = (matrix < 0) | (matrix > 1)
    if is_outside.any():
        sums = matrix.sum(axis=1)
        if (np.abs(sums - PERCENT_SUM) <= PERCENT_SUM * MAX_SUM_DEVIATION).all() and (matrix >= 0).all():
            raise ValueError(f"{table.source}: the probabilities of each row sum to 100; divide them by 100")
        row, column = divmod(int(np.argmax(is_outside)), matrix.shape[1])
        raise ValueError(
            f"{table.source}: the column {names[column]} is {matrix[row, column]:g} in {table.row_in_words(row)}; probabilities are "
            "between 0 and 1: if these are logits, use --logits"
        )
    sums = matrix.sum(axis=1, dtype=np.float64)
    is_off = np.abs(sums - 1) > MAX_SUM_DEVIATION
    if is_off.any():
        first = int(np.argmax(is_off))
        raise ValueError(
            f"{table.source}: the probabilities in {table.row_in_words(first)} sum to {sums[first]:.4g}{_and_others(is_off)}; expected 1: "
            "does the pattern name the columns of all classes, and no others?"
        )
    return matrix


def logit_matrix(table: PredictionTable, matrix: np.ndarray) -> Float[np.ndarray, "n classes"]:
    """Return logits (n, classes). Raises ValueError where they are probabilities: none below 0, and each row sums to 1."""
    if (matrix >= 0).all() and (np.abs(matrix.sum(axis=1, dtype=np.float64) - 1) <= MAX_SUM_DEVIATION).all():
        raise ValueError(f"{table.source}: the logits are between 0 and 1 and sum to 1 in each row: use --probabilities for probabilities")
    return matrix


def require_largest(
    table: PredictionTable, matrix: Float[np.ndarray, "n classes"], predicted: Int[np.ndarray, " n"], class_names: Sequence[str]
) -> None:
    """Raise ValueError that names the first row whose predicted class has not the largest probability or logit."""
    is_off = matrix[np.arange(len(matrix)), predicted] < matrix.max(axis=1)
    if is_off.any():
        first = int(np.argmax(is_off))
        raise ValueError(
            f"{table.source}: {table.row_in_words(first)} predicts {class_names[predicted[first]]}, but the largest value is that of "
            f"{class_names[int(matrix[first].argmax())]}; check the order of the classes, or leave out --predicted"
        )


def _is_whole_number(text: str) -> bool:
    return text.removeprefix("-").isdecimal()


def _and_others(is_wrong: Bool[np.ndarray, " n"]) -> str:
    """Return how many further rows are wrong, as in ", and in 3 more rows"; empty for none."""
    further_count = int(np.count_nonzero(is_wrong)) - 1
    return "" if not further_count else f", and in {further_count:,} more row{'s' * (further_count > 1)}"


def _first_text(table: PredictionTable, column: np.ndarray) -> str:
    """Return the first text of a column that is no number, and its row, as in ", as 'high' in row 5"; empty if there is none."""
    for row_index, value in enumerate(column if column.dtype == object else []):
        try:
            float(value)
        except (TypeError, ValueError):
            return f", as {_shown(value)} in {table.row_in_words(row_index)}"
    return ""


def _kind_in_words(column: np.ndarray) -> str:
    return "text" if column.dtype == object else "true and false" if column.dtype == bool else "numbers"


def _shown(value: object) -> str:
    return repr(value) if isinstance(value, str) else str(value)
