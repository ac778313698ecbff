"""params.yaml as frozen dataclasses. Unknown, missing and ill-typed keys are refused before anything is computed."""

import inspect
import re
import types
import typing
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from confidnet_core.registry import find, suggestion


@dataclass(frozen=True)
class Augmentation:
    """Applied to whole training batches on the device, in this order, before normalisation."""

    flip: bool = False  # horizontal, probability 1/2
    rotation: float = 0.0  # degrees; uniform in [-rotation, rotation], black fill
    crop: int = 0  # pixels of black padding, then a random crop back to size


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
        for name, low in (("epochs", 1), ("batch_size", 1), ("weight_decay", 0), ("momentum", 0)):
            if getattr(self, name) < low:
                raise ValueError(f"{name} is {getattr(self, name)}; expected at least {low}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate is {self.learning_rate}; expected a number above 0")


@dataclass(frozen=True)
class Baseline(Recipe):
    class_weights: Literal["none", "median_frequency"] = "none"


@dataclass(frozen=True)
class Confidnet(Recipe):
    dropout: bool = True  # in the frozen encoder while the head is trained, as published
    widths: tuple[int, ...] | None = None  # hidden layers of the head; None: 400 x 4, or 400, 120, 64, 64 for segmentation
    kernel: Literal[1, 3] | None = None  # of a segmentation head; None: 3, as in the published code


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
    raw = _read(path)
    try:
        return _params(raw)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        content = YAML(typ="safe").load(path)  # YAML 1.2, as DVC reads it: 1e-7 is a number
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist; run this from the root of the project") from None
    except YAMLError as error:
        raise ValueError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}; expected keys and values")
    return content


def _params(raw: dict[str, Any]) -> Params:
    _check_keys("", raw, required=("run", "seeds", "methods", "benchmarks"))
    benchmarks = _mapping("benchmarks", raw["benchmarks"])
    run = _list("run", raw["run"], str)
    for name in run:
        if name not in benchmarks:
            raise ValueError(f"run names {name}, which is not under benchmarks{suggestion(name, benchmarks)}")
    methods = {name: _mapping(f"methods.{name}", settings) for name, settings in _mapping("methods", raw["methods"]).items()}
    for name, settings in methods.items():
        _check_entry(f"methods.{name}", "scores", name, settings)
    for name in (*benchmarks, *methods):
        if not re.fullmatch(r"[A-Za-z0-9_-]+", str(name)):  # DVC and MLflow read @ and . in names as their own
            raise ValueError(f"the name {name!r} may hold letters, digits, _ and - only")
    parsed = {name: _benchmark(f"benchmarks.{name}", value) for name, value in benchmarks.items()}
    return Params(run=run, seeds=_list("seeds", raw["seeds"], int), methods=methods, benchmarks=parsed, raw=raw)


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
    if "name" not in raw:
        raise ValueError(f"{place} lacks name, the file of confidnet_core/{family} to use")
    name = raw.pop("name")
    _check_entry(place, family, name, raw)
    return Choice(name, raw)


def _check_entry(place: str, family: str, name: str, settings: dict[str, Any]) -> None:
    """The name is an entry of the family, and its function takes these settings."""
    try:
        entry = find(family, name)
    except ValueError as error:
        raise ValueError(f"{place} names {name}, but {error}") from None
    injected = {"classes", "image_shape", "run"}  # given by the pipeline, not by params.yaml
    known = [name for name in inspect.signature(entry).parameters if name not in injected]
    for key in settings:
        if key not in known:
            end = suggestion(key, known) if known else "; it takes no settings"
            raise ValueError(f"{place} has {key}, which {family}/{name}.py does not take{end}")


def _build(place: str, kind: type, raw: Any) -> Any:
    """A dataclass from a mapping, with every key and type checked."""
    raw = _mapping(place, raw)
    known = {field.name: field for field in fields(kind)}
    required = tuple(name for name, field in known.items() if field.default is MISSING)
    _check_keys(place, raw, required, tuple(known))
    try:
        return kind(**{key: _value(f"{place}.{key}", known[key].type, value) for key, value in raw.items()})
    except ValueError as error:
        message = str(error)
        raise ValueError(message if message.startswith(place) else f"{place}.{message}") from None


def _value(place: str, kind: Any, value: Any) -> Any:
    origin, options = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in options:
            return None
        return _value(place, options[0], value)
    if origin is Literal:
        if value in options and not isinstance(value, bool):
            return value
        raise ValueError(f"{place} is {value!r}{suggestion(value, [str(option) for option in options])}")
    if origin is tuple:
        return _list(place, value, options[0], empty=True)
    if isinstance(kind, type) and issubclass(kind, Augmentation):
        return _build(place, kind, value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{place} is {value!r}; expected {kind.__name__}")
    return value


def _check_keys(place: str, raw: dict, required: tuple[str, ...], known: tuple[str, ...] | None = None) -> None:
    known = known or required
    where = place or "the top level"
    for key in raw:
        if key not in known:
            raise ValueError(f"{where} has {key}, which nothing reads{suggestion(key, known)}")
    for key in required:
        if key not in raw:
            raise ValueError(f"{where} lacks {key}; it must hold {', '.join(required)}")


def _mapping(place: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{place} is {value!r}; expected keys and values")
    return value


def _list(place: str, value: Any, kind: type, empty: bool = False) -> tuple:
    if not isinstance(value, list) or any(not isinstance(item, kind) or isinstance(item, bool) for item in value):
        raise ValueError(f"{place} is {value!r}; expected a list of {kind.__name__}, such as [{'digits' if kind is str else 0}]")
    if not value and not empty:
        raise ValueError(f"{place} is empty; name at least one")
    return tuple(value)
