"""ConfidNet fine-tuned under augmentation. It sees harder images than the published fine-tuning of Corbière et al. 2019, arXiv:1910.04851.

The classifier hardly errs on the training images as they are, so that little is left to learn from them. Here its targets on randomly
changed images are learned, by cross-entropy and at a higher rate: see the recipe `finetune_augmented`.
"""

import numpy as np

from confidnet_core.scores._finetuned import finetuned_confidence
from confidnet_core.scoring.run import Run


def confidnet_augmented(run: Run) -> np.ndarray:
    """Return the true class probability (TCP) that ConfidNet estimates after it was fine-tuned so, in [0, 1], float64 (n,)."""
    return finetuned_confidence(run, "finetune_augmented")


confidnet_augmented.display_name = "ConfidNet (augmented)"
confidnet_augmented.learned = "trained"
confidnet_augmented.trainings = ("train_confidnet", "finetune_augmented")
confidnet_augmented.passes = 1
confidnet_augmented.reads = ("finetune_augmented",)
