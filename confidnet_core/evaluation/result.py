"""The failure metrics of a confidence score, as the stage `evaluate` stores them and the comparison reads them."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Shaped

from confidnet_core.files import atomic_write, read_json, write_json
from confidnet_core.metrics import METRICS, failure_metrics

SCALES = PROBABILITY, LOG_ODDS, RANK = "probability", "log_odds", "rank"  # of a score, by its definition
EVALUATION_KEYS = ("benchmark", "seed", "method", "oracle", "samples", "errors")  # of metrics.json, and columns of the comparison
SPLIT_KEYS = ("samples", "errors", "metrics")  # these differ between the splits


@dataclass(frozen=True)
class Evaluation:
    """The failure metrics of one confidence score on one split. An undefined metric is None, such as AUROC without errors."""

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
        """Return a score's Evaluation on a split, from metrics.json of the stage `evaluate`. ValueError for a missing file or key."""
        json_content, key_prefix = read_json(path), ""
        if split == "val":
            validation_content, key_prefix = _require_key(json_content, "val", path), "val."
            json_content |= {key: _require_key(validation_content, key, path, key_prefix) for key in SPLIT_KEYS}
        metrics = _require_key(json_content, "metrics", path)
        return cls(
            **{key: _require_key(json_content, key, path) for key in EVALUATION_KEYS},
            metrics={name: _require_key(metrics, name, path, f"{key_prefix}metrics.") for name in METRICS},
            scale=_require_key(json_content, "scale", path),
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
    """Return an Evaluation: the failure metrics of the confidences, real (n,), of predictions that are correct or not, bool (n,).

    Raises ValueError unless the score gives one finite number for each prediction.
    """
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
    """Write a score's results: confidences as SPLIT.npy, metrics.json, and the files of `save_fitted(folder)`; all files or none.

    metrics.json holds the evaluation on the test split and, under "val", the samples, errors and metrics on the validation split, by which
    a score may be selected.
    """
    with atomic_write(folder) as temporary:
        temporary.mkdir()
        save_fitted(temporary)
        for split, values in confidence.items():
            np.save(temporary / f"{split}.npy", values)
        validation_content = {key: getattr(val, key) for key in SPLIT_KEYS}
        write_json(temporary / "metrics.json", {**asdict(test), "val": validation_content, "settings": settings})


def _require_key(content: Any, key: str, path: Path, prefix: str = "") -> Any:
    """Return the value of a key of a JSON object. ValueError for a missing key, with the file's path and the prefix of nested keys."""
    if not isinstance(content, dict) or key not in content:
        raise ValueError(f"{path} lacks the key {prefix}{key}; delete it and run `dvc repro`")
    return content[key]
