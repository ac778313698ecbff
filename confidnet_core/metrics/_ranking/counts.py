"""Numbers of samples and errors at each distinct confidence, by sorting or by counting: all that a ranking metric depends on."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float32, Int, Int32, Real

CountBlocks = Iterator[tuple[np.ndarray, np.ndarray]]

# Up to this many float32 keys per sample, counting is faster than sorting by a third or more, and takes at most 16 bytes per sample.
_MAX_KEYS_PER_SAMPLE = 2
# Samples, or neighbouring confidences, processed at a time: temporary arrays stay in cache and do not grow with the data.
_BLOCK_SIZE = 1 << 17


def count_by_confidence(confidence: Real[np.ndarray, " n"], correct: Bool[np.ndarray, " n"]) -> CountBlocks:
    """Yield blocks of (samples, errors) at each distinct confidence, from the highest on: int64 arrays of one length, never empty.

    confidence (n,) finite, correct (n,) bool, n >= 1: input that has passed check_samples and require_finite
    """
    if confidence.dtype == np.float32:
        low, high = _ordered_keys(np.array([confidence.min(), confidence.max()])).tolist()
        if high - low < _MAX_KEYS_PER_SAMPLE * len(confidence):
            return _count_by_keys(confidence, correct, low, high)
    return _count_by_sorting(np.sort(confidence), np.sort(confidence[~correct]))


def distinct_values(ranked: Real[np.ndarray, " n"]) -> tuple[Real[np.ndarray, " values"], Int[np.ndarray, " values"]]:
    """Return the distinct values of a sorted array and their counts; -0.0 equals 0.0."""
    starts = np.flatnonzero(np.append(len(ranked) > 0, ranked[1:] != ranked[:-1]))
    return ranked[starts], np.diff(starts, append=len(ranked))


def _count_by_sorting(ranked: Real[np.ndarray, " n"], errors: Real[np.ndarray, " errors"]) -> CountBlocks:
    """Count by sorting. ranked, errors: the confidences of all samples and of the errors, each sorted from low to high."""
    block_start = np.unique(ranked[::_BLOCK_SIZE])
    starts = np.append(np.searchsorted(ranked, block_start), len(ranked))
    error_starts = np.append(np.searchsorted(errors, block_start), len(errors))
    for block in range(len(block_start) - 1, -1, -1):
        value, sample_count = distinct_values(ranked[starts[block] : starts[block + 1]])
        error_value, count = distinct_values(errors[error_starts[block] : error_starts[block + 1]])
        error_count = np.zeros_like(sample_count)
        error_count[np.searchsorted(value, error_value)] = count
        yield sample_count[::-1], error_count[::-1]


def _count_by_keys(confidence: Float32[np.ndarray, " n"], correct: Bool[np.ndarray, " n"], low: int, high: int) -> CountBlocks:
    """Count each integer key between low and high, the keys of the lowest and the highest confidence."""
    sample_counts = np.zeros(high - low + 1, np.min_scalar_type(len(confidence)))  # uint32 for 40 million
    error_counts = np.zeros_like(sample_counts)
    unit = sample_counts.dtype.type(1)  # np.add.at is fast if it need not cast, and takes no other memory
    for start in range(0, len(confidence), _BLOCK_SIZE):
        block = slice(start, start + _BLOCK_SIZE)
        key = _ordered_keys(confidence[block]).astype(np.intp) - low
        error_key = key[~correct[block]]
        np.add.at(sample_counts, key, unit)
        np.add.at(error_counts, error_key, unit)
    for end in range(len(sample_counts), 0, -_BLOCK_SIZE):
        block = slice(max(end - _BLOCK_SIZE, 0), end)
        occupied = np.flatnonzero(sample_counts[block])[::-1]
        if len(occupied):
            yield sample_counts[block][occupied].astype(np.int64), error_counts[block][occupied].astype(np.int64)


def _ordered_keys(confidence: Float32[np.ndarray, " n"]) -> Int32[np.ndarray, " n"]:
    """Map float32 to int32 so that order is preserved and neighbouring floats get neighbouring keys; -0.0 and 0.0 both get 0."""
    bits = confidence.view(np.int32)  # a negative float is the sign bit and its magnitude; its key is minus the magnitude
    sign = bits >> 31
    return (bits ^ (sign & 0x7FFFFFFF)) - sign
