"""Deep ensemble: entropy of the mean softmax. The mean is over all seeds. Lakshminarayanan et al. 2017, arXiv:1612.01474."""

import numpy as np

from confidnet_core.scoring.run import Run


def ensemble(run: Run) -> np.ndarray:
    """Return minus the entropy, in nats, of the mean softmax over the classifiers of all seeds: in [-log(classes), 0], float64 (n,).

    It scores the predictions of the classifier of the Run's own seed.
    """
    return -run.ensemble_quantity("ensemble")


ensemble.display_name = "Deep ensemble (entropy)"
ensemble.over_seeds = "predictive_entropy"
ensemble.learned = "trained"
ensemble.trainings = ("train_baseline",)
ensemble.passes = "seeds"
