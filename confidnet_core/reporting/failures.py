"""Errors of a classifier that a confidence score does not recognise: counted by class, and as single test images."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from confidnet_core.comparison.frames import HEADLINE_METRIC
from confidnet_core.comparison.tables import UNDEFINED, format_value
from confidnet_core.data import Dataset, labelled
from confidnet_core.evaluation.stored import StoredResults
from confidnet_core.metrics import confusion_matrix, failure_metrics
from confidnet_core.reporting.highlights import best_scores

MAX_PICTURE_SIDE_PX = 96  # of the longer side
MAX_LOSSLESS_SIDE_PX = 64  # larger pictures are compressed with loss


class Sample(NamedTuple):
    """A test image with its true class, predicted class and confidence, as the report shows it."""

    pixels: np.ndarray  # uint8 (h, w, 3), or (h, w) in grey
    test_index: int  # position in the test split, from 0
    truth: str
    predicted: str
    confidence: str

    @property
    def picture_uri(self) -> str:
        """A small WebP version of the image, as a data URI."""
        image = Image.fromarray(self.pixels)
        image.thumbnail((MAX_PICTURE_SIDE_PX, MAX_PICTURE_SIDE_PX))
        return webp_data_uri(image, lossless=max(image.size) <= MAX_LOSSLESS_SIDE_PX)

    @property
    def caption_lines(self) -> list[str]:
        """Lines of the image's caption: true class, wrongly predicted class, confidence and test index."""
        predicted = [] if self.truth == self.predicted else [f"predicted {self.predicted}"]
        return [f"true {self.truth}", *predicted, f"confidence {self.confidence}", f"test index {self.test_index}"]


def failure_methods(stored: StoredResults, references: Sequence[str], frame: pd.DataFrame) -> list[str]:
    """Return the names of the two methods whose failures are shown: the first reference, and the best of all other methods.

    frame: from `comparison_frame`
    """
    first_reference = [reference for reference in references if reference in stored.methods][:1]
    others = frame[(frame["benchmark"] == stored.benchmark) & ~frame["oracle"] & ~frame["method"].isin(references)]
    return [*first_reference, *best_scores(others)]


class Failures(NamedTuple):
    """Test images on which one method's confidence is most wrong, for a classification benchmark. label: the method's name for readers"""

    label: str
    errors: list[Sample]  # with the highest confidence
    correct: list[Sample]  # correct predictions with the lowest confidence


def pick_failures(stored: StoredResults, dataset: Dataset, labels: Mapping[str, str]) -> list[Failures]:
    """Return the images on which each method's confidence is most wrong, for the picture sheet and the page; none for a segmentation.

    labels: METHOD -> its name for readers
    """
    if dataset.is_segmentation:
        return []
    return [
        Failures(label, most_confident_errors(stored, dataset, method), least_confident_correct(stored, dataset, method))
        for method, label in labels.items()
    ]


def failure_pictures(failures: Sequence[Failures]) -> dict[str, list[tuple[np.ndarray, str]]]:
    """Return {heading: pictures with captions} for sheets.picture_sheet, two headings per method."""
    pictures_by_heading = {}
    for label, errors, correct in failures:
        pictures_by_heading[f"{label}: most confident errors"] = [(sample.pixels, "\n".join(sample.caption_lines)) for sample in errors]
        pictures_by_heading[f"{label}: least confident correct predictions"] = [
            (sample.pixels, "\n".join(sample.caption_lines)) for sample in correct
        ]
    return pictures_by_heading


def most_confident_errors(stored: StoredResults, dataset: Dataset, method: str, count: int = 8) -> list[Sample]:
    """Return the `count` wrongly classified test images with the highest confidence, highest first."""
    return _extreme_samples(stored, dataset, method, count, correct=False)


def least_confident_correct(stored: StoredResults, dataset: Dataset, method: str, count: int = 8) -> list[Sample]:
    """Return the `count` correctly classified test images with the lowest confidence, lowest first."""
    return _extreme_samples(stored, dataset, method, count, correct=True)


def class_table(stored: StoredResults, dataset: Dataset, labels_by_method: Mapping[str, str]) -> list[list[str]]:
    """Return the text of a table about the classes in the test split: a header, then a line for each class.

    A line holds the samples or labelled pixels of the class, its errors, the class it is most confused with, and HEADLINE_METRIC of each
    method within the class. labels_by_method: METHOD -> its name for readers
    """
    labels = dataset.labels[dataset.splits["test"]]
    predicted = np.asarray(stored.predicted())
    confusion = confusion_matrix(labels, predicted, len(dataset.classes), dataset.void)
    is_labelled = labelled(labels, dataset.void)
    labels, correct = labels[is_labelled], (predicted == labels)[is_labelled]
    headline_columns = [
        _headline_metric_by_class(np.asarray(stored.confidence(method)), correct, labels, len(dataset.classes))
        for method in labels_by_method
    ]
    rows = [["class", "pixels" if dataset.is_segmentation else "samples", "errors", "error rate %", "most confused with"]]
    rows[0] += [f"{label} {HEADLINE_METRIC.heading}" for label in labels_by_method.values()]
    for index, name in enumerate(dataset.classes):
        class_count, confusions = int(confusion[index].sum()), confusion[index].copy()
        confusions[index] = 0
        if class_count:
            most_confused = f"{dataset.classes[confusions.argmax()]} ({confusions.max():,})" if confusions.any() else UNDEFINED
            errors = int(confusions.sum())
            rows.append(
                [
                    name,
                    f"{class_count:,}",
                    f"{errors:,}",
                    format_value(100 * errors / class_count),
                    most_confused,
                    *(column[index] for column in headline_columns),
                ]
            )
    return rows


def _headline_metric_by_class(confidence: np.ndarray, correct: np.ndarray, labels: np.ndarray, class_count: int) -> list[str]:
    cells = []
    for index in range(class_count):
        in_class = labels == index
        value = failure_metrics(confidence[in_class], correct[in_class])[HEADLINE_METRIC.key] if in_class.any() else None
        cells.append(UNDEFINED if value is None else HEADLINE_METRIC.format_number(value))
    return cells


def _extreme_samples(stored: StoredResults, dataset: Dataset, method: str, count: int, correct: bool) -> list[Sample]:
    test_indices, predicted = dataset.splits["test"], stored.predicted()
    confidence, candidates = stored.confidence(method), np.flatnonzero((predicted == dataset.labels[test_indices]) == correct)
    chosen_order = np.argsort(confidence[candidates] if correct else -confidence[candidates], kind="stable")[:count]
    return [
        Sample(
            _displayable_pixels(dataset.images[test_indices[position]]),
            int(position),
            dataset.classes[dataset.labels[test_indices[position]]],
            dataset.classes[predicted[position]],
            f"{confidence[position]:.4g}",
        )
        for position in candidates[chosen_order]
    ]


def _displayable_pixels(image: np.ndarray) -> np.ndarray:
    """Convert an image from uint8 (channels, height, width) to (height, width, 3), or, without three channels, to the first one as grey."""
    return np.moveaxis(image, 0, -1) if len(image) == 3 else image[0]


def webp_data_uri(image: Image.Image, lossless: bool = False) -> str:
    """Return an image as a data URI in WebP format, compressed with loss unless `lossless`."""
    buffer = BytesIO()
    image.save(buffer, "WEBP", lossless=lossless, quality=80)
    return f"data:image/webp;base64,{b64encode(buffer.getvalue()).decode()}"
