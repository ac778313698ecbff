"""Which code this is: the version of the package, and digests that two checkouts with the same files share. And what git says.

A digest, not a commit: a network is trained again by the same code of another commit, and its files are then the same.
"""

import platform
import subprocess
from collections.abc import Iterable
from hashlib import sha256
from importlib import metadata
from pathlib import Path

from confidnet_core.config.registry import source_digest
from confidnet_core.files import read_yaml

VERSION = "0.1.0"  # also in pyproject.toml
ROOT = Path(__file__).parents[1]


def stage_code(stage: str, model: str) -> dict[str, str]:
    """version; sha256 of what STAGE computes with: the Python files and folders that dvc.yaml says it depends on, and the files
    of the MODEL."""
    deps = read_yaml(ROOT / "dvc.yaml")["stages"][stage]["deps"]
    code = [ROOT / path for path in deps if path.startswith(("confidnet_core", "stages"))]
    files = {file for path in code for file in (path.rglob("*.py") if path.is_dir() else [path])}
    return {"version": VERSION, "sha256": _digest(sorted(map(_relative, files)), source_digest("models", model))}


def package_code() -> dict[str, str]:
    """version; sha256 of all Python files of the package."""
    return {"version": VERSION, "sha256": _digest(sorted(map(_relative, (ROOT / "confidnet_core").rglob("*.py"))))}


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _digest(files: Iterable[str], *more: str) -> str:
    return sha256(
        b"".join([*(name.encode() + (ROOT / name).read_bytes() for name in files), *(text.encode() for text in more)])
    ).hexdigest()


def git(*arguments: str) -> str | None:
    """What git prints, in the working directory: a temporary copy's own commit. None without git or a repository."""
    try:
        done = subprocess.run(("git", *arguments), capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def commit(paths: Iterable[str]) -> str | None:
    """The last commit that changed one of the PATHS, short, with its date, and whether they differ from it now. None as of git, and
    where none did: of the same files, whatever was committed since.
    """
    known = git("log", "-1", "--format=%h of %cs", "--", *paths)
    changed = known and git("status", "--porcelain", "--", *paths)
    return f"{known}, with changed files" if changed else known or None


def versions(*packages: str) -> dict[str, str]:
    """Of Python and of these packages, those that are installed."""
    found = {name: next((each.version for each in metadata.distributions(name=name)), None) for name in packages}
    return {"Python": platform.python_version()} | {name: version for name, version in found.items() if version}
