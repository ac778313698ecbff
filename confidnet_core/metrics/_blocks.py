"""Counts at distinct confidences in the blocks in which failure_metrics counts arrays, so that sums are rounded alike, to the last bit."""

from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Bool, Int64, Real

from confidnet_core.metrics._ranking import counts as counting

# (distinct confidences, numbers of samples, numbers of errors), from the highest confidence down.
CountChunks = Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]


def in_blocks(
    chunks: CountChunks, n_samples: int, lowest: np.generic, highest: np.generic
) -> Iterator[tuple[Int64[np.ndarray, " m"], Int64[np.ndarray, " m"]]]:
    """Yield the counts of chunks of any size in the blocks of count_by_confidence: pairs of int64 arrays (samples, errors), highest first.

    n_samples: the number of all samples; lowest, highest: the lowest and the highest of all confidences, of their type
    """
    is_dense, highest_key, block_index = False, 0, 0
    if lowest.dtype == np.float32:
        lowest_key, highest_key = _float_keys(np.array([lowest, highest])).tolist()
        is_dense = highest_key - lowest_key < counting._MAX_FLOAT_KEYS_PER_SAMPLE * n_samples
    samples_above, waiting = 0, []
    for values, sample_counts, error_counts in chunks:
        if is_dense:
            block_indices = (highest_key - _float_keys(values).astype(np.int64)) // counting._BLOCK_SIZE
            is_next_other = np.append(block_indices[1:] != block_indices[:-1], False)
            if waiting and block_indices[0] != block_index:
                yield _joined(waiting, is_dense)
                waiting = []
            block_index = int(block_indices[-1])
        else:
            is_next_other = _starts_sorted_block(samples_above, sample_counts, n_samples)
        samples_above += int(sample_counts.sum())
        for start, end in _slices(is_next_other):
            waiting.append((sample_counts[start:end], error_counts[start:end]))
            if is_next_other[end - 1]:
                yield _joined(waiting, is_dense)
                waiting = []
    if waiting:
        yield _joined(waiting, is_dense)


def _starts_sorted_block(samples_above: int, sample_counts: Int64[np.ndarray, " m"], n_samples: int) -> Bool[np.ndarray, " m"]:
    """Return whether each confidence is the lowest of a block: whether one of its ranks from the lowest, 0, divides by the block size."""
    end_ranks = n_samples - samples_above - np.cumsum(sample_counts) + sample_counts
    first_ranks = end_ranks - sample_counts
    return -(-first_ranks // counting._BLOCK_SIZE) * counting._BLOCK_SIZE < end_ranks


def _slices(is_last: Bool[np.ndarray, " m"]) -> Iterator[tuple[int, int]]:
    """Yield the (start, end) of slices that end with an element that is the last of its block, or at the end."""
    ends = (np.flatnonzero(is_last) + 1).tolist()
    if not ends or ends[-1] < len(is_last):
        ends.append(len(is_last))
    yield from zip([0, *ends[:-1]], ends, strict=True)


def _joined(waiting: list[tuple[np.ndarray, np.ndarray]], is_dense: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the parts of a block as one, in the memory layout of count_by_confidence, on which the rounding of sums depends."""
    sample_counts, error_counts = (np.concatenate(parts) for parts in zip(*waiting, strict=True))
    if is_dense:
        return sample_counts, error_counts
    return np.ascontiguousarray(sample_counts[::-1])[::-1], np.ascontiguousarray(error_counts[::-1])[::-1]


def _float_keys(values: Real[np.ndarray, " m"]) -> np.ndarray:
    return counting._order_preserving_float_keys(np.ascontiguousarray(values))
