"""Calibrators, which turn a confidence score of any scale into the probability that the prediction is correct.

Zadrozny & Elkan 2002, "Transforming classifier scores into accurate multiclass probability estimates" (isotonic regression); Oron &
Flournoy 2017, "Centered isotonic regression: point and interval estimation for dose-response studies", arXiv:1701.05964 (the same without
plateaus); Platt 1999, "Probabilistic outputs for support vector machines" (a sigmoid); Niculescu-Mizil & Caruana 2005 compare the first
and the last.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64, Real
from numpy.typing import ArrayLike
from scipy.special import expit, logit, ndtri

from confidnet_core.evaluation.result import LOG_ODDS_SCALE, PROBABILITY_SCALE, RANK_SCALE, SCORE_SCALES

MAX_FIT_SAMPLES = 2**20  # the maximum number of validation samples (or pixels) to which a calibrator is fitted
# The number of errors, or of correct predictions if they are fewer, with which isotonic regression weighs as much as Platt's sigmoid.
# Isotonic regression can follow every sample, so with few errors its steps are chance; two parameters cannot, but the loss from a wrong
# shape does not shrink with more samples. By simulations as in benchmarks/probabilities.py, 10 and 50 do about as well as 20.
SIGMOID_WEIGHT = 20
# What a standard deviation of the ranks adds to the log-odds everywhere, so that the order survives where the fits are flat. It costs a
# loss of about 0.0001 / 8 nats at most, and neighbours among MAX_FIT_SAMPLES samples still differ in float64.
MIN_SLOPE = 0.01
# How far a line between two plateaus may change the number of correct predictions on either, in standard deviations of that number. So the
# line is short where a large plateau of correct predictions follows one of errors, and from centre to centre where they differ little.
MAX_LINE_DEVIATION = 2.0
_BLOCK_SIZE = 1 << 17  # confidences mapped at a time, so that temporary arrays do not grow with the data


@dataclass(frozen=True)
class Calibrator:
    """A calibrator maps the confidence in a prediction to the probability that it is correct; the map is strictly increasing.

    description: how the map was fitted, as shown in a table: "isotonic and Platt on 5,000 validation samples"
    confidence_knots: the different confidences of the fit and 0, ascending; k >= 2 of them
    probability_knots: the probability at minus infinity, at each of confidence_knots, and at infinity, ascending in (0, 1)
    """

    description: str
    confidence_knots: Float64[np.ndarray, " k"]
    probability_knots: Float64[np.ndarray, " k+2"]

    def __call__(self, confidence: ArrayLike) -> Float64[np.ndarray, " n"]:
        """Return the probability, float64 (n,) in (0, 1), that the prediction with each confidence, real (n,), is correct.

        Confidences keep their order. Different ones get equal probabilities only where float64 has too few numbers between the
        probabilities of two neighbouring knots, such as a million that are all close to 1.
        Raises ValueError for confidences that are NaN or infinite.
        """
        confidence = _require_finite_vector(confidence)
        probability = np.empty(len(confidence))
        for block_start in range(0, len(confidence), _BLOCK_SIZE):
            block_slice = slice(block_start, block_start + _BLOCK_SIZE)
            probability[block_slice] = self._interpolate(confidence[block_slice].astype(np.float64))
        return probability

    def _interpolate(self, confidence: Float64[np.ndarray, " m"]) -> Float64[np.ndarray, " m"]:
        """Return the probabilities, float64 (m,), of confidences, float64 (m,), from those of the neighbouring knots.

        The probability rises between two knots with the logarithms of the distances to them. So a knot that is far away, such as 1e12 or
        the largest float, does not flatten what is near the other one.
        """
        knots, knots_not_above = self.confidence_knots, np.searchsorted(self.confidence_knots, confidence, side="right")
        # Beyond the last knot, distances are measured by the last gap.
        gap_index = np.clip(knots_not_above - 1, 0, len(knots) - 2)
        log_gap = _log_distance(knots[gap_index], knots[gap_index + 1])
        lower_distance = _compress(_log_distance(confidence, knots[np.maximum(knots_not_above - 1, 0)]) - log_gap)
        upper_distance = _compress(_log_distance(confidence, knots[np.minimum(knots_not_above, len(knots) - 1)]) - log_gap)
        lower_distance[knots_not_above == 0] = 1  # to infinity; any number greater than 0 does
        upper_distance[knots_not_above == len(knots)] = 1
        with np.errstate(divide="ignore"):  # at the lower knot
            upper_share = 1 / (1 + upper_distance / lower_distance)  # lower / (lower + upper) could fall by rounding
        lower_probability, upper_probability = self.probability_knots[knots_not_above], self.probability_knots[knots_not_above + 1]
        # The sum could be rounded to a number above the probability of the upper knot.
        return np.minimum(lower_probability + (upper_probability - lower_probability) * upper_share, upper_probability)


def fit_calibrator(confidence: ArrayLike, correct: ArrayLike) -> Calibrator:
    """Return the calibrator of a confidence score, fitted to validation samples. Do not evaluate the score on these samples.

    confidence: (n,) finite real numbers of any scale, higher is more confident; correct: (n,) bool

    Only the order of the confidences matters. The log-odds of being correct are fitted to the normal score z of each confidence: the
    quantile of the normal distribution at the confidence's rank among at most MAX_FIT_SAMPLES evenly spaced samples. They are a weighted
    mean of two fits, plus MIN_SLOPE * z:

    centred isotonic regression, with the number of errors, or of correct predictions if they are fewer, as its weight: the best
        non-decreasing fit by mean squared error, whose plateaus are joined from centre to centre by lines, from rank to log-odds, or by
        shorter ones: see MAX_LINE_DEVIATION. The first and the last plateau each count one more correct and one more wrong sample
        (Laplace's rule of succession), so that they are never 0 or 1, and a single error there does not make the loss infinite.
    Platt's sigmoid, with the weight SIGMOID_WEIGHT: a * z + b with a >= 0, fitted to his targets, which are not 0 and 1 either

    Where all n predictions are right or all are wrong, the probability is about the (s + 1) / (n + 2) of s correct ones.
    Raises ValueError for no samples, NaN or infinity, unequal lengths, or other types.
    """
    confidence, correct = _require_finite_vector(confidence), np.asarray(correct)
    if correct.dtype != bool or correct.shape != confidence.shape or len(correct) == 0:
        received_arrays_text = f"{len(confidence)} confidences and {correct.dtype} {correct.shape} as correct"
        raise ValueError(f"there are {received_arrays_text}; expected one bool for each confidence, and at least one")
    if len(confidence) > MAX_FIT_SAMPLES:
        sample_indices = np.linspace(0, len(confidence) - 1, MAX_FIT_SAMPLES).astype(np.int64)
        confidence, correct = confidence[sample_indices], correct[sample_indices]
    knots, knot_of_sample, samples_per_knot = np.unique(confidence.astype(np.float64), return_inverse=True, return_counts=True)
    correct_per_knot = np.bincount(knot_of_sample[correct], minlength=len(knots))
    probability_knots = _fit_probability_knots(samples_per_knot, correct_per_knot)
    # Most floats are near 0, as the entropies of sure predictions, and tell each other apart only by their distance from it.
    further_knot = 0.0 if 0 not in knots else 1.0 if len(knots) == 1 else None
    if further_knot is not None:
        further_index = int(np.searchsorted(knots, further_knot))
        further_probability = probability_knots[further_index : further_index + 2].mean()
        knots = np.insert(knots, further_index, further_knot)
        probability_knots = np.insert(probability_knots, further_index + 1, further_probability)
    return Calibrator(f"isotonic and Platt on {len(correct):,} validation samples", knots, probability_knots)


def raw_probability(confidence: Real[np.ndarray, " n"], scale: str) -> Float64[np.ndarray, " n"] | None:
    """Return the probability of being correct that a score means by its own definition, without any fit: float64 (n,), or None.

    confidence: real (n,)
    scale: one of SCORE_SCALES: "probability" (the score itself), "log_odds" (the sigmoid of the score) or "rank" (None)
    Raises ValueError for another scale, and for a probability outside [0, 1].
    """
    if scale not in SCORE_SCALES:
        raise ValueError(f"scale is {scale!r}; expected one of {', '.join(SCORE_SCALES)}")
    if scale == RANK_SCALE:
        return None
    if scale == LOG_ODDS_SCALE:
        return expit(confidence.astype(np.float64))
    if len(confidence) and not (confidence.min() >= 0 and confidence.max() <= 1):
        raise ValueError(
            f"confidences reach from {confidence.min()} to {confidence.max()}, which are no probabilities; expected [0, 1] for the scale "
            f"{PROBABILITY_SCALE}, or {LOG_ODDS_SCALE} or {RANK_SCALE} as the scale of the score"
        )
    return confidence.astype(np.float64)


def _fit_probability_knots(
    samples_per_knot: Int64[np.ndarray, " k"], correct_per_knot: Int64[np.ndarray, " k"]
) -> Float64[np.ndarray, " k+2"]:
    """Return the probability of being correct at minus infinity, at each of k ascending confidences and at infinity: float64 (k + 2,).

    samples_per_knot, correct_per_knot: the numbers of validation samples with each confidence, and of the correct ones among them
    """
    sample_count, success_count = int(samples_per_knot.sum()), int(correct_per_knot.sum())
    mean_rank = (np.cumsum(samples_per_knot) - samples_per_knot / 2) / sample_count  # in (0, 1)
    # What is beyond all samples lies half as far from the end of the ranks as the first and the last sample.
    rank = np.concatenate([mean_rank[:1] / 2, mean_rank, (1 + mean_rank[-1:]) / 2])
    normal_score = ndtri(rank)
    line_ranks, line_log_odds = _fit_isotonic_lines(samples_per_knot, correct_per_knot)
    slope, offset = _fit_platt_sigmoid(normal_score[1:-1], samples_per_knot, correct_per_knot)
    rarer_outcome_count = min(success_count, sample_count - success_count)
    isotonic_share = rarer_outcome_count / (rarer_outcome_count + SIGMOID_WEIGHT)
    isotonic_log_odds = np.interp(rank, line_ranks, line_log_odds)
    sigmoid_log_odds = slope * normal_score + offset
    return expit(isotonic_share * isotonic_log_odds + (1 - isotonic_share) * sigmoid_log_odds + MIN_SLOPE * normal_score)


def _fit_isotonic_lines(
    samples_per_knot: Int64[np.ndarray, " k"], correct_per_knot: Int64[np.ndarray, " k"]
) -> tuple[Float64[np.ndarray, " ends"], Float64[np.ndarray, " ends"]]:
    """Return the ends of the lines of the isotonic fit: their ranks, as shares of the samples, and their log-odds; both ascending.

    A line joins two plateaus from centre to centre, but reaches no farther into either than MAX_LINE_DEVIATION allows.
    """
    counts = _pool_to_plateaus(np.stack([samples_per_knot, correct_per_knot, samples_per_knot]).astype(np.float64))
    # Only now, since with a first or last knot of few samples they would make a plateau of their own, from which a long line starts.
    counts[:, [0, -1]] += np.array([[2], [1], [0]])
    weights, successes, samples = _pool_to_plateaus(counts)
    probability, plateau_ends = successes / weights, np.cumsum(samples)
    if len(samples) == 1:
        return np.array([0.5]), logit(probability)
    possible_reach, step = MAX_LINE_DEVIATION * np.sqrt(weights * probability * (1 - probability)), np.diff(probability)
    reach_below = np.minimum(samples[:-1] / 2, possible_reach[:-1] / step)
    reach_above = np.minimum(samples[1:] / 2, possible_reach[1:] / step)
    line_ends = np.stack([plateau_ends[:-1] - reach_below, plateau_ends[:-1] + reach_above], axis=1).ravel() / plateau_ends[-1]
    # Two lines that meet at the centre of a plateau may end there in the wrong order by rounding.
    return np.maximum.accumulate(line_ends), logit(np.stack([probability[:-1], probability[1:]], axis=1).ravel())


def _pool_to_plateaus(counts: Float64[np.ndarray, "3 k"]) -> Float64[np.ndarray, "3 plateaus"]:
    """Return the sums over each plateau of the isotonic regression. counts: of samples, of correct ones, and others, (3, k)"""
    from scipy.optimize import isotonic_regression  # imported here, since it takes a while

    first_of_plateau = isotonic_regression(counts[1] / counts[0], weights=counts[0]).blocks[:-1]
    sums = np.add.reduceat(counts, first_of_plateau, axis=1)
    is_higher = np.diff(sums[1] / sums[0]) > 0  # neighbours with equal values are left apart
    return np.add.reduceat(sums, np.flatnonzero(np.append(True, is_higher)), axis=1)


def _fit_platt_sigmoid(
    normal_score: Float64[np.ndarray, " k"], samples_per_knot: Int64[np.ndarray, " k"], correct_per_knot: Int64[np.ndarray, " k"]
) -> tuple[float, float]:
    """Return slope and offset of the log-odds slope * normal_score + offset that are the most likely for Platt's targets, with slope >= 0.

    Where errors have the higher confidences, the slope is 0.
    """
    from scipy.optimize import minimize  # imported here for the same reason

    sample_count, success_count = samples_per_knot.sum(), correct_per_knot.sum()
    success_target, error_target = (success_count + 1) / (success_count + 2), 1 / (sample_count - success_count + 2)
    weight = samples_per_knot / sample_count
    target = error_target + (success_target - error_target) * (correct_per_knot / samples_per_knot)

    def loss_and_gradient(slope_and_offset: np.ndarray) -> tuple[float, np.ndarray]:
        log_odds = slope_and_offset[0] * normal_score + slope_and_offset[1]
        weighted_residual = weight * (expit(log_odds) - target)
        loss = weight @ (np.logaddexp(0, log_odds) - target * log_odds)
        return loss, np.array([weighted_residual @ normal_score, weighted_residual.sum()])

    start = [0.0, logit(weight @ target)]  # the answer where all outcomes are the same
    slope, offset = minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", bounds=[(0, None), (None, None)], tol=1e-12).x
    return float(slope), float(offset)


def _log_distance(first: Float64[np.ndarray, " m"], second: Float64[np.ndarray, " m"]) -> Float64[np.ndarray, " m"]:
    """Return log|first - second|, float64 (m,), also where the difference is too large for float64; minus infinity where it is 0."""
    with np.errstate(over="ignore", divide="ignore"):
        log_distance = np.log(np.abs(first - second))
    is_overflow = log_distance == np.inf
    if is_overflow.any():
        log_distance[is_overflow] = np.log(np.abs(first[is_overflow] / 2 - second[is_overflow] / 2)) + np.log(2)
    return log_distance


def _compress(log_ratio: Float64[np.ndarray, " m"]) -> Float64[np.ndarray, " m"]:
    """Return 1 + x for x >= 0 and 1 / (1 - x) for x < 0, float64 (m,): exp(x) in a range in which no two sizes of float64 are too close."""
    return np.where(log_ratio >= 0, 1 + log_ratio, 1 / (1 - np.minimum(log_ratio, 0)))


def _require_finite_vector(confidence: ArrayLike) -> Real[np.ndarray, "..."]:
    """Return the confidences as an array of real numbers (n,). Raises ValueError for another shape, other types, NaN and infinity."""
    confidence = np.asarray(confidence)
    if confidence.ndim != 1 or confidence.dtype.kind not in "fiu":
        raise ValueError(f"confidence is {confidence.dtype} {confidence.shape}; expected one real number a sample, (n,)")
    if len(confidence) and not np.isfinite([confidence.min(), confidence.max()]).all():  # both are NaN if any value is
        is_not_finite = ~np.isfinite(confidence)
        raise ValueError(
            f"{is_not_finite.sum()} of {len(is_not_finite)} confidences are NaN or infinite, "
            f"the first at index {is_not_finite.argmax()}; expected none"
        )
    return confidence
