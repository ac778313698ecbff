"""Ranks of values among the earlier ones, and conformal p-values: independent and uniform where the values are exchangeable.

Vovk, Gammerman & Shafer 2005, "Algorithmic learning in a random world", section 7.1; Vovk 2021, "Testing randomness online", Statistical
Science 36(4).
"""

import numpy as np
from jaxtyping import Float64, Int64, Real

_TIE_BREAKING_SEED = 0  # fixed, so that the same answers give the same p-values every day


def conformal_p_values(reference: Real[np.ndarray, " m"], values: Real[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Return the p-value of each value: its rank among the reference, the values before it and itself, as a share; in (0, 1).

    Ties are broken at random, with a fixed seed. Where reference and values are exchangeable, the p-values are independent and uniform,
    whatever the distribution; small ones belong to values lower than most before.
    """
    everything = np.concatenate([reference, values])
    lower, not_higher = count_earlier(everything)
    places = np.arange(len(reference), len(everything))
    lower, equal = lower[places], (not_higher - lower)[places] + 1  # the value itself is one of its equals
    share = 1 - np.random.default_rng(_TIE_BREAKING_SEED).random(len(values))  # in (0, 1]
    return (lower + share * equal) / (places + 1)


def count_earlier(values: Real[np.ndarray, " n"]) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """Return, for each value, how many values before it are lower, and how many are not higher: two arrays (n,).

    Neighbouring blocks are merged, as in merge sort, and each value of a right block counts those of its left block: O(n log² n) at most.
    """
    _, level = np.unique(values, return_inverse=True)
    place, distinct = np.arange(len(values)), int(level.max(initial=0)) + 1
    lower, not_higher = np.zeros(len(values), np.int64), np.zeros(len(values), np.int64)
    block_size = 1
    while block_size < len(values):
        pair, is_left = place // (2 * block_size), place // block_size % 2 == 0
        for counts, goes_first in ((lower, ~is_left), (not_higher, is_left)):
            order = np.argsort((pair * distinct + level) * 2 + ~goes_first, kind="stable")
            left_so_far = np.cumsum(is_left[order])
            left_before_pair = pair[order] * block_size  # every earlier pair has a full left block
            counts[order] += np.where(is_left[order], 0, left_so_far - left_before_pair)
        block_size *= 2
    return lower, not_higher
