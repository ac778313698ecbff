"""MC dropout: mutual information (BALD). It measures how far stochastic forward passes disagree. Houlsby et al. 2011, arXiv:1112.5745."""

import numpy as np

from confidnet_core.scoring.run import Run


def mc_dropout_mutual_information(run: Run) -> np.ndarray:
    """Return minus the mutual information of prediction and weights in nats, at most 0, float64 (n,).

    The mutual information is the entropy of the mean softmax over forward passes with dropout minus the mean entropy of these passes.
    """
    return -(run.dropout_quantity("predictive_entropy") - run.dropout_quantity("expected_entropy")).clip(
        min=0
    )  # rounding can make it negative


mc_dropout_mutual_information.display_name = "MC-dropout (mutual information)"
mc_dropout_mutual_information.passes = "dropout"
mc_dropout_mutual_information.reads = ("samples",)
