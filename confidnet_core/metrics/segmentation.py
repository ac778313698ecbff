"""Segmentation metrics: the confusion matrix of a whole data set, and the intersection over union (IoU) of each class.

Everingham et al. 2010, "The PASCAL Visual Object Classes (VOC) Challenge", IJCV 88; the mean IoU is over the classes that occur.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64, Int, Int64, Integer
from numpy.typing import ArrayLike

from confidnet_core.metrics._ranking.samples import as_unmasked_array

_BLOCK_PIXELS = 1 << 16  # pixels counted at a time, because bincount needs 8 bytes for each


def confusion_matrix(
    labels: ArrayLike, predicted: ArrayLike, class_count: int, void_label: int | None = None
) -> Int64[np.ndarray, "classes classes"]:
    """Return the confusion matrix of pixels, int64 (classes, classes): each row is a true class, each column a predicted class.

    labels, predicted: true and predicted class indices, 0 ... class_count - 1, integers of equal shape with any number of axes
    void_label: the label of pixels without a class, which are left out; None if there are none
    Matrices of parts of a data set may be added. Raises ValueError for unequal shapes, other types and class indices out of range.
    """
    labels, predicted = as_unmasked_array("labels", labels), as_unmasked_array("predicted", predicted)
    if labels.shape != predicted.shape:
        raise ValueError(f"labels have shape {labels.shape}, predictions {predicted.shape}; give one predicted class a label")
    for argument_name, class_indices in (("labels", labels), ("predictions", predicted)):
        if class_indices.dtype.kind not in "iu":
            raise ValueError(f"{argument_name} are {class_indices.dtype}; expected integer class indices")
    label_prediction_counts = np.zeros(class_count * class_count, dtype=np.int64)
    for block_labels, block_predicted in _pixel_blocks(labels.reshape(-1), predicted.reshape(-1)):
        if void_label is not None:
            is_labelled = block_labels != void_label
            block_labels, block_predicted = block_labels[is_labelled], block_predicted[is_labelled]
        _require_valid_class_indices("label", block_labels, class_count, void_label)
        _require_valid_class_indices("prediction", block_predicted, class_count, None)
        label_prediction_counts += np.bincount(
            block_labels.astype(np.int64) * class_count + block_predicted.astype(np.int64), minlength=class_count * class_count
        )
    return label_prediction_counts.reshape(class_count, class_count)


def intersection_over_union(confusion: Int[np.ndarray, "classes classes"]) -> Float64[np.ndarray, " classes"]:
    """Return the intersection over union of each class from a confusion matrix: float64 (classes,) in [0, 1], NaN for an absent class."""
    intersections = np.diagonal(confusion)
    unions = confusion.sum(axis=0) + confusion.sum(axis=1) - intersections
    return np.divide(intersections, unions, out=np.full(len(confusion), np.nan), where=unions > 0)


def mean_iou(confusion: Int[np.ndarray, "classes classes"]) -> float | None:
    """Return the mean intersection over union (IoU), in [0, 1], over the classes that occur among labels or predictions.

    confusion: the confusion matrix (classes, classes). Returns None where it counts no pixel.
    """
    class_iou = intersection_over_union(confusion)
    is_class_present = ~np.isnan(class_iou)
    return float(class_iou[is_class_present].mean()) if is_class_present.any() else None


def _pixel_blocks(labels: Integer[np.ndarray, " n"], predicted: Integer[np.ndarray, " n"]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for block_start in range(0, len(labels), _BLOCK_PIXELS):
        yield labels[block_start : block_start + _BLOCK_PIXELS], predicted[block_start : block_start + _BLOCK_PIXELS]


def _require_valid_class_indices(
    label_or_prediction: str, class_indices: Integer[np.ndarray, " n"], class_count: int, void_label: int | None
) -> None:
    if len(class_indices) and (class_indices.min() < 0 or class_indices.max() >= class_count):
        invalid_class_index = class_indices[(class_indices < 0) | (class_indices >= class_count)][0]
        void_hint = f" or void {void_label}" if void_label is not None else ""
        expected_indices_text = f"0 ... {class_count - 1}{void_hint} (is the number of classes right?)"
        raise ValueError(f"there is a {label_or_prediction} {invalid_class_index}; expected {expected_indices_text}")
