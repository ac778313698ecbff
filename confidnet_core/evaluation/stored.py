"""Reads the results (metrics, confidences, resamples, predictions) that the stages stored for a benchmark and seed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, Real, UInt8

from confidnet_core import paths
from confidnet_core.data import labelled, load_dataset
from confidnet_core.evaluation.result import Evaluation
from confidnet_core.files import atomic_write, read_json


@dataclass(frozen=True)
class StoredResults:
    """Reads stored results of a benchmark and seed: metrics, confidences, predictions. methods: the scores of params.yaml."""

    benchmark: str
    seed: int
    methods: tuple[str, ...]

    @property
    def folder(self) -> str:
        """Return BENCHMARK/seedSEED, which names the results in messages and below reports/."""
        return f"{self.benchmark}/seed{self.seed}"

    def evaluation(self, method: str) -> Evaluation:
        return Evaluation.read(paths.score(self.benchmark, self.seed, method) / "metrics.json")

    def compared_methods(self) -> list[str]:
        """Return the scores of `methods` that compete: all but an oracle, which reads the labels."""
        return [method for method in self.methods if not self.evaluation(method).oracle]

    def confidence(self, method: str, split: str = "test") -> Real[np.ndarray, " n"]:
        """Return the score's confidence in each labelled prediction of the split, real (n,)."""
        return np.load(paths.score(self.benchmark, self.seed, method) / f"{split}.npy", mmap_mode="r")

    def replicates(self, method: str) -> Float[np.ndarray, "resamples metrics"]:
        """Return a score's failure metrics on each bootstrap resample of the test split, float32 (resamples, metrics)."""
        return np.load(paths.bootstrap_replicates(self.benchmark, self.seed, method))

    def thresholds_folder(self, method: str) -> Path:
        """Return the folder of calibration results and guaranteed thresholds that the stage `thresholds` wrote for a score."""
        return paths.thresholds(self.benchmark, self.seed, method)

    def outcomes(self, split: str = "test") -> tuple[Bool[np.ndarray, " n"], Int[np.ndarray, " images"] | None]:
        """Return whether each prediction is correct, bool (n,), and for segmentation how many of the n predictions each image has."""
        dataset = load_dataset(paths.prepared(self.benchmark))
        labels = dataset.split(split)[1]
        is_labelled = labelled(labels, dataset.void)
        sizes = is_labelled.reshape(len(is_labelled), -1).sum(axis=1) if dataset.is_segmentation else None
        return (self.predicted(split) == labels)[is_labelled], sizes

    def predicted(self, split: str = "test") -> UInt8[np.ndarray, " images *pixels"]:
        """Return the predicted classes of the whole split with its void pixels, uint8 (images, ...)."""
        return np.load(paths.predictions(self.benchmark, self.seed) / split / "predicted.npy", mmap_mode="r")

    def classifier_metrics(self) -> dict:
        """Return the classifier's metrics on the test split, such as its accuracy."""
        return read_json(paths.predictions(self.benchmark, self.seed) / "metrics.json")


def save_replicates(path: Path, replicates: Float[np.ndarray, "resamples metrics"]) -> None:
    """Write metrics over bootstrap resamples as a NumPy file, float32 (resamples, metrics); the file is complete or absent."""
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.save(file, replicates.astype(np.float32))
