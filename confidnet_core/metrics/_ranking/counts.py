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
    """Yield pairs of int64 arrays: the numbers of samples and errors at each distinct confidence, highest first, never empty.

    confidence (n,) finite, correct (n,) bool, n >= 1: input that has passed check_samples and require_finite
    """
    if confidence.dtype == np.float32:
        lowest_key, highest_key = _ordered_keys(np.array([confidence.min(), confidence.max()])).tolist()
        if highest_key - lowest_key < _MAX_KEYS_PER_SAMPLE * len(confidence):
            return _count_by_float_keys(confidence, correct, lowest_key, highest_key)
    return _count_by_sorting(np.sort(confidence), np.sort(confidence[~correct]))


def distinct_values(ranked: Real[np.ndarray, " n"]) -> tuple[Real[np.ndarray, " values"], Int[np.ndarray, " values"]]:
    """Return the distinct values of a sorted array, and how often each occurs; -0.0 equals 0.0."""
    starts = np.flatnonzero(np.append(len(ranked) > 0, ranked[1:] != ranked[:-1]))
    return ranked[starts], np.diff(starts, append=len(ranked))


def _count_by_sorting(ranked: Real[np.ndarray, " n"], errors: Real[np.ndarray, " errors"]) -> CountBlocks:
    """Yield the blocks of count_by_confidence. ranked, errors: the confidences of all samples and of errors, sorted from low to high."""
    block_start_confidences = np.unique(ranked[::_BLOCK_SIZE])
    starts = np.append(np.searchsorted(ranked, block_start_confidences), len(ranked))
    error_starts = np.append(np.searchsorted(errors, block_start_confidences), len(errors))
    for block_index in range(len(block_start_confidences) - 1, -1, -1):
        distinct_confidences, sample_count = distinct_values(ranked[starts[block_index] : starts[block_index + 1]])
        distinct_error_confidences, errors_per_value = distinct_values(errors[error_starts[block_index] : error_starts[block_index + 1]])
        error_count = np.zeros_like(sample_count)
        error_count[np.searchsorted(distinct_confidences, distinct_error_confidences)] = errors_per_value
        yield sample_count[::-1], error_count[::-1]


def _count_by_float_keys(
    confidence: Float32[np.ndarray, " n"], correct: Bool[np.ndarray, " n"], lowest_key: int, highest_key: int
) -> CountBlocks:
    """Yield the blocks of count_by_confidence, by counting the integer keys of the confidences, from highest_key to lowest_key."""
    sample_counts = np.zeros(highest_key - lowest_key + 1, np.min_scalar_type(len(confidence)))  # uint32 for 40 million
    error_counts = np.zeros_like(sample_counts)
    count_increment = sample_counts.dtype.type(1)  # np.add.at is fast if it need not cast, and takes no other memory
    for start in range(0, len(confidence), _BLOCK_SIZE):
        block = slice(start, start + _BLOCK_SIZE)
        keys = _ordered_keys(confidence[block]).astype(np.intp) - lowest_key
        error_keys = keys[~correct[block]]
        np.add.at(sample_counts, keys, count_increment)
        np.add.at(error_counts, error_keys, count_increment)
    for end in range(len(sample_counts), 0, -_BLOCK_SIZE):
        block = slice(max(end - _BLOCK_SIZE, 0), end)
        occurring_keys = np.flatnonzero(sample_counts[block])[::-1]
        if len(occurring_keys):
            yield sample_counts[block][occurring_keys].astype(np.int64), error_counts[block][occurring_keys].astype(np.int64)


def _ordered_keys(confidence: Float32[np.ndarray, " n"]) -> Int32[np.ndarray, " n"]:
    """Return an int32 key for each float32: keys keep the order, neighbouring floats get neighbouring keys, -0.0 and 0.0 get 0."""
    float_bits = confidence.view(np.int32)  # a negative float is the sign bit and its magnitude; its key is minus the magnitude
    sign_mask = float_bits >> 31
    return (float_bits ^ (sign_mask & 0x7FFFFFFF)) - sign_mask
