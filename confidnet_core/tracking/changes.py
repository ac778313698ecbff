"""Differences between the working directory and its git commit, in params.yaml and code, for the name and description of an execution's
row.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from confidnet_core.files import read_yaml
from confidnet_core.revision import git

PARAMS_FILE = Path("params.yaml")
CODE_PATHS = ("confidnet_core", "stages", "dvc.yaml")
MAX_NAMED_CHANGES = 2  # listed in a name; further ones are only counted


def benchmark_settings(benchmark: str, params_content: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the nested parameters of one benchmark and those that all benchmarks share.

    params_content: content of a params.yaml; None reads the working directory's
    """
    content: Mapping[str, Any] = params_content if params_content is not None else (PARAMS_FILE.exists() and read_yaml(PARAMS_FILE)) or {}
    shared = {name: value for name, value in content.items() if name not in ("run", "benchmarks")}
    return shared | (content.get("benchmarks") or {}).get(benchmark, {})


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings: {"a": {"b": 1}} becomes {"a.b": 1}. Lists and empty mappings stay whole."""
    flat = {}
    for key, value in nested.items():
        name = f"{prefix}{key}"
        flat.update(flatten(value, f"{name}.") if isinstance(value, dict) and value else {name: value})
    return flat


def changed_params(benchmark: str) -> dict[str, tuple[Any, Any]]:
    """Return PARAM -> (value in the commit, current value), None where it is absent; empty if no commit has a params.yaml."""
    text = git("show", f"HEAD:./{PARAMS_FILE}")
    try:
        committed = YAML(typ="safe").load(text) if text else None
    except YAMLError:
        committed = None
    if not isinstance(committed, dict):
        return {}
    before, current = flatten(benchmark_settings(benchmark, committed)), flatten(benchmark_settings(benchmark))
    names = [name for name in {**before, **current} if (name in before, before.get(name)) != (name in current, current.get(name))]
    return {name: (before.get(name), current.get(name)) for name in names}


def changes_for_name(changes: Mapping[str, tuple[Any, Any]], is_code_edited: bool) -> str:
    """Summarise changes for a name, as in "baseline.epochs=3, seeds=[0, 1] and 2 more, edited code"; empty without changes."""
    params = [f"{name} removed" if current is None else f"{name}={current}" for name, (_, current) in changes.items()]
    listed = ", ".join(params[:MAX_NAMED_CHANGES]) + (
        f" and {len(params) - MAX_NAMED_CHANGES} more" if len(params) > MAX_NAMED_CHANGES else ""
    )
    return ", ".join(part for part in (listed, "edited code" if is_code_edited else "") if part)


def changes_as_markdown(changes: Mapping[str, tuple[Any, Any]], is_code_edited: bool) -> str:
    """List all changes in Markdown for a description, one per line; empty without changes."""
    lines = [f"- `{name}`: {before} → {current}" for name, (before, current) in changes.items()]
    return "\n".join([*lines, *(["- code that is not committed"] if is_code_edited else [])])


def code_is_edited() -> bool:
    """Return whether code differs from the commit; False without a commit."""
    return bool(git("status", "--porcelain", "--", *CODE_PATHS))
