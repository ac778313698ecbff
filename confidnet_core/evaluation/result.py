"""The failure metrics of a confidence score, as the stage `evaluate` stores them and the comparison reads them."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Real, Shaped

from confidnet_core.files import atomic_write, read_json, write_json
from confidnet_core.metrics import METRICS, failure_metrics

# What the values of a confidence score mean by its definition: a probability of being correct, its log-odds, or only a ranking.
SCORE_SCALES = PROBABILITY_SCALE, LOG_ODDS_SCALE, RANK_SCALE = "probability", "log_odds", "rank"
EVALUATION_KEYS = ("benchmark", "seed", "method", "oracle", "samples", "errors")  # of metrics.json, and columns of the comparison
SPLIT_DEPENDENT_KEYS = ("samples", "errors", "metrics")  # these differ between the splits
MAX_SATURATED_FRACTION = 0.05  # of confidences that are exactly 1.0, above which a warning says that they are not ranked


@dataclass(frozen=True)
class Evaluation:
    """The failure metrics of one confidence score on one split. An undefined metric is None, such as AUROC without errors.

    own: for a score whose network is a classifier itself, this one's metrics, by its own log-odds of its own predictions; else None
    """

    benchmark: str
    seed: int
    method: str
    oracle: bool
    samples: int
    errors: int
    metrics: dict[str, float | None]
    scale: str = RANK_SCALE  # one of SCORE_SCALES
    own: dict[str, float | None] | None = None

    @classmethod
    def read(cls, metrics_path: Path, split: Literal["test", "val"] = "test") -> "Evaluation":
        """Read the failure metrics of a confidence score on a split from the file metrics.json that the stage `evaluate` wrote.

        Raises ValueError for a missing file or key.
        """
        test_json, key_prefix = read_json(metrics_path), ""
        if split == "val":
            validation_json, key_prefix = _require_key(test_json, "val", metrics_path), "val."
            test_json |= {key: _require_key(validation_json, key, metrics_path, key_prefix) for key in SPLIT_DEPENDENT_KEYS}
        metrics_json = _require_key(test_json, "metrics", metrics_path)
        return cls(
            **{key: _require_key(test_json, key, metrics_path) for key in EVALUATION_KEYS},
            metrics={metric: _require_key(metrics_json, metric, metrics_path, f"{key_prefix}metrics.") for metric in METRICS},
            scale=_require_key(test_json, "scale", metrics_path),
            own=(test_json["val"] if split == "val" else test_json).get("own"),
        )


def evaluate(
    confidence: Shaped[np.ndarray, "..."],
    correct: Bool[np.ndarray, " n"],
    own_confidence: Real[np.ndarray, " n"] | None = None,
    own_correct: Bool[np.ndarray, " n"] | None = None,
    *,
    benchmark: str,
    seed: int,
    method: str,
    oracle: bool,
    scale: str = RANK_SCALE,
) -> Evaluation:
    """Return the Evaluation of a confidence score on one split: its failure metrics, with the numbers of predictions and errors.

    confidence: real (n,), the score of each prediction; correct: bool (n,), whether the prediction is correct
    own_confidence, own_correct: the same of the score's own network as a classifier by itself, if it is one
    benchmark, seed, method, oracle, scale: facts about the score that the Evaluation repeats; method is the name of the score
    Raises ValueError unless the score gives one finite number for each prediction.
    """
    if confidence.shape != correct.shape:
        expected_length_text = f"one number for each of the {len(correct)} predictions"
        raise ValueError(f"scores/{method}.py gave shape {confidence.shape}; expected {expected_length_text}")
    error_count = int(np.count_nonzero(~correct))
    own = None if own_confidence is None or own_correct is None else failure_metrics(own_confidence, own_correct)
    return Evaluation(benchmark, seed, method, oracle, len(correct), error_count, failure_metrics(confidence, correct), scale, own)


def saturation_warning(confidence: Real[np.ndarray, " n"], method: str) -> str | None:
    """Return a warning if more than MAX_SATURATED_FRACTION of the confidences are exactly 1.0 and so cannot be ranked, else None."""
    saturated_count = np.count_nonzero(confidence == 1)
    if saturated_count <= MAX_SATURATED_FRACTION * len(confidence):
        return None
    saturated_text = f"{saturated_count:,} of {len(confidence):,} confidences are exactly 1.0"
    return f"WARNING {method}: {saturated_text}, so that these predictions are not ranked; try the score log_odds"


def save_evaluation(
    score_folder: Path,
    confidence_by_split: Mapping[str, np.ndarray],
    test_evaluation: Evaluation,
    validation_evaluation: Evaluation,
    score_settings: dict[str, Any],
    save_fitted_values: Callable[[Path], None] = lambda score_folder: None,
) -> None:
    """Write the results of a confidence score into the folder `score_folder`, all files or none.

    The files are SPLIT.npy with the confidences (n,) of each split, metrics.json, and those that `save_fitted_values(folder)` writes.
    metrics.json holds the evaluation on the test split and, under "val", the samples, errors and metrics on the validation split, by which
    a score may be selected.
    """
    with atomic_write(score_folder) as temporary_folder:
        temporary_folder.mkdir()
        save_fitted_values(temporary_folder)
        for split, split_confidence in confidence_by_split.items():
            np.save(temporary_folder / f"{split}.npy", split_confidence)
        test_json, validation_json = asdict(test_evaluation), {key: getattr(validation_evaluation, key) for key in SPLIT_DEPENDENT_KEYS}
        if test_json["own"] is None:
            del test_json["own"]
        else:
            validation_json["own"] = validation_evaluation.own
        write_json(temporary_folder / "metrics.json", {**test_json, "val": validation_json, "settings": score_settings})


def _require_key(json_object: Any, key: str, path: Path, key_prefix: str = "") -> Any:
    """Return the value of a key of a JSON object. Raises ValueError for a missing key.

    path, key_prefix: the object's file and the keys that lead to the object, such as "val.", which the message names
    """
    if not isinstance(json_object, dict) or key not in json_object:
        raise ValueError(f"{path} lacks the key {key_prefix}{key}; delete it and run `dvc repro`")
    return json_object[key]
