"""All scores of a benchmark on images that are in none of its splits, such as corrupted or foreign ones. Nothing is trained or fitted."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int, Integer, Real, UInt8

from confidnet_core import paths
from confidnet_core.config.params import Benchmark
from confidnet_core.config.registry import entry_attributes, find_entry
from confidnet_core.data import Dataset
from confidnet_core.evaluation.left_out import left_out_reason
from confidnet_core.networks.inference import Predictions, predict
from confidnet_core.scoring.attributes import readable_inputs
from confidnet_core.scoring.cache import RunCache
from confidnet_core.scoring.ensembles import ensemble_quantities
from confidnet_core.scoring.fitted import load_fitted_values
from confidnet_core.scoring.mc_dropout import sample_dropout_of_images
from confidnet_core.scoring.run import Run, load_run
from confidnet_core.system.room import array_of_any_size


@dataclass(frozen=True)
class ImageSet:
    """Images whose predictions are scored.

    images: uint8 (images, c, h, w), as the classifier reads them
    label_maps, is_labelled: (images,), or (images, h, w) for segmentation: their classes, and where there are any; None for foreign images,
        of which no prediction is correct
    """

    images: UInt8[np.ndarray, "images c h w"]
    label_maps: Integer[np.ndarray, " images *pixels"] | None = None
    is_labelled: Bool[np.ndarray, " images *pixels"] | None = None


class Scored(NamedTuple):
    """A score on an image set: confidence, real (n,); correct, bool (n,); and pixels_per_image, int (images,), for segmentation."""

    seed: int
    method: str
    confidence: Real[np.ndarray, " n"]
    correct: Bool[np.ndarray, " n"]
    pixels_per_image: Int[np.ndarray, " images"] | None


class _OtherImagesRun(Run):
    """The Run of an image set in place of the test split; other splits are those of the benchmark."""

    def on_split(self, split: Any) -> Run:
        return self if split == self.split else super().on_split(split)

    def dropout_quantity(self, quantity_name: str) -> Float64[np.ndarray, " n"]:
        return self.cached(_sample_dropout)[quantity_name][self.is_labelled]

    def ensemble_quantity(self, method: str) -> Float64[np.ndarray, " n"]:
        return self.__dict__["ensemble_quantities"][method]


def _sample_dropout(run: Run) -> dict[str, np.ndarray]:
    settings = run.benchmark.mc_dropout
    return sample_dropout_of_images(run.classifier, run.images, run.dataset, run.split, settings, run.seed, run.device)


class BenchmarkScores:
    """The classifiers of all seeds of a benchmark, and the scores that were evaluated with them.

    settings_of_method: {name of a score: its settings}
    """

    def __init__(self, benchmark_name: str, benchmark: Benchmark, seeds: Sequence[int], settings_of_method: Mapping[str, Any]) -> None:
        self.benchmark_name, self.seeds, self._settings_of_method = benchmark_name, sorted(seeds), settings_of_method
        self._runs = {seed: load_run(benchmark_name, benchmark, seed, "", ()) for seed in self.seeds}
        self._over_seeds = entry_attributes("scores", settings_of_method, "over_seeds")

    @property
    def dataset(self) -> Dataset:
        """The benchmark's data set."""
        return self._runs[self.seeds[0]].dataset

    def methods(self, seed: int) -> list[str]:
        """Return the names of the scores that were not left out."""
        return [method for method in self._settings_of_method if left_out_reason(self.benchmark_name, seed, method) is None]

    def is_oracle(self, method: str) -> bool:
        """Return whether a score reads the labels."""
        return getattr(find_entry("scores", method), "oracle", False)

    def score(self, image_set: ImageSet) -> Iterator[Scored]:
        """Yield all scores of all seeds on an image set; for foreign images those that read no labels."""
        is_foreign, image_shape = image_set.label_maps is None, image_set.images.shape
        map_shape = (image_shape[0], *image_shape[2:]) if self.dataset.is_segmentation else image_shape[:1]
        is_labelled = np.ones(map_shape, bool) if image_set.is_labelled is None else image_set.is_labelled
        label_maps = np.zeros(map_shape, np.uint8) if image_set.label_maps is None else image_set.label_maps
        predictions = {seed: self._predict(seed, image_set.images) for seed in self.seeds}
        ensemble_quantities_of_all = self._ensemble_quantities(predictions, is_labelled)
        for seed_index, seed in enumerate(self.seeds):
            cached_values: dict[tuple, Any] = {}
            overridden = {
                "images": image_set.images,
                "_label_maps": label_maps,
                "is_labelled": is_labelled,
                "logits": predictions[seed].logits,
                "predicted_maps": predictions[seed].predicted,
                "ensemble_quantities": {
                    method: quantity if quantity.ndim == 1 else quantity[seed_index]
                    for method, quantity in ensemble_quantities_of_all.items()
                },
            }
            pixels_per_image = is_labelled.reshape(len(is_labelled), -1).sum(1) if self.dataset.is_segmentation else None
            for method in self.methods(seed):
                if is_foreign and self.is_oracle(method):
                    continue
                score = find_entry("scores", method)
                run = self._run(seed, method, score, cached_values, overridden)
                correct = np.zeros(int(is_labelled.sum()), bool) if is_foreign else run.correct
                yield Scored(seed, method, score(run, **self._settings_of_method[method]), correct, pixels_per_image)

    def _run(
        self, seed: int, method: str, score: Callable, cached_values: dict[tuple, Any], overridden: Mapping[str, Any]
    ) -> _OtherImagesRun:
        base = self._runs[seed]
        fields = {name: getattr(base, name) for name in Run.__dataclass_fields__}
        run = _OtherImagesRun(**fields | {"method": method, "declared_inputs": readable_inputs(score)})
        # Read anew for each image set: features of training images, of which memory then holds those of one score.
        fitted_values = load_fitted_values(paths.score_folder(self.benchmark_name, seed, method), base.device)
        run.__dict__.update(overridden, cache=RunCache(base.cache.networks, fitted_values, cached_values))
        return run

    def _predict(self, seed: int, images: np.ndarray) -> Predictions:
        base = self._runs[seed]
        return predict(base.classifier, images, base.dataset, base.device, array_of_any_size)

    def _ensemble_quantities(
        self, predictions: Mapping[int, Predictions], is_labelled: Bool[np.ndarray, " images *pixels"]
    ) -> dict[str, np.ndarray]:
        """Return {score: its ensemble quantity, (n,) or (seeds, n)} of the scores that need the classifiers of all seeds."""
        quantity_of_method = {method: quantity for method, quantity in self._over_seeds.items() if quantity is not None}
        if not quantity_of_method:
            return {}
        logits_by_seed, predicted_by_seed = zip(*((each.logits, each.predicted) for each in predictions.values()), strict=True)
        values = ensemble_quantities({*quantity_of_method.values()}, logits_by_seed, predicted_by_seed, is_labelled)
        return {method: values[quantity] for method, quantity in quantity_of_method.items()}
