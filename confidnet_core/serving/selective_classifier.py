"""`SelectiveClassifier`, which predicts classes, confidences and decisions to abstain for images, from the files of one folder.

model.json       metadata: benchmark, seed, score and its settings, classes, image_shape, mean, std
networks/NAME/   weights.pt and model.json of each network that the score uses, as under models/
fitted.pt        the values that the score fitted on training and validation data: see Run.fitted
validation.npz   the score on validation data, and which predictions there are correct, to fit the calibrator
threshold.json   thresholds with a guarantee, as the stage `thresholds` wrote them

The scores are the functions of scores/. One that needs more than new images, networks and fitted values raises ScoreNotServableError.
MLflow loads the folder by served_model.py.
"""

import warnings
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from confidnet_core.config.choices import RegistryEntryChoice
from confidnet_core.config.params import Benchmark
from confidnet_core.config.registry import find_entry
from confidnet_core.config.section import validate_section
from confidnet_core.data import Dataset
from confidnet_core.evaluation.calibrators import Calibrator, fit_calibrator
from confidnet_core.files import load_named_arrays, read_json
from confidnet_core.networks.artifacts import load_classifier
from confidnet_core.networks.classifier import Classifier
from confidnet_core.networks.device import select_device
from confidnet_core.networks.inference import predict
from confidnet_core.progress import without_progress_bars
from confidnet_core.scoring.cache import RunCache
from confidnet_core.scoring.fitted import load_fitted_values
from confidnet_core.scoring.run import Run
from confidnet_core.serving.new_images import check_image_array

NETWORKS_FOLDER = "networks"
CLASSIFIER_FOLDER = "baseline"  # in NETWORKS_FOLDER
UNKNOWN_LABEL = -100  # in place of a label: neither a class nor a valid index


class ScoreNotServableError(ValueError):
    """Error: a confidence score cannot be served, since it needs data that a served model does not have."""


class _NewImagesDataset(Dataset):
    """A data set of new images without labels, which takes the place of the test split."""

    def __post_init__(self) -> None:
        """Skip the checks of Dataset, since there may be one image only, and no label is a class."""

    def split(self, split_name: str) -> tuple[np.ndarray, np.ndarray]:
        if split_name != "test":
            raise ScoreNotServableError(f"it reads the {split_name} split, and not within Run.fitted")
        return self.images, self.labels


class _NewImagesRun(Run):
    """The Run of new images: the input of a confidence score, which refuses what a served model does not have, such as labels."""

    def on_split(self, split: str) -> Run:
        if split != self.split:
            raise ScoreNotServableError(f"it reads the {split} split, and not within Run.fitted")
        return self

    @cached_property
    def correct(self) -> np.ndarray:
        raise ScoreNotServableError("it reads which predictions are correct")

    def dropout_quantity(self, quantity_name: str) -> np.ndarray:
        raise ScoreNotServableError("it needs stochastic forward passes, which are drawn for a whole split at once")

    def ensemble_quantity(self, method: str) -> np.ndarray:
        raise ScoreNotServableError("it needs the classifiers of all seeds")


@dataclass(frozen=True)
class SelectiveClassifier:
    """A classifier that gives each prediction a confidence, and accepts the prediction if the confidence reaches a threshold.

    model_metadata: the content of model.json
    guaranteed_thresholds: the thresholds in threshold.json with their guarantees, one for each target risk
    calibrator: converts confidences to probabilities of being correct; networks_folder: the folder of the networks
    networks_and_fitted_values: the loaded networks and fitted values, shared by all predictions
    """

    model_metadata: dict[str, Any]
    guaranteed_thresholds: list[dict[str, Any]]
    calibrator: Calibrator
    networks_folder: Path
    networks_and_fitted_values: RunCache

    @classmethod
    def load(cls, model_folder: Path, networks_folder: Path | None = None) -> "SelectiveClassifier":
        """Load a packed model from its folder. networks_folder: the folder of the networks, by default in the model's folder

        Raises ValueError for a damaged or missing file.
        """
        model_folder = Path(model_folder)
        model_metadata = read_json(model_folder / "model.json")
        calibrator = fit_calibrator(*load_named_arrays(model_folder / "validation.npz", ("confidence", "correct")))
        networks_and_fitted_values = RunCache(fitted_values=load_fitted_values(model_folder, select_device()))
        return cls(
            model_metadata,
            read_json(model_folder / "threshold.json")["thresholds"],
            calibrator,
            networks_folder or model_folder / NETWORKS_FOLDER,
            networks_and_fitted_values,
        )

    @property
    def target_risk(self) -> float:
        """The target risk that is used where none is given: `thresholds.serve` of params.yaml, whether or not it has a threshold.

        The least target that has one would be chosen by the calibration split, which voids its guarantee.
        """
        return next(threshold["risk"] for threshold in self.guaranteed_thresholds if threshold["served"])

    def guaranteed_threshold(self, target_risk: float | None = None) -> dict[str, Any]:
        """Return the threshold of a target risk with its guarantee: risk, delta, threshold (None if nothing can be accepted), coverage,
        bound, ...

        Raises ValueError for a target risk without a threshold in the model.
        """
        target_risk = self.target_risk if target_risk is None else target_risk
        for threshold in self.guaranteed_thresholds:
            if threshold["risk"] == target_risk:
                return threshold
        known_target_risks = ", ".join(f"{threshold['risk']:g}" for threshold in self.guaranteed_thresholds)
        raise ValueError(
            f"risk is {target_risk}; this model has thresholds for {known_target_risks}: "
            "add it to thresholds.risks of params.yaml for another"
        )

    def predict(self, images: np.ndarray, params: dict[str, Any] | None = None) -> dict[str, np.ndarray]:
        """Classify images: uint8 (b, channels, height, width) in [0, 255], of the size and preparation of the training images.

        Returns for each image, (b,), or for segmentation for each pixel, (b, height, width):
        label        str: the name of the class; left out for segmentation, whose names are `classes` in model.json
        class_index  int64: the index of the class
        confidence   float64: the score, higher is more confident. It equals the stored one up to float32 rounding in the networks, and to
                     the bit in the same batches on the same device. For an image in the training data, the logarithm of a distance near
                     0, which the stack uses, consists of rounding errors only.
        probability  float64, in (0, 1): the probability of being correct, fitted to validation data; it orders predictions as the
                     confidence does
        accepted     bool: confidence >= threshold. With probability 1 - delta, at most the fraction `risk` of the accepted predictions is
                     wrong, on data like the calibration split. All False, with a warning, where there is no such threshold.

        params: {"risk": ...}, one of the target risks; by default `target_risk`
        Raises ValueError for other images or another risk.
        """
        guaranteed_threshold = self.guaranteed_threshold((params or {}).get("risk"))
        if guaranteed_threshold["threshold"] is None:
            risk, reason = guaranteed_threshold["risk"], guaranteed_threshold["reason"]
            warnings.warn(f"nothing is accepted: there is no threshold for a target risk of {risk:g}, since {reason}", stacklevel=2)
        return self.answers_at_threshold(images, guaranteed_threshold["threshold"])

    def confidence_of(self, images: np.ndarray) -> np.ndarray:
        """Return the confidence alone, as `predict` does."""
        return self.answers_at_threshold(images, None)["confidence"]

    def answers_at_threshold(self, images: np.ndarray, threshold: float | None) -> dict[str, np.ndarray]:
        """Return what `predict` does, without its warning, at a threshold of the confidence or, for None, with nothing accepted."""
        with without_progress_bars():
            run = self.run_on_images(check_image_array(images, tuple(self.model_metadata["image_shape"])))
            confidence = find_entry("scores", self.model_metadata["method"])(run, **self.model_metadata["settings"])
        output_shape = run.predicted_maps.shape
        accepted = np.zeros(len(confidence), bool) if threshold is None else confidence >= threshold
        outputs = {
            "class_index": run.predicted_maps.astype(np.int64),
            "confidence": confidence.astype(np.float64).reshape(output_shape),
            "probability": self.calibrator(confidence).reshape(output_shape),
            "accepted": accepted.reshape(output_shape),
        }
        return (
            outputs
            if self.model_metadata["segmentation"]
            else {"label": np.array(self.model_metadata["classes"])[run.predicted_maps], **outputs}
        )

    @cached_property
    def _benchmark_recipes(self) -> Benchmark:
        """Settings of the benchmark's data, model and trainings, from model.json."""
        recipes = self.model_metadata["recipes"]
        choices = {recipe_name: RegistryEntryChoice(**recipes[recipe_name]) for recipe_name in ("data", "model")}
        if (second_opinion := recipes.get("second_opinion")) and second_opinion["model"]:
            choices["second_opinion"] = second_opinion | {"model": RegistryEntryChoice(**second_opinion["model"])}
        return validate_section(Benchmark, {**recipes, **choices})

    @cached_property
    def _contiguous_classifier(self) -> Classifier:
        """The classifier in the memory format that the stage `predict` used.

        A Run stores weights channels-last, which would change the last bits of its outputs.
        """
        return load_classifier(
            self.networks_folder / CLASSIFIER_FOLDER,
            self._benchmark_recipes,
            self._images_as_dataset(np.zeros((1, *self.model_metadata["image_shape"]), np.uint8)),
        )

    def _images_as_dataset(self, images: np.ndarray) -> Dataset:
        """Return the images as a data set in which UNKNOWN_LABEL takes the place of all labels."""
        labels = np.full((len(images), *images.shape[2:]) if self.model_metadata["segmentation"] else len(images), UNKNOWN_LABEL)
        dataset_settings: dict[str, Any] = {field_name: tuple(self.model_metadata[field_name]) for field_name in ("classes", "mean", "std")}
        return _NewImagesDataset(images, labels, {}, source="images to predict", **dataset_settings)

    def run_on_images(self, images: np.ndarray) -> Run:
        """Classify the images; return their Run, the input of a confidence score, with the networks and fitted values loaded so far."""
        dataset = self._images_as_dataset(images)
        run = _NewImagesRun(
            self.model_metadata["benchmark"],
            self._benchmark_recipes,
            self.model_metadata["seed"],
            dataset,
            self.networks_folder,
            self.networks_folder,
        )
        predictions = predict(self._contiguous_classifier, images, dataset, run.device)
        # The values of Run.cached belong to these images only, so that the next images must not share them.
        run.__dict__.update(
            cache=replace(self.networks_and_fitted_values, cached_values={}),
            logits=predictions.logits,
            predicted_maps=predictions.predicted,
        )
        return run
