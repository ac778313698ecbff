"""Lists of what params.yaml can name: registry entries with the first line of their docstrings, and benchmarks of params.yaml.

No entry is imported, so that shell completion does not wait for torch.
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
    """A registry entry or a benchmark, as a list shows it."""

    name: str
    selected: bool | None  # whether params.yaml runs it; None for models and data sets, which only a benchmark names
    description: str  # with references, or with the settings of a benchmark
    brief: str  # description without these, for one line
    learned: str | None = None  # attribute of a score's function, see comparison/costs.py; None if not set
    passes: int | str | None = None


def benchmarks(params: Path = Path("params.yaml")) -> list[ListedEntry]:
    """Return the benchmarks in the order of params.yaml. ValueError with file and key, as from the functions below."""
    raw = _section(params, "benchmarks")
    run = _params(params).get("run") or []
    return [ListedEntry(name, name in run, *_describe_benchmark(f"{params}: benchmarks.{name}", each)) for name, each in raw.items()]


def methods(params: Path = Path("params.yaml")) -> list[ListedEntry]:
    """Return the scores of params.yaml in its order, then the others."""
    selected = list(_section(params, "methods"))
    return [
        _listed_entry("scores", name, name in selected, **{each: literal_attribute("scores", name, each) for each in ("learned", "passes")})
        for name in [*selected, *(name for name in entry_names("scores") if name not in selected)]
    ]


def models() -> list[ListedEntry]:
    """Return the models of the registry."""
    return [_listed_entry("models", name) for name in entry_names("models")]


def datasets() -> list[ListedEntry]:
    """Return the data sets of the registry."""
    return [_listed_entry("datasets", name) for name in entry_names("datasets")]


def _listed_entry(family: str, name: str, selected: bool | None = None, **costs: Any) -> ListedEntry:
    description = docstring_line(family, name)
    return ListedEntry(name, selected, description, first_sentence(description), **costs)


def first_sentence(description: str) -> str:
    """Return the first sentence without its full stop, which fits on a line; references such as "Corbière et al. 2019" come after it."""
    return description.partition(". ")[0].removesuffix(".")


def docstring_line(family: str, name: str) -> str:
    """Return the first line of the docstring of confidnet_core/FAMILY/NAME.py. ValueError if there is none."""
    path, module = parse_entry(family, name)
    if not (docstring := ast.get_docstring(module)):
        raise ValueError(f"{path} has no docstring; its first line says what {name} is")
    return docstring.splitlines()[0]


def _describe_benchmark(key: str, raw: Any) -> tuple[str, str]:
    """Return a description such as "digits (train 300, ...), mnist_convnet (width 0.5), 15 epochs", and the same without settings."""
    raw = require_mapping(key, raw)
    choices = [dict(require_mapping(f"{key}.{part}", raw.get(part))) for part in ("data", "model")]
    names = [str(choice.pop("name", "?")) for choice in choices]
    settings = [", ".join(f"{name} {_short_value(value)}" for name, value in choice.items()) for choice in choices]
    epochs = f"{require_mapping(f'{key}.baseline', raw.get('baseline')).get('epochs', '?')} epochs"
    full = [f"{name} ({given})" if given else name for name, given in zip(names, settings, strict=True)]
    return ", ".join([*full, epochs]), ", ".join([*names, epochs])


def _short_value(value: Any) -> str:
    return f"of {len(value)}" if isinstance(value, dict | list) else str(value).lower() if isinstance(value, bool) else str(value)


def _section(params: Path, key: str) -> dict[str, Any]:
    return require_named_entries(f"{params}: {key}", _params(params).get(key))


def _params(params: Path) -> dict[str, Any]:
    return require_mapping(f"{params}: the top level", read_yaml(params))
