"""Log-odds that the second network gives to the classifier's predictions."""

import numpy as np

from confidnet_core.networks.device import to_float64
from confidnet_core.networks.probabilities import class_log_odds
from confidnet_core.scoring.run import Run, Split


def second_log_odds(run: Run) -> np.ndarray:
    """Return the second network's log-odds of each predicted class: any real number, float64 (n,). Scores that share a cache share them."""
    return run.cached(_compute_second_log_odds, run.split)


def _compute_second_log_odds(run: Run, split: Split) -> np.ndarray:
    run = run.on_split(split)
    network = run.second_opinion()
    return run.map_images(lambda images, predicted: class_log_odds(to_float64(network(images)), predicted.long()), run.predicted_maps)
