"""Predictions of a made-up classifier for tests of `judge`: arrays, and a table with text labels."""

import numpy as np
import pandas as pd

CLASSES = ("ant", "bee", "cat")


def scored(count: int, seed: int = 0, error_rate: float = 0.2) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Correctness (n,) and two confidences, of which mine tells more than mcp."""
    rng = np.random.default_rng(seed)
    quality = rng.normal(size=count)
    correct = rng.random(count) < 1 / (1 + np.exp(-np.log(1 / error_rate - 1) - 2 * quality))
    return correct, {"mcp": quality + 1.5 * rng.normal(size=count), "mine": quality + 0.2 * rng.normal(size=count)}


def prediction_table(count: int = 120, seed: int = 0) -> pd.DataFrame:
    """Columns label (text), p_ant, p_bee, p_cat, mine, split (half test, a quarter each of val and calibration) and unit (of two rows)."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(count, len(CLASSES)))
    labels = np.where(rng.random(count) < 0.75, logits.argmax(1), rng.integers(0, len(CLASSES), count))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    table = pd.DataFrame(probabilities, columns=[f"p_{name}" for name in CLASSES])
    table.insert(0, "label", np.array(CLASSES)[labels])
    table["mine"] = probabilities.max(1) + 0.1 * rng.normal(size=count)
    table["split"] = np.repeat(["test", "val", "calibration"], [count // 2, count // 4, count - count // 2 - count // 4])
    table["unit"] = np.arange(count) // 2
    return table
