"""MC dropout: maximum of the mean softmax. The mean is over stochastic forward passes. Gal & Ghahramani 2016, arXiv:1506.02142."""

import numpy as np

from confidnet_core.scoring.run import Run


def mc_dropout_mcp(run: Run) -> np.ndarray:
    """Return the largest mean probability, in [1/classes, 1], float64 (n,). Its class need not be the predicted one."""
    return run.dropout_quantity("largest_mean_probability")


mc_dropout_mcp.display_name = "MC-dropout (MCP)"
mc_dropout_mcp.scale = "probability"
mc_dropout_mcp.passes = "dropout"
mc_dropout_mcp.reads = ("samples",)
