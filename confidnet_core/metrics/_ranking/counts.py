"""Numbers of samples and errors at each distinct confidence, by sorting or by counting: all that a ranking metric depends on."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float32, Int, Int32, Real

# Blocks of pairs (numbers of samples, numbers of errors) at neighbouring distinct confidences, the highest confidence first.
SampleErrorCountBlocks = Iterator[tuple[np.ndarray, np.ndarray]]

# Up to this many float32 keys per sample, counting is faster than sorting by a third or more, and takes at most 16 bytes per sample.
_MAX_FLOAT_KEYS_PER_SAMPLE = 2
# Samples, or neighbouring confidences, processed at a time: temporary arrays stay in cache and do not grow with the data.
_BLOCK_SIZE = 1 << 17


def count_by_confidence(confidence: Real[np.ndarray, " n"], correct: Bool[np.ndarray, " n"]) -> SampleErrorCountBlocks:
    """Yield pairs of int64 arrays, (samples, errors): how many there are at each distinct confidence, highest first, in blocks.

    confidence: (n,) finite real numbers; correct: (n,) bool; n >= 1. No array is empty.
    """
    if confidence.dtype == np.float32:
        lowest_float_key, highest_float_key = _order_preserving_float_keys(np.array([confidence.min(), confidence.max()])).tolist()
        if highest_float_key - lowest_float_key < _MAX_FLOAT_KEYS_PER_SAMPLE * len(confidence):
            return _count_by_float_keys(confidence, correct, lowest_float_key, highest_float_key)
    return _count_by_sorting(np.sort(confidence), np.sort(confidence[~correct]))


def distinct_values_and_counts(sorted_values: Real[np.ndarray, " n"]) -> tuple[Real[np.ndarray, " values"], Int[np.ndarray, " values"]]:
    """Return the distinct values of a sorted array, in its order, and how often each occurs, both (values,); -0.0 equals 0.0."""
    first_indices = np.flatnonzero(np.append(len(sorted_values) > 0, sorted_values[1:] != sorted_values[:-1]))
    return sorted_values[first_indices], np.diff(first_indices, append=len(sorted_values))


def _count_by_sorting(
    sorted_confidence: Real[np.ndarray, " n"], sorted_error_confidence: Real[np.ndarray, " errors"]
) -> SampleErrorCountBlocks:
    """Yield pairs of int64 arrays, (samples, errors): how many there are at each distinct confidence, highest first, in blocks.

    sorted_confidence, sorted_error_confidence: the confidences of all samples and those of the errors, each from low to high
    """
    block_start_confidences = np.unique(sorted_confidence[::_BLOCK_SIZE])
    block_starts = np.append(np.searchsorted(sorted_confidence, block_start_confidences), len(sorted_confidence))
    error_block_starts = np.append(np.searchsorted(sorted_error_confidence, block_start_confidences), len(sorted_error_confidence))
    for block_index in range(len(block_start_confidences) - 1, -1, -1):
        distinct_confidences, sample_counts = distinct_values_and_counts(
            sorted_confidence[block_starts[block_index] : block_starts[block_index + 1]]
        )
        distinct_error_confidences, errors_per_confidence = distinct_values_and_counts(
            sorted_error_confidence[error_block_starts[block_index] : error_block_starts[block_index + 1]]
        )
        error_counts = np.zeros_like(sample_counts)
        error_counts[np.searchsorted(distinct_confidences, distinct_error_confidences)] = errors_per_confidence
        yield sample_counts[::-1], error_counts[::-1]


def _count_by_float_keys(
    confidence: Float32[np.ndarray, " n"], correct: Bool[np.ndarray, " n"], lowest_float_key: int, highest_float_key: int
) -> SampleErrorCountBlocks:
    """Yield pairs of int64 arrays, (samples, errors): how many there are at each distinct confidence, highest first, in blocks.

    Each float32 confidence has an integer key (_order_preserving_float_keys), and the samples are counted by key, without sorting.
    lowest_float_key, highest_float_key: the keys of the lowest and the highest confidence
    """
    sample_counts = np.zeros(highest_float_key - lowest_float_key + 1, np.min_scalar_type(len(confidence)))  # uint32 for 40 million
    error_counts = np.zeros_like(sample_counts)
    count_increment = sample_counts.dtype.type(1)  # np.add.at is fast if it need not cast, and takes no other memory
    for block_start in range(0, len(confidence), _BLOCK_SIZE):
        block_slice = slice(block_start, block_start + _BLOCK_SIZE)
        sample_float_keys = _order_preserving_float_keys(confidence[block_slice]).astype(np.intp) - lowest_float_key
        error_float_keys = sample_float_keys[~correct[block_slice]]
        np.add.at(sample_counts, sample_float_keys, count_increment)
        np.add.at(error_counts, error_float_keys, count_increment)
    for block_end in range(len(sample_counts), 0, -_BLOCK_SIZE):
        block_slice = slice(max(block_end - _BLOCK_SIZE, 0), block_end)
        occurring_float_keys = np.flatnonzero(sample_counts[block_slice])[::-1]
        if len(occurring_float_keys):
            yield (
                sample_counts[block_slice][occurring_float_keys].astype(np.int64),
                error_counts[block_slice][occurring_float_keys].astype(np.int64),
            )


def _order_preserving_float_keys(confidence: Float32[np.ndarray, " n"]) -> Int32[np.ndarray, " n"]:
    """Return an int32 key (n,) for each float32 number (n,), in the same order: neighbouring floats have neighbouring keys, 0.0 has 0."""
    float_bits = confidence.view(np.int32)  # a negative float is the sign bit and its magnitude; its key is minus the magnitude
    sign_mask = float_bits >> 31
    return (float_bits ^ (sign_mask & 0x7FFFFFFF)) - sign_mask
