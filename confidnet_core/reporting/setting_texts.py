"""Texts of the report page about how a study was made: its data sets, training recipes, settings, code and package versions."""

from collections.abc import Mapping
from typing import Any

from confidnet_core import paths
from confidnet_core.config.params import Params
from confidnet_core.files import read_json
from confidnet_core.revision import last_commit, package_versions

REPORTED_CODE_PATHS = ("confidnet_core", "stages", "dvc.yaml", "params.yaml")
REPORTED_PACKAGES = ("torch", "numpy", "pandas", "scikit-learn", "scipy")


def dataset_and_recipe_texts(benchmark: str, params: Params) -> dict[str, str]:
    """Return {heading: text} about a benchmark's data and the training settings of its networks."""
    dataset_metadata = read_json(paths.prepared_data_folder(benchmark) / "facts.json")
    image_shape = " x ".join(map(str, dataset_metadata["image_shape"]))
    text_by_heading = {
        "data": dataset_metadata["source"],
        "SHA-256 of the prepared data": dataset_metadata["sha256"],
        "task": f"{dataset_metadata['task']} of images {image_shape} in {len(dataset_metadata['classes'])} classes",
        "images": _settings_in_words(dataset_metadata["samples"]),
    }
    sections = dict(vars(params.benchmarks[benchmark])) if benchmark in params.benchmarks else {}
    shifts, foreign_sets = sections.pop("shifts", None), sections.pop("foreign", {})
    shifts_texts = {"shifts": _settings_in_words(vars(shifts))} if shifts else {}
    foreign_texts = {
        f"foreign images {name}": ", ".join(filter(None, (choice.name, _settings_in_words(choice.settings))))
        for name, choice in foreign_sets.items()
    }
    recipe_texts = {
        recipe_name: "not trained" if recipe is None else _settings_in_words(_non_default_settings(recipe))
        for recipe_name, recipe in sections.items()
    }
    return text_by_heading | recipe_texts | shifts_texts | foreign_texts


def experiment_settings(params: Params) -> dict[str, str]:
    """Return {heading: text} about what the whole study was run with: benchmarks, seeds, code, versions of packages and settings."""
    score_settings = [f"{method}: {_settings_in_words(settings)}" for method, settings in params.methods.items() if settings]
    return {
        "benchmarks": ", ".join(params.run),
        "seeds": ", ".join(map(str, params.seeds)),
        "code": last_commit(REPORTED_CODE_PATHS) or "in no git repository",
        "versions at the comparison": _settings_in_words(package_versions(*REPORTED_PACKAGES)),
        "settings of scores": "; ".join(score_settings) or "none",
        "calibration split": _settings_in_words(dict(params.calibration_split)),
        "resamples": _settings_in_words(dict(params.bootstrap)),
        "thresholds": _settings_in_words(dict(params.thresholds)),
        "compared with": ", ".join(params.against) or "none",
    }


def _non_default_settings(settings: Any) -> dict[str, Any]:
    """Return {name: value} of the settings that differ from their defaults."""
    defaults = {name: field.default for name, field in getattr(type(settings), "model_fields", {}).items()}
    return {name: value for name, value in vars(settings).items() if name not in defaults or value != defaults[name]}


def _settings_in_words(settings: Mapping[str, Any]) -> str:
    """Return settings as text, such as "epochs 30, learning_rate 0.1"."""
    return ", ".join(f"{name} {_value_in_words(value)}" for name, value in settings.items())


def _value_in_words(value: Any) -> str:
    if isinstance(value, dict):
        return _settings_in_words(value)
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
