"""Which project files a module computes with: its imports, walked statically, and the registry looked_up_folders that it looks up."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]

REGISTRY_FOLDERS = ("datasets", "models", "scores")

# Code that reports on a computation, or looks after disks, and never enters a result: a change here retrains nothing.
_REPORTING_PACKAGES = ("system", "tracking", "serving", "cli", "commands")
_REPORTING_MODULES = ("progress.py", "revision.py", "__main__.py")
REPORTING = {"stages/__init__.py", *(f"confidnet_core/{name}" for name in _REPORTING_MODULES)} | {
    path.relative_to(ROOT).as_posix() for name in _REPORTING_PACKAGES for path in (ROOT / "confidnet_core" / name).glob("*.py")
}

# These call find_entry() with a registry folder that only a run knows. params.py reads an entry's signature, to refuse settings that it
# does not take; registry.py asks whether the entry exists. Nothing that an entry computes comes out of either.
VALIDATION = {"confidnet_core/config/choices.py", "confidnet_core/config/registry.py"}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def imports(path: Path) -> frozenset[Path]:
    """Project files that PATH imports itself, wherever in it; with the __init__.py of their packages, if those hold code."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError(f"{path} line {node.lineno} imports relative to itself; name the module in full")
            found |= _files(node.module) | {file for alias in node.names for file in _files(f"{node.module}.{alias.name}")}
        elif isinstance(node, ast.Import):
            found |= {file for alias in node.names for file in _files(alias.name)}
    return frozenset(found - {path, ROOT / "confidnet_core/__init__.py"})  # it looks up what a user asks for, and no module does


def foreign(path: Path) -> set[str]:
    """The first names of all modules that PATH imports."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module.partition(".")[0])
    return found


def reached(*paths: Path, without: frozenset[str] | set[str] = frozenset()) -> set[Path]:
    """Project files that PATHS import, directly or through others, themselves included; not what only WITHOUT leads to."""
    seen, waiting = set(), list(paths)
    while waiting:
        current = waiting.pop()
        if current not in seen and relative(current) not in without:
            seen.add(current)
            waiting += imports(current)
    return seen


def looked_up_folders(path: Path, function: str = "find_entry") -> set[str]:
    """The registry folders whose entries PATH looks up: the literal first argument of find_entry(), or of another function."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and _called(node) == function and relative(path) not in VALIDATION:
            registry_folder = node.args[0] if node.args else None
            if not isinstance(registry_folder, ast.Constant):
                raise ValueError(
                    f"{path} line {node.lineno}: {function}() needs its registry folder as a literal, so that it can be read here"
                )
            found.add(registry_folder.value)
    return found


def entries(registry_folder: str) -> list[Path]:
    return sorted((ROOT / "confidnet_core" / registry_folder).glob("[!_]*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _called(node: ast.Call) -> str:
    """The name of a registry function that is called, as find_entry(...) or as registry.find_entry(...)."""
    if isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") == "registry":
        return node.func.attr
    return getattr(node.func, "id", "")


def _files(module: str) -> set[Path]:
    parts = module.split(".")
    packages = {ROOT.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts) + 1)}
    own = ROOT.joinpath(*parts).with_suffix(".py")
    return {path for path in packages if path.is_file() and has_code(path)} | ({own} if own.is_file() else set())


def has_code(path: Path) -> bool:
    """Whether there is more in it than a docstring."""
    return any(not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)) for node in tree(path).body)
