"""MC dropout: maximum of the mean softmax. The mean is over stochastic forward passes. Gal & Ghahramani 2016, arXiv:1506.02142."""

import numpy as np

from confidnet_core.scoring.run import Run


def mc_dropout_mcp(run: Run) -> np.ndarray:
    """In [1/classes, 1]; of the class that the passes prefer, which need not be the one predicted."""
    return run.sampled("largest_mean_probability")


mc_dropout_mcp.display_name = "MC-dropout (MCP)"
mc_dropout_mcp.scale = "probability"
mc_dropout_mcp.passes = "dropout"
mc_dropout_mcp.reads = ("samples",)
