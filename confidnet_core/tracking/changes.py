"""Differences between the working directory and its git commit, in params.yaml and in code. They go to the name and description of the
MLflow run of a pipeline execution.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml.error import YAMLError

from confidnet_core.config.references import resolve_references
from confidnet_core.files import parse_yaml, read_yaml
from confidnet_core.revision import git

PARAMS_FILE = Path("params.yaml")
CODE_PATHS = ("confidnet_core", "stages", "dvc.yaml")
MAX_NAMED_CHANGES = 2  # listed in a name; further ones are only counted


def benchmark_settings(benchmark: str, params_content: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the settings that apply to one benchmark, as nested dictionaries: its own and those that all benchmarks share.

    params_content: content of a params.yaml; None reads the file in the working directory
    """
    content: Mapping[str, Any] = params_content if params_content is not None else (PARAMS_FILE.exists() and read_yaml(PARAMS_FILE)) or {}
    content = resolve_references(content)
    shared_settings = {name: value for name, value in content.items() if name not in ("run", "benchmarks")}
    return shared_settings | (content.get("benchmarks") or {}).get(benchmark, {})


def flatten(nested_mapping: Mapping[str, Any], key_prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one flat dictionary: {"a": {"b": 1}} becomes {"a.b": 1}. Lists and empty mappings stay whole."""
    flat_mapping = {}
    for key, value in nested_mapping.items():
        name = f"{key_prefix}{key}"
        flat_mapping.update(flatten(value, f"{name}.") if isinstance(value, dict) and value else {name: value})
    return flat_mapping


def changed_params(benchmark: str) -> dict[str, tuple[Any, Any]]:
    """Return PARAM -> (value in the git commit, current value) for all parameters of a benchmark that differ from the commit.

    A value is None where the parameter is absent; nothing is returned if the commit has no valid params.yaml.
    """
    committed_params_text = git("show", f"HEAD:./{PARAMS_FILE}")
    try:
        committed_params = parse_yaml(committed_params_text.encode()) if committed_params_text else None
    except YAMLError:
        committed_params = None
    if not isinstance(committed_params, dict):
        return {}
    old_values, new_values = flatten(benchmark_settings(benchmark, committed_params)), flatten(benchmark_settings(benchmark))
    changed_param_names = [
        name
        for name in {**old_values, **new_values}
        if (name in old_values, old_values.get(name)) != (name in new_values, new_values.get(name))
    ]
    return {name: (old_values.get(name), new_values.get(name)) for name in changed_param_names}


def changes_text_for_run_name(param_changes: Mapping[str, tuple[Any, Any]], is_code_edited: bool) -> str:
    """Return changed parameters as a short text for a run's name, such as "baseline.epochs=3, seeds=[0, 1] and 2 more, edited code".

    param_changes: from `changed_params`; without any change the text is empty
    """
    change_texts = [
        f"{name} removed" if current_value is None else f"{name}={current_value}" for name, (_, current_value) in param_changes.items()
    ]
    listed_changes = ", ".join(change_texts[:MAX_NAMED_CHANGES]) + (
        f" and {len(change_texts) - MAX_NAMED_CHANGES} more" if len(change_texts) > MAX_NAMED_CHANGES else ""
    )
    return ", ".join(part for part in (listed_changes, "edited code" if is_code_edited else "") if part)


def changes_as_markdown(param_changes: Mapping[str, tuple[Any, Any]], is_code_edited: bool) -> str:
    """Return all changed parameters (from `changed_params`) as a Markdown list for a run's description; an empty text without changes."""
    change_lines = [f"- `{name}`: {committed_value} → {current_value}" for name, (committed_value, current_value) in param_changes.items()]
    return "\n".join([*change_lines, *(["- code that is not committed"] if is_code_edited else [])])


def code_is_edited() -> bool:
    """Return whether the code in the working directory differs from the git commit; False without a commit."""
    return bool(git("status", "--porcelain", "--", *CODE_PATHS))
