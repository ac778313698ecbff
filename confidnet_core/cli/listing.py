"""What there is to choose from, in one line each: the entries of the registry by their docstrings, the benchmarks by params.yaml.

Nothing of it is imported: a shell that completes a name does not wait for torch.
"""

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confidnet_core.config.registry import names, parsed, said
from confidnet_core.config.section import mapping, named
from confidnet_core.files import read_yaml


@dataclass(frozen=True)
class Listed:
    """An entry of the registry, or a benchmark."""

    name: str
    selected: bool | None  # whether params.yaml runs it; None for what only a benchmark can name
    description: str  # with references, or with the settings of a benchmark
    brief: str  # the description without these, for one line
    learned: str | None = None  # of a score, as the attributes of its function say: see costs; None where it does not say
    passes: int | str | None = None


def benchmarks(params: Path = Path("params.yaml")) -> list[Listed]:
    """In the order of params.yaml. ValueError naming file and key, as the functions below."""
    raw = _section(params, "benchmarks")
    run = _params(params).get("run") or []
    return [Listed(name, name in run, *_recipe(f"{params}: benchmarks.{name}", each)) for name, each in raw.items()]


def methods(params: Path = Path("params.yaml")) -> list[Listed]:
    """Those of params.yaml in its order, then the others."""
    selected = list(_section(params, "methods"))
    return [
        _listed("scores", name, name in selected, **{each: said("scores", name, each) for each in ("learned", "passes")})
        for name in [*selected, *(name for name in names("scores") if name not in selected)]
    ]


def models() -> list[Listed]:
    return [_listed("models", name) for name in names("models")]


def datasets() -> list[Listed]:
    return [_listed("datasets", name) for name in names("datasets")]


def _listed(family: str, name: str, selected: bool | None = None, **costs: Any) -> Listed:
    description = described(family, name)
    return Listed(name, selected, description, brief(description), **costs)


def brief(description: str) -> str:
    """Its first sentence, without the full stop: what fits on a line. References such as "Corbière et al. 2019" come after it."""
    return description.partition(". ")[0].removesuffix(".")


def described(family: str, name: str) -> str:
    """The first line of the docstring of confidnet_core/FAMILY/NAME.py; ValueError where there is none."""
    path, module = parsed(family, name)
    if not (docstring := ast.get_docstring(module)):
        raise ValueError(f"{path} has no docstring; its first line says what {name} is")
    return docstring.splitlines()[0]


def _recipe(key: str, raw: Any) -> tuple[str, str]:
    """ "digits (train 300, ...), mnist_convnet (width 0.5), 15 epochs", and the same without settings."""
    raw = mapping(key, raw)
    choices = [dict(mapping(f"{key}.{part}", raw.get(part))) for part in ("data", "model")]
    names = [str(choice.pop("name", "?")) for choice in choices]
    settings = [", ".join(f"{name} {_short(value)}" for name, value in choice.items()) for choice in choices]
    epochs = f"{mapping(f'{key}.baseline', raw.get('baseline')).get('epochs', '?')} epochs"
    full = [f"{name} ({given})" if given else name for name, given in zip(names, settings, strict=True)]
    return ", ".join([*full, epochs]), ", ".join([*names, epochs])


def _short(value: Any) -> str:
    return f"of {len(value)}" if isinstance(value, dict | list) else str(value).lower() if isinstance(value, bool) else str(value)


def _section(params: Path, key: str) -> dict[str, Any]:
    return named(f"{params}: {key}", _params(params).get(key))


def _params(params: Path) -> dict[str, Any]:
    return mapping(f"{params}: the top level", read_yaml(params))
