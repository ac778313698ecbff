"""Bootstrap resampling: samples or images drawn with replacement, identically for every metric and score that uses the same seed."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64
from numpy.typing import ArrayLike

from confidnet_core.metrics._ranking.samples import as_unmasked_array

_BLOCK_ELEMENTS = 1 << 18  # elements of an array that are processed at a time, so that they stay in the processor's cache


def iterate_draw_counts(
    bootstrap_unit_count: int, values_per_resample: int, resample_count: int, rng: np.random.Generator
) -> Iterator[Int64[np.ndarray, "block units"]]:
    """Yield, block by block of bootstrap resamples, how often each unit (a sample or an image) is drawn: int64 (resamples, units).

    values_per_resample: how many numbers the caller computes for each resample; the more, the fewer resamples are in a block.
    The draws depend only on the state of rng and the number of units. Raises ValueError for less than 1 resample.
    """
    if resample_count < 1:
        raise ValueError(f"resample_count is {resample_count}; expected at least 1")
    resamples_per_block = max(1, _BLOCK_ELEMENTS // max(bootstrap_unit_count, values_per_resample))
    for block_start in range(0, resample_count, resamples_per_block):
        resamples_in_block = min(resamples_per_block, resample_count - block_start)
        drawn_unit_indices = rng.integers(bootstrap_unit_count, size=(resamples_in_block, bootstrap_unit_count), dtype=np.int64)
        drawn_unit_indices += np.arange(resamples_in_block)[:, None] * bootstrap_unit_count
        yield np.bincount(drawn_unit_indices.ravel(), minlength=resamples_in_block * bootstrap_unit_count).reshape(
            resamples_in_block, bootstrap_unit_count
        )


def check_pixels_per_image(pixels_per_image: ArrayLike, sample_count: int) -> Int64[np.ndarray, " images"]:
    """Return the numbers of pixels of each image as an int64 array (images,).

    Raises ValueError unless they are whole numbers of at least 0 that sum to `sample_count`, the number of all pixels.
    """
    pixels_per_image = as_unmasked_array("pixels_per_image", pixels_per_image)
    if (
        pixels_per_image.ndim != 1
        or pixels_per_image.dtype.kind not in "iu"
        or pixels_per_image.min(initial=0) < 0
        or pixels_per_image.sum() != sample_count
    ):
        received_pixel_counts_text = f"{pixels_per_image.dtype} {pixels_per_image.shape} with the sum {pixels_per_image.sum()}"
        expected_pixel_counts_text = f"how many of the {sample_count} values each image has, in their order"
        raise ValueError(f"pixels_per_image are {received_pixel_counts_text}; expected {expected_pixel_counts_text}")
    return pixels_per_image.astype(np.int64)
