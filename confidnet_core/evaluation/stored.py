"""What the stages stored of a benchmark and seed, where it lies."""

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
    """A benchmark and seed, with the scores that params.yaml lists: not what earlier runs left in the folders."""

    benchmark: str
    seed: int
    methods: tuple[str, ...]

    @property
    def folder(self) -> str:
        return f"{self.benchmark}/seed{self.seed}"

    def evaluation(self, method: str) -> Evaluation:
        return Evaluation.read(paths.score(self.benchmark, self.seed, method) / "metrics.json")

    def compared(self) -> list[str]:
        """The methods but the oracle, which is none."""
        return [method for method in self.methods if not self.evaluation(method).oracle]

    def confidence(self, method: str, split: str = "test") -> Real[np.ndarray, " n"]:
        """Real (n,)."""
        return np.load(paths.score(self.benchmark, self.seed, method) / f"{split}.npy", mmap_mode="r")

    def replicates(self, method: str) -> Float[np.ndarray, "resamples metrics"]:
        """float32 (resamples, metrics), of `bootstrap`"""
        return np.load(paths.replicates(self.benchmark, self.seed, method))

    def thresholds(self, method: str) -> Path:
        """The folder of the stage `thresholds`."""
        return paths.thresholds(self.benchmark, self.seed, method)

    def outcomes(self, split: str = "test") -> tuple[Bool[np.ndarray, " n"], Int[np.ndarray, " images"] | None]:
        """Which predictions are right, bool (n,), and for segmentation how many of the n each image has."""
        dataset = load_dataset(paths.prepared(self.benchmark))
        labels = dataset.split(split)[1]
        counted = labelled(labels, dataset.void)
        sizes = counted.reshape(len(counted), -1).sum(axis=1) if dataset.is_segmentation else None
        return (self.predicted(split) == labels)[counted], sizes

    def predicted(self, split: str = "test") -> UInt8[np.ndarray, " images *pixels"]:
        return np.load(paths.predictions(self.benchmark, self.seed) / split / "predicted.npy", mmap_mode="r")

    def classifier(self) -> dict:
        return read_json(paths.predictions(self.benchmark, self.seed) / "metrics.json")


def save_replicates(path: Path, replicates: Float[np.ndarray, "resamples metrics"]) -> None:
    """float32 (resamples, metrics); whole or not at all."""
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.save(file, replicates.astype(np.float32))
