"""Free energy of the logits, negated. Designed for out-of-distribution inputs, not errors. Liu et al. 2020, arXiv:2010.03759."""

import numpy as np

from confidnet_core.config.ranges import PositiveFloat
from confidnet_core.scoring.run import Run


def energy(run: Run, temperature: PositiveFloat = 1.0) -> np.ndarray:
    """Return minus the free energy, temperature * log(sum of exp(logit / temperature)): any real number, float64 (n,)."""
    return run.map_logits(lambda logits, _: temperature * (logits / temperature).logsumexp(1))


energy.display_name = "Energy"
energy.needs_logits = True
