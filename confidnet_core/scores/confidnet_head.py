"""ConfidNet before fine-tuning. The head reads the frozen classifier's own features. Corbière et al. 2019, arXiv:1910.04851."""

import numpy as np

from confidnet_core.networks.device import to_float64
from confidnet_core.scoring.run import Run


def confidnet_head(run: Run) -> np.ndarray:
    """Return the true class probability (TCP) that ConfidNet's head estimates before fine-tuning, in [0, 1], float64 (n,)."""
    network = run.confidnet_head()
    return run.map_images(lambda images: to_float64(network(images)).sigmoid())


confidnet_head.display_name = "ConfidNet (head only)"
confidnet_head.learned = "trained"
confidnet_head.reads = ("confidnet",)
confidnet_head.trainings = ("train_confidnet",)
