"""MC dropout: entropy of the mean softmax. The mean is over stochastic forward passes. Gal & Ghahramani 2016, arXiv:1506.02142."""

import numpy as np

from confidnet_core.scoring.run import Run


def mc_dropout(run: Run) -> np.ndarray:
    """Return minus the entropy, in nats, of the mean softmax over forward passes with dropout: in [-log(classes), 0], float64 (n,).

    It scores the predictions made without dropout.
    """
    return -run.dropout_quantity("predictive_entropy")


mc_dropout.display_name = "MC-dropout (entropy)"
mc_dropout.passes = "dropout"
mc_dropout.reads = ("samples",)
