"""Deep ensemble of two: mean log-odds. Lakshminarayanan et al. 2017, arXiv:1612.01474.

The second classifier is that of the next seed. An answer costs what a second opinion costs.
"""

import numpy as np

from confidnet_core.scoring.run import Run


def ensemble_of_two(run: Run) -> np.ndarray:
    """Return the mean log-odds of each predicted class over the classifiers of the Run's seed and of the next one: float64 (n,).

    The seed after the last one is the first.
    """
    return run.ensemble_quantity("ensemble_of_two")


ensemble_of_two.display_name = "Deep ensemble (of two)"
ensemble_of_two.over_seeds = "log_odds_with_next_seed"
ensemble_of_two.scale = "log_odds"
ensemble_of_two.learned = "trained"
ensemble_of_two.trainings = ("train_baseline",)
ensemble_of_two.passes = 1
