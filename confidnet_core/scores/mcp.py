"""Maximum class probability, the baseline. Hendrycks & Gimpel 2017, arXiv:1610.02136."""

import numpy as np

from confidnet_core.scoring.run import Run


def mcp(run: Run) -> np.ndarray:
    """Return the maximum class probability (MCP), the largest softmax probability: in [1/classes, 1], float64 (n,).

    It is computed in float64, since float32 saturates at exactly 1.
    """
    return run.map_logits(lambda logits, _: logits.softmax(1).amax(1))


mcp.display_name = "MCP"
mcp.scale = "probability"
