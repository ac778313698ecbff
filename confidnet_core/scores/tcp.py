"""True class probability: oracle, not a result. ConfidNet regresses it. Corbière et al. 2019, arXiv:1910.04851, eq. 2.

It reads the labels: it is what ConfidNet is trained to predict, and no competing method. A score that knows more than the classifier,
such as `second_opinion`, can rank its errors better.
"""

import numpy as np

from confidnet_core.networks.probabilities import true_class_probability
from confidnet_core.scoring.run import Run


def tcp(run: Run) -> np.ndarray:
    """Return the true class probability (TCP), the softmax probability of the true class: in [0, 1], float64 (n,)."""
    return run.map_logits(true_class_probability)


tcp.display_name = "TCP"
tcp.oracle = True
