"""Curves from counts at distinct confidences, equal to those that failure.py draws from arrays of samples."""

import numpy as np
from jaxtyping import Float64, Int64

from confidnet_core.metrics._ranking.risk import selective_risk_within_tie

Curve = tuple[Float64[np.ndarray, " points"], Float64[np.ndarray, " points"]]


def risk_coverage_points(sample_counts: Int64[np.ndarray, " m"], error_counts: Int64[np.ndarray, " m"], max_points: int = 200) -> Curve:
    """Return coverages and selective risks. sample_counts, error_counts: (m,) at each distinct confidence, from low to high"""
    _require_curve_points(max_points, 1)
    sample_counts, error_counts = sample_counts[::-1], error_counts[::-1]
    accepted, errors_accepted = np.cumsum(sample_counts), np.cumsum(error_counts)
    n_samples = int(accepted[-1])
    point_count = min(max_points, n_samples)
    accepted_counts = -(-np.arange(1, point_count + 1) * n_samples // point_count)  # rounded up
    index = np.searchsorted(accepted, accepted_counts)
    ties = sample_counts[index], errors_accepted[index] - error_counts[index], error_counts[index]
    return accepted_counts / n_samples, selective_risk_within_tie(accepted_counts, accepted[index] - ties[0], *ties)


def roc_points(sample_counts: Int64[np.ndarray, " m"], error_counts: Int64[np.ndarray, " m"], max_points: int = 200) -> Curve:
    """Return false and true positive rates. sample_counts, error_counts: (m,) at each distinct confidence, from low to high"""
    _require_curve_points(max_points, 2)
    samples_up_to, errors_up_to = np.cumsum(sample_counts), np.cumsum(error_counts)
    n_samples, n_errors = int(samples_up_to[-1]), int(errors_up_to[-1])
    if n_errors in (0, n_samples):
        return np.empty(0), np.empty(0)
    max_thresholds = max_points - 1
    index = np.arange(len(sample_counts))
    if len(index) > max_thresholds:
        shares = (samples_up_to, max_thresholds - max_thresholds // 2), (errors_up_to, max_thresholds // 2)
        index = np.unique(
            np.concatenate(
                [np.searchsorted(up_to, np.linspace(0, up_to[-1] - 1, count).astype(np.int64), side="right") for up_to, count in shares]
            )
        )
    index = index[::-1]
    errors_accepted = np.append(0, n_errors - errors_up_to[index] + error_counts[index])
    accepted = np.append(0, n_samples - samples_up_to[index] + sample_counts[index])
    return errors_accepted / n_errors, (accepted - errors_accepted) / (n_samples - n_errors)


def _require_curve_points(max_points: int, min_curve_points: int) -> None:
    if max_points < min_curve_points:
        raise ValueError(f"max_points is {max_points}; expected at least {min_curve_points}")
