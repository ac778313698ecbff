"""How many samples and errors each distinct confidence has, from the surest on, by sorting or by counting: all that a metric depends on."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float32, Int, Int32, Real

Counts = Iterator[tuple[np.ndarray, np.ndarray]]

_KEYS = 2  # a sample, up to which counting float32 is faster than sorting, by a third or more, and takes at most 16 bytes a sample
_BLOCK = 1 << 17  # samples, or neighbouring confidences, worked on at a time: temporary arrays stay in cache and do not grow with the data


def counts_from_the_surest(confidence: Real[np.ndarray, " n"], correct: Bool[np.ndarray, " n"]) -> Counts:
    """How many samples and errors have each distinct confidence, int64 (some,) each, from the highest on, a block of them at a time.

    confidence (n,) finite, correct (n,) bool, n >= 1: as of `checked` and `require_finite`. No block is empty.
    """
    if confidence.dtype == np.float32:
        low, high = _keys(np.array([confidence.min(), confidence.max()])).tolist()
        if high - low < _KEYS * len(confidence):
            return _by_counting(confidence, correct, low, high)
    return _by_sorting(np.sort(confidence), np.sort(confidence[~correct]))


def distinct(ranked: Real[np.ndarray, " n"]) -> tuple[Real[np.ndarray, " values"], Int[np.ndarray, " values"]]:
    """The distinct values of a sorted array and their counts; -0.0 is 0.0."""
    starts = np.flatnonzero(np.append(len(ranked) > 0, ranked[1:] != ranked[:-1]))
    return ranked[starts], np.diff(starts, append=len(ranked))


def _by_sorting(ranked: Real[np.ndarray, " n"], errors: Real[np.ndarray, " errors"]) -> Counts:
    """ranked, errors: the confidences of all samples and those of the errors, each sorted from low to high."""
    first = np.unique(ranked[::_BLOCK])
    starts = np.append(np.searchsorted(ranked, first), len(ranked))
    error_starts = np.append(np.searchsorted(errors, first), len(errors))
    for block in range(len(first) - 1, -1, -1):
        value, sample_count = distinct(ranked[starts[block] : starts[block + 1]])
        error_value, count = distinct(errors[error_starts[block] : error_starts[block + 1]])
        error_count = np.zeros_like(sample_count)
        error_count[np.searchsorted(value, error_value)] = count
        yield sample_count[::-1], error_count[::-1]


def _by_counting(confidence: Float32[np.ndarray, " n"], correct: Bool[np.ndarray, " n"], low: int, high: int) -> Counts:
    """low, high: the keys of the lowest and the highest confidence, all between which are counted."""
    sample_counts = np.zeros(high - low + 1, np.min_scalar_type(len(confidence)))  # uint32 for 40 million
    error_counts = np.zeros_like(sample_counts)
    one = sample_counts.dtype.type(1)  # add.at is fast without a cast, and in place it needs no other memory
    for start in range(0, len(confidence), _BLOCK):
        block = slice(start, start + _BLOCK)
        place = _keys(confidence[block]).astype(np.intp) - low
        wrong = place[~correct[block]]
        np.add.at(sample_counts, place, one)
        np.add.at(error_counts, wrong, one)
    for end in range(len(sample_counts), 0, -_BLOCK):
        block = slice(max(end - _BLOCK, 0), end)
        held = np.flatnonzero(sample_counts[block])[::-1]
        if len(held):
            yield sample_counts[block][held].astype(np.int64), error_counts[block][held].astype(np.int64)


def _keys(confidence: Float32[np.ndarray, " n"]) -> Int32[np.ndarray, " n"]:
    """int32 in the order of the float32, and neighbours where these are; -0.0 and 0.0 have the key 0."""
    bits = confidence.view(np.int32)  # of a negative float a set bit and the magnitude, which becomes minus the magnitude
    sign = bits >> 31
    return (bits ^ (sign & 0x7FFFFFFF)) - sign
