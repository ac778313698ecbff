"""Maximum of centred logits over their p-norm. p is chosen on validation data, and MCP stays where no p is better.

Cattelan & Silva 2024, "How to fix a broken confidence estimator: evaluating post-hoc methods for selective classification with deep
neural networks", UAI, arXiv:2305.15508. It repairs classifiers whose MCP ranks badly.
"""

import numpy as np
from torch import Tensor

from confidnet_core.metrics import failure_metrics
from confidnet_core.networks.probabilities import max_probability_log_odds
from confidnet_core.scoring.run import Run

NORM_ORDERS = tuple(range(1, 11))


def max_logit_pnorm(run: Run) -> np.ndarray:
    """Return the largest centred logit (logit minus mean logit) divided by the p-norm of the centred logits, in [0, 1], float64 (n,).

    p is the order from 1 to 10 with the lowest AURC on up to 2^20 validation samples or pixels. Where no p is better than MCP, the score is
    the log-odds of MCP, any real number.
    """
    norm_order = run.fitted(_fit_norm_order)
    return run.map_logits(lambda logits, _: _normalised_max_logit(logits, norm_order))


max_logit_pnorm.display_name = "Max logit (p-norm)"
max_logit_pnorm.learned = "fitted"


def _fit_norm_order(run: Run) -> int | None:
    """Return the order p of the norm with the lowest AURC on validation data; None where no p is better than MCP."""
    return best_norm_order(*run.validation.subsample_logits())


def best_norm_order(logits: Tensor, labels: Tensor) -> int | None:
    """Return the order p of the norm with the lowest AURC; None where no p is better than MCP.

    logits: float64 (m, classes); labels: int64 (m,), the true classes
    """
    correct = (logits.argmax(1) == labels).numpy()
    candidate_norm_orders = (
        None,
        *NORM_ORDERS,
    )  # `min` takes the first of equally good candidates: MCP before a norm, a smaller p before a larger one
    return min(
        candidate_norm_orders,
        key=lambda norm_order: failure_metrics(_normalised_max_logit(logits, norm_order).numpy(), correct)["aurc"] or 0.0,
    )


def _normalised_max_logit(logits: Tensor, norm_order: int | None) -> Tensor:
    """Return the largest centred logit over the norm of this order of the centred logits, in [0, 1]: (m, classes) -> (m,).

    For norm_order None, return the log-odds of MCP.
    """
    if norm_order is None:
        return max_probability_log_odds(logits)
    centred_logits = logits - logits.mean(1, keepdim=True)
    largest_magnitude = centred_logits.abs().amax(1, keepdim=True).clamp(min=1e-300)  # equal logits give a score of 0
    scaled_logits = centred_logits / largest_magnitude
    return scaled_logits.amax(1) / scaled_logits.norm(p=norm_order, dim=1).clamp(min=1e-300)
