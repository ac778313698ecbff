"""Typed models of params.yaml; unknown, missing, ill-typed and out-of-range keys are refused before anything is computed."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, ValidationError, ValidationInfo, create_model, model_validator

from confidnet_core.config.ranges import (
    DistinctListOf,
    FractionBelowOne,
    NonEmptyDistinctListOf,
    NonNegativeInt,
    PositiveInt,
    Proportion,
    Seed,
)
from confidnet_core.config.recipes import BaselineRecipe, ConfidnetRecipe, CorrectedMcpRecipe, FinetuneRecipe
from confidnet_core.config.registry import find_entry, suggestion
from confidnet_core.config.section import (
    Section,
    first_error,
    require,
    require_mapping,
    require_named_entries,
    validate_section,
    validation_error,
)
from confidnet_core.files import read_yaml

# Family -> parameters of an entry's function that the pipeline passes itself; all others are settings from params.yaml.
PIPELINE_ARGUMENTS = {"datasets": (), "models": ("classes", "image_shape"), "scores": ("run",)}


@dataclass(frozen=True)
class EntryChoice:
    """A data set or model as params.yaml chooses it, with its settings: {name: ..., setting: value}."""

    name: str
    settings: dict[str, Any]


@cache
def settings_model(entry: Callable, pipeline_arguments: tuple[str, ...]) -> type[Section]:
    """Return a pydantic model that checks the settings of a score, data set or model.

    Names, types, ranges and defaults of the settings come from the signature of the function `entry`.
    pipeline_arguments: parameters of the function that the pipeline passes itself, which are no settings
    """
    parameters = inspect.signature(entry, eval_str=True).parameters.values()
    settings = [parameter for parameter in parameters if parameter.name not in pipeline_arguments]
    fields: dict[str, Any] = {
        parameter.name: (
            Any if parameter.annotation is parameter.empty else parameter.annotation,
            ... if parameter.default is parameter.empty else parameter.default,
        )
        for parameter in settings
    }
    return create_model(entry.__name__, __base__=Section, **fields)


def _check_settings(key: str, family: str, name: str, raw: Any, info: ValidationInfo) -> dict[str, Any]:
    """Return the settings under KEY as params.yaml has them, if the score, data set or model NAME accepts them.

    Else raise a `validation_error`.
    """
    if not _is_checking_entries(info):
        return raw or {}
    try:
        entry = find_entry(family, name)
    except ValueError as error:
        raise validation_error(key, f"names {name}, but {error}") from None
    try:
        settings_model(entry, PIPELINE_ARGUMENTS[family]).model_validate(raw)
    except ValidationError as error:
        raise first_error(error, key) from None
    return raw or {}


def _is_checking_entries(info: ValidationInfo) -> bool:
    """Return whether this validation also checks the settings of scores, data sets and models (see `load_params`)."""
    return (info.context or {}).get("check_entries", True)


def _entry_choice_validator(family: str) -> BeforeValidator:
    """Return a pydantic validator that converts {name: ..., setting: value} to an `EntryChoice` of this family."""

    def to_entry_choice(raw: Any, info: ValidationInfo) -> EntryChoice:
        if isinstance(raw, EntryChoice):
            return raw
        settings = dict(require_mapping("", raw))
        if not (name := settings.pop("name", None)):
            raise validation_error("", f"lacks name, the file of confidnet_core/{family} to use")
        return EntryChoice(name, _check_settings("", family, name, settings, info))

    return BeforeValidator(to_entry_choice)


def _require_named_entries(raw: Any) -> dict[str, Any]:
    return require_named_entries("", raw)


def _check_methods(raw: Any, info: ValidationInfo) -> dict[str, dict[str, Any]]:
    """Return the scores under `methods`, NAME -> settings, if all exist and accept their settings."""
    return {name: _check_settings(name, "scores", name, settings, info) for name, settings in require_named_entries("", raw).items()}


def _check_score_names(names: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    """Return NAMES if each is a score in confidnet_core/scores, listed under `methods` or not; else raise a `validation_error`."""
    for name in names if _is_checking_entries(info) else ():
        try:
            find_entry("scores", name)
        except ValueError as error:
            raise validation_error("", f"names {name}, but {error}") from None
    return names


class McDropout(Section):
    """Section `mc_dropout` of a benchmark in params.yaml: Monte Carlo dropout, stochastic forward passes of a classifier
    (scoring.mc_dropout).
    """

    passes: NonNegativeInt  # 0 turns MC dropout off
    precision: Literal["fp32", "bf16"] = "fp32"


class Benchmark(Section):
    """A benchmark in params.yaml: its data set, its model, and the settings with which each network is trained."""

    data: Annotated[EntryChoice, _entry_choice_validator("datasets")]
    model: Annotated[EntryChoice, _entry_choice_validator("models")]
    baseline: BaselineRecipe
    confidnet: ConfidnetRecipe
    finetune: FinetuneRecipe
    corrected_mcp: CorrectedMcpRecipe
    mc_dropout: McDropout


class CalibrationSplit(Section):
    """Section `calibration_split` of params.yaml: the part of the validation data that is held out for thresholds.

    Nothing is selected on this part: see splits.add_calibration_split.
    """

    share: Annotated[Proportion, Field(description="a number between 0 and 1, as 0.3333")]  # fraction of "val"
    gap: FractionBelowOne  # fraction of "val" between the two parts that belongs to neither, for frames of a video
    seed: NonNegativeInt  # of the random draw, made if "val" is in storage order

    @model_validator(mode="after")
    def _check_gap(self) -> Self:
        require("gap", self.gap, self.gap < 1 - self.share, f"at least 0 and below {1 - self.share:g}, what share leaves")
        return self


class Bootstrap(Section):
    """Section `bootstrap` of params.yaml: resampling of the test set, for confidence intervals and p-values."""

    resamples: Annotated[PositiveInt, Field(ge=100, description="at least 100: ends of intervals are quantiles")]
    # Confidence level of intervals: 0.95 leaves 2.5 % of the resamples at each end.
    level: Annotated[Proportion, Field(description="a number between 0 and 1, as 0.95")]
    seed: NonNegativeInt


TargetRisk = Annotated[Proportion, Field(description="numbers between 0 and 1, as 0.05 for 5 %")]


class Thresholds(Section):
    """Section `thresholds` of params.yaml: confidences below which a classifier abstains, with a risk guarantee: see metrics.guarantee."""

    risks: NonEmptyDistinctListOf[TargetRisk]  # error rates that must not be exceeded, with one threshold each
    # Probability that the risk at a threshold exceeds its target nevertheless.
    delta: Annotated[Proportion, Field(description="a number between 0 and 1, as 0.05")]


class Params(Section):
    """The whole content of params.yaml: which benchmarks, seeds and scores are run, and with which settings."""

    run: NonEmptyDistinctListOf[str]
    seeds: NonEmptyDistinctListOf[Seed]
    methods: Annotated[dict[str, dict[str, Any]], BeforeValidator(_check_methods)]
    calibration_split: CalibrationSplit
    bootstrap: Bootstrap
    thresholds: Thresholds
    against: Annotated[DistinctListOf[str], AfterValidator(_check_score_names)]
    benchmarks: Annotated[dict[str, Benchmark], BeforeValidator(_require_named_entries)]
    _raw: dict[str, Any] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _check_run_names(self) -> Self:
        for name in self.run:
            if name not in self.benchmarks:
                raise validation_error("run", f"names {name}, which is not under benchmarks{suggestion(name, self.benchmarks)}")
        return self

    @property
    def raw(self) -> dict[str, Any]:
        """The content of params.yaml as read from the file, which is stored with results and compared later."""
        return self._raw

    def benchmark(self, name: str) -> Benchmark:
        """Return the settings of the benchmark with this name. ValueError for an unknown name."""
        if name not in self.benchmarks:
            raise ValueError(f"params.yaml: benchmarks has no {name}{suggestion(name, self.benchmarks)}")
        return self.benchmarks[name]

    def method(self, name: str) -> dict[str, Any]:
        """Return the settings of the confidence score with this name. ValueError for a name that `methods` in params.yaml lacks."""
        if name not in self.methods:
            raise ValueError(f"params.yaml: methods has no {name}{suggestion(name, self.methods)}")
        return self.methods[name]


def load_params(path: Path = Path("params.yaml"), check_entries: bool = True) -> Params:
    """Read params.yaml and return its checked content. ValueError with the file, the key, its value and what was expected.

    check_entries: False leaves the settings of data sets, models and scores unchecked; then neither their code nor PyTorch is imported
    """
    raw = read_yaml(path)  # YAML 1.2, as DVC reads it: 1e-7 is a number
    try:
        params = validate_section(Params, raw, check_entries=check_entries)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    params._raw = raw
    return params
