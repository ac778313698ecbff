"""Free energy of the logits, negated, a score made to find foreign inputs: it need not find errors. Liu et al. 2020, arXiv:2010.03759."""

import math

import numpy as np

from confidnet_core.scoring.run import Run


def energy(run: Run, temperature: float = 1.0) -> np.ndarray:
    """temperature times log of the sum of exp(logit / temperature), any real number. ValueError for a temperature that is not above 0."""
    if not 0 < temperature < math.inf:
        raise ValueError(f"methods.energy.temperature is {temperature}; expected a number above 0")
    return run.over_logits(lambda logits, _: temperature * (logits / temperature).logsumexp(1))


energy.display_name = "Energy"
