"""Confidence of a fine-tuned ConfidNet."""

import numpy as np

from confidnet_core.networks.device import to_float64
from confidnet_core.scoring.run import Run


def finetuned_confidence(run: Run, network_name: str) -> np.ndarray:
    """Return the true class probability (TCP) that the fine-tuned network of this name estimates, in [0, 1], float64 (n,).

    The sigmoid is computed in float64, since float32 rounds many values to 1.
    """
    network = run.confidnet(network_name)
    read_arrays = (run.logits,) if network.reads_softmax else ()
    return run.map_images(lambda *inputs: to_float64(network(*inputs)).sigmoid(), *read_arrays)
