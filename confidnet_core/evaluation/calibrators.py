"""Calibrators, which turn a confidence score of any scale into the probability that the prediction is correct.

Zadrozny & Elkan 2002, "Transforming classifier scores into accurate multiclass probability estimates" (isotonic regression); Platt 1999,
"Probabilistic outputs for support vector machines" (a sigmoid of the score); Niculescu-Mizil & Caruana 2005 compare both.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Real
from numpy.typing import ArrayLike
from scipy.special import expit

from confidnet_core.evaluation.result import LOG_ODDS_SCALE, PROBABILITY_SCALE, RANK_SCALE, SCORE_SCALES

MAX_FIT_SAMPLES = 2**20  # the maximum number of validation samples (or pixels) to which a calibrator is fitted
# Isotonic regression can follow every sample, so with few errors or few correct predictions its steps are chance; Platt's two parameters
# cannot. With more samples it is better: few scores are a sigmoid away from a probability, and the loss from a wrong shape does not shrink
# with more samples.
MIN_SAMPLES_PER_OUTCOME = 20  # errors, and correct predictions, for isotonic regression
_BLOCK_SIZE = 1 << 17  # confidences mapped at a time, so that temporary arrays do not grow with the data


@dataclass(frozen=True)
class Calibrator:
    """A calibrator maps the confidence in a prediction to the probability that it is correct; the map never decreases.

    description: how the map was fitted, as shown in a table: "isotonic on 5,000 validation samples"
    probability_of_confidence: the map, a function of float64 confidences (m,) that returns float64 probabilities (m,)
    """

    description: str
    probability_of_confidence: Callable[[np.ndarray], np.ndarray]

    def __call__(self, confidence: ArrayLike) -> Float64[np.ndarray, " n"]:
        """Return the probability, float64 (n,) in [0, 1], that the prediction with each confidence, real (n,), is correct.

        Raises ValueError for confidences that are NaN or infinite, or that a score of this scale cannot have.
        """
        confidence = _require_finite_vector(confidence)
        probability = np.empty(len(confidence))
        for block_start in range(0, len(confidence), _BLOCK_SIZE):
            probability[block_start : block_start + _BLOCK_SIZE] = self.probability_of_confidence(
                confidence[block_start : block_start + _BLOCK_SIZE].astype(np.float64)
            )
        return probability


def fit_calibrator(confidence: ArrayLike, correct: ArrayLike, scale: str) -> Calibrator:
    """Return the calibrator of a confidence score, fitted to validation samples. Do not evaluate the score on these samples.

    confidence: (n,) finite real numbers, higher is more confident
    correct: (n,) bool
    scale: one of SCORE_SCALES, which determines the calibrator:

    probability  the score is a probability already and stays as it is
    log_odds     the score is the log-odds of being correct, and the probability is its sigmoid
    rank         only the order of the scores has a meaning, so the map is learned from at most MAX_FIT_SAMPLES evenly spaced samples:
                 - with MIN_SAMPLES_PER_OUTCOME correct predictions and as many errors, by isotonic regression: the best non-decreasing fit
                   by mean squared error, linear between its steps, constant beyond them. The lowest and the highest confidence each get
                   one more correct and one more wrong sample. This makes the first and the last step (s + 1) / (m + 2) of s correct
                   among m samples (Laplace's rule of succession), which is never 0 or 1, so that a single error there does not make
                   the loss infinite.
                 - with fewer, by Platt's sigmoid of a * confidence + b with a >= 0, fitted to his targets, which are not 0 and 1 either
                 - with a single outcome or a single confidence, it is the constant (s + 1) / (n + 2)

    Raises ValueError for no samples, NaN or infinity, unequal lengths, other types, an unknown scale, or values outside the scale.
    """
    confidence, correct = _require_finite_vector(confidence), np.asarray(correct)
    if correct.dtype != bool or correct.shape != confidence.shape or len(correct) == 0:
        received_arrays_text = f"{len(confidence)} confidences and {correct.dtype} {correct.shape} as correct"
        raise ValueError(f"there are {received_arrays_text}; expected one bool for each confidence, and at least one")
    if scale == PROBABILITY_SCALE:
        calibrator = Calibrator("as it is", _require_confidence_in_unit_interval)
        calibrator(confidence)  # raises ValueError for values outside [0, 1]
        return calibrator
    if scale == LOG_ODDS_SCALE:
        return Calibrator("sigmoid", expit)
    if scale != RANK_SCALE:
        raise ValueError(f"scale is {scale!r}; expected one of {', '.join(SCORE_SCALES)}")
    if len(confidence) > MAX_FIT_SAMPLES:
        sample_indices = np.linspace(0, len(confidence) - 1, MAX_FIT_SAMPLES).astype(np.int64)
        confidence, correct = confidence[sample_indices], correct[sample_indices]
    return _fit_rank_calibrator(confidence.astype(np.float64), correct)


def _fit_rank_calibrator(confidence: Real[np.ndarray, " n"], correct: Bool[np.ndarray, " n"]) -> Calibrator:
    sample_count, success_count = len(correct), int(np.count_nonzero(correct))
    rarer_outcome_count = min(success_count, sample_count - success_count)
    if rarer_outcome_count == 0 or confidence.min() == confidence.max():
        constant_probability = (success_count + 1) / (sample_count + 2)
        return Calibrator(
            f"constant on {sample_count:,} validation samples", lambda confidences: np.full(len(confidences), constant_probability)
        )
    if rarer_outcome_count < MIN_SAMPLES_PER_OUTCOME:
        return Calibrator(f"Platt on {sample_count:,} validation samples", _fit_platt_sigmoid(confidence, correct))
    return Calibrator(f"isotonic on {sample_count:,} validation samples", _fit_isotonic_map(confidence, correct))


def _fit_isotonic_map(confidence: np.ndarray, correct: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    from sklearn.isotonic import IsotonicRegression  # imported here, since it takes a second

    lowest_confidence, highest_confidence = confidence.min(), confidence.max()
    confidence = np.append(confidence, [lowest_confidence, lowest_confidence, highest_confidence, highest_confidence])
    correct = np.append(correct, [True, False, True, False])
    return IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(confidence, correct).predict


def _fit_platt_sigmoid(confidence: np.ndarray, correct: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function confidence (m,) -> probability (m,) that is the most likely sigmoid with a slope of at least 0.

    confidence: float64 (n,); correct: bool (n,). Where errors have the higher confidences, the slope is 0 and the function a constant.
    """
    from scipy.optimize import minimize  # imported here for the same reason

    mean_confidence = confidence.mean()
    # Not the standard deviation, since squares could overflow. It is 0 for a few subnormals only.
    mean_absolute_deviation = np.abs(confidence - mean_confidence).mean() or 1.0
    standardised_confidence = (confidence - mean_confidence) / mean_absolute_deviation
    success_count = np.count_nonzero(correct)
    platt_targets = np.where(correct, (success_count + 1) / (success_count + 2), 1 / (len(correct) - success_count + 2))

    def loss_and_gradient(slope_and_offset: np.ndarray) -> tuple[float, np.ndarray]:
        logits = slope_and_offset[0] * standardised_confidence + slope_and_offset[1]
        residuals = expit(logits) - platt_targets
        return np.mean(np.logaddexp(0, logits) - platt_targets * logits), np.array(
            [np.mean(residuals * standardised_confidence), np.mean(residuals)]
        )

    slope, offset = minimize(loss_and_gradient, [1.0, 0.0], jac=True, method="L-BFGS-B", bounds=[(0, None), (None, None)], tol=1e-12).x
    return lambda confidences: expit(slope * ((confidences - mean_confidence) / mean_absolute_deviation) + offset)


def _require_confidence_in_unit_interval(confidence: Real[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
    """Return the confidences unchanged, if all are in [0, 1] and thus can be probabilities; otherwise raise ValueError."""
    if len(confidence) and not (confidence.min() >= 0 and confidence.max() <= 1):
        raise ValueError(
            f"confidences reach from {confidence.min()} to {confidence.max()}, which are no probabilities; "
            f"expected [0, 1], or {LOG_ODDS_SCALE} or {RANK_SCALE} as the scale of the score"
        )
    return confidence


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
