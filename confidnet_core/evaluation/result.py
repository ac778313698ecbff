"""A confidence score judged by the failure metrics, as it passes from the evaluate stage to the comparison."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Shaped

from confidnet_core.files import atomic_write, read_json, write_json
from confidnet_core.metrics import METRICS, failure_metrics

SCALES = PROBABILITY, LOG_ODDS, RANK = "probability", "log_odds", "rank"  # what a score is by its definition
KEYS = ("benchmark", "seed", "method", "oracle", "samples", "errors")  # of a row of the comparison
OF_SPLIT = ("samples", "errors", "metrics")  # the rest is the same for every split


@dataclass(frozen=True)
class Evaluation:
    """One method on one split of a benchmark and seed. A metric is None where it is undefined, as AUROC is without errors."""

    benchmark: str
    seed: int
    method: str
    oracle: bool
    samples: int
    errors: int
    metrics: dict[str, float | None]
    scale: str = RANK  # one of SCALES

    @classmethod
    def read(cls, path: Path, split: Literal["test", "val"] = "test") -> "Evaluation":
        """From the metrics.json of the evaluate stage. ValueError, with file and key, where something is missing."""
        content, place = read_json(path), ""
        if split == "val":
            figures, place = _require(content, "val", path), "val."
            content |= {key: _require(figures, key, path, place) for key in OF_SPLIT}
        metrics = _require(content, "metrics", path)
        return cls(
            **{key: _require(content, key, path) for key in KEYS},
            metrics={name: _require(metrics, name, path, f"{place}metrics.") for name in METRICS},
            scale=_require(content, "scale", path),
        )


def evaluate(
    confidence: Shaped[np.ndarray, "..."],
    correct: Bool[np.ndarray, " n"],
    *,
    benchmark: str,
    seed: int,
    method: str,
    oracle: bool,
    scale: str = RANK,
) -> Evaluation:
    """confidence: real (n,), correct: bool (n,). ValueError unless the score is one finite number a prediction."""
    if confidence.shape != correct.shape:
        expected = f"one number for each of the {len(correct)} predictions"
        raise ValueError(f"scores/{method}.py gave shape {confidence.shape}; expected {expected}")
    errors = int(np.count_nonzero(~correct))
    return Evaluation(benchmark, seed, method, oracle, len(correct), errors, failure_metrics(confidence, correct), scale)


def save_evaluation(
    folder: Path,
    confidence: Mapping[str, np.ndarray],
    test: Evaluation,
    val: Evaluation,
    settings: dict[str, Any],
    save_fitted: Callable[[Path], None] = lambda folder: None,
) -> None:
    """SPLIT.npy each, metrics.json, and what SAVE_FITTED adds; all or none.

    metrics.json holds the evaluation on the test split, and under "val" its samples, errors and metrics on the validation split: by these
    a score may be chosen.
    """
    with atomic_write(folder) as temporary:
        temporary.mkdir()
        save_fitted(temporary)
        for split, values in confidence.items():
            np.save(temporary / f"{split}.npy", values)
        figures = {key: getattr(val, key) for key in OF_SPLIT}
        write_json(temporary / "metrics.json", {**asdict(test), "val": figures, "settings": settings})


def _require(content: Any, key: str, path: Path, place: str = "") -> Any:
    if not isinstance(content, dict) or key not in content:
        raise ValueError(f"{path} lacks the key {place}{key}; delete it and run `dvc repro`")
    return content[key]
