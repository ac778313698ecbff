"""DOCTOR: odds of a label drawn from the softmax. The odds (alpha) that it is the true one. Granese et al. 2021, arXiv:2106.02395."""

import numpy as np
from torch import Tensor

from confidnet_core.networks.probabilities import log_complement_probabilities
from confidnet_core.scoring.run import Run


def doctor(run: Run) -> np.ndarray:
    """Return log(g / (1 - g)), float64 (n,), where g is the sum of the squared softmax probabilities.

    This ranks the predictions as the published score -(1 - g) / g does.
    """
    return run.map_logits(lambda logits, _: _log_odds_of_squares(logits.log_softmax(1)))


doctor.display_name = "DOCTOR"


def _log_odds_of_squares(log_probabilities: Tensor) -> Tensor:
    log_sum_of_squares = (2 * log_probabilities).logsumexp(1)
    log_complement = (log_probabilities + log_complement_probabilities(log_probabilities)).logsumexp(1)
    return log_sum_of_squares - log_complement
