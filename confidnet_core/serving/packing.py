"""Packing: writes a classifier and one confidence score as the folder of files that selective_classifier.py loads.

The score is a given one, or the best one that can be served. Scores do not declare whether they can be served. It is tested: the packed
score, which has no data, must give the confidences of a few validation images that `evaluate` stored.
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
from confidnet_core.scoring.fitted import FITTED_FILE_NAME
from confidnet_core.serving.selective_classifier import CLASSIFIER_FOLDER, NETWORKS_FOLDER, NotServedError, SelectiveClassifier

MAX_EXAMPLE_IMAGES, MAX_EXAMPLE_PIXELS = 16, 2**18  # of the validation images on which a packed score is tested
RTOL, ATOL = 1e-3, 1e-4  # float32 sums depend on the batch and the device; values that were not restored differ by more
MIN_EQUAL_FRACTION = 0.9  # below 1, since for an image in the training data rounding decides the log of a distance near 0


@dataclass(frozen=True)
class Candidate:
    """A packed confidence score that can be served, and so is a candidate for registration.

    validation: the score's evaluation on the validation split
    skipped: scores that are better on validation data but cannot be served, each with the reason
    """

    folder: Path
    stored: StoredResults
    model: SelectiveClassifier
    validation: Evaluation
    skipped: tuple[str, ...] = ()


def best_score(stored: StoredResults, params: Params, folder: Path) -> Candidate:
    """Pack the score with the highest AUPR-Error on validation data that can be served, and return it as a candidate.

    stored: the results of one trained classifier. No label of the test or calibration split is used.
    Raises ValueError where no score can be served, and for a missing file.
    """
    skipped: list[str] = []
    evaluations = (_validation_evaluation(stored, method) for method in stored.compared_methods())
    for evaluation in sorted(evaluations, key=_aupr_error_or_minimum, reverse=True):
        try:
            return pack(stored, evaluation.method, params, folder / evaluation.method, tuple(skipped))
        except NotServedError as error:
            skipped.append(f"{evaluation.method} ({error})")
    raise ValueError(
        f"{stored.benchmark_and_seed}: none of the scores can be served: {'; '.join(skipped) or 'there is none but the oracle'}"
    )


def pack(stored: StoredResults, method: str, params: Params, folder: Path, skipped: tuple[str, ...] = ()) -> Candidate:
    """Pack a classifier and one score into a new folder, without the networks; return the candidate.

    skipped: better scores that cannot be served. Raises NotServedError if this score cannot be served, ValueError for a missing file.
    """
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
    for path in (score_folder / FITTED_FILE_NAME, stored.thresholds_folder(method) / "threshold.json"):
        if not path.exists():
            raise ValueError(f"{path} does not exist; `dvc repro` makes it")
        shutil.copyfile(path, folder / path.name)
    confidence, correct = stored.confidence(method, "val"), stored.outcomes("val")[0]
    # The calibrators of other scales are not fitted; they need one sample, for its dtype.
    sample_indices = (
        np.linspace(0, len(correct) - 1, min(len(correct), MAX_SAMPLES)).astype(np.int64) if evaluation.scale == RANK else slice(1)
    )
    np.savez(folder / "validation.npz", confidence=confidence[sample_indices], correct=correct[sample_indices])

    model = SelectiveClassifier.load(folder, paths.seed_folder(paths.MODELS_FOLDER, stored.benchmark, stored.seed))
    _check_served_confidence(model, dataset, confidence)
    return Candidate(folder, stored, model, _validation_evaluation(stored, method), skipped)


def add_networks(candidate: Candidate) -> None:
    """Copy the classifier's network, and the networks that the score used, into the candidate's folder."""
    for name in sorted({CLASSIFIER_FOLDER, *candidate.model.cache.networks}):
        target = candidate.folder / NETWORKS_FOLDER / name
        target.mkdir(parents=True)
        for file in ("weights.pt", "model.json"):
            shutil.copyfile(candidate.model.models / name / file, target / file)


def example_images(dataset: Dataset) -> np.ndarray:
    """Return the first images of the validation split, uint8 (b, c, h, w)."""
    count = max(1, min(MAX_EXAMPLE_IMAGES, MAX_EXAMPLE_PIXELS // (dataset.image_shape[1] * dataset.image_shape[2])))
    return np.array(dataset.images[dataset.splits["val"][:count]])


def _check_served_confidence(model: SelectiveClassifier, dataset: Dataset, stored_confidence: np.ndarray) -> None:
    """Raise NotServedError unless the packed model gives the stored confidences of the example images."""
    images = example_images(dataset)
    is_labelled = labelled(dataset.labels[dataset.splits["val"][: len(images)]], dataset.void)
    try:
        served_confidence = model.predict(images)["confidence"][is_labelled]
    except NotServedError:
        raise
    except Exception as error:  # a score that reads absent data can raise anything
        raise NotServedError(f"it fails on new images: {type(error).__name__}, {error}") from error
    is_equal = np.isclose(served_confidence, stored_confidence[: len(served_confidence)], rtol=RTOL, atol=ATOL)
    if is_equal.mean() < MIN_EQUAL_FRACTION:
        raise NotServedError(
            f"it gives other confidences than those stored for {np.count_nonzero(~is_equal)} of {len(is_equal)} predictions"
        )


def _validation_evaluation(stored: StoredResults, method: str) -> Evaluation:
    return Evaluation.read(paths.score(stored.benchmark, stored.seed, method) / "metrics.json", "val")


def _aupr_error_or_minimum(evaluation: Evaluation) -> float:
    value = evaluation.metrics["aupr_error"]
    return -1.0 if value is None else value
