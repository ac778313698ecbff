"""Second opinion: log-odds of a second network. They are those of the classifier's prediction.

Both networks learn the same question from the same training data. The second one learns from harder images, which the classifier has not
seen, and errs elsewhere. A deep ensemble of the same cost has two equal networks: Lakshminarayanan et al. 2017, arXiv:1612.01474.
"""

import numpy as np
import torch
from torch import Tensor

from confidnet_core.networks.device import to_float64
from confidnet_core.networks.probabilities import class_log_odds
from confidnet_core.scores._second_network import second_log_odds
from confidnet_core.scoring.run import Run


def second_opinion(run: Run) -> np.ndarray:
    """Return the second network's log-odds of each predicted class: any real number, float64 (n,)."""
    return second_log_odds(run)


def confidence_with_own_answers(run: Run) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the score, and the second network as a classifier by itself, from one pass over the images.

    These are three arrays (n,): the score float64; the log-odds of what the second network predicts itself, float64; whether this is
    correct, bool.
    """
    network = run.second_opinion()

    def answer(images: Tensor, predicted: Tensor) -> Tensor:
        logits = to_float64(network(images))
        own_predicted = logits.argmax(1)
        log_odds = [class_log_odds(logits, classes) for classes in (predicted.long(), own_predicted)]
        return torch.stack([*log_odds, own_predicted.double()], -1)

    confidence, own_confidence, own_predicted = run.map_images(answer, run.predicted_maps).T
    return confidence, own_confidence, own_predicted == run.labels


second_opinion.display_name = "Second opinion"
second_opinion.scale = "log_odds"
second_opinion.learned = "trained"
second_opinion.trainings = ("train_second_opinion",)
second_opinion.passes = 1
second_opinion.reads = ("second_opinion",)
second_opinion.with_own_answers = confidence_with_own_answers
