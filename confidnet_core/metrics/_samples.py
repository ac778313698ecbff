"""What metrics are asked about: one confidence and one outcome a sample, checked."""

import numpy as np
from numpy.typing import ArrayLike


def checked(confidence: ArrayLike, correct: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """confidence (n,) real, correct (n,) bool, n >= 1. ValueError for anything else; whether a confidence is finite is not looked at."""
    confidence, correct = _array("confidence", confidence), _array("correct", correct)
    if confidence.ndim != 1 or confidence.shape != correct.shape:
        raise ValueError(f"confidence has shape {confidence.shape} and correct {correct.shape}; give one value a sample, both (n,)")
    if len(confidence) == 0:
        raise ValueError("there are no samples: confidence is empty; check that the split holds samples")
    if confidence.dtype.kind not in "fiu":
        raise ValueError(f"confidence is {confidence.dtype}; expected real numbers (are confidence and correct swapped?)")
    return confidence, _boolean(correct)


def require_finite(confidence: np.ndarray) -> None:
    """ValueError with the first index."""
    bad = ~np.isfinite(confidence)
    if bad.any():
        raise ValueError(
            f"{bad.sum()} of {len(bad)} confidences are NaN or infinite, the first at index {bad.argmax()} ({confidence[bad.argmax()]}); "
            "a score must be finite to be ranked"
        )


def _boolean(correct: np.ndarray) -> np.ndarray:
    if correct.dtype == bool:
        return correct
    if correct.dtype.kind not in "iu" or correct.min() < 0 or correct.max() > 1:
        kind = f"integers from {correct.min()} to {correct.max()}" if correct.dtype.kind in "iu" else str(correct.dtype)
        raise ValueError(f"correct holds {kind}; expected bool or 0 and 1, True where the prediction is right (predicted == labels)")
    return correct.astype(bool)


def _array(name: str, values: ArrayLike) -> np.ndarray:
    try:
        return np.asarray(values)
    except (TypeError, RuntimeError) as error:  # a torch tensor on a GPU, with gradient, or of a type NumPy lacks
        raise ValueError(f"{name} cannot be read as a NumPy array ({error}); give .detach().float().cpu()") from error
