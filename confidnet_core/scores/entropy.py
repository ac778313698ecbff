"""Predictive entropy of the softmax, negated. Shannon 1948; as a failure score, Corbière et al. 2019, arXiv:1910.04851."""

import numpy as np
from torch import Tensor

from confidnet_core.scoring.run import Run


def entropy(run: Run) -> np.ndarray:
    """Return minus the entropy of the softmax probabilities in nats, in [-log(classes), 0], float64 (n,)."""
    return run.map_logits(lambda logits, _: negative_entropy(logits))


entropy.display_name = "Entropy"


def negative_entropy(logits: Tensor) -> Tensor:
    """Return minus the entropy, in nats, of the softmax of logits: (m, classes) -> (m,)."""
    log_probabilities = logits.log_softmax(1)
    return (log_probabilities.exp() * log_probabilities).sum(1)
