"""Maximum of centred logits over their p-norm. p is chosen on validation data: it mends classifiers whose MCP ranks badly.

Cattelan & Silva 2024, "How to fix a broken confidence estimator: evaluating post-hoc methods for selective classification with deep
neural networks", UAI, arXiv:2305.15508. MCP stays where no p is better.
"""

import numpy as np
from torch import Tensor

from confidnet_core.metrics import failure_metrics
from confidnet_core.networks.probabilities import max_probability_log_odds
from confidnet_core.scoring.run import Run

ORDERS = tuple(range(1, 11))


def max_logit_pnorm(run: Run) -> np.ndarray:
    """The normalised logit, in [0, 1], of the order p in ORDERS with the lowest AURC on up to 2^20 validation samples or pixels; log-odds
    of MCP, any real number, where no p is better. float64."""
    order = run.fitted(_fitted)
    return run.over_logits(lambda logits, _: _normalised(logits, order))


max_logit_pnorm.display_name = "Max logit (p-norm)"
max_logit_pnorm.learned = "fitted"


def _fitted(run: Run) -> int | None:
    return best_order(*run.validation.some_logits())


def best_order(logits: Tensor, labels: Tensor) -> int | None:
    """The p with the lowest AURC for logits float64 (m, classes) and labels int64 (m,); None where no p is better than MCP."""
    correct = (logits.argmax(1) == labels).numpy()
    candidates = (None, *ORDERS)  # the first of equally good ones
    return min(candidates, key=lambda order: failure_metrics(_normalised(logits, order).numpy(), correct)["aurc"] or 0.0)


def _normalised(logits: Tensor, order: int | None) -> Tensor:
    if order is None:
        return max_probability_log_odds(logits)
    centred = logits - logits.mean(1, keepdim=True)
    largest = centred.abs().amax(1, keepdim=True).clamp(min=1e-300)  # all equal: 0
    scaled = centred / largest
    return scaled.amax(1) / scaled.norm(p=order, dim=1).clamp(min=1e-300)
