"""MC dropout: mean entropy of the passes. It measures the uncertainty that all passes share. Depeweg et al. 2018, arXiv:1710.07283."""

import numpy as np

from confidnet_core.scoring.run import Run


def mc_dropout_expected_entropy(run: Run) -> np.ndarray:
    """Return minus the mean, over forward passes with dropout, of the softmax entropy in nats: in [-log(classes), 0], float64 (n,)."""
    return -run.dropout_quantity("expected_entropy")


mc_dropout_expected_entropy.display_name = "MC-dropout (expected entropy)"
mc_dropout_expected_entropy.passes = "dropout"
mc_dropout_expected_entropy.reads = ("samples",)
