"""Where a classifier fails and a score does not see it: class by class, and sample by sample."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from confidnet_core.comparison.frames import HEADLINE
from confidnet_core.comparison.tables import UNDEFINED, format_value
from confidnet_core.data import Dataset, labelled
from confidnet_core.evaluation.stored import StoredResults
from confidnet_core.metrics import confusion_matrix, failure_metrics
from confidnet_core.reporting.highlights import best_scores

LONGEST = 96  # pixels of a small picture's longer side
EXACT = 64  # pixels up to which a picture is kept as it is, without loss


class Sample(NamedTuple):
    pixels: np.ndarray  # uint8 (h, w, 3), or (h, w) in grey
    test_index: int  # in the test split
    truth: str
    predicted: str
    confidence: str

    @property
    def picture(self) -> str:
        """A small WebP, as a data URI."""
        image = Image.fromarray(self.pixels)
        image.thumbnail((LONGEST, LONGEST))
        return webp(image, lossless=max(image.size) <= EXACT)

    @property
    def facts(self) -> list[str]:
        """What a reader needs of it, each in a few words."""
        predicted = [] if self.truth == self.predicted else [f"predicted {self.predicted}"]
        return [f"true {self.truth}", *predicted, f"confidence {self.confidence}", f"test index {self.test_index}"]


def shown_methods(stored: StoredResults, against: Sequence[str], frame: pd.DataFrame) -> list[str]:
    """Two methods of which failures are shown: what others are compared with, and the best of these others. frame: a `comparison_frame`"""
    reference = [other for other in against if other in stored.methods][:1]
    others = frame[(frame["benchmark"] == stored.benchmark) & ~frame["oracle"] & ~frame["method"].isin(against)]
    return [*reference, *best_scores(others)]


class Failures(NamedTuple):
    """Of a classification, what one method fails to see. label: its name for readers"""

    label: str
    errors: list[Sample]  # those with the highest confidence
    correct: list[Sample]  # correct predictions with the lowest


def picked_failures(stored: StoredResults, dataset: Dataset, labels: Mapping[str, str]) -> list[Failures]:
    """Picked once for the picture sheet and for the page; nothing of a segmentation. labels: METHOD -> its name for readers"""
    if dataset.is_segmentation:
        return []
    return [
        Failures(label, most_confident_errors(stored, dataset, method), least_confident_correct(stored, dataset, method))
        for method, label in labels.items()
    ]


def failure_rows(picked: Sequence[Failures]) -> dict[str, list[tuple[np.ndarray, str]]]:
    """For sheets.picture_sheet: two rows for each method."""
    rows = {}
    for label, errors, correct in picked:
        rows[f"{label}: most confident errors"] = [(sample.pixels, "\n".join(sample.facts)) for sample in errors]
        rows[f"{label}: least confident correct predictions"] = [(sample.pixels, "\n".join(sample.facts)) for sample in correct]
    return rows


def most_confident_errors(stored: StoredResults, dataset: Dataset, method: str, count: int = 8) -> list[Sample]:
    """Of a classification: the errors with the highest confidence, the highest first."""
    return _samples(stored, dataset, method, count, correct=False)


def least_confident_correct(stored: StoredResults, dataset: Dataset, method: str, count: int = 8) -> list[Sample]:
    """Of a classification: the correct predictions with the lowest confidence, the lowest first."""
    return _samples(stored, dataset, method, count, correct=True)


def by_class(stored: StoredResults, dataset: Dataset, methods: Mapping[str, str]) -> list[list[str]]:
    """A header, then a row for each class that the test split has: its samples, or labelled pixels, its errors, the class that it is
    confused with most, and HEADLINE of each method within the class. methods: METHOD -> its name for readers"""
    labels = dataset.labels[dataset.splits["test"]]
    predicted = np.asarray(stored.predicted())
    confusion = confusion_matrix(labels, predicted, len(dataset.classes), dataset.void)
    counted = labelled(labels, dataset.void)
    labels, correct = labels[counted], (predicted == labels)[counted]
    numbers = [_within(np.asarray(stored.confidence(method)), correct, labels, len(dataset.classes)) for method in methods]
    rows = [["class", "pixels" if dataset.is_segmentation else "samples", "errors", "error rate %", "most confused with"]]
    rows[0] += [f"{label} {HEADLINE.heading}" for label in methods.values()]
    for index, name in enumerate(dataset.classes):
        total, wrong = int(confusion[index].sum()), confusion[index].copy()
        wrong[index] = 0
        if total:
            other = f"{dataset.classes[wrong.argmax()]} ({wrong.max():,})" if wrong.any() else UNDEFINED
            errors = int(wrong.sum())
            rows.append(
                [name, f"{total:,}", f"{errors:,}", format_value(100 * errors / total), other, *(column[index] for column in numbers)]
            )
    return rows


def _within(confidence: np.ndarray, correct: np.ndarray, labels: np.ndarray, classes: int) -> list[str]:
    cells = []
    for index in range(classes):
        own = labels == index
        value = failure_metrics(confidence[own], correct[own])[HEADLINE.key] if own.any() else None
        cells.append(UNDEFINED if value is None else HEADLINE.printed(value))
    return cells


def _samples(stored: StoredResults, dataset: Dataset, method: str, count: int, correct: bool) -> list[Sample]:
    index, predicted = dataset.splits["test"], stored.predicted()
    confidence, wanted = stored.confidence(method), np.flatnonzero((predicted == dataset.labels[index]) == correct)
    order = np.argsort(confidence[wanted] if correct else -confidence[wanted], kind="stable")[:count]
    return [
        Sample(
            _pixels(dataset.images[index[at]]),
            int(at),
            dataset.classes[dataset.labels[index[at]]],
            dataset.classes[predicted[at]],
            f"{confidence[at]:.4g}",
        )
        for at in wanted[order]
    ]


def _pixels(image: np.ndarray) -> np.ndarray:
    """Of uint8 (channels, height, width); of channels that are not three, the first in grey."""
    return np.moveaxis(image, 0, -1) if len(image) == 3 else image[0]


def webp(image: Image.Image, lossless: bool = False) -> str:
    """A data URI."""
    buffer = BytesIO()
    image.save(buffer, "WEBP", lossless=lossless, quality=80)
    return f"data:image/webp;base64,{b64encode(buffer.getvalue()).decode()}"
