"""A confidence score judged by the failure metrics, as it passes from the evaluate stage to the comparison."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from confidnet_core.files import read_json, replacing, write_json
from confidnet_core.metrics import METRICS, failure_metrics

KEYS = ("benchmark", "seed", "method", "oracle", "samples", "errors")


@dataclass(frozen=True)
class Evaluation:
    """One method on one benchmark and seed. A metric is None where it is undefined, as AUROC is without errors."""

    benchmark: str
    seed: int
    method: str
    oracle: bool
    samples: int
    errors: int
    metrics: dict[str, float | None]

    @classmethod
    def read(cls, path: Path) -> "Evaluation":
        """From the metrics.json of the evaluate stage. ValueError, with file and key, where something is missing."""
        content = read_json(path)
        metrics = _require(content, "metrics", path)
        return cls(
            **{key: _require(content, key, path) for key in KEYS},
            metrics={name: _require(metrics, name, path, "metrics.") for name in METRICS},
        )


def evaluate(confidence: np.ndarray, correct: np.ndarray, *, benchmark: str, seed: int, method: str, oracle: bool) -> Evaluation:
    """confidence: real (n,), correct: bool (n,). ValueError unless the score is one finite number a prediction."""
    if confidence.shape != correct.shape:
        expected = f"one number for each of the {len(correct)} predictions"
        raise ValueError(f"scores/{method}.py gave shape {confidence.shape}; expected {expected}")
    errors = int(np.count_nonzero(~correct))
    return Evaluation(benchmark, seed, method, oracle, len(correct), errors, failure_metrics(confidence, correct))


def save_evaluation(folder: Path, confidence: np.ndarray, evaluation: Evaluation, settings: dict[str, Any]) -> None:
    """confidence.npy and metrics.json, both or none."""
    with replacing(folder) as temporary:
        temporary.mkdir()
        np.save(temporary / "confidence.npy", confidence)
        write_json(temporary / "metrics.json", {**asdict(evaluation), "settings": settings})


def _require(content: Any, key: str, path: Path, place: str = "") -> Any:
    if not isinstance(content, dict) or key not in content:
        raise ValueError(f"{path} lacks the key {place}{key}; delete it and run `dvc repro`")
    return content[key]
