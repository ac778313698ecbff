"""ConfidNet after fine-tuning. It is the encoder copy and its head. Corbière et al. 2019, arXiv:1910.04851."""

import numpy as np

from confidnet_core.networks.device import to_float64
from confidnet_core.scoring.run import Run


def confidnet(run: Run) -> np.ndarray:
    """The estimated TCP, in [0, 1]: a sigmoid in float64, since float32 rounds many values to 1.

    On the CPU, since MPS has no float64.
    """
    network = run.confidnet()
    return run.over_images(lambda images: to_float64(network(images)).sigmoid())


confidnet.display_name = "ConfidNet"
confidnet.highlighted = True  # in the charts of a comparison
confidnet.learned = "trained"
confidnet.trainings = ("train_confidnet", "finetune")
confidnet.passes = 1
confidnet.reads = ("finetune",)
