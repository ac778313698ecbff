"""Metrics: from plain arrays to numbers, (what is scored, what is true) -> fractions in [0, 1], or nats; NumPy and SciPy only.

An undefined metric is None (an undefined entry of an array is NaN), never a number that could be mistaken for a result. Counts are int64,
equal confidences are one threshold, and the whole set is measured at once: a metric is never a mean over batches. What trainings do not
need is in modules of its own (bootstrap, calibration, conventions, guarantee, selective), so that a change there retrains nothing.
"""

from confidnet_core.metrics.failure import METRICS, failure_metrics, risk_coverage_curve, roc_curve
from confidnet_core.metrics.segmentation import confusion_matrix, intersection_over_union, mean_iou

__all__ = [
    "METRICS",
    "confusion_matrix",
    "failure_metrics",
    "intersection_over_union",
    "mean_iou",
    "risk_coverage_curve",
    "roc_curve",
]
