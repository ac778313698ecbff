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
from confidnet_core.data import Dataset, labelled_mask
from confidnet_core.display import display_text
from confidnet_core.evaluation.intervals import MIN_RARER_UNITS
from confidnet_core.evaluation.stored import StoredResults
from confidnet_core.metrics import confusion_matrix, failure_metrics
from confidnet_core.reporting.highlights import best_method_as_list

MAX_CLASS_ROWS = 100  # of the table of classes
MAX_CAPTION_NAME, MAX_TABLE_NAME = 20, 60  # characters of the name of a class below a picture, and in the table
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
        """Lines of the image's caption: true class, wrongly predicted class, confidence and test index; long names are cut."""
        true_class, predicted_class = (display_text(name, MAX_CAPTION_NAME) for name in (self.true_class, self.predicted_class))
        predicted_class_line = [] if self.true_class == self.predicted_class else [f"predicted {predicted_class}"]
        return [f"true {true_class}", *predicted_class_line, f"confidence {self.confidence_text}", f"test index {self.test_index}"]


def methods_with_shown_failures(
    stored_results: StoredResults, reference_methods: Sequence[str], evaluation_rows: pd.DataFrame
) -> list[str]:
    """Return the names of the two methods whose failures are shown: the first reference method, and the best of all other methods.

    evaluation_rows: from `comparison_frame`
    """
    first_reference_method = [method for method in reference_methods if method in stored_results.methods][:1]
    rows_of_other_methods = evaluation_rows[
        (evaluation_rows["benchmark"] == stored_results.benchmark)
        & ~evaluation_rows["oracle"]
        & ~evaluation_rows["method"].isin(reference_methods)
    ]
    return [*first_reference_method, *best_method_as_list(rows_of_other_methods)]


class MethodFailures(NamedTuple):
    """Test images of a classification benchmark on which one method's confidence is most wrong.

    method_label: the method's name for readers
    """

    method_label: str
    confident_errors: list[DisplayedSample]  # with the highest confidence
    unconfident_correct: list[DisplayedSample]  # correct predictions with the lowest confidence


def pick_failures(stored_results: StoredResults, dataset: Dataset, display_name_by_method: Mapping[str, str]) -> list[MethodFailures]:
    """Return the images on which each method's confidence is most wrong; an empty list for segmentation.

    display_name_by_method: {method: its name for readers}
    """
    if dataset.is_segmentation:
        return []
    return [
        MethodFailures(
            display_name, most_confident_errors(stored_results, dataset, method), least_confident_correct(stored_results, dataset, method)
        )
        for method, display_name in display_name_by_method.items()
    ]


def failure_pictures(failures_by_method: Sequence[MethodFailures]) -> dict[str, list[tuple[np.ndarray, str]]]:
    """Return {heading: list of (uint8 image, caption)} for `sheets.picture_grid_figure`, with two headings per method."""
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
    return _extreme_confidence_samples(stored_results, dataset, method, max_samples, picks_correct_predictions=False)


def least_confident_correct(stored_results: StoredResults, dataset: Dataset, method: str, max_samples: int = 8) -> list[DisplayedSample]:
    """Return up to `max_samples` correctly classified test images with the lowest confidence, lowest first."""
    return _extreme_confidence_samples(stored_results, dataset, method, max_samples, picks_correct_predictions=True)


def class_table(stored_results: StoredResults, dataset: Dataset, display_name_by_method: Mapping[str, str]) -> list[list[str]]:
    """Return the texts of a table about the classes in the test split: the heading row, then a row for each class.

    A row holds the samples or labelled pixels of the class, its errors, the class it is most confused with, and HEADLINE_METRIC of each
    method within the class, or UNDEFINED_SIGN where fewer than MIN_RARER_UNITS images of the class have an error, or a correct prediction.
    Of more than MAX_CLASS_ROWS classes, those with the most errors are in the table, and a last row says how many are not.
    display_name_by_method: {method: its name for readers}
    """
    labels = dataset.labels[dataset.splits["test"]]
    predicted_classes = np.asarray(stored_results.predicted())
    confusion_counts = confusion_matrix(labels, predicted_classes, len(dataset.classes), dataset.void)
    is_labelled = labelled_mask(labels, dataset.void)
    image_indices, correct = np.nonzero(is_labelled)[0], (predicted_classes == labels)[is_labelled]
    labels = labels[is_labelled]
    has_outcome = np.zeros((2, len(dataset.classes), len(is_labelled)), bool)  # an error, a correct prediction, of a class in an image
    has_outcome[correct.astype(int), labels, image_indices] = True
    errors_by_class = confusion_counts.sum(axis=1) - np.diagonal(confusion_counts)
    shown_classes = np.sort(np.argsort(-errors_by_class, kind="stable")[:MAX_CLASS_ROWS])
    has_metric = (has_outcome[:, shown_classes].sum(axis=2) >= MIN_RARER_UNITS).all(axis=0)
    classes_with_metric = shown_classes[has_metric].tolist()
    headline_metric_columns = [
        _headline_metric_by_class(np.asarray(stored_results.confidence(method)), correct, labels, classes_with_metric)
        for method in display_name_by_method
    ]
    text_rows = [["class", "pixels" if dataset.is_segmentation else "samples", "errors", "error rate %", "most confused with"]]
    text_rows[0] += [f"{display_name} {HEADLINE_METRIC.heading}" for display_name in display_name_by_method.values()]
    for class_index in shown_classes.tolist():
        class_name = display_text(dataset.classes[class_index], MAX_TABLE_NAME)
        class_sample_count, class_confusions = int(confusion_counts[class_index].sum()), confusion_counts[class_index].copy()
        class_confusions[class_index] = 0
        if class_sample_count:
            most_confused_class = (
                f"{display_text(dataset.classes[class_confusions.argmax()], MAX_TABLE_NAME)} ({class_confusions.max():,})"
                if class_confusions.any()
                else UNDEFINED_SIGN
            )
            error_count = int(class_confusions.sum())
            text_rows.append(
                [
                    class_name,
                    f"{class_sample_count:,}",
                    f"{error_count:,}",
                    format_value(100 * error_count / class_sample_count),
                    most_confused_class,
                    *(headline_metric_column.get(class_index, UNDEFINED_SIGN) for headline_metric_column in headline_metric_columns),
                ]
            )
    if (hidden_count := len(dataset.classes) - len(shown_classes)) > 0:
        text_rows.append([f"and {hidden_count:,} classes with fewer errors", *[""] * (len(text_rows[0]) - 1)])
    return text_rows


def _headline_metric_by_class(
    confidence: np.ndarray, correct: np.ndarray, labels: np.ndarray, class_indices: Sequence[int]
) -> dict[int, str]:
    """Return {class: HEADLINE_METRIC within the class, as text}, for the given classes, which have errors and correct predictions.

    confidence, correct, labels: arrays (n,) over the labelled samples
    """
    text_by_class = {}
    for class_index in class_indices:
        is_in_class = labels == class_index
        metrics = failure_metrics(confidence[is_in_class], correct[is_in_class])
        text_by_class[int(class_index)] = HEADLINE_METRIC.format_number(metrics[HEADLINE_METRIC.key])
    return text_by_class


def _extreme_confidence_samples(
    stored_results: StoredResults, dataset: Dataset, method: str, max_samples: int, picks_correct_predictions: bool
) -> list[DisplayedSample]:
    """Return up to `max_samples` test images with extreme confidence.

    They are the least confident correct predictions if `picks_correct_predictions`, else the most confident errors.
    """
    test_sample_indices, predicted_classes = dataset.splits["test"], stored_results.predicted()
    confidence = stored_results.confidence(method)
    candidate_positions = np.flatnonzero((predicted_classes == dataset.labels[test_sample_indices]) == picks_correct_predictions)
    candidate_confidence = confidence[candidate_positions]
    chosen_candidates = np.argsort(candidate_confidence if picks_correct_predictions else -candidate_confidence, kind="stable")[
        :max_samples
    ]
    return [
        DisplayedSample(
            _displayable_pixels(dataset.images[test_sample_indices[test_index]]),
            int(test_index),
            dataset.classes[dataset.labels[test_sample_indices[test_index]]],
            dataset.classes[predicted_classes[test_index]],
            f"{confidence[test_index]:.4g}",
        )
        for test_index in candidate_positions[chosen_candidates]
    ]


def _displayable_pixels(image: np.ndarray) -> np.ndarray:
    """Return an image uint8 (channels, h, w) as (h, w, 3), or, if it does not have three channels, its first channel as grey (h, w)."""
    return np.moveaxis(image, 0, -1) if len(image) == 3 else image[0]


def webp_data_uri(image: Image.Image, lossless: bool = False) -> str:
    """Return an image as a data URI in WebP format, compressed with loss unless `lossless`."""
    buffer = BytesIO()
    image.save(buffer, "WEBP", lossless=lossless, quality=80)
    return f"data:image/webp;base64,{b64encode(buffer.getvalue()).decode()}"
