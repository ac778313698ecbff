"""True class probability: oracle, not a result. ConfidNet regresses it. Corbière et al. 2019, arXiv:1910.04851, eq. 2.

It reads the labels. It bounds what a learned confidence could reach and is never a result.
"""

import numpy as np

from confidnet_core.networks.probabilities import true_class_probability
from confidnet_core.scoring.run import Run


def tcp(run: Run) -> np.ndarray:
    """The softmax probability of the true class, in [0, 1]."""
    return run.over_logits(true_class_probability)


tcp.display_name = "TCP"
tcp.oracle = True
