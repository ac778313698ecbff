"""What the stage `evaluate` reads of the attributes of a score's function: its inputs, and its network's own answers if it has any."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from confidnet_core.scoring.run import Run


def readable_inputs(score: Callable) -> tuple[str, ...]:
    """Return the inputs that a score may read: what it declares in its attributes `reads` and `reads_if_trained`."""
    return (*getattr(score, "reads", ()), *getattr(score, "reads_if_trained", ()))


def score_with_own_answers(score: Callable[..., Any], run: Run, settings: Mapping[str, Any]) -> tuple[np.ndarray, ...]:
    """Return (confidence,) of a score or, where it has the attribute `with_own_answers`, the three arrays (n,) of that function."""
    with_own_answers = getattr(score, "with_own_answers", None)
    return with_own_answers(run, **settings) if with_own_answers else (score(run, **settings),)
