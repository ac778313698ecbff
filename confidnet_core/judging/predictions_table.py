"""From a table of predictions to the arguments of `judge`: columns chosen by options, split by split, with all free scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from confidnet_core.config.registry import suggestion
from confidnet_core.evaluation.result import RANK_SCALE
from confidnet_core.judging import table_checks as checks
from confidnet_core.judging.free_scores import ClassifierOutputs, free_confidences
from confidnet_core.judging.scored_predictions import ScoredPredictions
from confidnet_core.judging.split_names import ARGUMENT_BY_SPLIT, CALIBRATION, IGNORED, SPLIT_NAMES, TEST, VALIDATION, splits_of_values
from confidnet_core.judging.table_files import PredictionTable, require_columns


@dataclass(frozen=True)
class ColumnOptions:
    """Which columns of a table hold what. Patterns as 'p_*' match several columns, in the order of the table.

    label: true classes; predicted: predicted classes; correct: whether each prediction is correct, in the place of both
    probabilities, logits: a pattern, one column a class named by what the pattern's star matches, or one array with two axes
    confidences: names or patterns of confidences; scores: which free scores to add, None for all
    split: column that says test, val or calibration; unit: column of what errs together
    """

    label: str = "label"
    predicted: str | None = None
    correct: str | None = None
    probabilities: str | None = None
    logits: str | None = None
    confidences: tuple[str, ...] = ()
    split: str | None = None
    unit: str | None = None
    scores: tuple[str, ...] | None = None


@dataclass(frozen=True)
class _Outcomes:
    """correct: bool (n,); outputs: of the classifier for all rows, or None where only its classes or its correctness are known"""

    correct: Bool[np.ndarray, " n"]
    outputs: ClassifierOutputs | None = None


def judge_arguments(table: PredictionTable, options: ColumnOptions) -> dict[str, Any]:
    """Return the arguments of `judge` for a table, all but the settings of thresholds and resamples.

    Raises ValueError that names the option, the column and the first row for wrong input.
    """
    _require_some_outputs(options, table)
    confidence_names = _matching_columns(table, options.confidences, "--confidence")
    outcomes = _outcomes(table, options)
    fetched = table.columns(confidence_names)
    own = {name: checks.numeric_column(table, name, fetched[name]) for name in confidence_names}
    rows_by_split, left_out = _rows_by_split(table, options, len(outcomes.correct))
    units = None if options.unit is None else _unit_column(table, options.unit)

    confidences = {split: {name: column[rows] for name, column in own.items()} for split, rows in rows_by_split.items()}
    scales, oracles = dict.fromkeys(own, RANK_SCALE), ()
    if outcomes.outputs is not None:
        outputs_by_split = {split: _rows_of(outcomes.outputs, rows) for split, rows in rows_by_split.items()}
        free = free_confidences(outputs_by_split, options.scores)
        _require_different_names(own, free.by_split[TEST])
        for split, free_of_split in free.by_split.items():
            confidences[split] = {**free_of_split, **confidences[split]}
        scales, oracles, left_out = {**free.scales, **scales}, free.oracles, [*left_out, *(free.left_out if options.scores is None else [])]
    predictions = {
        split: ScoredPredictions(outcomes.correct[rows], confidences[split], None if units is None else units[rows])
        for split, rows in rows_by_split.items()
    }
    test = predictions[TEST]
    others = {ARGUMENT_BY_SPLIT[split]: given for split, given in predictions.items() if split != TEST}
    facts = {"predictions": table.source, "rows": ", ".join(f"{split} {len(rows):,}" for split, rows in rows_by_split.items())}
    named = {"scales": scales, "oracles": oracles, "left_out": left_out, "facts": facts, "units": test.units, "unit_name": options.unit}
    return {"correct": test.correct, "confidences": test.confidences, **others, **named}


def _require_some_outputs(options: ColumnOptions, table: PredictionTable) -> None:
    if options.probabilities and options.logits:
        raise ValueError("--probabilities and --logits exclude each other; the probabilities follow from the logits: leave them out")
    if options.scores is not None and not (options.probabilities or options.logits):
        raise ValueError("--scores chooses among the scores of --probabilities or --logits; give one of these")
    if not (options.probabilities or options.logits or options.confidences):
        raise ValueError(
            f"there is nothing to judge: name the columns of {table.source} with --probabilities, --logits or --confidence; it has "
            f"{', '.join(table.column_names[:12])}{', ...' * (len(table.column_names) > 12)}"
        )
    if options.correct and options.predicted:
        raise ValueError("--correct says what --label and --predicted would; leave out --predicted")
    if options.correct and (options.probabilities or options.logits):
        raise ValueError("--correct cannot stand beside --probabilities or --logits, whose scores need the true class: give --label")
    if not options.correct and not (options.predicted or options.probabilities or options.logits):
        raise ValueError("which predictions are correct is unknown: give --correct, or --predicted, --probabilities or --logits")


def _outcomes(table: PredictionTable, options: ColumnOptions) -> _Outcomes:
    """Return which predictions of the table are correct, with the outputs of the classifier if it has them."""
    if options.correct:
        require_columns(table, [options.correct], "--correct")
        return _Outcomes(checks.bool_column(table, options.correct, table.columns([options.correct])[options.correct]))
    class_names = {"--label": options.label, **({"--predicted": options.predicted} if options.predicted else {})}
    for option, name in class_names.items():
        require_columns(table, [name], option)
    fetched = {name: checks.class_column(table, name, column) for name, column in table.columns(list(class_names.values())).items()}
    labels, predicted = fetched[options.label], fetched[options.predicted] if options.predicted else None
    if not len(labels):
        raise ValueError(f"{table.source} has no rows; expected one for each prediction")
    if predicted is not None and options.predicted:
        checks.require_equal_kinds(table, options.label, labels, options.predicted, predicted)
    pattern = options.probabilities or options.logits
    if not pattern:
        assert predicted is not None
        return _Outcomes(np.asarray(labels == predicted, bool))
    matrix, columns, classes = _class_matrix(table, pattern, "--probabilities" if options.probabilities else "--logits")
    matrix = checks.probability_matrix(table, columns, matrix) if options.probabilities else checks.logit_matrix(table, matrix)
    label_indices = checks.class_indices(table, options.label, labels, classes)
    predicted_indices = matrix.argmax(axis=1)
    if predicted is not None and options.predicted:
        predicted_indices = checks.class_indices(table, options.predicted, predicted, classes)
        checks.require_largest(table, matrix, predicted_indices, classes)
    if options.probabilities:
        outputs = ClassifierOutputs.of_probabilities(matrix, label_indices, predicted_indices)
    else:
        outputs = ClassifierOutputs(matrix, True, label_indices, predicted_indices)
    return _Outcomes(outputs.correct, outputs)


def _class_matrix(table: PredictionTable, pattern: str, option: str) -> tuple[np.ndarray, list[str], list[str]]:
    """Return the values of all classes (n, classes), the names of their columns, and the names of the classes."""
    columns = _matching_columns(table, (pattern,) if "," not in pattern else tuple(pattern.split(",")), option)
    fetched = table.columns(columns)
    if len(columns) == 1 and fetched[columns[0]].ndim == 2:
        matrix = fetched[columns[0]]
        numbers = [str(index) for index in range(matrix.shape[1])]
        names = [f"{columns[0]}[{number}]" for number in numbers]
        for index, name in enumerate(names):
            checks.numeric_column(table, name, matrix[:, index])
        classes = numbers
    else:
        matrix = np.stack([checks.numeric_column(table, name, fetched[name]) for name in columns], axis=1)
        names, classes = columns, _class_names(columns, pattern)
    if matrix.shape[1] < 2:
        raise ValueError(f"{option} {pattern} names {matrix.shape[1]} class in {table.source}; expected a column for each of two or more")
    if len(set(classes)) < len(classes):
        raise ValueError(f"{option} {pattern} gives the classes {', '.join(classes[:12])}; expected different names")
    return matrix, names, classes


def _class_names(columns: Sequence[str], pattern: str) -> list[str]:
    """Return the names of the classes: what the star of the pattern matches, or the columns without what their names begin with."""
    if pattern.count("*") == 1 and not set(pattern) & set("?[,"):
        before, after = pattern.split("*")
        return [column[len(before) : len(column) - len(after)] for column in columns]
    common = min(columns), max(columns)
    shared = next((i for i, (first, last) in enumerate(zip(*common, strict=False)) if first != last), min(map(len, common)))
    return [column[shared:] or column for column in columns]


def _matching_columns(table: PredictionTable, patterns: Sequence[str], option: str) -> list[str]:
    """Return the names of the columns that match names or patterns, each once. Raises ValueError for one that matches none."""
    found: list[str] = []
    for pattern in patterns:
        matches = [pattern] if pattern in table.column_names else [name for name in table.column_names if fnmatchcase(name, pattern)]
        if not matches:
            require_columns(table, [pattern], option)
        found += matches
    return list(dict.fromkeys(found))


def _rows_by_split(table: PredictionTable, options: ColumnOptions, row_count: int) -> tuple[dict[str, Int[np.ndarray, " rows"]], list[str]]:
    """Return {split: indices of its rows}, test first, and sentences about rows that are ignored."""
    if options.split is None:
        return {TEST: np.arange(row_count)}, []
    require_columns(table, [options.split], "--split")
    column = checks.class_column(table, options.split, table.columns([options.split])[options.split])
    values, positions = np.unique(column.astype(str), return_inverse=True)
    split_of_value = splits_of_values(values.tolist())
    if None in split_of_value:
        unknown = split_of_value.index(None)
        first = int(np.argmax(positions == unknown))
        hint = suggestion(values[unknown], (TEST, VALIDATION, CALIBRATION, IGNORED))
        raise ValueError(f"{table.source}: the column {options.split} is {str(values[unknown])!r} in {table.row_in_words(first)}{hint}")
    split_of_row = np.array(split_of_value)[positions]
    rows = {split: np.flatnonzero(split_of_row == split) for split in SPLIT_NAMES if split in split_of_value}
    if TEST not in rows:
        counts = ", ".join(f"{split} {len(indices):,}" for split, indices in rows.items())
        raise ValueError(f"{table.source}: the column {options.split} has no row test, which all metrics are of; it has {counts}")
    ignored = rows.pop(IGNORED, None)
    return rows, [] if ignored is None else [f"{len(ignored):,} rows whose split is train are not used."]


def _unit_column(table: PredictionTable, name: str) -> np.ndarray:
    require_columns(table, [name], "--unit")
    return checks.class_column(table, name, table.columns([name])[name])


def _rows_of(outputs: ClassifierOutputs, rows: Int[np.ndarray, " rows"]) -> ClassifierOutputs:
    return ClassifierOutputs(outputs.logits[rows], outputs.has_logits, outputs.labels[rows], outputs.predicted[rows])


def _require_different_names(own: dict[str, np.ndarray], free: dict[str, np.ndarray]) -> None:
    for name in own:
        if name in free:
            raise ValueError(f"the confidence {name} has the name of a score that the predictions give; rename it, or choose --scores")
