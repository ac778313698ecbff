"""Log-odds of the maximum class probability. They rank as MCP does, and go on where a probability is rounded to 1.

log(p / (1 - p)) of Hendrycks & Gimpel's p, arXiv:1610.02136; two predictions with logits 40 and 60 ahead of the others differ here.
"""

import numpy as np

from confidnet_core.networks.probabilities import max_probability_log_odds
from confidnet_core.scoring.run import Run


def log_odds(run: Run) -> np.ndarray:
    """In [-log(classes - 1), inf): the largest logit minus the log of the summed exponentials of the others."""
    return run.over_logits(lambda logits, _: max_probability_log_odds(logits))


log_odds.display_name = "Log-odds of MCP"
log_odds.scale = "log_odds"
