"""Margin between the two largest probabilities. Scheffer et al. 2001, "Active hidden Markov models"."""

import numpy as np
from torch import Tensor

from confidnet_core.scoring.run import Run


def margin(run: Run) -> np.ndarray:
    """Return the largest minus the second largest softmax probability, in [0, 1], float64 (n,)."""
    return run.map_logits(_margin)


margin.display_name = "Margin"


def _margin(logits: Tensor, _: Tensor) -> Tensor:
    largest_probability, second_largest_probability = logits.softmax(1).topk(2, dim=1).values.unbind(1)
    return largest_probability - second_largest_probability
