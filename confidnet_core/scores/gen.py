"""Generalised entropy of top classes, negated. Small probabilities weigh more than in Shannon's entropy.

Liu, Lochman & Zach 2023, "GEN: Pushing the limits of softmax-based out-of-distribution detection", CVPR.
"""

import numpy as np
from torch import Tensor

from confidnet_core.config.ranges import PositiveInt, Proportion
from confidnet_core.networks.probabilities import log_complement_probabilities
from confidnet_core.scoring.run import Run


def gen(run: Run, gamma: Proportion = 0.1, classes: PositiveInt = 100) -> np.ndarray:
    """Return minus the sum of (p (1 - p)) ** gamma over the `classes` largest softmax probabilities p, at most 0, float64 (n,)."""
    return run.map_logits(lambda logits, _: _generalised_entropy(logits.log_softmax(1), gamma, classes).neg())


gen.display_name = "GEN"


def _generalised_entropy(log_probabilities: Tensor, gamma: float, top_class_count: int) -> Tensor:
    log_products = log_probabilities + log_complement_probabilities(log_probabilities)
    top_classes = log_probabilities.topk(min(top_class_count, log_probabilities.shape[1]), dim=1).indices
    return log_products.gather(1, top_classes).mul(gamma).exp().sum(1)
