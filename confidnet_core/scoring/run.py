"""What a confidence score may use: a split, the classifier's stored answers on it, and the trained networks."""

import json
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, Int64, Real, UInt8
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
from confidnet_core.scoring.fitted import checked, save_fitted
from confidnet_core.scoring.reads import NETWORKS, READABLE, SAMPLES, check_read

CHUNK = 2**20  # predictions whose logits are in memory at once
Split = Literal["test", "val", "calibration"]
Made = TypeVar("Made")


@dataclass(frozen=True)
class Kept:
    """What the splits of a run share."""

    networks: dict[str, Any] = field(default_factory=dict)  # those that were asked for, by their folder in Run.models
    fitted: dict[str, Any] = field(default_factory=dict)  # by function and settings
    made: dict[tuple, Any] = field(default_factory=dict)
    fit_seconds: dict[str, float] = field(default_factory=dict)  # by function and settings, as `fitted`


@dataclass(frozen=True)
class Run:
    """One benchmark and seed. n is the number of samples of the split, or of its labelled pixels in row-major order.

    Nothing is loaded or computed before a score asks for it.
    """

    name: str
    benchmark: Benchmark
    seed: int
    dataset: Dataset
    models: Path
    predictions: Path
    split: Split = "test"
    samples: Path = paths.SAMPLES
    ensembles: Path = paths.ENSEMBLES
    method: str = ""
    reads: tuple[str, ...] = READABLE  # what the method declares that it reads

    def on(self, split: Split) -> "Run":
        """The same networks on another split; what was loaded, fitted and made `once` is there, too."""
        other = replace(self, split=split)
        other.__dict__["kept"] = self.kept  # which `replace` alone, of data or models, must not hand on
        return other

    @property
    def validation(self) -> "Run":
        """For what a score has to fit."""
        return self.on("val")

    @property
    def calibration(self) -> "Run":
        """Nothing is fitted on this split: an operating threshold with a guarantee is chosen on it."""
        return self.on("calibration")

    def once(self, make: Callable[..., Made], *settings: Hashable) -> Made:
        """make(run, *settings), kept for all splits, for what would else be computed again.

        make: a function of a module; a lambda would be another one each time
        """
        key = (make, *settings)
        if key not in self.kept.made:
            self.kept.made[key] = make(self, *settings)
        return self.kept.made[key]

    def fitted(self, fit: Callable[..., Made], *settings: Hashable) -> Made:
        """fit(run, *settings), kept as by `once`, and stored with the score: all that a score takes from training or validation data. A
        served model has these values, and no such data.

        fit: a function of a module; its value is made of numbers, text, None, tensors, lists and tuples, or it is a ValueError
        """
        key = json.dumps([f"{fit.__module__}.{fit.__qualname__}", *settings])
        if key not in self.kept.fitted:
            began = perf_counter()
            self.kept.fitted[key] = checked(fit(self, *settings), f"{fit.__module__}.{fit.__qualname__}")
            self.kept.fit_seconds[key] = perf_counter() - began
        return self.kept.fitted[key]

    def save_fitted(self, folder: Path) -> None:
        """All that was `fitted`, for load_fitted."""
        save_fitted(folder, self.kept.fitted)

    @cached_property
    def kept(self) -> Kept:
        return Kept()

    @cached_property
    def device(self) -> torch.device:
        return select_device()

    @cached_property
    def images(self) -> UInt8[np.ndarray, "images c h w"]:
        """uint8 (images, c, h, w)"""
        return self.dataset.split(self.split)[0]

    @cached_property
    def counted(self) -> Bool[np.ndarray, " images *pixels"]:
        """bool (images, ...): which predictions are labelled, n of them."""
        return labelled(self._label_maps, self.dataset.void)

    @cached_property
    def _label_maps(self) -> UInt8[np.ndarray, " images *pixels"]:
        return self.dataset.split(self.split)[1]

    @cached_property
    def labels(self) -> UInt8[np.ndarray, " n"]:
        """uint8 (n,)"""
        return self._label_maps[self.counted]

    @cached_property
    def predicted(self) -> UInt8[np.ndarray, " n"]:
        """uint8 (n,)"""
        return self.predicted_maps[self.counted]

    @cached_property
    def predicted_maps(self) -> UInt8[np.ndarray, " images *pixels"]:
        """uint8 (images, ...), void pixels included"""
        return np.load(self.predictions / self.split / "predicted.npy", mmap_mode="r")

    @cached_property
    def logits(self) -> Float32[np.ndarray, "images classes *pixels"]:
        """float32 (images, classes, ...), void pixels included"""
        return np.load(self.predictions / self.split / "logits.npy", mmap_mode="r")

    @cached_property
    def correct(self) -> Bool[np.ndarray, " n"]:
        """bool (n,)"""
        return self.predicted == self.labels

    @property
    def classifier(self) -> Classifier:
        """The frozen classifier, eval mode, on the device."""
        return self._network("baseline", lambda folder: load_classifier(folder, self.benchmark, self.dataset))

    def confidnet_head(self) -> ConfidNet:
        """The head on the classifier's own encoder, before fine-tuning."""
        return self._network("confidnet", lambda folder: load_head(folder, self.classifier))

    def confidnet(self) -> ConfidNet:
        """The fine-tuned encoder copy and head."""
        return self._network("finetune", lambda folder: load_finetuned(folder, self.classifier))

    def corrected_mcp(self) -> CorrectedMcp:
        """MCP with the head that corrects it."""
        return self._network("corrected_mcp", lambda folder: load_corrected_mcp(folder, self.classifier))

    def _network(self, name: str, load: Callable[[Path], nn.Module]) -> Any:
        if name in NETWORKS:
            check_read(self.method, self.reads, name)
        if name not in self.kept.networks:
            self.kept.networks[name] = to_device(load(self.models / name), self.device)
        return self.kept.networks[name]

    def sampled(self, quantity: str) -> Float64[np.ndarray, " n"]:
        """One of sampling.QUANTITIES over passes with dropout: float64 (n,). ValueError where the stage `sample` made none."""
        check_read(self.method, self.reads, SAMPLES)
        facts = read_json(self.samples / "facts.json")
        if not facts["dropout"]:
            raise ValueError(f"{self.name}: the classifier has no dropout, so there is nothing to sample; remove the mc_dropout methods")
        if not facts["passes"]:
            raise ValueError(f"{self.name}: its mc_dropout.passes in params.yaml are 0; remove the mc_dropout methods, or ask for passes")
        return np.load(self.samples / self.split / f"{quantity}.npy")

    def over_seeds(self, method: str) -> Float64[np.ndarray, " n"]:
        """What the stage `ensemble` stored for a score with the attribute `over_seeds`: float64 (n,). ValueError unless of two seeds or
        more, this one among them."""
        seeds = read_json(self.ensembles / method / "facts.json")["seeds"]
        if len(seeds) < 2:
            given = "dvc exp run -S 'seeds=[0,1,2,3,4]'"
            raise ValueError(f"{self.name}: {method} needs two seeds or more, got {seeds}; try {given}, or remove methods.{method}")
        if self.seed not in seeds:
            raise ValueError(f"{self.name}: the ensemble is of the seeds {seeds}, without {self.seed}; add it to seeds of params.yaml")
        values = np.load(self.ensembles / method / f"{self.split}.npy", mmap_mode="r")
        return np.array(values if values.ndim == 1 else values[seeds.index(self.seed)])

    def over_logits(self, score: Callable[[Tensor, Tensor], Tensor]) -> Float64[np.ndarray, " n"]:
        """score(logits float64 (m, classes), labels int64 (m,)) -> (m,), over the stored logits: float64 (n,)."""
        out = np.empty(len(self.labels))
        for where, logits, labels in self._stored():
            out[where] = score(logits, labels).numpy()
        return out

    def some_logits(self, most: int = CHUNK) -> tuple[Float64[Tensor, "m classes"], Int64[Tensor, " m"]]:
        """Logits float64 (m, classes) and labels int64 (m,) of every k-th prediction, with the least k for which m <= most."""
        every = -(-len(self.labels) // most)
        parts = [(logits[-where.start % every :: every], labels[-where.start % every :: every]) for where, logits, labels in self._stored()]
        logits, labels = zip(*parts, strict=True)
        return torch.cat(logits), torch.cat(labels)

    def _stored(self) -> Iterator[tuple[slice, Float64[Tensor, "m classes"], Int64[Tensor, " m"]]]:
        """Chunks of all n predictions: the slice of them, their logits float64 (m, classes) and labels int64 (m,)."""
        step, done = max(1, CHUNK // max(1, self._label_maps[0].size)), 0
        for start in range(0, len(self.logits), step):
            part = slice(start, start + step)
            chunk = np.moveaxis(self.logits[part], 1, -1)[self.counted[part]]
            where = slice(done, done + len(chunk))
            yield where, torch.from_numpy(chunk).double(), torch.from_numpy(self.labels[where]).long()
            done = where.stop

    def over_images(self, forward: Callable[..., Tensor], *beside: np.ndarray) -> Real[np.ndarray, " n *numbers"]:
        """forward(normalised images (b, c, h, w), *beside (b, ...)) -> (b, ...) one number a prediction, over the images: (n,); of more
        numbers a prediction, (n, numbers)."""
        return map_images(forward, self.images, self.dataset, self.device, self.name, *beside)[self.counted]


def load_run(name: str, benchmark: Benchmark, seed: int, method: str, reads: Iterable[str]) -> Run:
    """From the folders that the earlier stages wrote, for a score that declares what it reads."""
    dataset = load_dataset(paths.prepared(name))
    models, predictions = paths.of_seed(paths.MODELS, name, seed), paths.predictions(name, seed)
    samples, ensembles = paths.samples(name, seed), paths.ENSEMBLES / name
    return Run(name, benchmark, seed, dataset, models, predictions, samples=samples, ensembles=ensembles, method=method, reads=tuple(reads))
