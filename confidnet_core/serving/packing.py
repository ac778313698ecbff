"""From what the stages stored to the folder that selective_classifier.py loads: of one score, or of the best that can be served.

Nothing says of a score whether it can: it is asked for the confidence of a few validation images, without the data, and what it says must
be what `evaluate` stored.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from confidnet_core import paths
from confidnet_core.config.params import Params
from confidnet_core.data import Dataset, labelled, load_dataset
from confidnet_core.evaluation.calibrators import MAX_SAMPLES
from confidnet_core.evaluation.result import RANK, Evaluation
from confidnet_core.evaluation.stored import StoredResults
from confidnet_core.files import read_json, write_json
from confidnet_core.scoring.fitted import FILE
from confidnet_core.serving.selective_classifier import CLASSIFIER, NETWORKS, NotServedError, SelectiveClassifier

MAX_EXAMPLE_IMAGES, MAX_PIXELS = 16, 2**18  # validation images that a score is asked for, and pixels of them
RTOL, ATOL = 1e-3, 1e-4  # float32 sums depend on the batch and the device; what is not restored is far off
MIN_EQUAL = 0.9  # not all: of an image that is in the training data, rounding decides a distance of nearly 0, and so its logarithm


@dataclass(frozen=True)
class Candidate:
    """A score that can be served. skipped: scores that are better on validation data and cannot, and why."""

    folder: Path
    stored: StoredResults
    model: SelectiveClassifier
    validation: Evaluation
    skipped: tuple[str, ...] = ()


def best_score(stored: StoredResults, params: Params, folder: Path) -> Candidate:
    """The score of one classifier with the highest AUPR-Error on validation data; no label of the test or calibration split is used.

    ValueError where none can be served, or where a file is missing.
    """
    skipped: list[str] = []
    for score in sorted((_on_validation(stored, method) for method in stored.compared_methods()), key=_aupr_error, reverse=True):
        try:
            return pack(stored, score.method, params, folder / score.method, tuple(skipped))
        except NotServedError as error:
            skipped.append(f"{score.method} ({error})")
    raise ValueError(f"{stored.folder}: none of the scores can be served: {'; '.join(skipped) or 'there is none but the oracle'}")


def pack(stored: StoredResults, method: str, params: Params, folder: Path, skipped: tuple[str, ...] = ()) -> Candidate:
    """Pack everything but the networks into FOLDER. NotServedError where the score cannot be served; ValueError for a missing file."""
    score_folder, dataset = paths.score(stored.benchmark, stored.seed, method), load_dataset(paths.prepared(stored.benchmark))
    evaluation = stored.evaluation(method)
    if not params.thresholds.risks:
        raise ValueError("thresholds.risks of params.yaml is empty, so that nothing could be accepted; give a target risk, as 0.05")
    folder.mkdir(parents=True)
    facts = {
        "benchmark": stored.benchmark,
        "seed": stored.seed,
        "method": method,
        "settings": read_json(score_folder / "metrics.json")["settings"],
        "scale": evaluation.scale,
        "classes": dataset.classes,
        "image_shape": dataset.image_shape,
        "mean": dataset.mean,
        "std": dataset.std,
        "segmentation": dataset.is_segmentation,
        "data": read_json(paths.prepared(stored.benchmark) / "facts.json")["sha256"],
        "recipes": params.benchmark(stored.benchmark).model_dump(),
    }
    write_json(folder / "model.json", facts)
    for path in (score_folder / FILE, stored.thresholds_folder(method) / "threshold.json"):
        if not path.exists():
            raise ValueError(f"{path} does not exist; `dvc repro` makes it")
        shutil.copyfile(path, folder / path.name)
    confidence, correct = stored.confidence(method, "val"), stored.outcomes("val")[0]
    # The probabilities of another scale are its own: one sample shows of which type.
    kept = np.linspace(0, len(correct) - 1, min(len(correct), MAX_SAMPLES)).astype(np.int64) if evaluation.scale == RANK else slice(1)
    np.savez(folder / "validation.npz", confidence=confidence[kept], correct=correct[kept])

    model = SelectiveClassifier.load(folder, paths.seed_folder(paths.MODELS, stored.benchmark, stored.seed))
    _check(model, dataset, confidence)
    return Candidate(folder, stored, model, _on_validation(stored, method), skipped)


def add_networks(candidate: Candidate) -> None:
    """Copy the classifier, and the networks that the score asked for, into the candidate's folder."""
    for name in sorted({CLASSIFIER, *candidate.model.cache.networks}):
        target = candidate.folder / NETWORKS / name
        target.mkdir(parents=True)
        for file in ("weights.pt", "model.json"):
            shutil.copyfile(candidate.model.models / name / file, target / file)


def examples(dataset: Dataset) -> np.ndarray:
    """The first images of the validation split, uint8 (b, c, h, w)."""
    count = max(1, min(MAX_EXAMPLE_IMAGES, MAX_PIXELS // (dataset.image_shape[1] * dataset.image_shape[2])))
    return np.array(dataset.images[dataset.splits["val"][:count]])


def _check(model: SelectiveClassifier, dataset: Dataset, stored: np.ndarray) -> None:
    images = examples(dataset)
    is_labelled = labelled(dataset.labels[dataset.splits["val"][: len(images)]], dataset.void)
    try:
        served = model.predict(images)["confidence"][is_labelled]
    except NotServedError:
        raise
    except Exception as error:  # whatever a score does that reads what is not there
        raise NotServedError(f"it fails on new images: {type(error).__name__}, {error}") from error
    equal = np.isclose(served, stored[: len(served)], rtol=RTOL, atol=ATOL)
    if equal.mean() < MIN_EQUAL:
        raise NotServedError(f"it gives other confidences than those stored for {np.count_nonzero(~equal)} of {len(equal)} predictions")


def _on_validation(stored: StoredResults, method: str) -> Evaluation:
    return Evaluation.read(paths.score(stored.benchmark, stored.seed, method) / "metrics.json", "val")


def _aupr_error(evaluation: Evaluation) -> float:
    value = evaluation.metrics["aupr_error"]
    return -1.0 if value is None else value
