"""A classifier that gives its confidence and abstains: images in, labels, confidences and decisions out, from the files of one folder.

model.json       what it is of: benchmark, seed, score and its settings, classes, image_shape, mean, std
networks/NAME/   weights.pt and model.json of each network that the score uses, as under models/
fitted.pt        what the score fitted on training and validation data: see Run.fitted
validation.npz   the score on validation data, and which predictions there are correct, for the probabilities
threshold.json   thresholds with a guarantee, as the stage `thresholds` wrote them

The scores are the very functions of scores/. One that needs more than new images, networks and what it fitted raises NotServedError.
MLflow loads the folder by _load_pyfunc (mlflow.org/docs/latest/api_reference/python_api/mlflow.pyfunc.html, loader_module).
"""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from confidnet_core.config.params import Benchmark, EntryChoice
from confidnet_core.config.registry import find_entry
from confidnet_core.config.section import validate_section
from confidnet_core.data import Dataset
from confidnet_core.evaluation.calibrators import Calibrator, fit_calibrator
from confidnet_core.files import read_json
from confidnet_core.networks.artifacts import load_classifier
from confidnet_core.networks.classifier import Classifier
from confidnet_core.networks.device import device
from confidnet_core.networks.inference import predict
from confidnet_core.scoring.fitted import load_fitted
from confidnet_core.scoring.run import Kept, Run

NETWORKS = "networks"
CLASSIFIER = "baseline"  # its folder among them
UNKNOWN = -100  # in the place of a label; no class, and no index either


class NotServedError(ValueError):
    """A score needs data that a served model does not have."""


class _Images(Dataset):
    """New images, which take the place of a test split."""

    def __post_init__(self) -> None:
        """One image is enough, and no label is a class."""

    def split(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        if name != "test":
            raise NotServedError(f"it reads the {name} split, and not within Run.fitted")
        return self.images, self.labels


class _Presented(Run):
    """The classifier's answers on new images, for the scores."""

    def on(self, split: str) -> Run:
        if split != self.split:
            raise NotServedError(f"it reads the {split} split, and not within Run.fitted")
        return self

    @cached_property
    def correct(self) -> np.ndarray:
        raise NotServedError("it reads which predictions are correct")

    def sampled(self, quantity: str) -> np.ndarray:
        raise NotServedError("it needs stochastic forward passes, which are drawn for a whole split at once")

    def over_seeds(self, method: str) -> np.ndarray:
        raise NotServedError("it needs the classifiers of all seeds")


@dataclass(frozen=True)
class SelectiveClassifier:
    """facts: of model.json; thresholds: of threshold.json, one for each target risk."""

    facts: dict[str, Any]
    thresholds: list[dict[str, Any]]
    calibrator: Calibrator
    models: Path
    kept: Kept

    @classmethod
    def load(cls, folder: Path, models: Path | None = None) -> "SelectiveClassifier":
        """models: where the networks lie, if not in the folder. ValueError for a file that is missing or damaged."""
        folder = Path(folder)
        facts = read_json(folder / "model.json")
        with np.load(folder / "validation.npz") as validation:
            calibrator = fit_calibrator(validation["confidence"], validation["correct"], facts["scale"])
        kept = Kept(fitted=load_fitted(folder, device()))
        return cls(facts, read_json(folder / "threshold.json")["thresholds"], calibrator, models or folder / NETWORKS, kept)

    @property
    def target_risk(self) -> float:
        """The least for which the calibration split gave a threshold; the largest asked for, where it gave none."""
        guaranteed = [each["risk"] for each in self.thresholds if each["threshold"] is not None]
        return min(guaranteed, default=max(each["risk"] for each in self.thresholds))

    def guarantee(self, risk: float | None = None) -> dict[str, Any]:
        """Of a target risk: risk, delta, threshold (None: nothing can be accepted), coverage, bound, ... ValueError for another risk."""
        risk = self.target_risk if risk is None else risk
        for guarantee in self.thresholds:
            if guarantee["risk"] == risk:
                return guarantee
        known = ", ".join(f"{each['risk']:g}" for each in self.thresholds)
        raise ValueError(f"risk is {risk}; this model has thresholds for {known}: add it to thresholds.risks of params.yaml for another")

    def predict(self, images: np.ndarray, params: dict[str, Any] | None = None) -> dict[str, np.ndarray]:
        """images: uint8 (b, channels, height, width), of the size that the classifier was trained on and as they were then, in [0, 255].

        Of each image, (b,), or for segmentation of each pixel, (b, height, width):
        label        str: the class's name; for segmentation left out, the names are `classes` in model.json
        class_index  int64: its index
        confidence   float64: the score, higher = more confident. It equals the stored one up to float32 rounding in the networks, and
                     to the bit in the same batches on the same device; of an image that is in the training data, the logarithm of a
                     distance of nearly 0, which the stack uses, is all rounding
        probability  float64, in [0, 1]: of being correct, by the validation data
        accepted     bool: confidence >= threshold. With probability 1 - delta, at most the target risk of what is accepted is wrong, on
                     data like the calibration split. All False where there was no such threshold

        params: {"risk": ...}, one of the target risks; by default `target_risk`
        ValueError for other images or another risk.
        """
        threshold = self.guarantee((params or {}).get("risk"))["threshold"]
        run = self._presented(self._checked(images))
        confidence = find_entry("scores", self.facts["method"])(run, **self.facts["settings"])
        shape = run.predicted_maps.shape
        accepted = np.zeros(len(confidence), bool) if threshold is None else confidence >= threshold
        answers = {
            "class_index": run.predicted_maps.astype(np.int64),
            "confidence": confidence.astype(np.float64).reshape(shape),
            "probability": self.calibrator(confidence).reshape(shape),
            "accepted": accepted.reshape(shape),
        }
        return answers if self.facts["segmentation"] else {"label": np.array(self.facts["classes"])[run.predicted_maps], **answers}

    def _checked(self, images: np.ndarray) -> np.ndarray:
        images, wanted = np.asarray(images), tuple(self.facts["image_shape"])
        if images.dtype != np.uint8 or images.shape[1:] != wanted or len(images) == 0:
            expected = f"uint8 (b, {', '.join(map(str, wanted))}) with b >= 1, pixels in [0, 255]"
            raise ValueError(f"images are {images.dtype} {images.shape}; expected {expected}: resize them, or scale and round them")
        return images

    @cached_property
    def _benchmark(self) -> Benchmark:
        """From model_dump of it."""
        recipes = self.facts["recipes"]
        return validate_section(Benchmark, {**recipes, **{name: EntryChoice(**recipes[name]) for name in ("data", "model")}})

    @cached_property
    def _answering(self) -> Classifier:
        """The classifier in the memory format that `predict` used; a Run stores weights channels-last, which changes the last bits."""
        return load_classifier(
            self.models / CLASSIFIER, self._benchmark, self._dataset(np.zeros((1, *self.facts["image_shape"]), np.uint8))
        )

    def _dataset(self, images: np.ndarray) -> Dataset:
        labels = np.full((len(images), *images.shape[2:]) if self.facts["segmentation"] else len(images), UNKNOWN)
        given: dict[str, Any] = {name: tuple(self.facts[name]) for name in ("classes", "mean", "std")}
        return _Images(images, labels, {}, source="images to predict", **given)

    def _presented(self, images: np.ndarray) -> Run:
        dataset = self._dataset(images)
        run = _Presented(self.facts["benchmark"], self._benchmark, self.facts["seed"], dataset, self.models, self.models)
        answers = predict(self._answering, images, dataset, run.device)
        # Networks and fitted values stay; what is `made` belongs to these images.
        run.__dict__.update(kept=replace(self.kept, made={}), logits=answers.logits, predicted_maps=answers.predicted)
        return run


def _load_pyfunc(path: str) -> SelectiveClassifier:
    """Load a model for MLflow, and predict one image, so that a damaged model fails here."""
    model = SelectiveClassifier.load(Path(path))
    model.predict(np.zeros((1, *model.facts["image_shape"]), np.uint8))
    return model
