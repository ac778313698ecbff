"""Networks from an importable function, named as "package.module:function": torchvision's, timm's, or of a package of one's own."""

import ast
from collections.abc import Callable, Mapping
from hashlib import sha256
from importlib import import_module, metadata, util
from pathlib import Path
from typing import Any

from torch import nn

from confidnet_core.config.registry import suggestion


def build_network(build: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Return the network that the function `build`, such as "torchvision.models:resnet18", returns for these keyword arguments.

    Raises ValueError, in one line, for a function that cannot be found or called, and for a result that is no nn.Module.
    """
    factory = find_factory(build)
    try:
        network = factory(**arguments)
    except Exception as error:  # a function of someone else can raise anything
        arguments_text = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        raise ValueError(f"model.build: {build}({arguments_text}) failed: {_first_line(error)}; correct model.arguments") from error
    if not isinstance(network, nn.Module):
        raise ValueError(f"model.build: {build} returned a {type(network).__name__}; expected a torch.nn.Module")
    return network


def find_factory(build: str) -> Callable[..., Any]:
    """Return the function that "package.module:function" names. Raises ValueError, in one line, where there is none."""
    module_name, colon, function_name = build.partition(":")
    if not (colon and module_name and function_name):
        raise ValueError(f'model.build is {build!r}; expected "package.module:function", as "torchvision.models:resnet18"')
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        package_name = (error.name or module_name).partition(".")[0]
        if error.name is None or util.find_spec(package_name) is None:
            where_text = f"put its folder {package_name}/ into the project's root, or install it: pip install {package_name}"
            raise ValueError(f"model.build is {build!r}, but there is no package {package_name}; {where_text}") from None
        raise ValueError(f"model.build is {build!r}, but {error.name} does not exist in {package_name}") from None
    except Exception as error:  # code of someone else can raise anything
        raise ValueError(f"model.build is {build!r}, but importing {module_name} failed: {_first_line(error)}") from error
    factory: Any = module
    for attribute_name in function_name.split("."):
        if not hasattr(factory, attribute_name):
            known_names = [name for name in dir(factory) if not name.startswith("_")]
            hint_text = suggestion(attribute_name, known_names) if len(known_names) < 1000 else ""
            raise ValueError(f"model.build is {build!r}, but {module_name} has no {attribute_name}{_shortened(hint_text)}")
        factory = getattr(factory, attribute_name)
    if not callable(factory):
        raise ValueError(f"model.build is {build!r}, which is a {type(factory).__name__}; expected a function that returns a network")
    return factory


def factory_requirements(build: str) -> dict[str, str]:
    """Return {name of an installed distribution: its version} of the package of a factory, or of what the code of a local one imports."""
    package_names = {_package_of(build)} | {name for path in factory_code_files(build) for name in _imported_packages(path)}
    distributions = metadata.packages_distributions()
    distribution_names = sorted({name for package_name in package_names for name in distributions.get(package_name, [])})
    return {name: metadata.version(name) for name in distribution_names}


def factory_code_files(build: str) -> list[Path]:
    """Return the Python files of the package of a factory, sorted; none for an installed package, whose version says it all."""
    code_path = factory_code_path(build)
    if code_path is None:
        return []
    return sorted(code_path.rglob("*.py")) if code_path.is_dir() else [code_path]


def factory_code_path(build: str) -> Path | None:
    """Return the folder or file of a factory's package if it is local, such as in the project's root; None for an installed one."""
    find_factory(build)
    package_spec = util.find_spec(_package_of(build))
    if package_spec is None or not (package_spec.has_location or package_spec.submodule_search_locations):
        return None  # built into Python
    folders = list(package_spec.submodule_search_locations or ())  # a folder without __init__.py is a package, too
    code_path = Path(folders[0] if folders else str(package_spec.origin))
    return None if {"site-packages", "dist-packages"} & set(code_path.parts) else code_path


def _package_of(build: str) -> str:
    return build.partition(":")[0].partition(".")[0]


def _imported_packages(code_path: Path) -> set[str]:
    """Return the top-level packages that a Python file imports by absolute imports."""
    nodes = list(ast.walk(ast.parse(code_path.read_text(encoding="utf-8"))))
    imported_names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    imported_names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    return {name.partition(".")[0] for name in imported_names}


def factory_code_digest(build: str) -> str:
    """Return the SHA-256, in hex, of the code that a factory runs: of its files, or of the version of its installed package."""
    code_bytes = b"".join(path.name.encode() + path.read_bytes() for path in factory_code_files(build))
    return sha256(code_bytes + repr(sorted(factory_requirements(build).items())).encode()).hexdigest()


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"


def _shortened(hint_text: str) -> str:
    return hint_text if len(hint_text) <= 200 else f"{hint_text[:200]} ..."
