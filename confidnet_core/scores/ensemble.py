"""Deep ensemble: entropy of the mean softmax. The mean is over all seeds. Lakshminarayanan et al. 2017, arXiv:1612.01474."""

import numpy as np

from confidnet_core.scoring.run import Run


def ensemble(run: Run) -> np.ndarray:
    """Minus the entropy in nats, in [-log(classes), 0]. The predictions ranked stay those of the run's own classifier."""
    return -run.over_seeds("ensemble")


ensemble.display_name = "Deep ensemble (entropy)"
ensemble.over_seeds = "predictive_entropy"
ensemble.learned = "trained"
ensemble.trainings = ("train_baseline",)
ensemble.passes = "seeds"
