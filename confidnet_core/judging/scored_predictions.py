"""Confidences of one split with the correctness of each prediction, as a user gives them: checked, and ordered by unit."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int64, Real
from numpy.typing import ArrayLike

from confidnet_core.config.registry import suggestion
from confidnet_core.evaluation.at_threshold import ScoredSplit
from confidnet_core.metrics._ranking.samples import check_confidence_and_correct, require_finite_confidence


class ScoredPredictions(NamedTuple):
    """The predictions of one split: whether each is correct, (n,), its confidences by score, (n,) each, and perhaps its unit, (n,).

    units: names or numbers of what errs together, such as the image of a pixel or the patient of an image; None if each prediction is
    a unit of its own
    """

    correct: ArrayLike
    confidences: Mapping[str, ArrayLike]
    units: Sequence[Hashable] | np.ndarray | None = None


@dataclass(frozen=True)
class CheckedSplit:
    """The predictions of one split after all checks, ordered so that those of a unit are neighbours.

    correct: bool (n,); confidences: {score: real (n,)}; predictions_per_unit: (units,), which add up to n; None if each is a unit
    unit_names: (units,) in the order in which they first occur, or None
    """

    correct: Bool[np.ndarray, " n"]
    confidences: dict[str, Real[np.ndarray, " n"]]
    predictions_per_unit: Int64[np.ndarray, " units"] | None
    unit_names: np.ndarray | None

    def scored(self, score: str) -> ScoredSplit:
        """Return one score's confidences in the form that `reliability` and `guaranteed_thresholds` take."""
        return ScoredSplit(self.confidences[score], self.correct, self.predictions_per_unit)


def check_split(split: ScoredPredictions | tuple[Any, ...], split_name: str) -> CheckedSplit:
    """Return the checked predictions of a split.

    split: ScoredPredictions, or a tuple of its fields; split_name: names the split in messages, "" for the test split
    Raises ValueError, with the argument and the first index, for no scores, no predictions, unequal lengths, other types, NaN or infinity.
    """
    prefix = f"{split_name}: " if split_name else ""
    if not isinstance(split, tuple) or not 2 <= len(split) <= 3:
        raise ValueError(f"{prefix}expected (correct, confidences) or (correct, confidences, units), got {type(split).__name__}")
    fields: Any = split
    predictions = ScoredPredictions(*fields)
    if not isinstance(predictions.confidences, Mapping) or not predictions.confidences:
        raise ValueError(f'{prefix}confidences are {predictions.confidences!r}; expected at least one score, as {{"mcp": array}}')
    confidences, correct = {}, np.empty(0, bool)
    for score, given_confidence in predictions.confidences.items():
        if not isinstance(score, str) or not score.strip():
            raise ValueError(f"{prefix}a score has the name {score!r}; expected text")
        try:
            confidence, correct = check_confidence_and_correct(given_confidence, predictions.correct, f"the confidence {score}")
            require_finite_confidence(confidence)
        except ValueError as error:
            raise ValueError(f"{prefix}{score}: {error}") from None
        confidences[score] = confidence
    if predictions.units is None:
        return CheckedSplit(correct, confidences, None, None)
    return _ordered_by_unit(correct, confidences, predictions.units, prefix)


def require_equal_scores(other_split: CheckedSplit, test_split: CheckedSplit, split_name: str) -> None:
    """Raise ValueError unless a split has the confidences of all scores of the test split, and units if that has them."""
    for score in test_split.confidences:
        if score not in other_split.confidences:
            raise ValueError(f"{split_name} lacks the confidence {score}{suggestion(score, other_split.confidences)}; give it, too")
    if (other_split.unit_names is None) != (test_split.unit_names is None):
        raise ValueError(f"only one of the test split and {split_name} has units; give them for both or for neither")


def require_disjoint_units(units_by_split: Mapping[str, np.ndarray | None]) -> None:
    """Raise ValueError that names the first unit that two splits share. units_by_split: {split: names of its units}"""
    split_by_unit: dict[Any, str] = {}
    for split_name, unit_names in units_by_split.items():
        for unit in [] if unit_names is None else unit_names.tolist():
            if (first_split := split_by_unit.setdefault(unit, split_name)) != split_name:
                raise ValueError(
                    f"the unit {unit!r} is in the split {first_split} and in {split_name}; predictions that err together must be in one "
                    "split, or results are too good"
                )


def _ordered_by_unit(
    correct: Bool[np.ndarray, " n"], confidences: dict[str, Real[np.ndarray, " n"]], units: Any, prefix: str
) -> CheckedSplit:
    """Return a split whose units stay in the order of their first predictions, and the predictions of a unit in theirs."""
    units = np.asarray(units)
    if units.shape != correct.shape:
        raise ValueError(f"{prefix}units have shape {units.shape}; expected the unit of each prediction, {correct.shape}")
    unit_codes, unit_names = pd.factorize(units)
    if (unit_codes < 0).any():
        raise ValueError(f"{prefix}the unit at index {int(np.argmax(unit_codes < 0))} is missing; expected a name or a number")
    order = np.argsort(unit_codes, kind="stable")
    ordered_confidences = {score: confidence[order] for score, confidence in confidences.items()}
    return CheckedSplit(correct[order], ordered_confidences, np.bincount(unit_codes).astype(np.int64), np.asarray(unit_names))


def without_single_units(splits: Mapping[str, CheckedSplit]) -> dict[str, CheckedSplit]:
    """Return the splits without their units where each unit of all splits is one prediction, which makes them independent samples."""
    all_counts = [split.predictions_per_unit for split in splits.values()]
    if any(counts is None or counts.max() > 1 for counts in all_counts):
        return dict(splits)
    return {name: replace(split, predictions_per_unit=None) for name, split in splits.items()}
