"""Bootstrap resampling: samples or images drawn with replacement, identically for every metric and score that uses the same seed."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64
from numpy.typing import ArrayLike

_BLOCK_ELEMENTS = 1 << 18  # elements of an array that are processed at a time, so that they stay in the processor's cache


def resample_counts(
    unit_count: int, column_count: int, resamples: int, rng: np.random.Generator
) -> Iterator[Int64[np.ndarray, "block units"]]:
    """Yield how often each unit (a sample or an image) is drawn, int64 (resamples of the block, units), one block of resamples at a time.

    column_count: the number of columns of the caller's array, which has a row for each resample; the more columns, the smaller the
    blocks. The draws depend only on the state of rng and the number of units. ValueError for less than 1 resample.
    """
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}; expected at least 1")
    block_size = max(1, _BLOCK_ELEMENTS // max(unit_count, column_count))
    for start in range(0, resamples, block_size):
        block_resamples = min(block_size, resamples - start)
        drawn_units = rng.integers(unit_count, size=(block_resamples, unit_count), dtype=np.int64)
        drawn_units += np.arange(block_resamples)[:, None] * unit_count
        yield np.bincount(drawn_units.ravel(), minlength=block_resamples * unit_count).reshape(block_resamples, unit_count)


def check_sizes(sizes: ArrayLike, samples: int) -> Int64[np.ndarray, " images"]:
    """Return `sizes`, the number of pixels of each image, as an int64 array (images,). ValueError unless they sum to `samples`."""
    sizes = np.asarray(sizes)
    if sizes.ndim != 1 or sizes.dtype.kind not in "iu" or sizes.min(initial=0) < 0 or sizes.sum() != samples:
        received = f"{sizes.dtype} {sizes.shape} with the sum {sizes.sum()}"
        raise ValueError(f"sizes are {received}; expected how many of the {samples} values each image has, in their order")
    return sizes.astype(np.int64)
