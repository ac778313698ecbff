"""MC dropout: mutual information (BALD). It measures how far stochastic forward passes disagree. Houlsby et al. 2011, arXiv:1112.5745."""

import numpy as np

from confidnet_core.scoring.run import Run


def mc_dropout_mutual_information(run: Run) -> np.ndarray:
    """Minus the mutual information of prediction and weights, in nats: predictive less expected entropy; at most 0."""
    return -(run.sampled("predictive_entropy") - run.sampled("expected_entropy")).clip(min=0)  # rounding


mc_dropout_mutual_information.display_name = "MC-dropout (mutual information)"
mc_dropout_mutual_information.passes = "dropout"
mc_dropout_mutual_information.reads = ("samples",)
