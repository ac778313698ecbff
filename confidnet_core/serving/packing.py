"""Packing: writes a classifier and one confidence score as the folder of files that selective_classifier.py loads.

The score is a given one, or the best one that can be served. Scores do not declare whether they can be served. It is tested: the packed
score, which has no data, must give the confidences of a few validation images that `evaluate` stored.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from confidnet_core import paths
from confidnet_core.config.params import Params
from confidnet_core.data import Dataset, labelled_mask, load_dataset
from confidnet_core.evaluation.calibrators import MAX_FIT_SAMPLES
from confidnet_core.evaluation.result import Evaluation
from confidnet_core.evaluation.stored import StoredResults
from confidnet_core.files import read_json, write_json
from confidnet_core.monitoring.reference import save_reference
from confidnet_core.scoring.fitted import FITTED_VALUES_FILE_NAME, load_fitted_values
from confidnet_core.serving.selective_classifier import CLASSIFIER_FOLDER, NETWORKS_FOLDER, ScoreNotServableError, SelectiveClassifier

MAX_EXAMPLE_IMAGES, MAX_EXAMPLE_PIXELS = 16, 2**18  # of the validation images on which a packed score is tested
# Tolerances of equal confidences: float32 sums depend on the batch and the device; values that were not restored differ by more.
CONFIDENCE_RTOL, CONFIDENCE_ATOL = 1e-3, 1e-4
MIN_EQUAL_CONFIDENCE_FRACTION = 0.9  # below 1, since for an image in the training data rounding decides the log of a distance near 0


@dataclass(frozen=True)
class CandidateModel:
    """A classifier packed with one of its confidence scores into a model that can be served, and perhaps registered.

    model_folder: its files; stored_results: those of the trained classifier; served_model: the model loaded from these files
    validation_evaluation: the score's evaluation on the validation split
    skipped_scores: scores that are better on validation data but cannot be served, each with the reason
    """

    model_folder: Path
    stored_results: StoredResults
    served_model: SelectiveClassifier
    validation_evaluation: Evaluation
    skipped_scores: tuple[str, ...] = ()


def pack_model_with_best_score(stored_results: StoredResults, params: Params, candidates_folder: Path) -> CandidateModel:
    """Pack the score with the highest AUPR-Error on validation data that can be served, and return it as a candidate.

    stored_results: those of one trained classifier. No label of the test or calibration split is used.
    Raises ValueError where no score can be served, and for a missing file.
    """
    skipped_scores: list[str] = []
    evaluations = (_validation_evaluation(stored_results, method) for method in stored_results.compared_methods())
    for evaluation in sorted(evaluations, key=_aupr_error_or_minimum, reverse=True):
        try:
            return pack_model_with_score(
                stored_results, evaluation.method, params, candidates_folder / evaluation.method, tuple(skipped_scores)
            )
        except ScoreNotServableError as error:
            skipped_scores.append(f"{evaluation.method} ({error})")
    skipped_scores_text = "; ".join(skipped_scores) or "there is none but the oracle"
    raise ValueError(f"{stored_results.benchmark_and_seed}: none of the scores can be served: {skipped_scores_text}")


def pack_model_with_score(
    stored_results: StoredResults, method: str, params: Params, model_folder: Path, skipped_scores: tuple[str, ...] = ()
) -> CandidateModel:
    """Pack a classifier and one score into a new folder, without the networks; return the candidate.

    skipped_scores: better scores that cannot be served, each with the reason
    Raises ScoreNotServableError if this score cannot be served, ValueError for a missing file.
    """
    score_folder = paths.score_folder(stored_results.benchmark, stored_results.seed, method)
    dataset = load_dataset(paths.prepared_data_folder(stored_results.benchmark))
    evaluation = stored_results.evaluation(method)
    model_folder.mkdir(parents=True)
    model_metadata = {
        "benchmark": stored_results.benchmark,
        "seed": stored_results.seed,
        "method": method,
        "settings": read_json(score_folder / "metrics.json")["settings"],
        "scale": evaluation.scale,
        "classes": dataset.classes,
        "image_shape": dataset.image_shape,
        "mean": dataset.mean,
        "std": dataset.std,
        "segmentation": dataset.is_segmentation,
        "data": read_json(paths.prepared_data_folder(stored_results.benchmark) / "facts.json")["sha256"],
        "recipes": params.benchmark(stored_results.benchmark).model_dump(exclude={"shifts", "foreign"}),
    }
    write_json(model_folder / "model.json", model_metadata)
    load_fitted_values(score_folder, torch.device("cpu"))  # so that a damaged file is named where it lies
    for required_file in (score_folder / FITTED_VALUES_FILE_NAME, stored_results.thresholds_folder(method) / "threshold.json"):
        if not required_file.exists():
            raise ValueError(f"{required_file} does not exist; `dvc repro` makes it")
        shutil.copyfile(required_file, model_folder / required_file.name)
    confidence, correct = stored_results.confidence(method, "val"), stored_results.outcomes("val")[0]
    sample_indices = np.linspace(0, len(correct) - 1, min(len(correct), MAX_FIT_SAMPLES)).astype(np.int64)
    np.savez(model_folder / "validation.npz", confidence=confidence[sample_indices], correct=correct[sample_indices])

    if not dataset.is_segmentation:
        save_reference(
            model_folder,
            stored_results.confidence(method, "calibration"),
            stored_results.predicted("calibration"),
            stored_results.outcomes("calibration")[0],
        )

    served_model = SelectiveClassifier.load(
        model_folder, paths.seed_folder(paths.MODELS_FOLDER, stored_results.benchmark, stored_results.seed)
    )
    _check_served_confidence(served_model, dataset, confidence)
    return CandidateModel(model_folder, stored_results, served_model, _validation_evaluation(stored_results, method), skipped_scores)


def copy_networks_to_candidate(candidate: CandidateModel) -> None:
    """Copy the classifier's network, and the networks that the score used, into the candidate's folder."""
    for network_name in sorted({CLASSIFIER_FOLDER, *candidate.served_model.networks_and_fitted_values.networks}):
        target_folder = candidate.model_folder / NETWORKS_FOLDER / network_name
        target_folder.mkdir(parents=True)
        for file_name in ("weights.pt", "model.json"):
            shutil.copyfile(candidate.served_model.networks_folder / network_name / file_name, target_folder / file_name)


def example_images(dataset: Dataset) -> np.ndarray:
    """Return the first images of the validation split, uint8 (b, c, h, w)."""
    image_count = max(1, min(MAX_EXAMPLE_IMAGES, MAX_EXAMPLE_PIXELS // (dataset.image_shape[1] * dataset.image_shape[2])))
    return np.array(dataset.images[dataset.splits["val"][:image_count]])


def _check_served_confidence(served_model: SelectiveClassifier, dataset: Dataset, stored_confidence: np.ndarray) -> None:
    """Raise ScoreNotServableError unless the packed model gives the stored confidences (n,) of the example images."""
    images = example_images(dataset)
    is_labelled = labelled_mask(dataset.labels[dataset.splits["val"][: len(images)]], dataset.void)
    try:
        served_confidence = served_model.confidence_of(images)[is_labelled]
    except ScoreNotServableError:
        raise
    except Exception as error:  # a score that reads absent data can raise anything
        raise ScoreNotServableError(f"it fails on new images: {type(error).__name__}, {error}") from error
    is_equal = np.isclose(served_confidence, stored_confidence[: len(served_confidence)], rtol=CONFIDENCE_RTOL, atol=CONFIDENCE_ATOL)
    if is_equal.mean() < MIN_EQUAL_CONFIDENCE_FRACTION:
        raise ScoreNotServableError(
            f"it gives other confidences than those stored for {np.count_nonzero(~is_equal)} of {len(is_equal)} predictions"
        )


def _validation_evaluation(stored_results: StoredResults, method: str) -> Evaluation:
    """Return the stored evaluation of a score on the validation split."""
    return Evaluation.read(paths.score_folder(stored_results.benchmark, stored_results.seed, method) / "metrics.json", "val")


def _aupr_error_or_minimum(evaluation: Evaluation) -> float:
    """Return the AUPR-Error of an evaluation in [0, 1]; -1 if it is undefined, so that it sorts last."""
    aupr_error = evaluation.metrics["aupr_error"]
    return -1.0 if aupr_error is None else aupr_error
