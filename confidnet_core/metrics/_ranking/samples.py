"""Input of the metrics: checks and sorting of one confidence and one outcome (correct or not) for each sample."""

from typing import Literal

import numpy as np
from jaxtyping import Bool, Int, Real, Shaped
from numpy.typing import ArrayLike


def check_confidence_and_correct(
    confidence: ArrayLike, correct: ArrayLike, confidence_argument_name: str = "confidence"
) -> tuple[Real[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Return confidence as an array of real numbers (n,) and correct as a bool array (n,), n >= 1. Raises ValueError for other input.

    NaN and infinite confidences are not refused here, but by require_finite_confidence.
    confidence_argument_name: what messages call the confidence
    """
    confidence, correct = as_unmasked_array(confidence_argument_name, confidence), as_unmasked_array("correct", correct)
    if confidence.ndim != 1 or confidence.shape != correct.shape:
        raise ValueError(
            f"{confidence_argument_name} has shape {confidence.shape} and correct {correct.shape}; give one value a sample, both (n,)"
        )
    if len(confidence) == 0:
        raise ValueError(f"there are no samples: {confidence_argument_name} is empty; check that the split holds samples")
    if confidence.dtype.kind not in "fiu":
        raise ValueError(
            f"{confidence_argument_name} is {confidence.dtype}; expected real numbers (are {confidence_argument_name} and correct swapped?)"
        )
    if confidence.dtype.itemsize == 2 and confidence.dtype.kind == "f":
        confidence = confidence.astype(np.float32)  # NumPy 2.4 missorts float16 that holds both zeros, with AVX-512
    return confidence, _correct_as_bool(correct)


def require_finite_confidence(confidence: Real[np.ndarray, " n"]) -> None:
    """Raise ValueError, naming the index of the first such element, if any confidence (n,) is NaN or infinite."""
    if np.isfinite([confidence.min(), confidence.max()]).all():  # where there is a NaN, it is both the minimum and the maximum
        return
    is_not_finite = ~np.isfinite(confidence)
    raise ValueError(
        f"{is_not_finite.sum()} of {len(is_not_finite)} confidences are NaN or infinite, the first at index {is_not_finite.argmax()} "
        f"({confidence[is_not_finite.argmax()]}); a score must be finite to be ranked"
    )


def sorted_confidences(confidence: ArrayLike, correct: ArrayLike) -> tuple[Real[np.ndarray, " n"], Real[np.ndarray, " errors"]]:
    """Return the confidences of all samples (n,) and those of the errors (errors,), each sorted from low to high.

    confidence: (n,) real numbers; correct: (n,) bool, or integers 0 and 1
    Raises ValueError for unequal lengths, no samples, other types, and confidences that are NaN or infinite.
    """
    confidence, correct = check_confidence_and_correct(confidence, correct)
    require_finite_confidence(confidence)
    return np.sort(confidence), np.sort(confidence[~correct])


def count_above(
    sorted_values: Real[np.ndarray, " n"], thresholds: Real[np.ndarray, " points"], side: Literal["left", "right"]
) -> Int[np.ndarray, " points"]:
    """Return for each threshold how many elements of the sorted array are above it; with side "left" those equal to it count, too."""
    return len(sorted_values) - np.searchsorted(sorted_values, thresholds, side)


def _correct_as_bool(correct: Shaped[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    if correct.dtype == bool:
        return correct
    if correct.dtype.kind not in "iu" or correct.min() < 0 or correct.max() > 1:
        received_correct_text = f"integers from {correct.min()} to {correct.max()}" if correct.dtype.kind in "iu" else str(correct.dtype)
        raise ValueError(
            f"correct holds {received_correct_text}; expected bool or 0 and 1, True where the prediction is right (predicted == labels)"
        )
    return correct.astype(bool)


def as_unmasked_array(argument_name: str, argument: ArrayLike) -> Shaped[np.ndarray, "..."]:
    """Return an argument of any array type as a NumPy array. Raises ValueError for what NumPy cannot read, and for a masked array.

    argument_name: what messages call the argument
    """
    if isinstance(argument, np.ma.MaskedArray):  # NumPy would drop the mask without a word, and the masked samples would count
        masked_count = int(np.count_nonzero(np.ma.getmaskarray(argument)))
        remedy_text = "select what counts from all arrays, or give .data to count all"
        raise ValueError(f"{argument_name} is a masked array, with {masked_count} of {argument.size} elements masked; {remedy_text}")
    try:
        return np.asarray(argument)
    except (TypeError, RuntimeError) as error:  # a torch tensor on a GPU, with gradient, or of a type NumPy lacks
        raise ValueError(f"{argument_name} cannot be read as a NumPy array ({error}); give .detach().float().cpu()") from error
