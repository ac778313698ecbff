"""Which project files a module computes with: its imports, walked statically, and the registry families that it looks up."""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]

# Code that reports on a computation and never enters its result: a change here retrains nothing.
REPORTING = {"confidnet_core/tracking.py", "confidnet_core/_mlflow_store.py", "confidnet_core/progress.py"}


@cache
def imports(path: Path) -> frozenset[Path]:
    """Project files that PATH imports itself, packages' __init__.py included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= _files(node.module) | {file for alias in node.names for file in _files(f"{node.module}.{alias.name}")}
        elif isinstance(node, ast.Import):
            found |= {file for alias in node.names for file in _files(alias.name)}
    return frozenset(found - {path})


def reached(path: Path) -> set[Path]:
    """Project files that PATH imports, directly or through others, itself included."""
    seen, waiting = set(), [path]
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            waiting += imports(current)
    return seen


@cache
def families(path: Path) -> frozenset[str]:
    """The registry families whose entries PATH calls: the literal first argument of find()."""
    return frozenset(
        node.args[0].value
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "find" and isinstance(node.args[0], ast.Constant)
    )


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _files(module: str) -> set[Path]:
    base = ROOT / module.replace(".", "/")
    candidates = [base.with_suffix(".py"), base / "__init__.py"]
    return {path for path in candidates if path.is_file() and path.read_text().strip()}
