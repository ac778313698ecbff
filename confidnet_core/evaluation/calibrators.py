"""A confidence score of any scale as the probability that the prediction is right.

Zadrozny & Elkan 2002, "Transforming classifier scores into accurate multiclass probability estimates" (isotonic regression); Platt 1999,
"Probabilistic outputs for support vector machines" (a sigmoid of the score); Niculescu-Mizil & Caruana 2005 compare both.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Real
from numpy.typing import ArrayLike
from scipy.special import expit

from confidnet_core.evaluation.result import LOG_ODDS, PROBABILITY, RANK, SCALES

MAX_SAMPLES = 2**20  # validation samples of a fit
# Isotonic regression can follow every sample, so that with few errors or successes its steps are chance; Platt's two parameters cannot.
# With more it wins: few scores are a sigmoid away from a probability, and what a wrong shape costs does not shrink with more samples.
MIN_PER_OUTCOME = 20  # of either outcome, for isotonic regression
_BLOCK = 1 << 17  # confidences mapped at a time: temporary arrays do not grow with the data


@dataclass(frozen=True)
class Calibrator:
    """Confidence -> probability of being right, never falling where the confidence rises.

    how: where the probability comes from, as a table says it: "isotonic on 5,000 validation samples"
    mapping: float64 (m,) -> float64 (m,)
    """

    how: str
    mapping: Callable[[np.ndarray], np.ndarray]

    def __call__(self, confidence: ArrayLike) -> Float64[np.ndarray, " n"]:
        """(n,) real -> float64 (n,) in [0, 1]. ValueError for NaN or infinity, and for what a score of this scale cannot be."""
        confidence = _real(confidence)
        probability = np.empty(len(confidence))
        for start in range(0, len(confidence), _BLOCK):
            probability[start : start + _BLOCK] = self.mapping(confidence[start : start + _BLOCK].astype(np.float64))
        return probability


def fit_calibrator(confidence: ArrayLike, correct: ArrayLike, scale: str) -> Calibrator:
    """What makes probabilities of a score, given its values on validation samples, which it must not be judged on.

    confidence: (n,) finite real numbers, higher = surer
    correct: (n,) bool
    scale: what the score is by its definition, one of SCALES

    probability  it is one already: left as it is
    log_odds     of the prediction being right: their sigmoid
    rank         only the order means something, so the rest is learned. At most MAX_SAMPLES samples are looked at, evenly spaced.
                 Isotonic regression where at least MIN_PER_OUTCOME of them are right and MIN_PER_OUTCOME wrong: the best non-decreasing fit in the mean
                 squared sense, linear between its steps, constant beyond them. Its lowest and its highest confidence each get one more
                 right and one more wrong sample, which makes the first and the last step (s + 1) / (m + 2) of s right among m:
                 Laplace's rule of succession, never 0 or 1, so that one wrong prediction there is no infinite loss.
                 Else Platt's sigmoid of a * confidence + b with a >= 0, towards his targets, which are not 0 and 1 either.
                 A single outcome, or a single confidence, has one probability, (s + 1) / (n + 2).

    ValueError for no samples, NaN or infinity, unequal lengths, other types, another scale, or values that are not of the scale.
    """
    confidence, correct = _real(confidence), np.asarray(correct)
    if correct.dtype != bool or correct.shape != confidence.shape or len(correct) == 0:
        given = f"{len(confidence)} confidences and {correct.dtype} {correct.shape} as correct"
        raise ValueError(f"there are {given}; expected one bool for each confidence, and at least one")
    if scale == PROBABILITY:
        calibrator = Calibrator("as it is", _probability)
        calibrator(confidence)  # refuses what is none
        return calibrator
    if scale == LOG_ODDS:
        return Calibrator("sigmoid", expit)
    if scale != RANK:
        raise ValueError(f"scale is {scale!r}; expected one of {', '.join(SCALES)}")
    if len(confidence) > MAX_SAMPLES:
        index = np.linspace(0, len(confidence) - 1, MAX_SAMPLES).astype(np.int64)
        confidence, correct = confidence[index], correct[index]
    return _fitted(confidence.astype(np.float64), correct)


def _fitted(confidence: Real[np.ndarray, " n"], correct: Bool[np.ndarray, " n"]) -> Calibrator:
    samples, right = len(correct), int(np.count_nonzero(correct))
    fewer = min(right, samples - right)
    if fewer == 0 or confidence.min() == confidence.max():
        share = (right + 1) / (samples + 2)
        return Calibrator(f"constant on {samples:,} validation samples", lambda values: np.full(len(values), share))
    if fewer < MIN_PER_OUTCOME:
        return Calibrator(f"Platt on {samples:,} validation samples", _platt(confidence, correct))
    return Calibrator(f"isotonic on {samples:,} validation samples", _isotonic(confidence, correct))


def _isotonic(confidence: np.ndarray, correct: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    from sklearn.isotonic import IsotonicRegression  # takes a second, which who only asks for a scale's name should not wait

    low, high = confidence.min(), confidence.max()
    confidence, correct = np.append(confidence, [low, low, high, high]), np.append(correct, [True, False, True, False])
    return IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(confidence, correct).predict


def _platt(confidence: np.ndarray, correct: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Maximum likelihood; the slope is bounded, since a score that ranks the wrong way round is worth a constant and not its reverse."""
    from scipy.optimize import minimize  # as above

    mean = confidence.mean()
    deviation = np.abs(confidence - mean).mean() or 1.0  # squares could overflow; 0 for a few smallest subnormals only
    standard = (confidence - mean) / deviation
    right = np.count_nonzero(correct)
    target = np.where(correct, (right + 1) / (right + 2), 1 / (len(correct) - right + 2))

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        score = parameters[0] * standard + parameters[1]
        excess = expit(score) - target
        return np.mean(np.logaddexp(0, score) - target * score), np.array([np.mean(excess * standard), np.mean(excess)])

    slope, offset = minimize(loss, [1.0, 0.0], jac=True, method="L-BFGS-B", bounds=[(0, None), (None, None)], tol=1e-12).x
    return lambda values: expit(slope * ((values - mean) / deviation) + offset)


def _probability(values: Real[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
    if len(values) and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(
            f"confidences reach from {values.min()} to {values.max()}, which are no probabilities; "
            f"expected [0, 1], or {LOG_ODDS} or {RANK} as the scale of the score"
        )
    return values


def _real(confidence: ArrayLike) -> Real[np.ndarray, "..."]:
    confidence = np.asarray(confidence)
    if confidence.ndim != 1 or confidence.dtype.kind not in "fiu":
        raise ValueError(f"confidence is {confidence.dtype} {confidence.shape}; expected one real number a sample, (n,)")
    if len(confidence) and not np.isfinite([confidence.min(), confidence.max()]).all():  # either is NaN where there is one
        bad = ~np.isfinite(confidence)
        raise ValueError(f"{bad.sum()} of {len(bad)} confidences are NaN or infinite, the first at index {bad.argmax()}; expected none")
    return confidence
