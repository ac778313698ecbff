"""Errors of a classifier that a confidence score does not recognise: counted by class, and as single test images."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from confidnet_core.comparison.frames import HEADLINE_METRIC
from confidnet_core.comparison.tables import UNDEFINED_SIGN, format_value
from confidnet_core.data import Dataset, labelled
from confidnet_core.evaluation.stored import StoredResults
from confidnet_core.metrics import confusion_matrix, failure_metrics
from confidnet_core.reporting.highlights import best_method_as_list

MAX_PICTURE_SIDE_PX = 96  # of the longer side
MAX_LOSSLESS_SIDE_PX = 64  # larger pictures are compressed with loss


class DisplayedSample(NamedTuple):
    """A test image with its true class, predicted class and confidence, as the report shows it."""

    pixels: np.ndarray  # uint8 (h, w, 3), or (h, w) in grey
    test_index: int  # position in the test split, from 0
    true_class: str
    predicted_class: str
    confidence_text: str

    @property
    def picture_uri(self) -> str:
        """A small WebP version of the image, as a data URI."""
        image = Image.fromarray(self.pixels)
        image.thumbnail((MAX_PICTURE_SIDE_PX, MAX_PICTURE_SIDE_PX))
        return webp_data_uri(image, lossless=max(image.size) <= MAX_LOSSLESS_SIDE_PX)

    @property
    def caption_lines(self) -> list[str]:
        """Lines of the image's caption: true class, wrongly predicted class, confidence and test index."""
        predicted_line = [] if self.true_class == self.predicted_class else [f"predicted {self.predicted_class}"]
        return [f"true {self.true_class}", *predicted_line, f"confidence {self.confidence_text}", f"test index {self.test_index}"]


def failure_methods(stored_results: StoredResults, reference_methods: Sequence[str], evaluation_rows: pd.DataFrame) -> list[str]:
    """Return the names of the two methods whose failures are shown: the first reference method, and the best of all other methods.

    evaluation_rows: from `comparison_frame`
    """
    first_reference = [method for method in reference_methods if method in stored_results.methods][:1]
    other_rows = evaluation_rows[
        (evaluation_rows["benchmark"] == stored_results.benchmark)
        & ~evaluation_rows["oracle"]
        & ~evaluation_rows["method"].isin(reference_methods)
    ]
    return [*first_reference, *best_method_as_list(other_rows)]


class MethodFailures(NamedTuple):
    """Test images of a classification benchmark on which one method's confidence is most wrong.

    method_label: the method's name for readers
    """

    method_label: str
    confident_errors: list[DisplayedSample]  # with the highest confidence
    unconfident_correct: list[DisplayedSample]  # correct predictions with the lowest confidence


def pick_failures(stored_results: StoredResults, dataset: Dataset, label_by_method: Mapping[str, str]) -> list[MethodFailures]:
    """Return the images on which each method's confidence is most wrong; an empty list for segmentation.

    label_by_method: {method: its name for readers}
    """
    if dataset.is_segmentation:
        return []
    return [
        MethodFailures(
            label, most_confident_errors(stored_results, dataset, method), least_confident_correct(stored_results, dataset, method)
        )
        for method, label in label_by_method.items()
    ]


def failure_pictures(failures_by_method: Sequence[MethodFailures]) -> dict[str, list[tuple[np.ndarray, str]]]:
    """Return {heading: list of (uint8 image, caption)} for sheets.picture_sheet, with two headings per method."""
    pictures_by_heading = {}
    for method_label, errors, correct in failures_by_method:
        pictures_by_heading[f"{method_label}: most confident errors"] = [
            (sample.pixels, "\n".join(sample.caption_lines)) for sample in errors
        ]
        pictures_by_heading[f"{method_label}: least confident correct predictions"] = [
            (sample.pixels, "\n".join(sample.caption_lines)) for sample in correct
        ]
    return pictures_by_heading


def most_confident_errors(stored_results: StoredResults, dataset: Dataset, method: str, max_samples: int = 8) -> list[DisplayedSample]:
    """Return up to `max_samples` wrongly classified test images with the highest confidence, highest first."""
    return _extreme_samples(stored_results, dataset, method, max_samples, picks_correct=False)


def least_confident_correct(stored_results: StoredResults, dataset: Dataset, method: str, max_samples: int = 8) -> list[DisplayedSample]:
    """Return up to `max_samples` correctly classified test images with the lowest confidence, lowest first."""
    return _extreme_samples(stored_results, dataset, method, max_samples, picks_correct=True)


def class_table(stored_results: StoredResults, dataset: Dataset, label_by_method: Mapping[str, str]) -> list[list[str]]:
    """Return the texts of a table about the classes in the test split: the heading row, then a row for each class.

    A row holds the samples or labelled pixels of the class, its errors, the class it is most confused with, and HEADLINE_METRIC of each
    method within the class. label_by_method: {method: its name for readers}
    """
    labels = dataset.labels[dataset.splits["test"]]
    predicted_classes = np.asarray(stored_results.predicted())
    confusion_counts = confusion_matrix(labels, predicted_classes, len(dataset.classes), dataset.void)
    is_labelled = labelled(labels, dataset.void)
    labels, correct = labels[is_labelled], (predicted_classes == labels)[is_labelled]
    headline_columns = [
        _headline_metric_by_class(np.asarray(stored_results.confidence(method)), correct, labels, len(dataset.classes))
        for method in label_by_method
    ]
    text_rows = [["class", "pixels" if dataset.is_segmentation else "samples", "errors", "error rate %", "most confused with"]]
    text_rows[0] += [f"{label} {HEADLINE_METRIC.heading}" for label in label_by_method.values()]
    for class_index, class_name in enumerate(dataset.classes):
        class_count, class_confusions = int(confusion_counts[class_index].sum()), confusion_counts[class_index].copy()
        class_confusions[class_index] = 0
        if class_count:
            most_confused = (
                f"{dataset.classes[class_confusions.argmax()]} ({class_confusions.max():,})" if class_confusions.any() else UNDEFINED_SIGN
            )
            error_count = int(class_confusions.sum())
            text_rows.append(
                [
                    class_name,
                    f"{class_count:,}",
                    f"{error_count:,}",
                    format_value(100 * error_count / class_count),
                    most_confused,
                    *(headline_column[class_index] for headline_column in headline_columns),
                ]
            )
    return text_rows


def _headline_metric_by_class(confidence: np.ndarray, correct: np.ndarray, labels: np.ndarray, class_count: int) -> list[str]:
    """Return HEADLINE_METRIC within each class as text. confidence, correct, labels: arrays (n,) over the labelled samples"""
    cell_texts = []
    for class_index in range(class_count):
        is_in_class = labels == class_index
        metric_value = failure_metrics(confidence[is_in_class], correct[is_in_class])[HEADLINE_METRIC.key] if is_in_class.any() else None
        cell_texts.append(UNDEFINED_SIGN if metric_value is None else HEADLINE_METRIC.format_number(metric_value))
    return cell_texts


def _extreme_samples(
    stored_results: StoredResults, dataset: Dataset, method: str, max_samples: int, picks_correct: bool
) -> list[DisplayedSample]:
    """Return up to `max_samples` test images: the least confident correct ones if `picks_correct`, else the most confident errors."""
    test_indices, predicted_classes = dataset.splits["test"], stored_results.predicted()
    confidence, candidate_positions = (
        stored_results.confidence(method),
        np.flatnonzero((predicted_classes == dataset.labels[test_indices]) == picks_correct),
    )
    chosen_candidates = np.argsort(confidence[candidate_positions] if picks_correct else -confidence[candidate_positions], kind="stable")[
        :max_samples
    ]
    return [
        DisplayedSample(
            _displayable_pixels(dataset.images[test_indices[position]]),
            int(position),
            dataset.classes[dataset.labels[test_indices[position]]],
            dataset.classes[predicted_classes[position]],
            f"{confidence[position]:.4g}",
        )
        for position in candidate_positions[chosen_candidates]
    ]


def _displayable_pixels(image: np.ndarray) -> np.ndarray:
    """Return an image uint8 (channels, h, w) as (h, w, 3), or, if it does not have three channels, its first channel as grey (h, w)."""
    return np.moveaxis(image, 0, -1) if len(image) == 3 else image[0]


def webp_data_uri(image: Image.Image, lossless: bool = False) -> str:
    """Return an image as a data URI in WebP format, compressed with loss unless `lossless`."""
    buffer = BytesIO()
    image.save(buffer, "WEBP", lossless=lossless, quality=80)
    return f"data:image/webp;base64,{b64encode(buffer.getvalue()).decode()}"
