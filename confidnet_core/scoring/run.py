"""`Run`, the argument of every confidence score: one split, the classifier's stored predictions on it, and the trained networks."""

import json
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64, Integer, Real, UInt, UInt8
from torch import Tensor, nn

from confidnet_core import paths
from confidnet_core.config.params import Benchmark
from confidnet_core.data import Dataset, labelled_mask, load_dataset
from confidnet_core.files import load_array, read_json, require_no_nan
from confidnet_core.networks import artifacts
from confidnet_core.networks.classifier import Classifier
from confidnet_core.networks.confidnet import ConfidNet, CorrectedMcp
from confidnet_core.networks.device import select_device, to_device
from confidnet_core.networks.inference import map_images
from confidnet_core.scoring.cache import RunCache
from confidnet_core.scoring.fitted import require_storable_value, save_fitted_values
from confidnet_core.scoring.reads import DROPOUT_SAMPLES, NETWORK_INPUTS, READABLE_INPUTS, require_declared_input

PREDICTIONS_PER_CHUNK, LOGITS_PER_CHUNK = 2**20, 2**24  # bound the memory, with few and with many classes
Split = Literal["test", "val", "calibration"]
ValueT = TypeVar("ValueT")


@dataclass(frozen=True)
class Run:
    """The input of a confidence score: data, predictions and networks of one split of a benchmark and seed, loaded at the first use.

    n is the number of samples of the split, or for segmentation of its labelled pixels in row-major order.
    samples_folder, ensembles_folder: with the quantities of forward passes with dropout, and of deep ensembles
    method: the name of the score; declared_inputs: the inputs that the score declares in its attribute `reads`
    """

    benchmark_name: str
    benchmark: Benchmark
    seed: int
    dataset: Dataset
    models_folder: Path
    predictions_folder: Path
    split: Split = "test"
    samples_folder: Path = paths.DROPOUT_SAMPLES_FOLDER
    ensembles_folder: Path = paths.ENSEMBLES_FOLDER
    method: str = ""
    declared_inputs: tuple[str, ...] = READABLE_INPUTS

    def on_split(self, split: Split) -> "Run":
        """Return a copy of this Run for another split; both share the loaded networks and all fitted and cached values."""
        run_on_split = replace(self, split=split)
        run_on_split.__dict__["cache"] = self.cache  # `replace` alone leaves it out, since a run of other data or models must not share it
        return run_on_split

    @property
    def validation(self) -> "Run":
        """Return this Run on the validation split, on which scores are fitted."""
        return self.on_split("val")

    @property
    def calibration(self) -> "Run":
        """Return this Run on the calibration split. No score may be fitted on it: thresholds with a guarantee are chosen there."""
        return self.on_split("calibration")

    def cached(self, compute_function: Callable[..., ValueT], *settings: Hashable) -> ValueT:
        """Return compute_function(run, *settings), computed at the first call only and then kept in memory.

        compute_function: a module-level function, which is the key of the cache; a lambda would be a new key at each call
        """
        if (cache_key := (compute_function, *settings)) not in self.cache.cached_values:
            self.cache.cached_values[cache_key] = compute_function(self, *settings)
        return self.cache.cached_values[cache_key]

    def fitted(self, fit_function: Callable[..., ValueT], *settings: Hashable) -> ValueT:
        """Return fit_function(run, *settings), computed at the first call only; `save_fitted_values` stores the value with the score.

        A score must compute all that depends on training or validation data in such functions: a served model has the stored values, but
        not the data. fit_function: a module-level function; its qualified name and the settings identify the stored value. Raises
        ValueError unless the value is made of numbers, text, None, tensors, lists and tuples.
        """
        fitted_key = json.dumps([fit_function_name := f"{fit_function.__module__}.{fit_function.__qualname__}", *settings])
        if fitted_key not in self.cache.fitted_values:
            start_time = perf_counter()
            self.cache.fitted_values[fitted_key] = require_storable_value(fit_function(self, *settings), fit_function_name)
            self.cache.fit_seconds[fitted_key] = perf_counter() - start_time
        return self.cache.fitted_values[fitted_key]

    def save_fitted_values(self, score_folder: Path) -> None:
        """Write all values that the score has fitted so far to fitted.pt in its folder, which load_fitted_values reads."""
        save_fitted_values(score_folder, self.cache.fitted_values)

    @cached_property
    def cache(self) -> RunCache:
        return RunCache()

    @cached_property
    def device(self) -> torch.device:
        return select_device()

    @cached_property
    def images(self) -> UInt8[np.ndarray, "images c h w"]:
        """Return all images of the split, uint8 (images, c, h, w)."""
        return self.dataset.split(self.split)[0]

    @cached_property
    def is_labelled(self) -> Bool[np.ndarray, " images *pixels"]:
        """Return whether each image or pixel of the split has a label other than void: bool (images,) or (images, h, w), n of them True."""
        return labelled_mask(self._label_maps, self.dataset.void)

    @cached_property
    def _label_maps(self) -> Integer[np.ndarray, " images *pixels"]:
        return self.dataset.split(self.split)[1]

    @cached_property
    def labels(self) -> Integer[np.ndarray, " n"]:
        """Return the true class of each of the n images or labelled pixels of the split, uint8 or uint16 (n,)."""
        return self._label_maps[self.is_labelled]

    @cached_property
    def predicted(self) -> UInt[np.ndarray, " n"]:
        """Return the class that the classifier predicts for each of the n images or labelled pixels of the split, uint8 or uint16 (n,)."""
        return self.predicted_maps[self.is_labelled]

    @cached_property
    def predicted_maps(self) -> UInt[np.ndarray, " images *pixels"]:
        """Return the predicted classes of the split, void pixels included: uint8 or uint16 (images,) or (images, h, w)."""
        return load_array(self.predictions_folder / self.split / "predicted.npy", self._label_maps.shape, memory_mapped=True)

    @cached_property
    def logits(self) -> Float32[np.ndarray, "images classes *pixels"]:
        """Return the classifier's logits on the split, void pixels included: float32 (images, classes) or (images, classes, h, w)."""
        path, (image_count, *image_size) = self.predictions_folder / self.split / "logits.npy", self._label_maps.shape
        return load_array(path, (image_count, len(self.dataset.classes), *image_size), memory_mapped=True)

    @cached_property
    def correct(self) -> Bool[np.ndarray, " n"]:
        """Return whether the predicted class of each of the n images or labelled pixels of the split is correct, bool (n,)."""
        return self.predicted == self.labels

    @property
    def classifier(self) -> Classifier:
        """Return the benchmark's trained classifier, frozen and in evaluation mode, on the Run's device."""
        return self._cached_network("baseline", lambda folder: artifacts.load_classifier(folder, self.benchmark, self.dataset))

    def confidnet_head(self) -> ConfidNet:
        """Return ConfidNet before fine-tuning: its head reads the features of the classifier's own encoder."""
        return self._cached_network("confidnet", lambda folder: artifacts.load_confidnet_head(folder, self.classifier))

    def confidnet(self, network_name: str = "finetune") -> ConfidNet:
        """Return ConfidNet after fine-tuning: its own copy of the encoder, and its head."""
        return self._cached_network(network_name, lambda folder: artifacts.load_finetuned_confidnet(folder, self.classifier))

    def corrected_mcp(self) -> CorrectedMcp:
        """Return the network that adds a learned correction to MCP."""
        return self._cached_network("corrected_mcp", lambda folder: artifacts.load_corrected_mcp(folder, self.classifier))

    def second_opinion(self) -> Classifier:
        """Return the second classifier, whose log-odds of the classifier's predictions are a confidence."""
        return self._cached_network("second_opinion", lambda folder: artifacts.load_second_opinion(folder, self.benchmark, self.dataset))

    def has_network(self, network_name: str) -> bool:
        """Return whether a network that a score reads only where there is one was trained."""
        require_declared_input(self.method, self.declared_inputs, network_name)
        return artifacts.is_trained(self.models_folder / network_name)

    def _cached_network(self, network_name: str, load_network: Callable[[Path], nn.Module]) -> Any:
        """Return a trained network on the Run's device; load_network(its folder) is called at the first use only."""
        if network_name in NETWORK_INPUTS:
            require_declared_input(self.method, self.declared_inputs, network_name)
        if network_name not in self.cache.networks:
            self.cache.networks[network_name] = to_device(load_network(self.models_folder / network_name), self.device)
        return self.cache.networks[network_name]

    def dropout_quantity(self, quantity_name: str) -> Float64[np.ndarray, " n"]:
        """Return a quantity of the forward passes with dropout, such as "predictive_entropy", for each prediction: float64 (n,).

        quantity_name: one of DROPOUT_QUANTITIES. Raises ValueError where the classifier has no dropout, or params.yaml asks for no passes.
        """
        require_declared_input(self.method, self.declared_inputs, DROPOUT_SAMPLES)
        dropout_facts_json = read_json(self.samples_folder / "facts.json")
        if not dropout_facts_json["dropout"]:
            raise ValueError(f"{self.benchmark_name}: the classifier has no dropout to sample; remove the mc_dropout methods")
        if not dropout_facts_json["passes"]:
            raise ValueError(f"{self.benchmark_name}: mc_dropout.passes in params.yaml is 0; ask for some, or remove mc_dropout methods")
        return load_array(self.samples_folder / self.split / f"{quantity_name}.npy", (len(self.labels),))

    def ensemble_quantity(self, method: str) -> Float64[np.ndarray, " n"]:
        """Return the deep-ensemble quantity of each prediction that the stage `ensemble` stored for the score `method`: float64 (n,).

        Raises ValueError unless the ensemble has two seeds or more, this Run's seed among them.
        """
        seeds = read_json(self.ensembles_folder / method / "facts.json")["seeds"]
        if len(seeds) < 2:
            remedy_text = f"try dvc exp run -S 'seeds=[0,1,2,3,4]', or remove methods.{method}"
            raise ValueError(f"{self.benchmark_name}: {method} needs two seeds or more, got {seeds}; {remedy_text}")
        if self.seed not in seeds:
            raise ValueError(f"{self.benchmark_name}: the ensemble is of the seeds {seeds}; add {self.seed} to seeds of params.yaml")
        stored_quantity = load_array(self.ensembles_folder / method / f"{self.split}.npy", memory_mapped=True)
        return np.array(stored_quantity if stored_quantity.ndim == 1 else stored_quantity[seeds.index(self.seed)])

    def map_logits(self, score_function: Callable[[Tensor, Tensor], Tensor]) -> Float64[np.ndarray, " n"]:
        """Return score_function(logits float64 (m, classes), labels int64 (m,)) -> (m,) for all n predictions, in chunks: float64 (n,)."""
        confidence = np.empty(len(self.labels))
        for chunk_slice, chunk_logits, chunk_labels in self._logit_chunks():
            confidence[chunk_slice] = score_function(chunk_logits, chunk_labels).numpy()
        return confidence

    def subsample_logits(self, max_samples: int = PREDICTIONS_PER_CHUNK) -> tuple[Float64[Tensor, "m classes"], Int64[Tensor, " m"]]:
        """Return logits, float64 (m, classes), and labels, int64 (m,), of at most `max_samples` evenly spaced predictions."""
        samples, sampling_step = [], -(-len(self.labels) // min(max_samples, LOGITS_PER_CHUNK // self.logits.shape[1]))
        for chunk_slice, *chunk_tensors in self._logit_chunks():
            samples.append([tensor[-chunk_slice.start % sampling_step :: sampling_step].clone() for tensor in chunk_tensors])
        sampled_logits, sampled_labels = map(torch.cat, zip(*samples, strict=True))
        return sampled_logits, sampled_labels

    def _logit_chunks(self) -> Iterator[tuple[slice, Float64[Tensor, "m classes"], Int64[Tensor, " m"]]]:
        """Yield for each chunk of m predictions: its slice of all n, its logits float64 (m, classes), its labels int64 (m,)."""
        predictions_per_chunk = min(PREDICTIONS_PER_CHUNK, LOGITS_PER_CHUNK // self.logits.shape[1])
        images_per_chunk, first_prediction_index = max(1, predictions_per_chunk // max(1, self._label_maps[0].size)), 0
        for first_image_index in range(0, len(self.logits), images_per_chunk):
            image_slice = slice(first_image_index, first_image_index + images_per_chunk)
            chunk_logits = np.moveaxis(self.logits[image_slice], 1, -1)[self.is_labelled[image_slice]]
            if isinstance(self.logits, np.memmap):  # of a file, and not of images that a served model answers
                require_no_nan(chunk_logits, self.predictions_folder / self.split / "logits.npy")
            chunk_slice = slice(first_prediction_index, first_prediction_index + len(chunk_logits))
            yield chunk_slice, torch.from_numpy(chunk_logits).double(), torch.from_numpy(self.labels[chunk_slice].astype(np.int64))
            first_prediction_index = chunk_slice.stop

    def map_images(self, forward: Callable[..., Tensor], *aligned_arrays: np.ndarray) -> Real[np.ndarray, " n *numbers"]:
        """Apply a function to the normalised images of the split in batches; return its values (n,) for the n images or labelled pixels.

        forward: (images (b, c, h, w), *batches of aligned_arrays) -> values (b,) or (b, h, w); with one axis more, the result is (n, axis)
        aligned_arrays: arrays with one element for each image, such as predicted_maps
        """
        return map_images(forward, self.images, self.dataset, self.device, self.benchmark_name, *aligned_arrays)[self.is_labelled]


def load_run(benchmark_name: str, benchmark: Benchmark, seed: int, method: str, declared_inputs: Iterable[str]) -> Run:
    """Return the Run (input) of a score on the test split. declared_inputs: those that the score names in its attribute `reads`."""
    dataset = load_dataset(paths.prepared_data_folder(benchmark_name))
    models_folder = paths.seed_folder(paths.MODELS_FOLDER, benchmark_name, seed)
    run = Run(benchmark_name, benchmark, seed, dataset, models_folder, paths.predictions_folder(benchmark_name, seed))
    run = replace(run, method=method, declared_inputs=tuple(declared_inputs), ensembles_folder=paths.ENSEMBLES_FOLDER / benchmark_name)
    return replace(run, samples_folder=paths.dropout_samples_folder(benchmark_name, seed))
