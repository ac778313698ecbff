"""MCP with a learned correction. It is a ConfidNet that starts from MCP, and stays MCP if no epoch is better on validation data.

It follows Corbière et al. 2019, arXiv:1910.04851; that it starts from the log-odds of MCP, and that its head reads them, is our addition.
"""

import numpy as np

from confidnet_core.scoring.run import Run


def corrected_mcp(run: Run) -> np.ndarray:
    """Return the log-odds that each prediction is correct, by MCP plus a learned correction: any real number, float32 (n,)."""
    return run.map_images(run.corrected_mcp())


corrected_mcp.display_name = "Corrected MCP"
corrected_mcp.scale = "log_odds"
corrected_mcp.learned = "trained"
corrected_mcp.reads = ("corrected_mcp",)
corrected_mcp.trainings = ("train_corrected_mcp",)
