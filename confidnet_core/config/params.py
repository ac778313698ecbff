"""params.yaml as frozen models. Unknown, missing, ill-typed and out-of-range keys are refused before anything is computed."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, ValidationError, create_model, model_validator

from confidnet_core.config.ranges import Count, DistinctListOf, Proportion, Seed, Selection, Share, Whole
from confidnet_core.config.recipes import Baseline, Confidnet, CorrectedMcpRecipe, Finetune
from confidnet_core.config.registry import find, suggestion
from confidnet_core.config.section import Section, checked, first_refusal, mapping, named, refused, require
from confidnet_core.files import read_yaml

# What the pipeline gives to an entry of a registry family; the rest of its parameters are settings.
GIVEN = {"datasets": (), "models": ("classes", "image_shape"), "scores": ("run",)}


@dataclass(frozen=True)
class Choice:
    """An entry of a registry family with its settings: {name: ..., setting: value}."""

    name: str
    settings: dict[str, Any]


@cache
def settings_of(entry: Callable, given: tuple[str, ...]) -> type[Section]:
    """The settings that an entry's function takes, as a section: name, type, range and default from its signature."""
    parameters = inspect.signature(entry, eval_str=True).parameters.values()
    settings = [parameter for parameter in parameters if parameter.name not in given]
    fields: dict[str, Any] = {
        each.name: (
            Any if each.annotation is each.empty else each.annotation,
            ... if each.default is each.empty else each.default,
        )
        for each in settings
    }
    return create_model(entry.__name__, __base__=Section, **fields)


def _settings(key: str, family: str, name: str, raw: Any) -> dict[str, Any]:
    """The settings under KEY as they stand in params.yaml, if the entry takes them; else `refused`."""
    try:
        entry = find(family, name)
    except ValueError as error:
        raise refused(key, f"names {name}, but {error}") from None
    try:
        settings_of(entry, GIVEN[family]).model_validate(raw)
    except ValidationError as error:
        raise first_refusal(error, key) from None
    return raw or {}


def _choice(family: str) -> BeforeValidator:
    def choose(raw: Any) -> Choice:
        if isinstance(raw, Choice):
            return raw
        settings = dict(mapping("", raw))
        if not (name := settings.pop("name", None)):
            raise refused("", f"lacks name, the file of confidnet_core/{family} to use")
        return Choice(name, _settings("", family, name, settings))

    return BeforeValidator(choose)


def _named(raw: Any) -> dict[str, Any]:
    return named("", raw)


def _methods(raw: Any) -> dict[str, dict[str, Any]]:
    return {name: _settings(name, "scores", name, settings) for name, settings in named("", raw).items()}


def _scores(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names, if they are scores, which `methods` may leave out; else `refused`."""
    for name in names:
        try:
            find("scores", name)
        except ValueError as error:
            raise refused("", f"names {name}, but {error}") from None
    return names


class McDropout(Section):
    """Stochastic forward passes of a classifier, with dropout on: see scoring.mc_dropout."""

    passes: Whole  # 0 samples nothing
    precision: Literal["fp32", "bf16"] = "fp32"


class Benchmark(Section):
    data: Annotated[Choice, _choice("datasets")]
    model: Annotated[Choice, _choice("models")]
    baseline: Baseline
    confidnet: Confidnet
    finetune: Finetune
    corrected_mcp: CorrectedMcpRecipe
    mc_dropout: McDropout


class CalibrationSplit(Section):
    """The part of the validation data that selects nothing: see splits.add_calibration_split."""

    share: Annotated[Proportion, Field(description="a number between 0 and 1, as 0.3333")]  # of "val"
    gap: Share  # of "val", for segmentation: frames between the two parts, which belong to neither
    seed: Whole  # of the random draw, made where "val" is in the order in which it is stored

    @model_validator(mode="after")
    def _both_parts_fit(self) -> Self:
        require("gap", self.gap, self.gap < 1 - self.share, f"at least 0 and below {1 - self.share:g}, what share leaves")
        return self


class Bootstrap(Section):
    """Resampling of the test set for intervals and p-values."""

    resamples: Annotated[Count, Field(ge=100, description="at least 100: ends of intervals are quantiles")]
    # Of an interval: 0.95 leaves 2.5 % of the resamples at each end.
    level: Annotated[Proportion, Field(description="a number between 0 and 1, as 0.95")]
    seed: Whole


TargetRisk = Annotated[Proportion, Field(description="numbers between 0 and 1, as 0.05 for 5 %")]


class Thresholds(Section):
    """Thresholds below which a classifier abstains, with a guarantee: see metrics.guarantee."""

    risks: Selection[TargetRisk]  # error rates that are not to be exceeded, a threshold each
    # Probability that a threshold does exceed its risk.
    delta: Annotated[Proportion, Field(description="a number between 0 and 1, as 0.05")]


class Params(Section):
    run: Selection[str]
    seeds: Selection[Seed]
    methods: Annotated[dict[str, dict[str, Any]], BeforeValidator(_methods)]
    calibration_split: CalibrationSplit
    bootstrap: Bootstrap
    thresholds: Thresholds
    against: Annotated[DistinctListOf[str], AfterValidator(_scores)]
    benchmarks: Annotated[dict[str, Benchmark], BeforeValidator(_named)]
    _raw: dict[str, Any] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _what_runs_is_a_benchmark(self) -> Self:
        for name in self.run:
            if name not in self.benchmarks:
                raise refused("run", f"names {name}, which is not under benchmarks{suggestion(name, self.benchmarks)}")
        return self

    @property
    def raw(self) -> dict[str, Any]:
        """The file's content as it stands, for what is stored and compared."""
        return self._raw

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
        params = checked(Params, raw)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    params._raw = raw
    return params
