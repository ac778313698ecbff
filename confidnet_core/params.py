"""params.yaml as frozen dataclasses. Unknown, missing and ill-typed keys are refused before anything is computed."""

import inspect
import math
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from confidnet_core._typed import build, check_keys, list_of, mapping, require, typed
from confidnet_core.files import read_yaml
from confidnet_core.registry import find, suggestion

# What the pipeline gives to an entry of a registry family; the rest of its parameters are settings.
GIVEN = {"datasets": (), "models": ("classes", "image_shape"), "scores": ("run",)}


@dataclass(frozen=True)
class Augmentation:
    """Applied to whole training batches on the device, in this order, before normalisation."""

    flip: bool = False  # horizontal, probability 1/2
    rotation: float = 0.0  # degrees; uniform in [-rotation, rotation], black fill
    crop: int = 0  # pixels of black padding, then a random crop back to size

    def __post_init__(self) -> None:
        require("rotation", self.rotation, 0 <= self.rotation <= 180, "0 to 180 degrees")
        require("crop", self.crop, self.crop >= 0, "at least 0 pixels")


@dataclass(frozen=True)
class Recipe:
    """How a network is trained."""

    epochs: int
    batch_size: int
    learning_rate: float  # the peak of one_cycle, the start of the other schedules
    optimizer: Literal["sgd", "adam"]
    momentum: float = 0.9  # of sgd
    weight_decay: float = 0.0
    schedule: Literal["constant", "one_cycle", "multi_step", "cosine"] = "constant"  # cosine: from the rate to 0 over all epochs
    milestones: tuple[int, ...] = ()  # epochs after which multi_step multiplies the rate by 0.1
    precision: Literal["fp32", "bf16"] = "fp32"
    sam_radius: float = 0.0  # of Sharpness-Aware Minimization, Foret et al. 2021: 0 is off; on, a step takes two passes
    swa_epochs: int = 0  # Stochastic Weight Averaging, Izmailov et al. 2018: the last epochs whose weights are averaged; 0 is off
    swa_learning_rate: float | None = None  # constant in those epochs; None: the schedule runs on
    augmentation: Augmentation = Augmentation()

    def __post_init__(self) -> None:
        require("epochs", self.epochs, self.epochs >= 1, "at least 1")
        require("batch_size", self.batch_size, self.batch_size >= 1, "at least 1")
        require("learning_rate", self.learning_rate, 0 < self.learning_rate < math.inf, "a number above 0")
        require("momentum", self.momentum, 0 <= self.momentum < 1, "at least 0 and below 1")
        require("weight_decay", self.weight_decay, 0 <= self.weight_decay < math.inf, "at least 0")
        steps, epochs = self.schedule == "multi_step", list(self.milestones)
        require("milestones", epochs, bool(epochs) == steps, f"{'epochs' if steps else 'none'} with schedule {self.schedule}")
        require("milestones", epochs, [0, *epochs] == sorted({0, *epochs}), "rising epochs, from 1")
        require("sam_radius", self.sam_radius, 0 <= self.sam_radius < math.inf, "at least 0")
        require("swa_epochs", self.swa_epochs, 0 <= self.swa_epochs <= self.epochs, f"0 to {self.epochs}, the epochs")
        if (rate := self.swa_learning_rate) is not None:
            require("swa_learning_rate", rate, 0 < rate < math.inf, "a number above 0, or null")
            require("swa_learning_rate", rate, self.swa_epochs > 0, "null with swa_epochs 0: no epoch has this rate")


@dataclass(frozen=True)
class Baseline(Recipe):
    class_weights: Literal["none", "median_frequency"] = "none"
    label_smoothing: float = 0.0  # share of the target spread over all classes; harms selective prediction (arXiv:2403.14715)

    def __post_init__(self) -> None:
        super().__post_init__()
        require("label_smoothing", self.label_smoothing, 0 <= self.label_smoothing < 1, "at least 0 and below 1")


@dataclass(frozen=True)
class Regression(Recipe):
    loss: Literal["mse", "bce"] = "mse"  # between confidence and TCP: see losses.distance_to_tcp


@dataclass(frozen=True)
class Confidnet(Regression):
    dropout: bool = True  # in the frozen encoder while the head is trained, as published
    widths: tuple[int, ...] | None = None  # hidden layers of the head; None: 400 x 4, or 400, 120, 64, 64 for segmentation
    kernel: Literal[1, 3] | None = None  # of a segmentation head; None: 3, as in the published code
    first_confidence: Literal["half", "mean_tcp"] = "half"  # where the head starts: near 1/2, as published, or at its target's mean

    def __post_init__(self) -> None:
        super().__post_init__()
        require("widths", self.widths, all(width >= 1 for width in self.widths or ()), "at least 1 for each layer")


@dataclass(frozen=True)
class Finetune(Regression):
    """Encoder copy and head, dropout off."""


@dataclass(frozen=True)
class Choice:
    """An entry of a registry family with its settings: {name: ..., setting: value}."""

    name: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class Benchmark:
    data: Choice
    model: Choice
    baseline: Baseline
    confidnet: Confidnet
    finetune: Finetune


@dataclass(frozen=True)
class Bootstrap:
    """How intervals and p-values are made."""

    resamples: int
    level: float  # of an interval: 0.95 leaves 2.5 % of the resamples at each end
    seed: int

    def __post_init__(self) -> None:
        require("resamples", self.resamples, self.resamples >= 100, "at least 100: ends of intervals are quantiles")
        require("level", self.level, 0 < self.level < 1, "a number between 0 and 1, as 0.95")
        require("seed", self.seed, self.seed >= 0, "at least 0")


@dataclass(frozen=True)
class Params:
    run: tuple[str, ...]
    seeds: tuple[int, ...]
    methods: dict[str, dict[str, Any]]
    bootstrap: Bootstrap
    against: tuple[str, ...]
    benchmarks: dict[str, Benchmark]
    raw: dict[str, Any]

    def benchmark(self, name: str) -> Benchmark:
        if name not in self.benchmarks:
            raise ValueError(f"params.yaml: benchmarks has no {name}{suggestion(name, self.benchmarks)}")
        return self.benchmarks[name]

    def method(self, name: str) -> dict[str, Any]:
        if name not in self.methods:
            raise ValueError(f"params.yaml: methods has no {name}{suggestion(name, self.methods)}")
        return self.methods[name]


def load_params(path: Path = Path("params.yaml")) -> Params:
    """ValueError naming the file, the key, the value and what was expected."""
    raw = read_yaml(path)  # YAML 1.2, as DVC reads it: 1e-7 is a number
    try:
        return _params(mapping("the top level", raw))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _params(raw: dict[str, Any]) -> Params:
    check_keys("the top level", raw, required=("run", "seeds", "methods", "bootstrap", "against", "benchmarks"))
    benchmarks, methods = _named("benchmarks", raw["benchmarks"]), _named("methods", raw["methods"])
    run, seeds = _selection("run", raw["run"], str), _selection("seeds", raw["seeds"], int)
    for name in run:
        if name not in benchmarks:
            raise ValueError(f"run names {name}, which is not under benchmarks{suggestion(name, benchmarks)}")
    require("seeds", list(seeds), all(0 <= seed < 2**63 for seed in seeds), "whole numbers from 0 to 2**63 - 1")
    settings = {name: _settings(f"methods.{name}", "scores", name, value) for name, value in methods.items()}
    parsed = {name: _benchmark(f"benchmarks.{name}", value) for name, value in benchmarks.items()}
    return Params(
        run=run,
        seeds=seeds,
        methods=settings,
        bootstrap=build("bootstrap", Bootstrap, raw["bootstrap"]),
        against=_against(raw["against"]),
        benchmarks=parsed,
        raw=raw,
    )


def _against(value: Any) -> tuple[str, ...]:
    """Scores that `methods` may leave out."""
    chosen = list_of("against", str, value)
    for name in chosen:
        try:
            find("scores", name)
        except ValueError as error:
            raise ValueError(f"against names {name}, but {error}") from None
    return chosen


def _named(place: str, raw: Any) -> dict[str, Any]:
    named = mapping(place, raw)
    require(place, "empty", bool(named), "at least one entry")
    for name in named:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", name):  # DVC and MLflow read @ and . as their own
            raise ValueError(f"{place} has the name {name!r}; rename it: text of letters, digits, _ and - only")
    return named


def _benchmark(place: str, raw: Any) -> Benchmark:
    raw = mapping(place, raw)
    check_keys(place, raw, required=tuple(field.name for field in fields(Benchmark)))
    return Benchmark(
        data=_choice(f"{place}.data", "datasets", raw["data"]),
        model=_choice(f"{place}.model", "models", raw["model"]),
        baseline=build(f"{place}.baseline", Baseline, raw["baseline"]),
        confidnet=build(f"{place}.confidnet", Confidnet, raw["confidnet"]),
        finetune=build(f"{place}.finetune", Finetune, raw["finetune"]),
    )


def _choice(place: str, family: str, raw: Any) -> Choice:
    raw = dict(mapping(place, raw))
    if not (name := raw.pop("name", None)):
        raise ValueError(f"{place} lacks name, the file of confidnet_core/{family} to use")
    return Choice(name, _settings(place, family, name, raw))


def _settings(place: str, family: str, name: str, raw: Any) -> dict[str, Any]:
    """The settings of an entry of the family, which its function takes."""
    settings = mapping(place, raw)
    try:
        parameters = inspect.signature(find(family, name)).parameters
    except ValueError as error:
        raise ValueError(f"{place} names {name}, but {error}") from None
    known = {key: parameter for key, parameter in parameters.items() if key not in GIVEN[family]}
    check_keys(place, settings, tuple(key for key, parameter in known.items() if parameter.default is parameter.empty), tuple(known))
    for key, value in settings.items():
        typed(f"{place}.{key}", known[key].annotation, value)
    return settings


def _selection(place: str, value: Any, kind: type) -> tuple:
    chosen = list_of(place, kind, value)
    require(place, value, bool(chosen), "at least one entry")
    for item in chosen:
        require(place, value, chosen.count(item) == 1, f"{item} once only")
    return chosen
