"""Lists of what params.yaml can name, for `confidnet list`: scores, models and data sets with the first line of their docstrings, and the
benchmarks of params.yaml.

No file of these is imported, so that shell completion does not wait for torch.
"""

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confidnet_core.config.references import resolve_references
from confidnet_core.config.registry import entry_names, literal_attribute, parse_entry
from confidnet_core.config.section import require_mapping, require_named_entries
from confidnet_core.files import read_yaml


@dataclass(frozen=True)
class ListedEntry:
    """One line of the list that `confidnet list` shows: a score, model, data set or benchmark."""

    name: str
    selected: bool | None  # whether params.yaml runs it; None for models and data sets, which only a benchmark names
    description: str  # with references, or with the settings of a benchmark
    short_description: str  # description without these, for one line
    learned: str | None = None  # attribute of a score's function, see comparison/costs.py; None if not set
    passes: int | str | None = None


def list_benchmarks(params_path: Path = Path("params.yaml")) -> list[ListedEntry]:
    """Return the benchmarks of a params.yaml as entries of a list, in the order of the file.

    Raises ValueError with file and key if the file is wrong.
    """
    raw_benchmarks = _read_params_section(params_path, "benchmarks")
    benchmarks_to_run = _read_params_file(params_path).get("run") or []
    return [
        ListedEntry(
            benchmark, benchmark in benchmarks_to_run, *_describe_benchmark(f"{params_path}: benchmarks.{benchmark}", raw_benchmark)
        )
        for benchmark, raw_benchmark in raw_benchmarks.items()
    ]


def list_methods(params_path: Path = Path("params.yaml")) -> list[ListedEntry]:
    """Return all confidence scores as entries of a list: first those that params.yaml lists, in its order, then the others."""
    selected_methods = list(_read_params_section(params_path, "methods"))
    return [
        _make_listed_entry(
            "scores",
            method,
            method in selected_methods,
            **{attribute_name: literal_attribute("scores", method, attribute_name) for attribute_name in ("learned", "passes")},
        )
        for method in [*selected_methods, *(method for method in entry_names("scores") if method not in selected_methods)]
    ]


def list_models() -> list[ListedEntry]:
    """Return all classifiers in confidnet_core/models as entries of a list."""
    return [_make_listed_entry("models", model_name) for model_name in entry_names("models")]


def list_datasets() -> list[ListedEntry]:
    """Return all data sets in confidnet_core/datasets as entries of a list."""
    return [_make_listed_entry("datasets", dataset_name) for dataset_name in entry_names("datasets")]


def _make_listed_entry(registry_folder: str, entry_name: str, is_selected: bool | None = None, **cost_attributes: Any) -> ListedEntry:
    """Return the list entry of a score, model or data set, described by the first line of its file's docstring.

    registry_folder: its folder in confidnet_core, such as "scores"; entry_name: the name of its file
    cost_attributes: the attributes `learned` and `passes` of a score's function
    """
    description = first_docstring_line(registry_folder, entry_name)
    return ListedEntry(entry_name, is_selected, description, first_sentence(description), **cost_attributes)


def first_sentence(description: str) -> str:
    """Return a description's first sentence without its full stop; references such as "Corbière et al. 2019" come after this sentence."""
    return description.partition(". ")[0].removesuffix(".")


def first_docstring_line(registry_folder: str, entry_name: str) -> str:
    """Return the first line of the docstring of the file confidnet_core/REGISTRY_FOLDER/ENTRY_NAME.py, without importing it.

    Raises ValueError if the file has no docstring.
    """
    module_path, syntax_tree = parse_entry(registry_folder, entry_name)
    if not (docstring := ast.get_docstring(syntax_tree)):
        raise ValueError(f"{module_path} has no docstring; its first line says what {entry_name} is")
    return docstring.splitlines()[0]


def _describe_benchmark(params_yaml_key: str, raw_benchmark: Any) -> tuple[str, str]:
    """Return (long, short) descriptions of a benchmark. raw_benchmark: its unchecked content in params.yaml; params_yaml_key: for messages

    The long one is such as "digits (train 300, ...), mnist_convnet (width 0.5), 15 epochs"; the short one leaves out the brackets.
    """
    raw_benchmark = require_mapping(params_yaml_key, raw_benchmark)
    data_and_model_settings = [
        dict(require_mapping(f"{params_yaml_key}.{section_name}", raw_benchmark.get(section_name))) for section_name in ("data", "model")
    ]
    data_and_model_names = [str(entry_settings.pop("name", "?")) for entry_settings in data_and_model_settings]
    settings_texts = [
        ", ".join(f"{name} {_shorten_setting_value(setting_value)}" for name, setting_value in entry_settings.items())
        for entry_settings in data_and_model_settings
    ]
    raw_baseline = require_mapping(f"{params_yaml_key}.baseline", raw_benchmark.get("baseline"))
    epochs_phrase = f"weights {raw_baseline['weights']}" if "weights" in raw_baseline else f"{raw_baseline.get('epochs', '?')} epochs"
    names_with_settings = [
        f"{name} ({settings_text})" if settings_text else name
        for name, settings_text in zip(data_and_model_names, settings_texts, strict=True)
    ]
    return ", ".join([*names_with_settings, epochs_phrase]), ", ".join([*data_and_model_names, epochs_phrase])


def _shorten_setting_value(setting_value: Any) -> str:
    """Return the value of a setting as a short text, such as "of 3" for a list of three values."""
    return (
        f"of {len(setting_value)}"
        if isinstance(setting_value, dict | list)
        else str(setting_value).lower()
        if isinstance(setting_value, bool)
        else str(setting_value)
    )


def _read_params_section(params_path: Path, section_key: str) -> dict[str, Any]:
    """Return the entries under a top-level key of a params.yaml, such as `benchmarks`, as {name: unchecked content}."""
    return require_named_entries(f"{params_path}: {section_key}", _read_params_file(params_path).get(section_key))


def _read_params_file(params_path: Path) -> dict[str, Any]:
    """Return the content of a params.yaml as a dictionary, with unchecked values."""
    return require_mapping(f"{params_path}: the top level", resolve_references(read_yaml(params_path)))
