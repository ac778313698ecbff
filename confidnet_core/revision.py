"""Identifies the code: the version of the package, digests of its files, git commits, and versions of other packages.

The origin of a network is a digest of files and not a commit: other commits with the same code train the same network.
"""

import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

from confidnet_core.config.registry import entry_code_digest
from confidnet_core.files import read_yaml

VERSION = "0.1.0"  # also in pyproject.toml
CODE_ROOT = Path(__file__).parents[1]  # the folder of confidnet_core/, stages/ and dvc.yaml


def stage_code_version(stage: str, model_name: str, model_settings: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Return {"version": version of the package, "sha256": digest of the code of a stage}.

    This code is the file of the model, code that its settings name, and the Python files and folders that dvc.yaml lists as dependencies
    of the stage.
    """
    stage_dependencies = read_yaml(CODE_ROOT / "dvc.yaml")["stages"][stage]["deps"]
    code_paths = [CODE_ROOT / code_path for code_path in stage_dependencies if code_path.startswith(("confidnet_core", "stages"))]
    code_files = {code_file for code_path in code_paths for code_file in (code_path.rglob("*.py") if code_path.is_dir() else [code_path])}
    model_digest = entry_code_digest("models", model_name, model_settings)
    return {"version": VERSION, "sha256": _digest_files(sorted(map(_path_in_project, code_files)), model_digest)}


def package_code_version() -> dict[str, str]:
    """Return {"version": version of the package, "sha256": digest of all its Python files}."""
    code_files = (CODE_ROOT / "confidnet_core").rglob("*.py")
    return {"version": VERSION, "sha256": _digest_files(sorted(map(_path_in_project, code_files)))}


def _path_in_project(file_path: Path) -> str:
    return file_path.relative_to(CODE_ROOT).as_posix()


def _digest_files(relative_paths: Iterable[str], *further_digests: str) -> str:
    """Return the SHA-256 of the paths and contents of files, and of further digests, as 64 hexadecimal digits."""
    hashed_parts = [
        *(relative_path.encode() + (CODE_ROOT / relative_path).read_bytes() for relative_path in relative_paths),
        *(further_digest.encode() for further_digest in further_digests),
    ]
    return sha256(b"".join(hashed_parts)).hexdigest()


def git(*git_arguments: str) -> str | None:
    """Return what `git GIT_ARGUMENTS` prints in the working directory, which may be a temporary copy; None if git fails."""
    try:
        git_command = ("git", *git_arguments)
        git_process = subprocess.run(git_command, capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return git_process.stdout.strip() if git_process.returncode == 0 else None


def last_commit(paths: Iterable[str]) -> str | None:
    """Return the last commit that changed one of the paths, as "HASH of DATE", with a note if the files differ from it now.

    It is None without git or a repository, and where no commit has the paths.
    """
    commit_and_date = git("log", "-1", "--format=%h of %cs", "--", *paths)
    changed_files = commit_and_date and git("status", "--porcelain", "--", *paths)
    return f"{commit_and_date}, with changed files" if changed_files else commit_and_date or None


def distribution_names(package_name: str) -> list[str]:
    """Return the installed distributions that hold a package, as scikit-learn for sklearn; none for Python's own and for local code."""
    return _distributions_by_package(tuple(sys.path)).get(package_name, [])


@cache
def _distributions_by_package(search_path: tuple[str, ...]) -> Mapping[str, list[str]]:
    """Return {package: installed distributions that hold it}; read once, since it looks at the list of files of every distribution."""
    return metadata.packages_distributions()


def package_versions(*package_names: str) -> dict[str, str]:
    """Return a dictionary PACKAGE -> version, of Python and of those packages that are installed."""
    version_by_package = {
        package_name: next((package_distribution.version for package_distribution in metadata.distributions(name=package_name)), None)
        for package_name in package_names
    }
    return {"Python": platform.python_version()} | {package: version for package, version in version_by_package.items() if version}
