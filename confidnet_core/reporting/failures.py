"""Where a classifier fails and a score does not see it: class by class, and sample by sample."""

from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from confidnet_core.comparison.frames import HEADLINE
from confidnet_core.comparison.tables import UNDEFINED, format_value
from confidnet_core.data import Dataset, labelled
from confidnet_core.evaluation.stored import Place
from confidnet_core.metrics import confusion_matrix, failure_metrics

LONGEST = 96  # pixels of a small picture's longer side
EXACT = 64  # pixels up to which a picture is kept as it is, without loss


class Sample(NamedTuple):
    pixels: np.ndarray  # uint8 (h, w, 3), or (h, w) in grey
    place: int  # in the test split
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
    def caption(self) -> str:
        taken = self.truth if self.truth == self.predicted else f"{self.truth}\ntaken for {self.predicted}"
        return f"{taken}\n{self.confidence}, no. {self.place}"


def shown_methods(place: Place, against: Sequence[str], frame: pd.DataFrame) -> list[str]:
    """Two methods of which failures are shown: what others are compared with, and the best of these others. frame: a `comparison_frame`"""
    reference = [other for other in against if other in place.methods][:1]
    others = frame[(frame["benchmark"] == place.benchmark) & ~frame["oracle"] & ~frame["method"].isin(against)]
    means = others.groupby("method", sort=False)[HEADLINE.key].mean()
    return [*reference, *([means.idxmax()] if means.notna().any() else [])]


class Failures(NamedTuple):
    """Of a classification, what one method fails to see."""

    method: str
    errors: list[Sample]  # those with the highest confidence
    successes: list[Sample]  # correct predictions with the lowest


def picked_failures(place: Place, dataset: Dataset, methods: Sequence[str]) -> list[Failures]:
    """Picked once for the picture sheet and for the page; nothing of a segmentation."""
    if dataset.is_segmentation:
        return []
    return [Failures(method, surest_errors(place, dataset, method), least_sure_successes(place, dataset, method)) for method in methods]


def failure_rows(picked: Sequence[Failures]) -> dict[str, list[tuple[np.ndarray, str]]]:
    """For sheets.picture_sheet: two rows for each method."""
    rows = {}
    for method, errors, successes in picked:
        rows[f"{method}: most confident errors"] = [(one.pixels, one.caption) for one in errors]
        rows[f"{method}: least confident correct predictions"] = [(one.pixels, one.caption) for one in successes]
    return rows


def surest_errors(place: Place, dataset: Dataset, method: str, count: int = 8) -> list[Sample]:
    """Of a classification: the errors that the method is surest of, the surest first."""
    return _samples(place, dataset, method, count, right=False)


def least_sure_successes(place: Place, dataset: Dataset, method: str, count: int = 8) -> list[Sample]:
    """Of a classification: the successes that the method is least sure of, the least sure first."""
    return _samples(place, dataset, method, count, right=True)


def by_class(place: Place, dataset: Dataset, methods: Sequence[str]) -> list[list[str]]:
    """A header, then a row for each class that the test split has: its samples, or labelled pixels, its errors, what they are taken
    for most, and HEADLINE of each method within the class."""
    labels = dataset.labels[dataset.splits["test"]]
    predicted = np.asarray(place.predicted())
    confusion = confusion_matrix(labels, predicted, len(dataset.classes), dataset.void)
    counted = labelled(labels, dataset.void)
    labels, correct = labels[counted], (predicted == labels)[counted]
    numbers = [_within(np.asarray(place.confidence(method)), correct, labels, len(dataset.classes)) for method in methods]
    rows = [["class", "pixels" if dataset.is_segmentation else "samples", "errors", "error rate %", "mostly taken for"]]
    rows[0] += [f"{method} {HEADLINE.heading}" for method in methods]
    for index, name in enumerate(dataset.classes):
        total, wrong = int(confusion[index].sum()), confusion[index].copy()
        wrong[index] = 0
        if total:
            taken = f"{dataset.classes[wrong.argmax()]} ({wrong.max():,})" if wrong.any() else UNDEFINED
            errors = int(wrong.sum())
            rows.append(
                [name, f"{total:,}", f"{errors:,}", format_value(100 * errors / total), taken, *(column[index] for column in numbers)]
            )
    return rows


def _within(confidence: np.ndarray, correct: np.ndarray, labels: np.ndarray, classes: int) -> list[str]:
    cells = []
    for index in range(classes):
        own = labels == index
        value = failure_metrics(confidence[own], correct[own])[HEADLINE.key] if own.any() else None
        cells.append(UNDEFINED if value is None else HEADLINE.printed(value))
    return cells


def _samples(place: Place, dataset: Dataset, method: str, count: int, right: bool) -> list[Sample]:
    index, predicted = dataset.splits["test"], place.predicted()
    confidence, wanted = place.confidence(method), np.flatnonzero((predicted == dataset.labels[index]) == right)
    order = np.argsort(confidence[wanted] if right else -confidence[wanted], kind="stable")[:count]
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
