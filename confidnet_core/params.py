"""params.yaml as frozen dataclasses. Unknown, missing and ill-typed keys are refused before anything is computed."""

import inspect
import math
import re
import types
import typing
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from confidnet_core.files import read_yaml
from confidnet_core.registry import find, suggestion


def _require(name: str, value: Any, holds: bool, expected: str) -> None:
    if not holds:
        raise ValueError(f"{name} is {value}; expected {expected}")


@dataclass(frozen=True)
class Augmentation:
    """Applied to whole training batches on the device, in this order, before normalisation."""

    flip: bool = False  # horizontal, probability 1/2
    rotation: float = 0.0  # degrees; uniform in [-rotation, rotation], black fill
    crop: int = 0  # pixels of black padding, then a random crop back to size

    def __post_init__(self) -> None:
        _require("rotation", self.rotation, 0 <= self.rotation <= 180, "0 to 180 degrees")
        _require("crop", self.crop, self.crop >= 0, "at least 0 pixels")


@dataclass(frozen=True)
class Recipe:
    """How a network is trained."""

    epochs: int
    batch_size: int
    learning_rate: float  # the peak of one_cycle, the start of the other schedules
    optimizer: Literal["sgd", "adam"]
    momentum: float = 0.9  # of sgd
    weight_decay: float = 0.0
    schedule: Literal["constant", "one_cycle", "multi_step"] = "constant"
    milestones: tuple[int, ...] = ()  # epochs after which multi_step multiplies the rate by 0.1
    precision: Literal["fp32", "bf16"] = "fp32"
    augmentation: Augmentation = Augmentation()

    def __post_init__(self) -> None:
        _require("epochs", self.epochs, self.epochs >= 1, "at least 1")
        _require("batch_size", self.batch_size, self.batch_size >= 1, "at least 1")
        _require("learning_rate", self.learning_rate, 0 < self.learning_rate < math.inf, "a number above 0")
        _require("momentum", self.momentum, 0 <= self.momentum < 1, "at least 0 and below 1")
        _require("weight_decay", self.weight_decay, 0 <= self.weight_decay < math.inf, "at least 0")
        steps, epochs = self.schedule == "multi_step", list(self.milestones)
        _require("milestones", epochs, bool(epochs) == steps, f"{'epochs' if steps else 'none'} with schedule {self.schedule}")
        _require("milestones", epochs, [0, *epochs] == sorted({0, *epochs}), "rising epochs, from 1")


@dataclass(frozen=True)
class Baseline(Recipe):
    class_weights: Literal["none", "median_frequency"] = "none"


@dataclass(frozen=True)
class Confidnet(Recipe):
    dropout: bool = True  # in the frozen encoder while the head is trained, as published
    widths: tuple[int, ...] | None = None  # hidden layers of the head; None: 400 x 4, or 400, 120, 64, 64 for segmentation
    kernel: Literal[1, 3] | None = None  # of a segmentation head; None: 3, as in the published code

    def __post_init__(self) -> None:
        super().__post_init__()
        _require("widths", self.widths, all(width >= 1 for width in self.widths or ()), "at least 1 for each layer")


@dataclass(frozen=True)
class Finetune(Recipe):
    """Encoder copy and head, dropout off; the same keys as any recipe."""


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
class Params:
    run: tuple[str, ...]
    seeds: tuple[int, ...]
    methods: dict[str, dict[str, Any]]
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
        return _params(_mapping("the top level", raw))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _params(raw: dict[str, Any]) -> Params:
    _check_keys("the top level", raw, required=("run", "seeds", "methods", "benchmarks"))
    benchmarks, methods = _named("benchmarks", raw["benchmarks"]), _named("methods", raw["methods"])
    run, seeds = _selection("run", raw["run"], str), _selection("seeds", raw["seeds"], int)
    for name in run:
        if name not in benchmarks:
            raise ValueError(f"run names {name}, which is not under benchmarks{suggestion(name, benchmarks)}")
    _require("seeds", list(seeds), all(0 <= seed < 2**63 for seed in seeds), "whole numbers from 0 to 2**63 - 1")
    settings = {name: _settings(f"methods.{name}", "scores", name, value) for name, value in methods.items()}
    parsed = {name: _benchmark(f"benchmarks.{name}", value) for name, value in benchmarks.items()}
    return Params(run=run, seeds=seeds, methods=settings, benchmarks=parsed, raw=raw)


def _named(place: str, raw: Any) -> dict[str, Any]:
    named = _mapping(place, raw)
    _require(place, "empty", bool(named), "at least one entry")
    for name in named:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", name):  # DVC and MLflow read @ and . as their own
            raise ValueError(f"{place} has the name {name!r}; rename it: text of letters, digits, _ and - only")
    return named


def _benchmark(place: str, raw: Any) -> Benchmark:
    raw = _mapping(place, raw)
    _check_keys(place, raw, required=tuple(field.name for field in fields(Benchmark)))
    return Benchmark(
        data=_choice(f"{place}.data", "datasets", raw["data"]),
        model=_choice(f"{place}.model", "models", raw["model"]),
        baseline=_build(f"{place}.baseline", Baseline, raw["baseline"]),
        confidnet=_build(f"{place}.confidnet", Confidnet, raw["confidnet"]),
        finetune=_build(f"{place}.finetune", Finetune, raw["finetune"]),
    )


def _choice(place: str, family: str, raw: Any) -> Choice:
    raw = dict(_mapping(place, raw))
    if not (name := raw.pop("name", None)):
        raise ValueError(f"{place} lacks name, the file of confidnet_core/{family} to use")
    return Choice(name, _settings(place, family, name, raw))


def _settings(place: str, family: str, name: str, raw: Any) -> dict[str, Any]:
    """The settings of an entry of the family, which its function takes."""
    settings = _mapping(place, raw)
    try:
        parameters = inspect.signature(find(family, name)).parameters
    except ValueError as error:
        raise ValueError(f"{place} names {name}, but {error}") from None
    injected = {"classes", "image_shape", "run"}  # given by the pipeline, not by params.yaml
    known = {key: parameter for key, parameter in parameters.items() if key not in injected}
    _check_keys(place, settings, tuple(key for key, parameter in known.items() if parameter.default is parameter.empty), tuple(known))
    for key, value in settings.items():
        _value(f"{place}.{key}", known[key].annotation, value)
    return settings


def _build(place: str, kind: type, raw: Any) -> Any:
    """A dataclass from a mapping, with every key and type checked."""
    raw = _mapping(place, raw)
    kinds = {field.name: field.type for field in fields(kind)}
    _check_keys(place, raw, tuple(field.name for field in fields(kind) if field.default is MISSING), tuple(kinds))
    try:
        return kind(**{key: _value(key, kinds[key], value) for key, value in raw.items()})
    except ValueError as error:
        raise ValueError(f"{place}.{error}") from None


def _value(place: str, kind: Any, value: Any) -> Any:
    origin, options = typing.get_origin(kind), typing.get_args(kind)
    if kind is float and type(value) is int:
        return float(value)
    if origin is tuple:
        return _list(place, value, options[0])
    if kind is Augmentation:
        return _build(place, kind, value)
    if origin in (types.UnionType, typing.Union):
        for option in options:
            with suppress(ValueError):
                return _value(place, option, value)
    elif origin is Literal:
        if (type(value), value) in [(type(option), option) for option in options]:
            return value
    elif not isinstance(kind, type) or kind.__module__ != "builtins":
        return value  # an annotation of an entry's own, which YAML has no type for
    elif type(value) is kind and (kind is not float or math.isfinite(value)):
        return value
    raise ValueError(f"{place} is {value!r}; expected {_described(kind)}")


def _described(kind: Any) -> str:
    options = typing.get_args(kind)
    if typing.get_origin(kind) is tuple:
        return f"a list of {options[0].__name__}"
    if options:
        return " or ".join(map(_described, options))
    return {type(None): "null", float: "a finite number"}.get(kind) or getattr(kind, "__name__", str(kind))


def _check_keys(place: str, raw: dict, required: tuple[str, ...], known: tuple[str, ...] | None = None) -> None:
    known = known or required
    for key in raw:
        if key not in known:
            raise ValueError(f"{place} has {key}, which nothing reads{suggestion(key, known)}")
    for key in required:
        if key not in raw:
            raise ValueError(f"{place} lacks {key}; it must hold {', '.join(required)}")


def _mapping(place: str, value: Any) -> dict[str, Any]:
    _require(place, repr(value), value is None or isinstance(value, dict), "keys and values")
    return value or {}


def _list(place: str, value: Any, kind: type) -> tuple:
    _require(place, repr(value), isinstance(value, list) and all(type(item) is kind for item in value), f"a list of {kind.__name__}")
    return tuple(value)


def _selection(place: str, value: Any, kind: type) -> tuple:
    chosen = _list(place, value, kind)
    _require(place, value, bool(chosen), "at least one entry")
    for item in chosen:
        _require(place, value, chosen.count(item) == 1, f"{item} once only")
    return chosen
