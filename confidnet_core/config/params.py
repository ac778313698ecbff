"""Typed models of params.yaml; unknown, missing, ill-typed and out-of-range keys are refused before anything is computed."""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, ValidationInfo, model_validator

from confidnet_core.config.choices import RegistryEntryChoice, check_score_names, check_settings, registry_entry_validator
from confidnet_core.config.ranges import (
    MAX_RESAMPLES,
    MAX_RISKS,
    MAX_SEEDS,
    DistinctListOf,
    FractionBelowOne,
    NonEmptyDistinctListOf,
    NonNegativeInt,
    Proportion,
    Seed,
)
from confidnet_core.config.recipes import (
    AttachedWeights,
    BaselineRecipe,
    ConfidnetRecipe,
    CorrectedMcpRecipe,
    FinetuneRecipe,
    McDropout,
    SecondOpinionRecipe,
    parse_baseline,
)
from confidnet_core.config.references import resolve_references
from confidnet_core.config.registry import suggestion
from confidnet_core.config.section import (
    ParamsSection,
    require_named_entries,
    require_valid_setting,
    validate_section,
    validation_error,
)
from confidnet_core.config.shifts import Shifts
from confidnet_core.files import read_yaml


def _require_named_entries(raw_content: Any) -> dict[str, Any]:
    return require_named_entries("", raw_content)


def _as_named_entries(raw_content: Any) -> dict[str, Any]:
    """Return a section of named entries that may be empty."""
    return {} if raw_content is None or raw_content == {} else require_named_entries("", raw_content)


ForeignChoice = Annotated[RegistryEntryChoice, registry_entry_validator("datasets")]


def _check_methods(raw_content: Any, validation_info: ValidationInfo) -> dict[str, dict[str, Any]]:
    """Return the scores under `methods`, NAME -> settings, if all exist and accept their settings."""
    return {
        name: check_settings(name, "scores", name, settings, validation_info)
        for name, settings in require_named_entries("", raw_content).items()
    }


class Benchmark(ParamsSection):
    """A benchmark in params.yaml: its data set, its model, and the settings with which each network is trained.

    A network whose recipe is absent is not trained, and the scores that read it are left out.
    foreign: {name: a data set}, of whose test split no image belongs to a class of this benchmark
    """

    data: Annotated[RegistryEntryChoice, registry_entry_validator("datasets")]
    model: Annotated[RegistryEntryChoice, registry_entry_validator("models")]
    baseline: Annotated[BaselineRecipe | AttachedWeights, BeforeValidator(parse_baseline)]
    confidnet: ConfidnetRecipe | None = None
    finetune: FinetuneRecipe | None = None
    finetune_augmented: FinetuneRecipe | None = None
    corrected_mcp: CorrectedMcpRecipe | None = None
    second_opinion: SecondOpinionRecipe | None = None
    mc_dropout: McDropout = McDropout()
    shifts: Shifts | None = None  # None: no scores under shift
    foreign: Annotated[dict[str, ForeignChoice], BeforeValidator(_as_named_entries)] = Field(default_factory=dict)

    @property
    def second_opinion_model(self) -> RegistryEntryChoice:
        """The model of the second opinion: its recipe's own, or else the classifier's."""
        own_model = self.second_opinion.model if self.second_opinion else None
        return own_model or self.model

    @model_validator(mode="after")
    def _check_finetune(self) -> Self:
        for name, recipe in {"finetune": self.finetune, "finetune_augmented": self.finetune_augmented}.items():
            if recipe and not self.confidnet:
                raise validation_error("", f"has {name}, which continues the training of confidnet, but no confidnet; give both or neither")
        return self


class CalibrationSplit(ParamsSection):
    """Section `calibration_split` of params.yaml: the part of the validation data that is held out for thresholds.

    Nothing is selected on this part: see splits.add_calibration_split.
    """

    share: Annotated[Proportion, Field(description="a number between 0 and 1, as 0.3333")]  # fraction of "val"
    gap: FractionBelowOne  # fraction of "val" between the two parts that belongs to neither, for frames of a video
    seed: NonNegativeInt  # of the random draw, made if "val" is in storage order

    @model_validator(mode="after")
    def _check_gap(self) -> Self:
        require_valid_setting("gap", self.gap, self.gap < 1 - self.share, f"at least 0 and below {1 - self.share:g}, what share leaves")
        return self


class Bootstrap(ParamsSection):
    """Section `bootstrap` of params.yaml: resampling of the test set, for confidence intervals and p-values."""

    resamples: Annotated[int, Field(ge=100, le=MAX_RESAMPLES, description=f"100 to {MAX_RESAMPLES:,}: ends of intervals are quantiles")]
    # Confidence level of intervals: 0.95 leaves 2.5 % of the resamples at each end.
    level: Annotated[Proportion, Field(description="a number between 0 and 1, as 0.95")]
    seed: NonNegativeInt


TargetRisk = Annotated[Proportion, Field(description="numbers between 0 and 1, as 0.05 for 5 %")]


class Thresholds(ParamsSection):
    """Section `thresholds` of params.yaml: confidences below which a classifier abstains, one for each error rate not to be exceeded."""

    risks: Annotated[NonEmptyDistinctListOf[TargetRisk], Field(max_length=MAX_RISKS, description=f"1 to {MAX_RISKS} error rates")]
    # The one of `risks` that a served model uses. It is fixed beforehand: where the calibration data choose it, delta does not hold.
    serve: Annotated[Proportion, Field(description="one of risks, as 0.05")]
    # Probability that the risk at a threshold exceeds its target nevertheless.
    delta: Annotated[Proportion, Field(description="a number between 0 and 1, as 0.05")]

    @model_validator(mode="after")
    def _check_serve(self) -> Self:
        expected = f"one of thresholds.risks, {', '.join(f'{risk:g}' for risk in self.risks)}"
        require_valid_setting("serve", self.serve, self.serve in self.risks, expected)
        return self


class Params(ParamsSection):
    """The whole content of params.yaml: which benchmarks, seeds and scores are run, and with which settings."""

    run: NonEmptyDistinctListOf[str]
    seeds: Annotated[NonEmptyDistinctListOf[Seed], Field(max_length=MAX_SEEDS, description=f"1 to {MAX_SEEDS:,} seeds")]
    methods: Annotated[dict[str, dict[str, Any]], BeforeValidator(_check_methods)]
    calibration_split: CalibrationSplit
    bootstrap: Bootstrap
    thresholds: Thresholds
    against: Annotated[DistinctListOf[str], AfterValidator(check_score_names)]
    benchmarks: Annotated[dict[str, Benchmark], BeforeValidator(_require_named_entries)]
    _raw_content: dict[str, Any] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _check_benchmarks_to_run(self) -> Self:
        for name in self.run:
            if name not in self.benchmarks:
                raise validation_error("run", f"names {name}, which is not under benchmarks{suggestion(name, self.benchmarks)}")
        return self

    @property
    def raw_content(self) -> dict[str, Any]:
        """The content of params.yaml as read from the file, with `like` resolved; it is stored with results and compared later."""
        return self._raw_content

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
    raw_content = read_yaml(path)  # YAML 1.2, as DVC reads it: 1e-7 is a number
    try:
        raw_content = resolve_references(raw_content)
        params = validate_section(Params, raw_content, check_entries=check_entries)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    params._raw_content = raw_content
    return params
