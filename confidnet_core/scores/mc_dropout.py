"""Monte-Carlo dropout: entropy of the mean softmax over stochastic passes. Gal & Ghahramani 2016, arXiv:1506.02142."""

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from confidnet_core.device import autocast
from confidnet_core.models._confidnet import set_dropout
from confidnet_core.run import Run


def mc_dropout(run: Run, passes: int = 50, pixel_passes: int = 20, precision: Literal["fp32", "bf16"] = "fp32") -> np.ndarray:
    """Minus the entropy, in nats, of the mean softmax of `passes` passes with dropout on, BatchNorm as in evaluation.

    Segmentation takes `pixel_passes` passes. The predictions ranked stay those of the classifier without dropout.
    ValueError if the classifier has no dropout with a rate above 0, or the number of passes is below 1.
    """
    count = pixel_passes if run.dataset.is_segmentation else passes
    if count < 1:
        raise ValueError(f"methods.mc_dropout takes {count} passes; expected at least 1")
    network = run.classifier.eval()
    if set_dropout(network, True) == 0:
        raise ValueError(f"{run.name}: the classifier has no dropout, so mc_dropout has nothing to sample; remove the method")

    before, after = network.split_at_dropout()

    def mean_entropy(images: Tensor) -> Tensor:
        mean: Tensor | None = None  # a running mean: one map of probabilities in memory, not `count`
        with autocast(run.device, precision):
            shared = before(images)
        for _ in range(count):
            with autocast(run.device, precision):
                probabilities = after(shared).float().softmax(1)
            mean = probabilities if mean is None else mean.add_(probabilities)
        mean = mean.div_(count)
        return torch.special.entr(mean.cpu().double()).sum(1).neg()

    try:
        with torch.random.fork_rng():
            torch.manual_seed(run.seed)
            return run.over_images(mean_entropy)
    finally:
        set_dropout(network, False)
