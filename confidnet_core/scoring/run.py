"""`Run`, the argument of every confidence score: one split, the classifier's stored predictions on it, and the trained networks."""

import json
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64, Integer, Real, UInt8
from torch import Tensor, nn

from confidnet_core import paths
from confidnet_core.config.params import Benchmark
from confidnet_core.data import Dataset, labelled, load_dataset
from confidnet_core.files import read_json
from confidnet_core.networks.artifacts import load_classifier, load_corrected_mcp, load_finetuned, load_head
from confidnet_core.networks.classifier import Classifier
from confidnet_core.networks.confidnet import ConfidNet, CorrectedMcp
from confidnet_core.networks.device import select_device, to_device
from confidnet_core.networks.inference import map_images
from confidnet_core.scoring.fitted import require_storable, save_fitted
from confidnet_core.scoring.reads import NETWORKS, READABLE, SAMPLES, require_declared

PREDICTIONS_PER_CHUNK = 2**20  # bounds the memory: logits of this many predictions are held at once
Split = Literal["test", "val", "calibration"]
Value = TypeVar("Value")


@dataclass(frozen=True)
class RunCache:
    """Holds what the splits of one Run share: loaded networks, fitted values and computed values."""

    networks: dict[str, Any] = field(default_factory=dict)  # the loaded networks, by their folder in Run.models
    fitted: dict[str, Any] = field(default_factory=dict)  # values of Run.fitted, by function and settings
    values: dict[tuple, Any] = field(default_factory=dict)  # values of Run.cached, by function and settings
    fit_seconds: dict[str, float] = field(default_factory=dict)  # duration of each fit, with the keys of `fitted`


@dataclass(frozen=True)
class Run:
    """A run gives a confidence score the data, predictions and networks of one split of a benchmark and seed, loaded at the first use.

    n is the number of samples of the split, or of its labelled pixels in row-major order.
    models, predictions, samples, ensembles: folders that earlier stages wrote; method: the name of the score
    """

    name: str
    benchmark: Benchmark
    seed: int
    dataset: Dataset
    models: Path
    predictions: Path
    split: Split = "test"
    samples: Path = paths.DROPOUT_SAMPLES_FOLDER
    ensembles: Path = paths.ENSEMBLES_FOLDER
    method: str = ""
    reads: tuple[str, ...] = READABLE  # the inputs that the score declares: see reads.py

    def on_split(self, split: Split) -> "Run":
        """Return the same run on another split; both share the loaded networks and all fitted and cached values."""
        run_on_split = replace(self, split=split)
        run_on_split.__dict__["cache"] = self.cache  # `replace` alone leaves it out, since a run of other data or models must not share it
        return run_on_split

    @property
    def validation(self) -> "Run":
        """Return the run on the validation split, on which scores are fitted."""
        return self.on_split("val")

    @property
    def calibration(self) -> "Run":
        """Return the run on the calibration split. No score may be fitted on it: thresholds with a guarantee are chosen there."""
        return self.on_split("calibration")

    def cached(self, compute: Callable[..., Value], *settings: Hashable) -> Value:
        """Return compute(run, *settings), computed once for all splits of the run.

        compute: a module-level function, which is the key of the cache; a lambda would be a new key at each call
        """
        cache_key = (compute, *settings)
        if cache_key not in self.cache.values:
            self.cache.values[cache_key] = compute(self, *settings)
        return self.cache.values[cache_key]

    def fitted(self, fit: Callable[..., Value], *settings: Hashable) -> Value:
        """Return fit(run, *settings), computed once as by `cached`, and stored with the score.

        A score takes everything that it needs of training or validation data this way: a served model has the values, but no such data.
        fit: a module-level function, whose qualified name is the key of the stored value
        Raises ValueError for a value that is not made of numbers, text, None, tensors, lists and tuples.
        """
        stored_key = json.dumps([f"{fit.__module__}.{fit.__qualname__}", *settings])
        if stored_key not in self.cache.fitted:
            start_time = perf_counter()
            self.cache.fitted[stored_key] = require_storable(fit(self, *settings), f"{fit.__module__}.{fit.__qualname__}")
            self.cache.fit_seconds[stored_key] = perf_counter() - start_time
        return self.cache.fitted[stored_key]

    def save_fitted(self, folder: Path) -> None:
        """Write all values that the score has fitted so far to FOLDER/fitted.pt, which load_fitted reads."""
        save_fitted(folder, self.cache.fitted)

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
        """Return whether each image (or pixel) has a label other than void, bool (images, ...); n of them are True."""
        return labelled(self._label_maps, self.dataset.void)

    @cached_property
    def _label_maps(self) -> Integer[np.ndarray, " images *pixels"]:
        return self.dataset.split(self.split)[1]

    @cached_property
    def labels(self) -> Integer[np.ndarray, " n"]:
        """Return the true classes of the labelled predictions, uint8 (n,)."""
        return self._label_maps[self.is_labelled]

    @cached_property
    def predicted(self) -> UInt8[np.ndarray, " n"]:
        """Return the predicted classes of the labelled predictions, uint8 (n,)."""
        return self.predicted_maps[self.is_labelled]

    @cached_property
    def predicted_maps(self) -> UInt8[np.ndarray, " images *pixels"]:
        """Return the predicted classes of the whole split with its void pixels, uint8 (images, ...)."""
        return np.load(self.predictions / self.split / "predicted.npy", mmap_mode="r")

    @cached_property
    def logits(self) -> Float32[np.ndarray, "images classes *pixels"]:
        """Return the logits of the whole split with its void pixels, float32 (images, classes, ...)."""
        return np.load(self.predictions / self.split / "logits.npy", mmap_mode="r")

    @cached_property
    def correct(self) -> Bool[np.ndarray, " n"]:
        """Return whether each labelled prediction is correct, bool (n,)."""
        return self.predicted == self.labels

    @property
    def classifier(self) -> Classifier:
        """Return the frozen classifier on the device, in evaluation mode."""
        return self._cached_network("baseline", lambda folder: load_classifier(folder, self.benchmark, self.dataset))

    def confidnet_head(self) -> ConfidNet:
        """Return ConfidNet before fine-tuning: its head reads the features of the classifier's own encoder."""
        return self._cached_network("confidnet", lambda folder: load_head(folder, self.classifier))

    def confidnet(self) -> ConfidNet:
        """Return ConfidNet after fine-tuning: its own copy of the encoder, and its head."""
        return self._cached_network("finetune", lambda folder: load_finetuned(folder, self.classifier))

    def corrected_mcp(self) -> CorrectedMcp:
        """Return the network that adds a learned correction to MCP."""
        return self._cached_network("corrected_mcp", lambda folder: load_corrected_mcp(folder, self.classifier))

    def _cached_network(self, name: str, load: Callable[[Path], nn.Module]) -> Any:
        """Return the network in the folder `name` of the run's models, on the device; load(folder) is called at the first use only."""
        if name in NETWORKS:
            require_declared(self.method, self.reads, name)
        if name not in self.cache.networks:
            self.cache.networks[name] = to_device(load(self.models / name), self.device)
        return self.cache.networks[name]

    def dropout_quantity(self, quantity: str) -> Float64[np.ndarray, " n"]:
        """Return one of mc_dropout.DROPOUT_QUANTITIES, such as an entropy, over forward passes with dropout, float64 (n,).

        Raises ValueError where the stage `sample` stored no such quantity.
        """
        require_declared(self.method, self.reads, SAMPLES)
        sampling_facts = read_json(self.samples / "facts.json")
        if not sampling_facts["dropout"]:
            raise ValueError(f"{self.name}: the classifier has no dropout, so there is nothing to sample; remove the mc_dropout methods")
        if not sampling_facts["passes"]:
            raise ValueError(f"{self.name}: its mc_dropout.passes in params.yaml are 0; remove the mc_dropout methods, or ask for passes")
        return np.load(self.samples / self.split / f"{quantity}.npy")

    def ensemble_quantity(self, method: str) -> Float64[np.ndarray, " n"]:
        """Return the number that the stage `ensemble` stored for each prediction, for a score with `over_seeds`, float64 (n,).

        Raises ValueError unless the ensemble has two seeds or more, this run's seed among them.
        """
        seeds = read_json(self.ensembles / method / "facts.json")["seeds"]
        if len(seeds) < 2:
            command = "dvc exp run -S 'seeds=[0,1,2,3,4]'"
            raise ValueError(f"{self.name}: {method} needs two seeds or more, got {seeds}; try {command}, or remove methods.{method}")
        if self.seed not in seeds:
            raise ValueError(f"{self.name}: the ensemble is of the seeds {seeds}, without {self.seed}; add it to seeds of params.yaml")
        values = np.load(self.ensembles / method / f"{self.split}.npy", mmap_mode="r")
        return np.array(values if values.ndim == 1 else values[seeds.index(self.seed)])

    def map_logits(self, score: Callable[[Tensor, Tensor], Tensor]) -> Float64[np.ndarray, " n"]:
        """Apply score(logits float64 (m, classes), labels int64 (m,)) -> (m,) to the stored logits in chunks; return float64 (n,)."""
        values = np.empty(len(self.labels))
        for positions, logits, labels in self._logit_chunks():
            values[positions] = score(logits, labels).numpy()
        return values

    def subsample_logits(self, max_samples: int = PREDICTIONS_PER_CHUNK) -> tuple[Float64[Tensor, "m classes"], Int64[Tensor, " m"]]:
        """Return logits float64 (m, classes) and labels int64 (m,) of every k-th prediction, with the least k for m <= max_samples."""
        step, logits, labels = -(-len(self.labels) // max_samples), [], []
        for positions, chunk_logits, chunk_labels in self._logit_chunks():
            first_index = -positions.start % step
            logits.append(chunk_logits[first_index::step])
            labels.append(chunk_labels[first_index::step])
        return torch.cat(logits), torch.cat(labels)

    def _logit_chunks(self) -> Iterator[tuple[slice, Float64[Tensor, "m classes"], Int64[Tensor, " m"]]]:
        """Yield the n predictions in chunks: the chunk's slice of them, its logits float64 (m, classes), and its labels int64 (m,)."""
        images_per_chunk, predictions_done = max(1, PREDICTIONS_PER_CHUNK // max(1, self._label_maps[0].size)), 0
        for start in range(0, len(self.logits), images_per_chunk):
            images = slice(start, start + images_per_chunk)
            logits = np.moveaxis(self.logits[images], 1, -1)[self.is_labelled[images]]
            positions = slice(predictions_done, predictions_done + len(logits))
            yield positions, torch.from_numpy(logits).double(), torch.from_numpy(self.labels[positions]).long()
            predictions_done = positions.stop

    def map_images(self, forward: Callable[..., Tensor], *aligned: np.ndarray) -> Real[np.ndarray, " n *numbers"]:
        """Apply forward(normalised images (b, c, h, w), *aligned (b, ...)) -> (b, ...) to the images in batches.

        Returns the n labelled values, (n,), or (n, numbers) where `forward` gives several for a prediction. aligned: arrays of all images
        """
        return map_images(forward, self.images, self.dataset, self.device, self.name, *aligned)[self.is_labelled]


def load_run(name: str, benchmark: Benchmark, seed: int, method: str, reads: Iterable[str]) -> Run:
    """Return a Run of the score `method` on the test split, from the folders that earlier stages wrote; `reads`: its declared inputs."""
    dataset = load_dataset(paths.prepared(name))
    models, predictions = paths.seed_folder(paths.MODELS_FOLDER, name, seed), paths.predictions(name, seed)
    samples, ensembles = paths.dropout_samples(name, seed), paths.ENSEMBLES_FOLDER / name
    return Run(name, benchmark, seed, dataset, models, predictions, samples=samples, ensembles=ensembles, method=method, reads=tuple(reads))
