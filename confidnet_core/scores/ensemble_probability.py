"""Deep ensemble: mean softmax of the prediction. The mean is over all seeds. Lakshminarayanan et al. 2017, arXiv:1612.01474."""

import numpy as np

from confidnet_core.scoring.run import Run


def ensemble_probability(run: Run) -> np.ndarray:
    """Return the mean softmax over all seeds of the class that the classifier of the Run's seed predicts: in [0, 1], float64 (n,)."""
    return run.ensemble_quantity("ensemble_probability")


ensemble_probability.display_name = "Deep ensemble (probability)"
ensemble_probability.over_seeds = "probability_of_predicted"
ensemble_probability.scale = "probability"
ensemble_probability.learned = "trained"
ensemble_probability.trainings = ("train_baseline",)
ensemble_probability.passes = "seeds"
