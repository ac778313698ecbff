"""Reads the results (metrics, confidences, resamples, predictions) that the stages stored for a benchmark and seed."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Int, Real, UInt

from confidnet_core import paths
from confidnet_core.data import labelled_mask, load_dataset
from confidnet_core.evaluation.left_out import left_out_reason
from confidnet_core.evaluation.result import Evaluation
from confidnet_core.files import atomic_write, load_array, read_csv, read_json

if TYPE_CHECKING:
    import pandas

MET, COMPATIBLE, EXCEEDED = "met", "compatible", "exceeded"  # what the test split says of a target risk, in threshold.json


@dataclass(frozen=True)
class Reliability:
    """How well a score's probabilities of being correct agree with the accuracy on the test split.

    calibrator_description: how probabilities were made of the confidences: "isotonic and Platt on 5,000 validation samples"
    metrics: {calibration metric: value}; metric_replicates: these metrics on bootstrap resamples, float (resamples, metrics)
    raw_metrics: {calibration metric: value} of the score's own probability, before the calibrator; None for a score that is only a ranking
    reliability_bins: a table of the mean probability, the accuracy and the count of samples in each bin of probability that is not empty
    """

    calibrator_description: str
    metrics: dict[str, float]
    raw_metrics: dict[str, float] | None
    metric_replicates: Float[np.ndarray, "resamples metrics"]
    reliability_bins: "pandas.DataFrame"

    def with_float32_replicates(self) -> "Reliability":
        """Return it with the replicates in the precision in which they are stored."""
        return replace(self, metric_replicates=self.metric_replicates.astype(np.float32))


@dataclass(frozen=True)
class StoredResults:
    """Reads what the stages stored on disk for one benchmark and seed: metrics, confidences and predictions.

    methods: the names of the confidence scores that params.yaml lists
    """

    benchmark: str
    seed: int
    methods: tuple[str, ...]

    @classmethod
    def without_left_out(cls, benchmark: str, seed: int, methods: Iterable[str]) -> "StoredResults":
        """Return the results of those of the scores that were not left out for this benchmark, in the same order."""
        return cls(benchmark, seed, tuple(method for method in methods if left_out_reason(benchmark, seed, method) is None))

    @property
    def benchmark_and_seed(self) -> str:
        """Return the text BENCHMARK/seedSEED, such as "digits/seed0", which names these results in messages."""
        return f"{self.benchmark}/seed{self.seed}"

    def evaluation(self, method: str) -> Evaluation:
        """Return the failure metrics of the score `method` on the test split, as the stage `evaluate` stored them."""
        return Evaluation.read(paths.score_folder(self.benchmark, self.seed, method) / "metrics.json")

    def compared_methods(self) -> list[str]:
        """Return the names of the scores that a comparison ranks: all but an oracle, which reads the labels."""
        return [method for method in self.methods if not self.evaluation(method).oracle]

    def confidence(self, method: str, split: str = "test") -> Real[np.ndarray, " n"]:
        """Return the confidence of the score `method` in each of the n labelled predictions of a split, real (n,), memory-mapped."""
        return load_array(paths.score_folder(self.benchmark, self.seed, method) / f"{split}.npy", (None,), memory_mapped=True)

    def confidence_and_outcomes(
        self, method: str, split: str = "test"
    ) -> tuple[Real[np.ndarray, " n"], Bool[np.ndarray, " n"], Int[np.ndarray, " images"] | None]:
        """Return `confidence` and `outcomes`. Raises ValueError where a file holds other than one finite confidence for each prediction."""
        (correct, pixels_per_image), confidence = self.outcomes(split), self.confidence(method, split)
        path = paths.score_folder(self.benchmark, self.seed, method) / f"{split}.npy"
        expected = f"expected {len(correct):,} finite numbers, one for each prediction; delete {path.parent} and run `dvc repro`"
        if confidence.shape != correct.shape:
            raise ValueError(f"{path} holds {len(confidence):,} numbers; {expected}")
        if not np.isfinite(confidence).all():
            raise ValueError(f"{path} holds NaN or infinity; {expected}")
        return confidence, correct, pixels_per_image

    def bootstrap_replicates(self, method: str) -> Float[np.ndarray, "resamples metrics"]:
        """Return the failure metrics of the score `method` on each bootstrap resample of the test split, float32 (resamples, metrics)."""
        return load_array(paths.bootstrap_replicates_path(self.benchmark, self.seed, method), (None, None))

    def thresholds_folder(self, method: str) -> Path:
        """Return the path of the folder of calibration results and guaranteed thresholds that the stage `thresholds` wrote for a score."""
        return paths.thresholds_folder(self.benchmark, self.seed, method)

    def reliability(self, method: str) -> Reliability:
        """Return how well the probabilities of the score `method` agree with the accuracy, as the stage `thresholds` stored it."""

        thresholds_folder = self.thresholds_folder(method)
        calibration = read_json(thresholds_folder / "calibration.json")
        reliability_bins = read_csv(thresholds_folder / "reliability.csv")
        replicates = load_array(thresholds_folder / "replicates.npy", (None, None))
        return Reliability(calibration["how"], calibration["metrics"], calibration["raw"], replicates, reliability_bins)

    def guarantees(self, method: str) -> list[dict[str, Any]]:
        """Return the thresholds with a guarantee of the score `method`, as `guaranteed_thresholds` gave them, one per target risk."""
        return read_json(self.thresholds_folder(method) / "threshold.json")["thresholds"]

    def outcomes(self, split: str = "test") -> tuple[Bool[np.ndarray, " n"], Int[np.ndarray, " images"] | None]:
        """Return whether each of the n labelled predictions of a split is correct, bool (n,), and how many of them each image has.

        The second value is int (images,) for segmentation, whose predictions are pixels, and None for classification.
        """
        dataset = load_dataset(paths.prepared_data_folder(self.benchmark))
        labels = dataset.split(split)[1]
        is_labelled = labelled_mask(labels, dataset.void)
        pixels_per_image = is_labelled.reshape(len(is_labelled), -1).sum(axis=1) if dataset.is_segmentation else None
        return (self.predicted(split) == labels)[is_labelled], pixels_per_image

    def predicted(self, split: str = "test") -> UInt[np.ndarray, " images *pixels"]:
        """Return the predicted classes of a split, void pixels included: uint8 or uint16 (images,) or (images, h, w)."""
        return load_array(paths.predictions_folder(self.benchmark, self.seed) / split / "predicted.npy", (None,), memory_mapped=True)

    def classifier_metrics(self) -> dict:
        """Return {metric: value}: the classifier's own metrics on the test split, such as its accuracy."""
        return read_json(paths.predictions_folder(self.benchmark, self.seed) / "metrics.json")


def save_bootstrap_replicates(path: Path, replicates: Float[np.ndarray, "resamples metrics"]) -> None:
    """Write the metrics on each bootstrap resample, (resamples, metrics), as a NumPy file of float32, which is complete or absent."""
    with atomic_write(path) as temporary_path, temporary_path.open("wb") as file:
        np.save(file, replicates.astype(np.float32))
