"""MCP after temperature scaling. The temperature is fitted on validation data. Guo et al. 2017, arXiv:1706.04599."""

import math
import sys

import numpy as np
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn.functional import cross_entropy

from confidnet_core.networks.probabilities import max_probability_log_odds
from confidnet_core.scoring.run import Run

TEMPERATURE_RANGE = (1 / 1000, 1000.0)  # bounded, since without an error on validation data the optimum is 0


def temperature(run: Run) -> np.ndarray:
    """Return the log-odds of the largest softmax probability after temperature scaling, in [-log(classes - 1), inf), float64 (n,).

    The temperature minimises the cross-entropy on up to 2^20 validation samples or pixels.
    """
    fitted_temperature = run.fitted(_fit_temperature)
    return run.map_logits(lambda logits, _: max_probability_log_odds(logits / fitted_temperature))


temperature.display_name = "Temperature scaling"
temperature.scale = "log_odds"
temperature.learned = "fitted"


def _fit_temperature(run: Run) -> float:
    """Return the temperature with the lowest cross-entropy on validation data; print a warning if a bound fits as well."""
    logits, labels = run.validation.subsample_logits()
    fitted_temperature = best_temperature(logits, labels)
    lowest_cross_entropy = cross_entropy(logits / fitted_temperature, labels)
    for bound, outcome in zip(TEMPERATURE_RANGE, ("correct", "an error"), strict=True):
        if cross_entropy(logits / bound, labels) <= lowest_cross_entropy:
            reason = f"its bound {bound:g} fits no worse than {fitted_temperature:.3g}, as if every prediction on them were {outcome}"
            remedy = "use the score log_odds, which fits nothing, or more validation data"
            print(f"WARNING {run.benchmark_name}: the validation data determine no temperature: {reason}; {remedy}", file=sys.stderr)
    return fitted_temperature


def best_temperature(logits: Tensor, labels: Tensor) -> float:
    """Return the temperature from 0.001 to 1000 by which to divide logits for the lowest cross-entropy, which has a single minimum.

    logits: float64 (m, classes); labels: int64 (m,), the true classes
    """

    def cross_entropy_at(log_temperature: float) -> float:
        return cross_entropy(logits / math.exp(log_temperature), labels).item()

    log_temperature_bounds = tuple(math.log(bound) for bound in TEMPERATURE_RANGE)
    return math.exp(minimize_scalar(cross_entropy_at, bounds=log_temperature_bounds, method="bounded", options={"xatol": 1e-4}).x)
