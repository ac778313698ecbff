"""What the bootstrap draws with replacement: samples or images, the same ones for every metric and score that is given the same seed."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64
from numpy.typing import ArrayLike

_BLOCK = 1 << 18  # numbers in an array worked on at a time: they stay in cache


def draws(units: int, width: int, resamples: int, rng: np.random.Generator) -> Iterator[Int64[np.ndarray, "some units"]]:
    """How often each of the units is drawn, int64 (some resamples, units), in blocks that keep arrays of that WIDTH small.

    The draws depend on the state of rng and the number of units alone, not on the width. ValueError for less than 1 resample.
    """
    if resamples < 1:
        raise ValueError(f"resamples is {resamples}; expected at least 1")
    at_once = max(1, _BLOCK // max(units, width))
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        drawn = rng.integers(units, size=(rows, units), dtype=np.int64)
        drawn += np.arange(rows)[:, None] * units
        yield np.bincount(drawn.ravel(), minlength=rows * units).reshape(rows, units)


def checked_sizes(sizes: ArrayLike, samples: int) -> Int64[np.ndarray, " images"]:
    """int64 (images,), how many of the samples each image has. ValueError for anything that does not sum to their number."""
    sizes = np.asarray(sizes)
    if sizes.ndim != 1 or sizes.dtype.kind not in "iu" or sizes.min(initial=0) < 0 or sizes.sum() != samples:
        given = f"{sizes.dtype} {sizes.shape} with the sum {sizes.sum()}"
        raise ValueError(f"sizes are {given}; expected how many of the {samples} values each image has, in their order")
    return sizes.astype(np.int64)
