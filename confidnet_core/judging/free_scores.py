"""Confidence scores that need nothing but a classifier's logits or probabilities, computed by their own functions.

A score is free if its function declares no input, training or forward pass of its own; see scores/__init__.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from jaxtyping import Bool, Float, Int

from confidnet_core.config.params import Benchmark
from confidnet_core.config.registry import entry_attributes, entry_names, find_entry, literal_attribute, suggestion
from confidnet_core.data import Dataset
from confidnet_core.evaluation.result import RANK_SCALE
from confidnet_core.scoring.run import Run, Split

FREE_LEARNED_VALUES = (None, "fitted")  # values of the attribute `learned`: nothing, or a few numbers fitted to validation data
SMALLEST_PROBABILITY = 1e-300  # takes the place of 0, whose logarithm is not finite


@dataclass(frozen=True)
class ClassifierOutputs:
    """What a classifier gave for the predictions of one split.

    logits: (n, classes); with has_logits False they are logarithms of probabilities, which logits equal up to a number for each prediction
    labels, predicted: int (n,), the true and the predicted classes; a label outside the classes has no logit and belongs to an error
    """

    logits: Float[np.ndarray, "n classes"]
    has_logits: bool
    labels: Int[np.ndarray, " n"]
    predicted: Int[np.ndarray, " n"]

    @classmethod
    def of_probabilities(
        cls, probabilities: Float[np.ndarray, "n classes"], labels: Int[np.ndarray, " n"], predicted: Int[np.ndarray, " n"]
    ) -> "ClassifierOutputs":
        """Return the outputs of a classifier of which only probabilities are known."""
        return cls(np.log(np.maximum(probabilities, SMALLEST_PROBABILITY)), False, labels, predicted)

    @property
    def correct(self) -> Bool[np.ndarray, " n"]:
        return self.predicted == self.labels


class FreeConfidences(NamedTuple):
    """The confidences of all free scores, {split: {score: float (n,)}}, with the scales and the oracles among the scores, and what is
    left out, in sentences."""

    by_split: dict[str, dict[str, np.ndarray]]
    scales: dict[str, str]
    oracles: tuple[str, ...]
    left_out: list[str]


class _OutputsDataset(Dataset):
    """The labels of given predictions, in the place of a data set with images."""

    def __post_init__(self) -> None:
        """Skip the checks of Dataset, since there are no images."""

    def split(self, split_name: str) -> tuple[np.ndarray, np.ndarray]:
        return self.images, self.labels


class _OutputsRun(Run):
    """The Run of given predictions: the input of a free score."""

    outputs_by_split: Mapping[str, ClassifierOutputs]

    def on_split(self, split: Split) -> "Run":
        run = _run_on(self.outputs_by_split, split)
        run.__dict__["cache"] = self.cache
        return run

    @cached_property
    def logits(self) -> np.ndarray:
        return self.outputs_by_split[self.split].logits

    @cached_property
    def labels(self) -> np.ndarray:
        return self.outputs_by_split[self.split].labels

    @cached_property
    def predicted(self) -> np.ndarray:
        return self.outputs_by_split[self.split].predicted


def free_score_names(*, has_logits: bool, has_validation: bool) -> tuple[list[str], list[str]]:
    """Return the names of the free scores, and sentences about those that would be free with logits, or with validation data."""
    names, without_logits, without_validation = [], [], []
    for name in entry_names("scores"):
        attribute_names = ("learned", "reads", "passes", "over_seeds", "trainings", "needs_logits")
        learned, *inputs, needs_logits = (literal_attribute("scores", name, attribute) for attribute in attribute_names)
        if learned not in FREE_LEARNED_VALUES or any(inputs):
            continue
        if needs_logits and not has_logits:
            without_logits.append(name)
        elif learned and not has_validation:
            without_validation.append(name)
        else:
            names.append(name)
    left_out = [f"{', '.join(without_logits)}: need logits; probabilities do not tell them."] if without_logits else []
    if without_validation:
        left_out.append(f"{', '.join(without_validation)}: are fitted to validation data, which were not given.")
    return names, left_out


def free_confidences(outputs_by_split: Mapping[str, ClassifierOutputs], scores: tuple[str, ...] | None = None) -> FreeConfidences:
    """Compute the free scores for all splits. outputs_by_split: of "test", and perhaps "val" and "calibration"

    scores: those to compute, by default all. Raises ValueError for a name that is no free score.
    """
    names, left_out = free_score_names(has_logits=outputs_by_split["test"].has_logits, has_validation="val" in outputs_by_split)
    for score in scores or ():
        if score not in names:
            raise ValueError(f"{score} is no score that these predictions give{suggestion(score, names)}")
    names = [name for name in names if scores is None or name in scores]
    test_run = _run_on(outputs_by_split, "test")
    by_split = {
        split: {name: find_entry("scores", name)(test_run.on_split(cast("Split", split))) for name in names} for split in outputs_by_split
    }
    oracle_by_name = entry_attributes("scores", names, "oracle")
    scales = {name: scale or RANK_SCALE for name, scale in entry_attributes("scores", names, "scale").items()}
    return FreeConfidences(by_split, scales, tuple(name for name in names if oracle_by_name[name]), left_out)


def _run_on(outputs_by_split: Mapping[str, ClassifierOutputs], split: Split) -> Run:
    """Return the input of a free score on one split."""
    outputs = outputs_by_split[split]
    # Nothing but the number of images is asked of them.
    images = np.broadcast_to(np.zeros((1, 1, 1, 1), np.uint8), (len(outputs.labels), 1, 1, 1))
    dataset = _OutputsDataset(images, outputs.labels, {}, (), (), (), "given predictions")
    run = _OutputsRun(
        "given predictions",
        Benchmark.model_construct(),
        0,  # free scores read no recipe
        dataset,
        Path(),
        Path(),
        split,
    )
    run.__dict__["outputs_by_split"] = outputs_by_split
    return run
