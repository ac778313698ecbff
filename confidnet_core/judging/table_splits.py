"""The splits of a table that is counted and not fetched, and random samples of them, for what needs rows."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from confidnet_core.config.registry import suggestion
from confidnet_core.judging.scored_predictions import ScoredPredictions
from confidnet_core.judging.split_names import CALIBRATION, IGNORED, SPLIT_NAMES, TEST, VALIDATION, splits_of_values
from confidnet_core.tables.columns import Columns, Table, check_totals

MAX_SAMPLED_ROWS = 1_000_000  # of a split; 10,000 resamples of their calibration metrics take seconds
_FIRST_UNIT = {split: index << 48 for index, split in enumerate(SPLIT_NAMES)}  # so that units of two splits have different numbers


def tables_by_split(table: Table, split_column: str | None, unit: str | None) -> tuple[dict[str, Table], list[str]]:
    """Return {split: the table of its rows}, test first, and sentences about rows that are not used.

    split_column: says test, val or calibration; None if all rows are test rows. unit: the column of what errs together, or None
    Raises ValueError for values that name no split, without test rows, and for a unit in two splits.
    """
    if split_column is None:
        return {TEST: table}, []
    if split_column not in table.kinds:
        raise ValueError(f"{table.name} has no column {split_column}{suggestion(split_column, table.kinds)}")
    rows_by_value = table.value_counts(split_column)
    if empty_count := rows_by_value.pop(None, 0):
        raise ValueError(f"{table.name}: the column {split_column} is empty in {empty_count:,} rows; expected test, val or calibration")
    values = [value for value in rows_by_value if value is not None]
    values_by_split: dict[str, list[str]] = {}
    for value, split in zip(values, splits_of_values(values), strict=True):
        if split is None:
            hint = suggestion(value, (TEST, VALIDATION, CALIBRATION, IGNORED))
            raise ValueError(f"{table.name}: the column {split_column} is {value!r} in {rows_by_value[value]:,} rows{hint}")
        values_by_split.setdefault(split, []).append(value)
    if TEST not in values_by_split:
        raise ValueError(
            f"{table.name}: the column {split_column} has no row test, which all metrics are of; it has {', '.join(values) or 'no rows'}"
        )
    ignored = values_by_split.pop(IGNORED, [])
    if unit is not None:
        _require_units_of_one_split(table, split_column, unit, values_by_split)
    tables = {
        split: table.restricted(split_column, values_by_split[split], f"{table.name} ({split})")
        for split in SPLIT_NAMES
        if split in values_by_split
    }
    ignored_count = sum(rows_by_value[value] for value in ignored)
    return tables, [f"{ignored_count:,} rows whose split is train are not used."] if ignored else []


def _require_units_of_one_split(table: Table, split_column: str, unit: str, values_by_split: Mapping[str, Sequence[str]]) -> None:
    for first, second in combinations(values_by_split, 2):
        shared = table.unit_in_both(unit, split_column, values_by_split[first], values_by_split[second])
        if shared is not None:
            raise ValueError(
                f"the unit {shared!r} is in the split {first} and in {second}; predictions that err together must be in one split, or "
                "results are too good"
            )


def sampled_split(table: Table, columns: Columns, split: str, seed: int) -> tuple[ScoredPredictions, int]:
    """Return the predictions of a split, and the number of its rows; of more than MAX_SAMPLED_ROWS about as many, drawn at random.

    With units, whole units are drawn. Raises ValueError that names the column and the first row for missing and infinite values.
    """
    totals = table.totals(columns)
    check_totals(table, columns, totals)
    if totals.rows > MAX_SAMPLED_ROWS:
        confidences, correct, units = table.sampled_rows(columns, MAX_SAMPLED_ROWS / totals.rows, seed)
        return ScoredPredictions(correct, confidences, units), totals.rows
    confidences, correct, rows_per_unit = table.rows(columns)
    units = None if rows_per_unit is None else _FIRST_UNIT[split] + np.repeat(np.arange(len(rows_per_unit)), rows_per_unit)
    return ScoredPredictions(correct, confidences, units), totals.rows


def samples_in_words(samples: Mapping[str, tuple[ScoredPredictions, int]]) -> list[str]:
    """Return a sentence about the splits of which not all rows were drawn. samples: {split: what `sampled_split` returned}"""
    parts = [
        f"{len(np.asarray(predictions.correct)):,} of {row_count:,} {split} rows"
        for split, (predictions, row_count) in samples.items()
        if len(np.asarray(predictions.correct)) < row_count
    ]
    return [f"Calibration and thresholds, and their results on the test rows, are of random samples: {', '.join(parts)}."] if parts else []
