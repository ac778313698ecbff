"""Identifies the code: the version of the package, digests of its files, git commits, and versions of other packages.

The origin of a network is a digest of files and not a commit: other commits with the same code train the same network.
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
    """Return the package's "version" and the "sha256" of the stage's code.

    This code is that of the model, and the Python files and folders that dvc.yaml lists as dependencies of the stage.
    """
    deps = read_yaml(ROOT / "dvc.yaml")["stages"][stage]["deps"]
    code = [ROOT / path for path in deps if path.startswith(("confidnet_core", "stages"))]
    files = {file for path in code for file in (path.rglob("*.py") if path.is_dir() else [path])}
    return {"version": VERSION, "sha256": _digest(sorted(map(_relative, files)), source_digest("models", model))}


def package_code() -> dict[str, str]:
    """Return the package's "version" and the "sha256" of all its Python files."""
    return {"version": VERSION, "sha256": _digest(sorted(map(_relative, (ROOT / "confidnet_core").rglob("*.py"))))}


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _digest(files: Iterable[str], *digests: str) -> str:
    """Return the SHA-256 of the files' names and contents, and of further digests."""
    contents = [*(name.encode() + (ROOT / name).read_bytes() for name in files), *(digest.encode() for digest in digests)]
    return sha256(b"".join(contents)).hexdigest()


def git(*arguments: str) -> str | None:
    """Return the output of git in the working directory, which may be a temporary copy; None without git or a repository."""
    try:
        result = subprocess.run(("git", *arguments), capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None


def last_commit(paths: Iterable[str]) -> str | None:
    """Return the last commit that changed one of the paths, short and with its date, and whether the files differ from it now.

    Later commits of other files do not change the answer. It is None without git or a repository, and where no commit has the paths.
    """
    commit = git("log", "-1", "--format=%h of %cs", "--", *paths)
    changed = commit and git("status", "--porcelain", "--", *paths)
    return f"{commit}, with changed files" if changed else commit or None


def package_versions(*packages: str) -> dict[str, str]:
    """Return the versions of Python and of those of the packages that are installed, by name."""
    versions = {name: next((package.version for package in metadata.distributions(name=name)), None) for name in packages}
    return {"Python": platform.python_version()} | {name: version for name, version in versions.items() if version}
