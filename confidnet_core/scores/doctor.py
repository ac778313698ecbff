"""DOCTOR: odds of a label drawn from the softmax. The odds (alpha) that it is the correct one. Granese et al. 2021, arXiv:2106.02395."""

import numpy as np
from torch import Tensor

from confidnet_core.networks.probabilities import log_complements
from confidnet_core.scoring.run import Run


def doctor(run: Run) -> np.ndarray:
    """log(g / (1 - g)) with g the sum of the squared softmax probabilities; it ranks as -(1 - g) / g, the published form, does."""
    return run.over_logits(lambda logits, _: _log_odds_of_squares(logits.log_softmax(1)))


doctor.display_name = "DOCTOR"


def _log_odds_of_squares(log_probabilities: Tensor) -> Tensor:
    same = (2 * log_probabilities).logsumexp(1)
    different = (log_probabilities + log_complements(log_probabilities)).logsumexp(1)
    return same - different
