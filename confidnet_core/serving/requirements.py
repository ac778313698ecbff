"""What a served model needs: packages with their versions, and code of the user's that travels with it."""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from confidnet_core.config.registry import PACKAGE_FOLDER, entry_attributes, parse_entry
from confidnet_core.revision import distribution_names, package_versions

# Of the code that every served model runs.
SERVED_CODE_REQUIREMENTS = (
    *("filelock", "jaxtyping", "mlflow", "numpy", "pandas", "pillow", "psutil", "pydantic", "ruamel.yaml", "safetensors", "scikit-learn"),
    *("scipy", "torch", "tqdm"),
)


def pip_requirements(model_name: str, model_settings: Mapping[str, Any]) -> list[str]:
    """Return the requirements of a served model, as "torch==2.14.1": of the served code, of the model's file, and of what it builds.

    model_name, model_settings: the section `model` of the benchmark
    """
    requirements_of_settings = entry_attributes("models", [model_name], "requirements")[model_name]
    named_packages = requirements_of_settings(model_settings) if requirements_of_settings else {}
    package_names = {*SERVED_CODE_REQUIREMENTS, *_distributions_that_a_model_imports(model_name), *named_packages}
    versions = package_versions(*sorted(package_names, key=str.lower))
    return [f"{name}=={version.partition('+')[0]}" for name, version in versions.items() if name != "Python"]


def code_paths(model_name: str, model_settings: Mapping[str, Any]) -> list[Path]:
    """Return the folders and files of code that are packed with a served model: this package, and a local one that builds its network."""
    find_code_path = entry_attributes("models", [model_name], "code_path")[model_name]
    own_code_path = find_code_path(model_settings) if find_code_path else None
    return [PACKAGE_FOLDER, *([own_code_path] if own_code_path else [])]


def _distributions_that_a_model_imports(model_name: str) -> set[str]:
    """Return the installed distributions of the packages that the model's file imports, without this project's own."""
    syntax_tree = parse_entry("models", model_name)[1]
    imported_names = [alias.name for node in ast.walk(syntax_tree) if isinstance(node, ast.Import) for alias in node.names]
    imported_names += [node.module for node in ast.walk(syntax_tree) if isinstance(node, ast.ImportFrom) and node.module]
    package_names = {name.partition(".")[0] for name in imported_names} - {PACKAGE_FOLDER.name}
    return {distribution for name in package_names for distribution in distribution_names(name)}
