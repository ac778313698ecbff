"""What the stages stored of a benchmark and seed, where it lies."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from confidnet_core.data import labelled, load_dataset
from confidnet_core.evaluation.result import Evaluation
from confidnet_core.files import read_json, replacing


@dataclass(frozen=True)
class Place:
    """A benchmark and seed, with the scores that params.yaml lists: not what earlier runs left in the folders."""

    benchmark: str
    seed: int
    methods: tuple[str, ...]

    @property
    def folder(self) -> str:
        return f"{self.benchmark}/seed{self.seed}"

    def evaluation(self, method: str) -> Evaluation:
        return Evaluation.read(Path("data/scores") / self.folder / method / "metrics.json")

    def results(self) -> list[str]:
        """The methods but the oracle, which is none."""
        return [method for method in self.methods if not self.evaluation(method).oracle]

    def confidence(self, method: str, split: str = "test") -> np.ndarray:
        name = "confidence" if split == "test" else split
        return np.load(Path("data/scores") / self.folder / method / f"{name}.npy", mmap_mode="r")

    def replicates(self, method: str) -> np.ndarray:
        """float32 (resamples, metrics), of `bootstrap`"""
        return np.load(Path("data/bootstrap") / self.folder / f"{method}.npy")

    def operating(self, method: str) -> Path:
        """The folder of `operate`."""
        return Path("data/operating") / self.folder / method

    def outcomes(self, split: str = "test") -> tuple[np.ndarray, np.ndarray | None]:
        """Which predictions are right, bool (n,), and for segmentation how many of the n each image has."""
        dataset = load_dataset(Path("data/prepared") / self.benchmark)
        labels = dataset.split(split)[1]
        counted = labelled(labels, dataset.void)
        sizes = counted.reshape(len(counted), -1).sum(axis=1) if dataset.is_segmentation else None
        return (self.predicted(split) == labels)[counted], sizes

    def predicted(self, split: str = "test") -> np.ndarray:
        folder = Path("data/predictions") / self.folder
        return np.load((folder if split == "test" else folder / split) / "predicted.npy", mmap_mode="r")

    def classifier(self) -> dict:
        return read_json(Path("data/predictions") / self.folder / "metrics.json")


def save_replicates(folder: Path, replicates: Mapping[str, np.ndarray]) -> None:
    """METHOD.npy each, float32 (resamples, metrics); all or none."""
    with replacing(folder) as temporary:
        temporary.mkdir()
        for method, rows in replicates.items():
            np.save(temporary / f"{method}.npy", rows.astype(np.float32))
