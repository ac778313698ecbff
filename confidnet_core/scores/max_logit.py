"""Maximum logit. Designed for out-of-distribution inputs, not errors. Hendrycks et al. 2022, arXiv:1911.11132."""

import numpy as np

from confidnet_core.scoring.run import Run


def max_logit(run: Run) -> np.ndarray:
    """Return the largest logit of each prediction, any real number, float64 (n,)."""
    return run.map_logits(lambda logits, _: logits.amax(1))


max_logit.display_name = "Max logit"
max_logit.needs_logits = True
