"""MCP after temperature scaling. The temperature is fitted on validation data. Guo et al. 2017, arXiv:1706.04599."""

import math

import numpy as np
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn.functional import cross_entropy

from confidnet_core.networks.probabilities import max_probability_log_odds
from confidnet_core.scoring.run import Run

TEMPERATURE_RANGE = (1 / 1000, 1000.0)  # bounded, since without an error on validation data the optimum is 0


def temperature(run: Run) -> np.ndarray:
    """Return the log-odds of MCP after temperature scaling, in [-log(classes - 1), inf), float64 (n,).

    The temperature minimises the cross-entropy on up to 2^20 validation samples or pixels.
    """
    fitted_temperature = run.fitted(_fitted)
    return run.map_logits(lambda logits, _: max_probability_log_odds(logits / fitted_temperature))


temperature.display_name = "Temperature scaling"
temperature.scale = "log_odds"
temperature.learned = "fitted"


def _fitted(run: Run) -> float:
    """Return the best temperature on validation data, which `run.fitted` stores."""
    return best_temperature(*run.validation.subsample_logits())


def best_temperature(logits: Tensor, labels: Tensor) -> float:
    """Return the temperature in TEMPERATURE_RANGE with the lowest cross-entropy of logits float64 (m, classes) and labels int64 (m,).

    The cross-entropy has one minimum over 1 / temperature.
    """

    def loss(log_temperature: float) -> float:
        return cross_entropy(logits / math.exp(log_temperature), labels).item()

    bounds = tuple(math.log(end) for end in TEMPERATURE_RANGE)
    return math.exp(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4}).x)
