"""Maximum logit. Made to find foreign inputs: it need not find errors. Hendrycks et al. 2022, arXiv:1911.11132."""

import numpy as np

from confidnet_core.scoring.run import Run


def max_logit(run: Run) -> np.ndarray:
    """The largest logit, any real number."""
    return run.over_logits(lambda logits, _: logits.amax(1))


max_logit.display_name = "Max logit"
