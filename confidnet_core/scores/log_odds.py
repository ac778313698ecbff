"""Log-odds of the maximum class probability. The ranking is that of MCP, without ties where probabilities are rounded to 1.

It is log(p / (1 - p)) of the p of Hendrycks & Gimpel 2017, arXiv:1610.02136. Two predictions whose logit leads by 40 and by 60 differ.
"""

import numpy as np

from confidnet_core.networks.probabilities import max_probability_log_odds
from confidnet_core.scoring.run import Run


def log_odds(run: Run) -> np.ndarray:
    """Return the log-odds of the largest softmax probability, in [-log(classes - 1), inf), float64 (n,).

    They are the largest logit minus the logsumexp of the others.
    """
    return run.map_logits(lambda logits, _: max_probability_log_odds(logits))


log_odds.display_name = "Log-odds of MCP"
log_odds.scale = "log_odds"
