"""Bootstrap resampling: samples or images drawn with replacement, identically for every metric and score that uses the same seed."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64
from numpy.typing import ArrayLike

_BLOCK_ELEMENTS = 1 << 18  # elements of an array that are processed at a time, so that they stay in the processor's cache


def resample_counts(units: int, width: int, resamples: int, rng: np.random.Generator) -> Iterator[Int64[np.ndarray, "block units"]]:
    """Yield how often each unit (a sample or an image) is drawn, int64 (resamples of the block, units), one block of resamples at a time.

    width: columns of the caller's array with a row for each resample; a wider one gets smaller blocks. The draws do not depend on it,
    only on the state of rng and the number of units. ValueError for less than 1 resample.
    """
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}; expected at least 1")
    block_size = max(1, _BLOCK_ELEMENTS // max(units, width))
    for start in range(0, resamples, block_size):
        rows = min(block_size, resamples - start)
        drawn_units = rng.integers(units, size=(rows, units), dtype=np.int64)
        drawn_units += np.arange(rows)[:, None] * units
        yield np.bincount(drawn_units.ravel(), minlength=rows * units).reshape(rows, units)


def check_sizes(sizes: ArrayLike, samples: int) -> Int64[np.ndarray, " images"]:
    """Return the number of samples (pixels) of each image, int64 (images,). ValueError where they do not sum to `samples`."""
    sizes = np.asarray(sizes)
    if sizes.ndim != 1 or sizes.dtype.kind not in "iu" or sizes.min(initial=0) < 0 or sizes.sum() != samples:
        received = f"{sizes.dtype} {sizes.shape} with the sum {sizes.sum()}"
        raise ValueError(f"sizes are {received}; expected how many of the {samples} values each image has, in their order")
    return sizes.astype(np.int64)
