"""Tests of whether the selective risk of a threshold is below a target, for samples and for images, and how many units they need.

Clopper & Pearson 1934 (bound for samples); Waudby-Smith & Ramdas 2023, arXiv:2010.09686 (bound for images, by betting).
"""

import math

import numpy as np
from jaxtyping import Bool, Float64, Int, Real
from scipy.special import betaincinv

from confidnet_core.metrics._ranking.samples import count_above


def clopper_pearson_bound(
    accepted_counts: Int[np.ndarray, " m"], accepted_error_counts: Int[np.ndarray, " m"], delta: float
) -> Float64[np.ndarray, " m"]:
    """Return the exact upper confidence bound, at level 1 - delta, of the error rate among accepted samples, float64 (m,).

    accepted_counts, accepted_error_counts: (m,) number of accepted samples, and of errors among them, at each of m thresholds
    """
    return np.where(
        accepted_error_counts < accepted_counts,
        betaincinv(accepted_error_counts + 1, np.maximum(accepted_counts - accepted_error_counts, 1), 1 - delta),
        1.0,
    )


def accepted_fractions_of_images(
    confidence: Real[np.ndarray, " n"],
    correct: Bool[np.ndarray, " n"],
    pixels_per_image: Int[np.ndarray, " images"],
    image_indices: Int[np.ndarray, " tested"],
    thresholds: Real[np.ndarray, " thresholds"],
) -> tuple[Float64[np.ndarray, "tested thresholds"], Float64[np.ndarray, "tested thresholds"]]:
    """Return the fraction of an image's pixels that are accepted, and that are accepted errors: two float64 arrays (images, thresholds).

    The images are those of `image_indices`; a pixel is accepted if its confidence is at or above the threshold.
    """
    end_pixel_of_image = np.cumsum(pixels_per_image)
    accepted_fractions, accepted_error_fractions = np.empty((2, len(image_indices), len(thresholds)))
    for tested_index, image_index in enumerate(image_indices):
        pixel_slice = slice(end_pixel_of_image[image_index] - pixels_per_image[image_index], end_pixel_of_image[image_index])
        image_confidence = confidence[pixel_slice]
        accepted_fractions[tested_index] = count_above(np.sort(image_confidence), thresholds, "left") / pixels_per_image[image_index]
        accepted_error_fractions[tested_index] = (
            count_above(np.sort(image_confidence[~correct[pixel_slice]]), thresholds, "left") / pixels_per_image[image_index]
        )
    return accepted_fractions, accepted_error_fractions


def is_risk_bound_proven(
    accepted_fractions: Float64[np.ndarray, "images columns"],
    accepted_error_fractions: Float64[np.ndarray, "images columns"],
    target_risk: float | np.ndarray,
    delta: float,
) -> Bool[np.ndarray, " m"]:
    """Return whether a test by betting proves that the selective risk is at most `target_risk`: bool (m,).

    accepted_fractions, accepted_error_fractions: the fraction of each image's pixels that are accepted, and that are accepted errors;
    (images, m) for m thresholds with one target risk, or (images, 1) for one threshold with target risks (m,)

    The null hypothesis is that the excess error (accepted errors - risk * accepted), in [-risk, 1 - risk], has a mean >= 0. Under it, no
    sequence of bets, each fixed before its image is seen, multiplies the stake by 1 / delta with a probability above delta (Ville's
    inequality; Waudby-Smith & Ramdas). The bets are their predictable plug-in bets, with risk^2 in place of 1/4 as the variance before the
    first image, capped so that the stake never becomes negative.
    """
    excess_errors = accepted_error_fractions - target_risk * accepted_fractions
    image_count = len(excess_errors)
    preceding_image_count = np.arange(image_count)[:, None]
    preceding_excess_sum = np.cumsum(excess_errors, axis=0) - excess_errors
    preceding_squared_excess_sum = np.cumsum(excess_errors**2, axis=0) - excess_errors**2
    estimated_variance = (
        target_risk**2 + np.maximum(preceding_squared_excess_sum - preceding_excess_sum**2 / np.maximum(preceding_image_count, 1), 0)
    ) / (preceding_image_count + 1)
    betting_fractions = np.minimum(np.sqrt(-2 * np.log(delta) / (max(image_count, 1) * estimated_variance)), 1 / (1 - target_risk))
    with np.errstate(divide="ignore"):  # the logarithm of 0 means that the whole stake is lost
        return np.log1p(np.maximum(-betting_fractions * excess_errors, -1)).sum(axis=0) >= -np.log(delta)


def least_sample_count(target_risk: float, delta: float) -> int:
    """Return the least number of accepted samples that prove a risk of at most `target_risk` if all are correct.

    That is ln(delta) / ln(1 - target_risk), rounded up: 299, 59 and 29 samples for 1, 5 and 10 % at a delta of 5 %.
    """
    sample_count = max(1, math.floor(math.log(delta) / math.log1p(-target_risk)))
    while clopper_pearson_bound(np.array([sample_count]), np.array([0]), delta)[0] > target_risk:
        sample_count += 1
    return sample_count


def least_image_count(target_risk: float, delta: float) -> int:
    """Return the least number of images that prove a risk of at most `target_risk` if all of their pixels are accepted and correct.

    It is that of samples where each bet is at its cap, as for targets below one half; where the target is high, the first bets are lower.
    """
    image_count = least_sample_count(target_risk, delta)
    while not _are_bets_capped(image_count, target_risk, delta):
        if is_risk_bound_proven(np.ones((image_count, 1)), np.zeros((image_count, 1)), target_risk, delta)[0]:
            break
        image_count += 1
    return image_count


def _are_bets_capped(image_count: int, target_risk: float, delta: float) -> bool:
    """Return whether the first bet on images without an error, and so each of them, is the largest that leaves no debt."""
    return -2 * math.log(delta) / image_count >= (target_risk / (1 - target_risk)) ** 2
