"""Cells of confidence: neighbouring confidences that a bootstrap of many samples counts as equal, narrow where a metric is sensitive."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64, Real

MAX_CELL_COUNT = 1400
_QUANTILES = 512  # of all samples
_ERROR_QUANTILES = 384
_QUANTILES_AT_95_TPR = 128
_WINDOW_AT_95_TPR = 6.0  # standard deviations of the rank of the threshold to either side
_MAX_SEPARATE_ERRORS = 256  # up to so many errors have cells of their own, without any correct prediction of another confidence


class CellEdges:
    """Edges between cells, picked from distinct confidences that arrive in blocks, from the highest down. Each is the lowest of its cell.

    Where there are at most MAX_CELL_COUNT / 2 distinct confidences, each has its own cell, and nothing counts as equal that is not.
    Otherwise the edges lie at ranks: quantiles of all samples and of the errors, powers of two from the top and the bottom, and densely
    around the threshold that accepts 95 % of the correct predictions, at which FPR@95%TPR jumps.
    """

    def __init__(self, sample_count: int, error_count: int):
        """sample_count, error_count: the number of all samples, and of the errors among them, of all blocks together."""
        self._ranks = [
            _edge_ranks(sample_count, _QUANTILES),
            _edge_ranks(error_count, _ERROR_QUANTILES),
            _ranks_at_95_tpr(sample_count - error_count),
        ]
        self._seen = [0, 0, 0]
        self._separate_errors = error_count <= _MAX_SEPARATE_ERRORS
        self._picked: list[np.ndarray] = []
        self._last_value: np.ndarray | None = None  # of the blocks so far
        self._all: list[np.ndarray] | None = []

    def add(self, values: Real[np.ndarray, " m"], sample_counts: Int64[np.ndarray, " m"], error_counts: Int64[np.ndarray, " m"]) -> None:
        """Take the next block: distinct confidences (m,) from high to low, and the numbers of samples and of errors at each."""
        if self._all is not None:
            self._all.append(values[: MAX_CELL_COUNT + 1].copy())
            if sum(map(len, self._all)) > MAX_CELL_COUNT // 2:
                self._all = None
        picked_indices = []
        for index, counts in enumerate((sample_counts, error_counts, sample_counts - error_counts)):
            last_ranks = self._seen[index] + np.cumsum(counts)
            ranks = self._ranks[index]
            ranks = ranks[(ranks > self._seen[index]) & (ranks <= last_ranks[-1])]
            picked_indices.append(np.searchsorted(last_ranks, ranks))
            self._seen[index] = int(last_ranks[-1])
        if self._separate_errors:
            error_indices = np.flatnonzero(error_counts)
            picked_indices += [error_indices, error_indices[error_indices > 0] - 1]
            if self._last_value is not None and error_counts[0]:
                self._picked.append(self._last_value)
        self._last_value = values[-1:].copy()
        self._picked.append(values[np.unique(np.concatenate(picked_indices))])

    def edges(self) -> Real[np.ndarray, " edges"]:
        """Return the edges from low to high; the cell of a confidence is the number of edges at or below it (searchsorted, "right")."""
        return np.unique(np.concatenate(self._picked if self._all is None else self._all))


def edges_of_counts(blocks: Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]], sample_count: int, error_count: int) -> np.ndarray:
    """Return the edges, from low to high, for blocks (values, samples, errors) as `CellEdges.add` takes them."""
    cell_edges = CellEdges(sample_count, error_count)
    for block in blocks:
        cell_edges.add(*block)
    return cell_edges.edges()


def _edge_ranks(count: int, quantile_count: int) -> Int64[np.ndarray, " ranks"]:
    """Return ranks from 1, the highest, to `count`: evenly spaced ones, and powers of two from either end."""
    if count == 0:
        return np.empty(0, np.int64)
    powers = 2 ** np.arange(max(count.bit_length() - 1, 1))
    even = np.linspace(1, count, min(quantile_count, count)).astype(np.int64)
    return np.unique(np.concatenate([even, powers, count + 1 - powers]))


def _ranks_at_95_tpr(correct_count: int) -> Int64[np.ndarray, " ranks"]:
    """Return ranks among the correct predictions, 1 the highest, around the one at 95 %."""
    if correct_count == 0:
        return np.empty(0, np.int64)
    reach = _WINDOW_AT_95_TPR * (0.95 * 0.05 * correct_count) ** 0.5
    ranks = np.linspace(0.95 * correct_count - reach, 0.95 * correct_count + reach, _QUANTILES_AT_95_TPR)
    return np.unique(np.clip(ranks, 1, correct_count).astype(np.int64))
