"""Metrics of failure prediction, calibration and segmentation: pure functions of NumPy arrays that return fractions in [0, 1] or nats.

An undefined metric is None (in an array NaN), never a number that could be mistaken for a result. Counts are int64, equal confidences
share one threshold, and each metric is computed over the whole data set, never as a mean over batches. Metrics that no training needs
have modules of their own (bootstrap, calibration, conventions, counts, guarantee, selective), so that a change to them retrains nothing.
"""

from confidnet_core.metrics.failure import METRICS, failure_metrics, metrics_of_counts, risk_coverage_curve, roc_curve
from confidnet_core.metrics.segmentation import confusion_matrix, intersection_over_union, mean_iou

__all__ = [
    "METRICS",
    "confusion_matrix",
    "failure_metrics",
    "intersection_over_union",
    "mean_iou",
    "metrics_of_counts",
    "risk_coverage_curve",
    "roc_curve",
]
