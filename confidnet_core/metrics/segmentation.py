"""Segmentation metrics: the confusion matrix of a whole data set, and the intersection over union (IoU) of each class.

Everingham et al. 2010, "The PASCAL Visual Object Classes (VOC) Challenge", IJCV 88; the mean IoU is over the classes that occur.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64, Int, Int64, Integer
from numpy.typing import ArrayLike

_BLOCK_PIXELS = 1 << 16  # pixels counted at a time, because bincount needs 8 bytes for each


def confusion_matrix(
    labels: ArrayLike, predicted: ArrayLike, classes: int, void: int | None = None
) -> Int64[np.ndarray, "classes classes"]:
    """Return the confusion matrix of pixels, int64 (classes, classes): row = label, column = prediction. `void` labels are left out.

    labels, predicted: integers of equal shape, with any number of axes; but for void labels, both in 0 ... classes - 1
    Matrices of parts of a data set may be added. ValueError for unequal shapes, other types and values out of range.
    """
    labels, predicted = np.asarray(labels), np.asarray(predicted)
    if labels.shape != predicted.shape:
        raise ValueError(f"labels have shape {labels.shape}, predictions {predicted.shape}; give one predicted class a label")
    for name, values in (("labels", labels), ("predictions", predicted)):
        if values.dtype.kind not in "iu":
            raise ValueError(f"{name} are {values.dtype}; expected integer class indices")
    counts = np.zeros(classes * classes, dtype=np.int64)
    for label, prediction in _pixel_blocks(labels.reshape(-1), predicted.reshape(-1)):
        if void is not None:
            is_labelled = label != void
            label, prediction = label[is_labelled], prediction[is_labelled]
        _require_class_range("label", label, classes, void)
        _require_class_range("prediction", prediction, classes, None)
        counts += np.bincount(label.astype(np.int64) * classes + prediction.astype(np.int64), minlength=classes * classes)
    return counts.reshape(classes, classes)


def intersection_over_union(confusion: Int[np.ndarray, "classes classes"]) -> Float64[np.ndarray, " classes"]:
    """Return the intersection over union of each class from a confusion matrix: float64 (classes,) in [0, 1], NaN for an absent class."""
    intersection = np.diagonal(confusion)
    union = confusion.sum(axis=0) + confusion.sum(axis=1) - intersection
    return np.divide(intersection, union, out=np.full(len(confusion), np.nan), where=union > 0)


def mean_iou(confusion: Int[np.ndarray, "classes classes"]) -> float | None:
    """Return the mean intersection over union, in [0, 1], of the classes among labels and predictions; None where no pixel is labelled."""
    class_iou = intersection_over_union(confusion)
    is_defined = ~np.isnan(class_iou)
    return float(class_iou[is_defined].mean()) if is_defined.any() else None


def _pixel_blocks(labels: Integer[np.ndarray, " n"], predicted: Integer[np.ndarray, " n"]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for start in range(0, len(labels), _BLOCK_PIXELS):
        yield labels[start : start + _BLOCK_PIXELS], predicted[start : start + _BLOCK_PIXELS]


def _require_class_range(name: str, values: Integer[np.ndarray, " n"], classes: int, void: int | None) -> None:
    if len(values) and (values.min() < 0 or values.max() >= classes):
        value = values[(values < 0) | (values >= classes)][0]
        void_hint = f" or void {void}" if void is not None else ""
        raise ValueError(f"there is a {name} {value}; expected 0 ... {classes - 1}{void_hint} (is the number of classes right?)")
