"""What differs from the commit that a pipeline runs on: params.yaml and code, in words for the name and the description of its row."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from confidnet_core.files import read_yaml
from confidnet_core.revision import git

PARAMS = Path("params.yaml")
CODE = ("confidnet_core", "stages", "dvc.yaml")
NAMED = 2  # changes that a name lists; more are counted


def settings(benchmark: str, written: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Nested params of a benchmark and of all benchmarks, from the content of a params.yaml, by default the working directory's."""
    content: Mapping[str, Any] = written if written is not None else (PARAMS.exists() and read_yaml(PARAMS)) or {}
    shared = {name: value for name, value in content.items() if name not in ("run", "benchmarks")}
    return shared | (content.get("benchmarks") or {}).get(benchmark, {})


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} becomes {"a.b": 1}. Lists stay whole, and so does an empty dict."""
    flat = {}
    for key, value in nested.items():
        name = f"{prefix}{key}"
        flat.update(flatten(value, f"{name}.") if isinstance(value, dict) and value else {name: value})
    return flat


def changed_params(benchmark: str) -> dict[str, tuple[Any, Any]]:
    """PARAM -> its values in the commit and now, None where it is not there; empty without a commit that has a params.yaml."""
    text = git("show", f"HEAD:./{PARAMS}")
    try:
        committed = YAML(typ="safe").load(text) if text else None
    except YAMLError:
        committed = None
    if not isinstance(committed, dict):
        return {}
    before, now = flatten(settings(benchmark, committed)), flatten(settings(benchmark))
    names = [name for name in {**before, **now} if (name in before, before.get(name)) != (name in now, now.get(name))]
    return {name: (before.get(name), now.get(name)) for name in names}


def short(changes: Mapping[str, tuple[Any, Any]], edited: bool) -> str:
    """For a name: "baseline.epochs=3, seeds=[0, 1] and 2 more, edited code"; empty without changes."""
    params = [f"{name} removed" if now is None else f"{name}={now}" for name, (_, now) in changes.items()]
    listed = ", ".join(params[:NAMED]) + (f" and {len(params) - NAMED} more" if len(params) > NAMED else "")
    return ", ".join(part for part in (listed, "edited code" if edited else "") if part)


def long(changes: Mapping[str, tuple[Any, Any]], edited: bool) -> str:
    """For a description in Markdown: all of them, a line each; empty without changes."""
    lines = [f"- `{name}`: {before} → {now}" for name, (before, now) in changes.items()]
    return "\n".join([*lines, *(["- code that is not committed"] if edited else [])])


def code_is_edited() -> bool:
    """Whether code differs from the commit; False without one."""
    return bool(git("status", "--porcelain", "--", *CODE))
