"""What metrics are asked about: one confidence and one outcome a sample, checked and ranked."""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Int, Real, Shaped
from numpy.typing import ArrayLike


def checked(confidence: ArrayLike, correct: ArrayLike, name: str = "confidence") -> tuple[Real[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """confidence (n,) real, correct (n,) bool, n >= 1. ValueError for anything else; whether a confidence is finite is not looked at.

    name: what error messages call the confidence
    """
    confidence, correct = _array(name, confidence), _array("correct", correct)
    if confidence.ndim != 1 or confidence.shape != correct.shape:
        raise ValueError(f"{name} has shape {confidence.shape} and correct {correct.shape}; give one value a sample, both (n,)")
    if len(confidence) == 0:
        raise ValueError(f"there are no samples: {name} is empty; check that the split holds samples")
    if confidence.dtype.kind not in "fiu":
        raise ValueError(f"{name} is {confidence.dtype}; expected real numbers (are {name} and correct swapped?)")
    if confidence.dtype.itemsize == 2 and confidence.dtype.kind == "f":
        confidence = confidence.astype(np.float32)  # NumPy 2.4 missorts float16 that holds both zeros, with AVX-512
    return confidence, _boolean(correct)


def require_finite(confidence: Real[np.ndarray, " n"]) -> None:
    """ValueError with the first index, for samples of which one is NaN or infinite."""
    if np.isfinite([confidence.min(), confidence.max()]).all():  # NaN is both, where there is one
        return
    bad = ~np.isfinite(confidence)
    raise ValueError(
        f"{bad.sum()} of {len(bad)} confidences are NaN or infinite, the first at index {bad.argmax()} ({confidence[bad.argmax()]}); "
        "a score must be finite to be ranked"
    )


def ranked_with_errors(confidence: ArrayLike, correct: ArrayLike) -> tuple[Real[np.ndarray, " n"], Real[np.ndarray, " errors"]]:
    """The confidences of all samples and those of the errors, each sorted from low to high. ValueError as `checked`, and if not finite."""
    confidence, correct = checked(confidence, correct)
    require_finite(confidence)
    return np.sort(confidence), np.sort(confidence[~correct])


def count_above(
    ranked: Real[np.ndarray, " n"], value: Real[np.ndarray, " points"], side: Literal["left", "right"]
) -> Int[np.ndarray, " points"]:
    """How many of the sorted array are above each value (side "right"), or above or equal (side "left")."""
    return len(ranked) - np.searchsorted(ranked, value, side)


def _boolean(correct: Shaped[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    if correct.dtype == bool:
        return correct
    if correct.dtype.kind not in "iu" or correct.min() < 0 or correct.max() > 1:
        kind = f"integers from {correct.min()} to {correct.max()}" if correct.dtype.kind in "iu" else str(correct.dtype)
        raise ValueError(f"correct holds {kind}; expected bool or 0 and 1, True where the prediction is right (predicted == labels)")
    return correct.astype(bool)


def _array(name: str, values: ArrayLike) -> Shaped[np.ndarray, "..."]:
    try:
        return np.asarray(values)
    except (TypeError, RuntimeError) as error:  # a torch tensor on a GPU, with gradient, or of a type NumPy lacks
        raise ValueError(f"{name} cannot be read as a NumPy array ({error}); give .detach().float().cpu()") from error
