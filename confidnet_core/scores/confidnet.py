"""ConfidNet after fine-tuning. The encoder is a fine-tuned copy of the classifier's. Corbière et al. 2019, arXiv:1910.04851."""

import numpy as np

from confidnet_core.scores._finetuned import finetuned_confidence
from confidnet_core.scoring.run import Run


def confidnet(run: Run) -> np.ndarray:
    """Return the true class probability (TCP) that the fine-tuned ConfidNet estimates, in [0, 1], float64 (n,)."""
    return finetuned_confidence(run, "finetune")


confidnet.display_name = "ConfidNet"
confidnet.highlighted = True  # drawn prominently in the charts of a comparison
confidnet.learned = "trained"
confidnet.trainings = ("train_confidnet", "finetune")
confidnet.passes = 1
confidnet.reads = ("finetune",)
