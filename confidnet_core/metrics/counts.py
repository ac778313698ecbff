"""Counts that can be added up: the failure metrics of samples that arrive in batches, or are spread over processes and machines.

All failure metrics depend only on how many samples and errors each distinct confidence has. FailureCounts keeps these numbers: `update`
adds a batch, `merge` the counts of another process, and `compute` returns what failure_metrics returns for all samples at once.
"""

import os
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64, Real
from numpy.typing import ArrayLike

from confidnet_core.metrics import metrics_of_counts
from confidnet_core.metrics._blocks import in_blocks
from confidnet_core.metrics._count_curves import risk_coverage_points, roc_points
from confidnet_core.metrics._grid import MAX_SHIFT, metric_bounds, round_down
from confidnet_core.metrics._ranking.counts import distinct_values_and_counts
from confidnet_core.metrics._ranking.samples import check_confidence_and_correct, require_finite_confidence
from confidnet_core.system.leftovers import remove_dead_temporaries, temporary_name

_MIN_COMPACTED = 1 << 16  # distinct confidences that wait for the next merge at least, so that small batches are merged together

# Distinct confidences from low to high, and the numbers of samples and of errors at each: three arrays (m,).
Run = tuple[np.ndarray, np.ndarray, np.ndarray]


class FailureCounts:
    """The numbers of samples and errors at each distinct confidence, from which all failure metrics follow.

    counts = FailureCounts()
    for confidence, correct in batches:
        counts.update(confidence, correct)
    counts.merge(FailureCounts.load("from_another_machine.npz"))
    counts.compute()  # {"accuracy": 0.92, ..., "auroc": 0.89, ...}

    Any split into batches and any order of merges gives the same metrics, to the last bit those of failure_metrics on one array of all
    samples. Memory is 24 bytes for each distinct confidence, up to three times as much while counts are merged, beside one sorted batch.

    max_distinct: None, or the largest number of distinct confidences that are kept, at least 4: it bounds memory. If there are more, the
    confidences are rounded down to a grid, in which they share their leading bits: as few bits are dropped as this needs, so that the
    grid does not depend on the order either. Then `is_exact` is False, `compute` takes confidences of one cell as equal, and `bounds`
    states between which values each metric of the unrounded confidences lies.
    """

    def __init__(self, max_distinct: int | None = None):
        if max_distinct is not None and max_distinct < 4:
            raise ValueError(f"max_distinct is {max_distinct}; expected at least 4, or None for no limit")
        self.max_distinct = max_distinct
        self._types: set[np.dtype] = set()
        self._runs: list[Run] = []
        self._waiting = 0  # distinct confidences in all runs but the first
        self._dropped_bits = 0

    def update(self, confidence: ArrayLike, correct: ArrayLike) -> None:
        """Add a batch of samples, which may be empty.

        confidence: (n,) finite real numbers, higher = more confident; correct: (n,) bool, or integers 0 and 1
        Raises ValueError for arrays that failure_metrics refuses, and then adds nothing.
        """
        if np.shape(confidence) == np.shape(correct) == (0,):
            return
        confidence, correct = check_confidence_and_correct(confidence, correct)
        require_finite_confidence(confidence)
        confidence = confidence.astype(confidence.dtype.newbyteorder("="), copy=False)
        values, sample_counts = distinct_values_and_counts(np.sort(confidence))
        error_values, errors_at_values = distinct_values_and_counts(np.sort(confidence[~correct]))
        error_counts = np.zeros(len(values), np.int64)
        error_counts[np.searchsorted(values, error_values)] = errors_at_values
        self._add(values, sample_counts.astype(np.int64), error_counts)

    def merge(self, other: "FailureCounts") -> None:
        """Add the samples that another object counts, which stays as it is.

        Raises ValueError if one of the two is on a coarser grid and the types of the confidences differ.
        """
        if not other.sample_count:
            return
        values, sample_counts, error_counts = other._compacted()
        if other._dropped_bits > self._dropped_bits:
            self._require_one_type(self._types | {values.dtype}, is_coarse=True)
            if self._runs:
                self._compacted()
            self._dropped_bits = other._dropped_bits
        self._add(values, sample_counts, error_counts, types=other._types)

    def reset(self) -> None:
        """Forget all samples."""
        self._types, self._runs, self._waiting, self._dropped_bits = set(), [], 0, 0

    def compute(self) -> dict[str, float | None]:
        """Return {metric: value}, the failure metrics of all samples so far, as failure_metrics does. ValueError if there are none."""
        values, sample_counts, error_counts = self._compacted()
        sample_count, error_count = int(sample_counts.sum()), int(error_counts.sum())
        chunk = values[::-1], sample_counts[::-1], error_counts[::-1]
        return metrics_of_counts(sample_count, sample_count - error_count, in_blocks([chunk], sample_count, values[0], values[-1]))

    def bounds(self) -> dict[str, tuple[float, float] | None]:
        """Return {metric: (low, high)}: the metric of the confidences as they were given lies between the two; None if undefined.

        Both are the value of `compute` while the counts are exact. ValueError if there are no samples.
        """
        _, sample_counts, error_counts = self._compacted()
        if self.is_exact:
            return {metric: None if value is None else (value, value) for metric, value in self.compute().items()}
        return metric_bounds(sample_counts[::-1], error_counts[::-1])

    def risk_coverage_curve(self, max_curve_points: int = 200) -> tuple[Float64[np.ndarray, " points"], Float64[np.ndarray, " points"]]:
        """Return coverages and selective risks, as `risk_coverage_curve` does for all samples at once."""
        _, sample_counts, error_counts = self._compacted()
        return risk_coverage_points(sample_counts, error_counts, max_curve_points)

    def roc_curve(self, max_curve_points: int = 200) -> tuple[Float64[np.ndarray, " points"], Float64[np.ndarray, " points"]]:
        """Return false and true positive rates, as `roc_curve` does for all samples at once."""
        _, sample_counts, error_counts = self._compacted()
        return roc_points(sample_counts, error_counts, max_curve_points)

    @property
    def sample_count(self) -> int:
        """Return the number of samples so far."""
        return sum(int(sample_counts.sum()) for _, sample_counts, _ in self._runs)

    @property
    def error_count(self) -> int:
        """Return the number of incorrect predictions so far."""
        return sum(int(error_counts.sum()) for _, _, error_counts in self._runs)

    @property
    def distinct_count(self) -> int:
        """Return the number of distinct confidences so far, or of cells if the counts are not exact."""
        return len(self._compacted()[0]) if self._runs else 0

    @property
    def is_exact(self) -> bool:
        """Return whether every confidence is counted as it was given. False after max_distinct has been exceeded."""
        if self._runs:
            self._compacted()
        return self._dropped_bits == 0

    def distinct(self) -> tuple[Real[np.ndarray, " m"], Int64[np.ndarray, " m"], Int64[np.ndarray, " m"]]:
        """Return the distinct confidences (m,) from low to high, and the numbers of samples and of errors at each, int64 (m,)."""
        values, sample_counts, error_counts = self._compacted()
        return values.copy(), sample_counts.copy(), error_counts.copy()

    def save(self, path: str | Path) -> None:
        """Write the counts to an NPZ file of plain arrays, which replaces `path` once it is complete."""
        values, sample_counts, error_counts = self._compacted()
        path = Path(path)
        remove_dead_temporaries(path.parent, path.name)
        temporary_path = path.with_name(temporary_name(path.name, "tmp"))
        types = np.array(sorted(dtype.str for dtype in self._types))
        bits_and_limit = np.array([self._dropped_bits, self.max_distinct or 0])
        try:
            with temporary_path.open("wb") as file:
                np.savez(file, values=values, samples=sample_counts, errors=error_counts, types=types, bits_and_limit=bits_and_limit)
            os.replace(temporary_path, path)
        finally:
            temporary_path.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path) -> "FailureCounts":
        """Return the counts that `save` wrote. Raises ValueError that names the file if it is missing, damaged or another file."""
        try:
            # np.load leaves a damaged file open that it opened itself.
            with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as stored:
                values, sample_counts, error_counts = (stored[name] for name in ("values", "samples", "errors"))
                types, (dropped_bits, max_distinct) = stored["types"].tolist(), stored["bits_and_limit"].tolist()
        except FileNotFoundError:
            raise ValueError(f"{path} does not exist; expected an NPZ file that FailureCounts.save wrote") from None
        except Exception as error:  # zipfile, zlib, NumPy and the file system raise several kinds for a damaged file
            raise ValueError(f"{path} holds no counts ({error}); expected an NPZ file that FailureCounts.save wrote") from error
        is_valid = len(values) == len(sample_counts) == len(error_counts) > 0 and values.dtype.kind in "fiu"
        if (
            not is_valid
            or not (np.diff(values) > 0).all()
            or (sample_counts < 1).any()
            or ((error_counts < 0) | (error_counts > sample_counts)).any()
        ):
            raise ValueError(f"{path} holds no valid counts; write them again with FailureCounts.save")
        counts = cls(max_distinct or None)
        counts._types, counts._dropped_bits = {np.dtype(name) for name in types}, dropped_bits
        counts._runs = [(values, sample_counts, error_counts)]
        return counts

    def _add(self, *run: np.ndarray, types: set[np.dtype] | None = None) -> None:
        types = self._types | (types or {run[0].dtype})
        self._require_one_type(types, is_coarse=self._dropped_bits > 0)
        self._types = types
        self._runs.append((run[0], run[1], run[2]))
        self._waiting += len(run[0]) if len(self._runs) > 1 else 0
        first_is_too_long = self.max_distinct is not None and len(self._runs[0][0]) > self.max_distinct
        if first_is_too_long or self._waiting > max(len(self._runs[0][0]), _MIN_COMPACTED):
            self._compacted()

    def _require_one_type(self, types: set[np.dtype], *, is_coarse: bool) -> None:
        if is_coarse and len(types) > 1:
            names = " and ".join(sorted(str(dtype) for dtype in types))
            raise ValueError(f"confidences are {names}, which have no common coarser grid; give one type, or a larger max_distinct")

    def _compacted(self) -> Run:
        """Return all counts as one run, in which each confidence occurs once, and keep it in place of all runs."""
        if not self._runs:
            raise ValueError("there are no samples: `update` has added none; check that the data holds samples")
        dtype = np.result_type(*self._types)
        if len(self._runs) > 1 or self._runs[0][0].dtype != dtype:
            values, sample_counts, error_counts = (np.concatenate(arrays) for arrays in zip(*self._runs, strict=True))
            values = values.astype(dtype, copy=False)
            if self._dropped_bits:
                values = round_down(values, self._dropped_bits)
            order = np.argsort(values, kind="stable")  # merges the sorted runs
            self._runs = [_without_repeats(values[order], sample_counts[order], error_counts[order])]
        self._coarsen()
        self._waiting = 0
        return self._runs[0]

    def _coarsen(self) -> None:
        """Round down to as fine a grid as max_distinct allows."""
        values, sample_counts, error_counts = self._runs[0]
        if self.max_distinct is None or len(values) <= self.max_distinct:
            return
        self._require_one_type(self._types, is_coarse=True)
        while len(values) > self.max_distinct and self._dropped_bits < MAX_SHIFT:
            self._dropped_bits += 1
            values, sample_counts, error_counts = _without_repeats(round_down(values, self._dropped_bits), sample_counts, error_counts)
        self._runs = [(values, sample_counts, error_counts)]


def _without_repeats(values: Real[np.ndarray, " m"], sample_counts: Int64[np.ndarray, " m"], error_counts: Int64[np.ndarray, " m"]) -> Run:
    """Return a run without repeated values, from one that is sorted and may repeat them; counts of equal values are added."""
    is_first = np.append(True, values[1:] != values[:-1])
    if is_first.all():
        return values, sample_counts, error_counts
    first_indices = np.flatnonzero(is_first)
    return values[first_indices], np.add.reduceat(sample_counts, first_indices), np.add.reduceat(error_counts, first_indices)
