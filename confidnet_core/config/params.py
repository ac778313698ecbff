"""params.yaml as frozen dataclasses. Unknown, missing and ill-typed keys are refused before anything is computed."""

import inspect
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from confidnet_core.config._typed import build, check_keys, list_of, mapping, named, require, selection, typed
from confidnet_core.config.recipes import Baseline, Confidnet, Correction, Finetune
from confidnet_core.config.registry import find, suggestion
from confidnet_core.files import read_yaml

# What the pipeline gives to an entry of a registry family; the rest of its parameters are settings.
GIVEN = {"datasets": (), "models": ("classes", "image_shape"), "scores": ("run",)}


@dataclass(frozen=True)
class Choice:
    """An entry of a registry family with its settings: {name: ..., setting: value}."""

    name: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class McDropout:
    """Passes of a classifier with dropout on: see sampling."""

    passes: int  # 0 samples nothing
    precision: Literal["fp32", "bf16"] = "fp32"

    def __post_init__(self) -> None:
        require("passes", self.passes, self.passes >= 0, "at least 0")


@dataclass(frozen=True)
class Benchmark:
    data: Choice
    model: Choice
    baseline: Baseline
    confidnet: Confidnet
    finetune: Finetune
    corrected_mcp: Correction
    mc_dropout: McDropout


@dataclass(frozen=True)
class Calibration:
    """What is set aside of the validation data: see splits.with_calibration."""

    share: float  # of "val"
    gap: float  # of "val", for segmentation: what lies between the two parts and belongs to neither
    seed: int  # of the draw, where "val" is in the order of its storage

    def __post_init__(self) -> None:
        require("share", self.share, 0 < self.share < 1, "a number between 0 and 1, as 0.3333")
        require("gap", self.gap, 0 <= self.gap < 1 - self.share, f"at least 0 and below {1 - self.share:g}, what share leaves")
        require("seed", self.seed, self.seed >= 0, "at least 0")


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
class Thresholds:
    """Operating thresholds with a guarantee: see metrics.guarantee."""

    risks: tuple[float, ...]  # that are not to be exceeded, a threshold each
    delta: float  # probability that a threshold does exceed its risk

    def __post_init__(self) -> None:
        require("risks", list(self.risks), all(0 < risk < 1 for risk in self.risks), "numbers between 0 and 1, as 0.05 for 5 %")
        require("delta", self.delta, 0 < self.delta < 1, "a number between 0 and 1, as 0.05")


@dataclass(frozen=True)
class Params:
    run: tuple[str, ...]
    seeds: tuple[int, ...]
    methods: dict[str, dict[str, Any]]
    calibration: Calibration
    bootstrap: Bootstrap
    thresholds: Thresholds
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
    sections = ("run", "seeds", "methods", "calibration", "bootstrap", "thresholds", "against", "benchmarks")
    check_keys("the top level", raw, required=sections)
    benchmarks, methods = named("benchmarks", raw["benchmarks"]), named("methods", raw["methods"])
    run, seeds = selection("run", str, raw["run"]), selection("seeds", int, raw["seeds"])
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
        calibration=build("calibration", Calibration, raw["calibration"]),
        bootstrap=build("bootstrap", Bootstrap, raw["bootstrap"]),
        thresholds=build("thresholds", Thresholds, raw["thresholds"]),
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


def _benchmark(place: str, raw: Any) -> Benchmark:
    raw = mapping(place, raw)
    check_keys(place, raw, required=tuple(field.name for field in fields(Benchmark)))
    return Benchmark(
        data=_choice(f"{place}.data", "datasets", raw["data"]),
        model=_choice(f"{place}.model", "models", raw["model"]),
        baseline=build(f"{place}.baseline", Baseline, raw["baseline"]),
        confidnet=build(f"{place}.confidnet", Confidnet, raw["confidnet"]),
        finetune=build(f"{place}.finetune", Finetune, raw["finetune"]),
        correction=build(f"{place}.corrected_mcp", Correction, raw["corrected_mcp"]),
        mc_dropout=build(f"{place}.mc_dropout", McDropout, raw["mc_dropout"]),
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
