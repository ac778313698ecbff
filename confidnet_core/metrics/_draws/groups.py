"""Groups of samples in place of single ones, so that the cost of a bootstrap does not grow with the number of samples.

Where there are many samples (or images), they are put at random into GROUP_COUNT groups of equal size, and all that a resample needs of a
group is one row of sums. Groups are bundled at random, and a resample draws BUNDLE_COUNT - 1 of BUNDLE_COUNT bundles with replacement: one
less than there are, so that the variance is that of single samples and not smaller by 1 / BUNDLE_COUNT (McCarthy & Snowden 1985, "The
bootstrap and finite population sampling"). Members of a bundle are drawn together, which adds products of their deviations to the estimated
variance. These have the mean 0, and every share of the resamples has a bundling of its own, so that they cancel.

The relative error of a standard error by all this has the standard deviation GROUPING_NOISE, about 1.3 %. A number R of resamples adds
sqrt(1 / (2 R)) as in any bootstrap: 0.7 % for 10,000.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float64, Int64, Real, UInt16

GROUP_COUNT = 4096
BUNDLE_COUNT = 512
BUNDLING_COUNT = 20
GROUPING_NOISE = (0.5 / GROUP_COUNT + 0.5 / (BUNDLE_COUNT * BUNDLING_COUNT)) ** 0.5

# Up to this many samples are drawn one by one. Above it, a group has at least 24.
MAX_SINGLE_SAMPLES = 100_000
# Up to this many images, or other units that consist of several samples, are drawn one by one.
MAX_SINGLE_UNITS = 2 * GROUP_COUNT

_RESAMPLES_PER_BLOCK = 64


def assign_groups(unit_count: int, seed: int) -> UInt16[np.ndarray, " units"]:
    """Return the group of each unit, uint16 (units,) from 0 to GROUP_COUNT - 1, at random; the sizes of the groups differ by at most 1.

    It depends on the seed and the number of units alone, so it is equal for all scores of the same predictions.
    """
    groups = (np.arange(unit_count) % GROUP_COUNT).astype(np.uint16)
    np.random.default_rng([seed, 1]).shuffle(groups)
    return groups


def iterate_bundle_draws(resample_count: int, seed: int) -> Iterator[tuple[Int64[np.ndarray, " groups"], Int64[np.ndarray, "b bundles"]]]:
    """Yield pairs, in the order of the resamples: an order of the groups, and how often each bundle is drawn in a block of b resamples.

    Each row of `sum_bundles(values, order)` is one bundle. The same order, as the same object, may be yielded several times in a row.
    Raises ValueError for less than 1 resample.
    """
    if resample_count < 1:
        raise ValueError(f"resample_count is {resample_count}; expected at least 1")
    rng = np.random.default_rng([seed, 2])
    bundling_ends = -(-np.arange(1, BUNDLING_COUNT + 1) * resample_count // BUNDLING_COUNT)
    for first, end in zip([0, *bundling_ends[:-1].tolist()], bundling_ends.tolist(), strict=True):
        group_order = rng.permutation(GROUP_COUNT)
        for block_start in range(first, end, _RESAMPLES_PER_BLOCK):
            block_size = min(_RESAMPLES_PER_BLOCK, end - block_start)
            drawn_bundles = rng.integers(BUNDLE_COUNT, size=(block_size, BUNDLE_COUNT - 1))
            drawn_bundles += np.arange(block_size)[:, None] * BUNDLE_COUNT
            yield group_order, np.bincount(drawn_bundles.ravel(), minlength=block_size * BUNDLE_COUNT).reshape(block_size, BUNDLE_COUNT)


def sum_bundles(group_values: Real[np.ndarray, "groups k"], group_order: Int64[np.ndarray, " groups"]) -> Float64[np.ndarray, "bundles k"]:
    """Return the sums over the groups of each bundle, float64 (bundles, k); whole numbers stay exact up to 2^53."""
    groups_by_bundle = group_order.reshape(BUNDLE_COUNT, -1).T
    has_room = group_values.dtype == np.int32 and int(group_values.max(initial=0)) < 2**31 // len(groups_by_bundle)
    sums = group_values[groups_by_bundle[0]] if has_room else group_values[groups_by_bundle[0]].astype(np.float64)
    for groups in groups_by_bundle[1:]:
        sums += group_values[groups]
    return sums.astype(np.float64)
