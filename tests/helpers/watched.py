"""A packed model's calibration data and answers to new images, drawn from known distributions; without networks, which watch needs not."""

from pathlib import Path

import numpy as np
import pandas as pd

from confidnet_core.files import write_json
from confidnet_core.monitoring.reference import save_reference

CLASSES = ["cat", "dog", "owl"]
THRESHOLD = 1.0  # of confidences that are exponential: a coverage of exp(-1) of them is rejected


def draw(count: int, seed: int, shift: float = 0.0, risk: float = 0.02, classes: int = 3) -> pd.DataFrame:
    """Answers with their true labels: a confidence is exponential plus SHIFT, and accepted answers are wrong with probability RISK."""
    generator = np.random.default_rng(seed)
    confidence = generator.exponential(5.0, count) + shift
    predicted = generator.integers(0, classes, count)
    wrong = generator.random(count) < risk
    return pd.DataFrame(
        {
            "file": [f"{seed}-{at}.png" for at in range(count)],
            "label": np.array(CLASSES)[predicted],
            "class_index": predicted,
            "confidence": confidence,
            "accepted": confidence >= THRESHOLD,
            "true": np.array(CLASSES)[np.where(wrong, (predicted + 1) % 3, predicted)],
        }
    )


def model(folder: Path, samples: int = 500, threshold: float | None = THRESHOLD, segmentation: bool = False) -> Path:
    """What watch reads of a packed model: target risks of 5 %, which is served, and 20 %, which accepts everything."""
    folder.mkdir(parents=True)
    data = draw(samples, seed=1000)
    facts = {"benchmark": "pets", "seed": 0, "method": "mcp", "classes": CLASSES, "segmentation": segmentation}
    write_json(folder / "model.json", facts)
    served = {"risk": 0.05, "delta": 0.05, "threshold": threshold, "served": True, "reason": None if threshold else "59 are needed"}
    write_json(folder / "threshold.json", {"thresholds": [served, served | {"risk": 0.2, "threshold": 0.0, "served": False}]})
    save_reference(folder, data["confidence"].to_numpy(), data["class_index"].to_numpy(), (data["label"] == data["true"]).to_numpy())
    return folder


def write_days(folder: Path, days: int, per_day: int = 100, labelled: float = 0.0, **change: float) -> list[str]:
    """day-NN.csv for each day, and labels.csv of a part of them, in this order; the paths of the days. change: as arguments of draw"""
    labels, paths = [], []
    for day in range(days):
        answers = draw(per_day, seed=day, **change)
        paths.append(str(folder / f"day-{day:02}.csv"))
        answers.drop(columns="true").to_csv(paths[-1], index=False)
        labels.append(answers[["file", "true"]].rename(columns={"true": "label"}).head(round(labelled * per_day)))
    pd.concat(labels).to_csv(folder / "labels.csv", index=False)
    return paths
