"""A coarser grid of confidences: cells of floats that share their leading bits, and the bounds of metrics where only cells are known."""

import numpy as np
from jaxtyping import Int64, Real

from confidnet_core.metrics import METRICS, metrics_of_counts
from confidnet_core.metrics._ranking.risk import TARGET_RISKS, _harmonic_number_difference

MAX_SHIFT = 62


def round_down(values: Real[np.ndarray, " m"], dropped_bits: int) -> Real[np.ndarray, " m"]:
    """Return the lowest value of the cell of each value: of the type of `values`, (m,), in their order.

    A cell holds the numbers that differ in their last `dropped_bits` bits only; so cells of more dropped bits consist of whole cells of
    fewer. Integers are rounded down to a multiple of 2^dropped_bits. Raises ValueError for floats of other than 4 or 8 bytes.
    """
    dtype = values.dtype
    bit_count = 8 * dtype.itemsize
    if dtype.kind != "f":
        dropped_bits = min(dropped_bits, bit_count - 1)
        return (values >> dropped_bits) << dropped_bits
    if dtype.itemsize not in (4, 8):
        raise ValueError(f"confidence is {dtype}, which has no coarser grid; give float64, or leave max_distinct out")
    integer = np.dtype(f"i{dtype.itemsize}")
    sign_bit = np.iinfo(integer).min
    bits = np.ascontiguousarray(values).view(integer)
    keys = np.where(bits < 0, -(bits & np.iinfo(integer).max), bits)  # in the order of the floats; both zeros have 0
    lowest_key = -int(np.array(np.finfo(dtype).max).view(integer))
    dropped_bits = min(dropped_bits, bit_count - 2)
    keys = np.maximum((keys >> dropped_bits) << dropped_bits, lowest_key)
    return np.where(keys < 0, -keys | sign_bit, keys).astype(integer).view(dtype)


def metric_bounds(sample_counts: Int64[np.ndarray, " m"], error_counts: Int64[np.ndarray, " m"]) -> dict[str, tuple[float, float] | None]:
    """Return {metric: (lowest, highest)} over all data with these counts in cells, whatever the order within a cell; None if undefined.

    sample_counts, error_counts: (m,) the numbers of samples and errors of each cell, from the highest confidence down
    Every metric is best where the correct predictions of each cell are above its errors, and worst where they are below. Average precision
    is highest if those are equal, since equal confidences share the precision of the last, and lowest if all differ; the coverage at a
    risk is the largest if errors can be accepted one by one, and the least if a cell is accepted as a whole.
    """
    n_samples, n_correct = int(sample_counts.sum()), int(sample_counts.sum() - error_counts.sum())
    success_counts = sample_counts - error_counts
    cells, best, worst = (
        metrics_of_counts(n_samples, n_correct, iter([counts]))
        for counts in (
            (sample_counts, error_counts),
            _interleaved(success_counts, error_counts, errors_first=False),
            _interleaved(success_counts, error_counts, errors_first=True),
        )
    )
    if n_correct not in (0, n_samples):
        samples_above, errors_above = (np.cumsum(counts) - counts for counts in (sample_counts, error_counts))
        below = n_samples - samples_above - sample_counts, n_samples - n_correct - errors_above - error_counts
        worst["aupr_error"] = _least_precision_sum(below[1], below[0], error_counts, success_counts) / (n_samples - n_correct)
        correct_above = samples_above - errors_above
        worst["aupr_success"] = _least_precision_sum(correct_above, samples_above, success_counts, error_counts) / n_correct
        for metric, risk in zip(("coverage_at_1_risk", "coverage_at_5_risk"), TARGET_RISKS, strict=True):
            accepted = samples_above + success_counts
            further = np.floor((risk * accepted - errors_above) / (1 - risk) + 1e-6)
            reachable = np.where(further >= 0, accepted + np.minimum(further, error_counts), 0)
            best[metric], worst[metric] = float(reachable.max()) / n_samples, cells[metric]
    bounds: dict[str, tuple[float, float] | None] = {}
    for metric in METRICS:
        values = [found[metric] for found in (cells, best, worst)]
        defined = [value for value in values if value is not None]
        bounds[metric] = (min(defined), max(defined)) if defined else None
    return bounds


def _interleaved(
    success_counts: Int64[np.ndarray, " m"], error_counts: Int64[np.ndarray, " m"], *, errors_first: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return (samples, errors) of each cell taken apart by outcome, with the errors above the correct predictions or below them."""
    samples, errors = np.zeros((2, 2 * len(success_counts)), np.int64)
    samples[int(errors_first) :: 2] = success_counts
    samples[int(not errors_first) :: 2] = errors[int(not errors_first) :: 2] = error_counts
    is_filled = samples > 0
    return samples[is_filled], errors[is_filled]


def _least_precision_sum(
    found: Int64[np.ndarray, " m"], seen: Int64[np.ndarray, " m"], wanted: Int64[np.ndarray, " m"], unwanted: Int64[np.ndarray, " m"]
) -> float:
    """Return the sum of precisions where in each cell all `unwanted` come first, and then the `wanted` one by one.

    found, seen: (m,) the numbers of the wanted, and of all, before the cell. The sum over j of (found + j) / (seen + unwanted + j) is
    wanted - (seen + unwanted - found) * (H(seen + unwanted + wanted) - H(seen + unwanted)), with the harmonic numbers H.
    """
    before = seen + unwanted
    return float(np.sum(wanted - (before - found) * _harmonic_number_difference(before, before + wanted)))
