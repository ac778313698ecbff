"""MCP with a learned correction. A ConfidNet that starts from MCP, and is MCP where no training was better on validation data.

After Corbière et al. 2019, arXiv:1910.04851; the start from the log-odds of MCP and their input to the head are ours.
"""

import numpy as np

from confidnet_core.scoring.run import Run


def corrected_mcp(run: Run) -> np.ndarray:
    """Log-odds that the prediction is correct, any real number; float32."""
    return run.over_images(run.corrected_mcp())


corrected_mcp.display_name = "Corrected MCP"
corrected_mcp.scale = "log_odds"
corrected_mcp.learned = "trained"
corrected_mcp.reads = ("corrected_mcp",)
corrected_mcp.trainings = ("train_corrected_mcp",)
