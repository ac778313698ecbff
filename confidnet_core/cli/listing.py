"""Lists of what params.yaml can name, for `confidnet list`: scores, models and data sets with the first line of their docstrings, and the
benchmarks of params.yaml.

No file of these is imported, so that shell completion does not wait for torch.
"""

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confidnet_core.config.registry import entry_names, literal_attribute, parse_entry
from confidnet_core.config.section import require_mapping, require_named_entries
from confidnet_core.files import read_yaml


@dataclass(frozen=True)
class ListedEntry:
    """A score, model, data set or benchmark, as `confidnet list` shows it."""

    name: str
    selected: bool | None  # whether params.yaml runs it; None for models and data sets, which only a benchmark names
    description: str  # with references, or with the settings of a benchmark
    brief: str  # description without these, for one line
    learned: str | None = None  # attribute of a score's function, see comparison/costs.py; None if not set
    passes: int | str | None = None


def benchmarks(params: Path = Path("params.yaml")) -> list[ListedEntry]:
    """Return the benchmarks in params.yaml as list entries, in the order of the file. ValueError with file and key if the file is wrong."""
    raw_benchmarks = _read_section(params, "benchmarks")
    run_names = _read_params_file(params).get("run") or []
    return [
        ListedEntry(name, name in run_names, *_describe_benchmark(f"{params}: benchmarks.{name}", raw_benchmark))
        for name, raw_benchmark in raw_benchmarks.items()
    ]


def methods(params: Path = Path("params.yaml")) -> list[ListedEntry]:
    """Return all confidence scores as list entries: first those that params.yaml lists, in its order, then the others."""
    selected_names = list(_read_section(params, "methods"))
    return [
        _make_listed_entry(
            "scores",
            name,
            name in selected_names,
            **{attribute: literal_attribute("scores", name, attribute) for attribute in ("learned", "passes")},
        )
        for name in [*selected_names, *(name for name in entry_names("scores") if name not in selected_names)]
    ]


def models() -> list[ListedEntry]:
    """Return all classifiers in confidnet_core/models as list entries."""
    return [_make_listed_entry("models", name) for name in entry_names("models")]


def datasets() -> list[ListedEntry]:
    """Return all data sets in confidnet_core/datasets as list entries."""
    return [_make_listed_entry("datasets", name) for name in entry_names("datasets")]


def _make_listed_entry(family: str, name: str, selected: bool | None = None, **costs: Any) -> ListedEntry:
    """Return the list entry of a score, model or data set (family and name), described by the first line of its docstring."""
    description = docstring_line(family, name)
    return ListedEntry(name, selected, description, first_sentence(description), **costs)


def first_sentence(description: str) -> str:
    """Return a description's first sentence without its full stop; references such as "Corbière et al. 2019" come after this sentence."""
    return description.partition(". ")[0].removesuffix(".")


def docstring_line(family: str, name: str) -> str:
    """Return the first line of the docstring of the module confidnet_core/FAMILY/NAME.py. ValueError if the module has no docstring."""
    path, module = parse_entry(family, name)
    if not (docstring := ast.get_docstring(module)):
        raise ValueError(f"{path} has no docstring; its first line says what {name} is")
    return docstring.splitlines()[0]


def _describe_benchmark(key: str, raw: Any) -> tuple[str, str]:
    """Return a long and a short description of a benchmark.

    The long one is such as "digits (train 300, ...), mnist_convnet (width 0.5), 15 epochs"; the short one leaves out the brackets.
    """
    raw = require_mapping(key, raw)
    entry_choices = [dict(require_mapping(f"{key}.{part}", raw.get(part))) for part in ("data", "model")]
    names = [str(choice.pop("name", "?")) for choice in entry_choices]
    setting_texts = [", ".join(f"{name} {_shorten_value(value)}" for name, value in choice.items()) for choice in entry_choices]
    epochs = f"{require_mapping(f'{key}.baseline', raw.get('baseline')).get('epochs', '?')} epochs"
    names_with_settings = [f"{name} ({given})" if given else name for name, given in zip(names, setting_texts, strict=True)]
    return ", ".join([*names_with_settings, epochs]), ", ".join([*names, epochs])


def _shorten_value(value: Any) -> str:
    """Return a setting's value as a short text: "of 3" for a list of three values."""
    return f"of {len(value)}" if isinstance(value, dict | list) else str(value).lower() if isinstance(value, bool) else str(value)


def _read_section(params: Path, key: str) -> dict[str, Any]:
    """Return the entries under a top-level key of params.yaml, such as `benchmarks`, by name."""
    return require_named_entries(f"{params}: {key}", _read_params_file(params).get(key))


def _read_params_file(params: Path) -> dict[str, Any]:
    """Return the content of a params.yaml as a dictionary, whose values are not checked."""
    return require_mapping(f"{params}: the top level", read_yaml(params))
