"""Where a network says it comes from: the version, the commit and whether the code differs from it, in real git repositories."""

import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from confidnet_core.revision import VERSION, revision

ROOT = Path(__file__).parents[1]
FILES = ("confidnet_core/losses.py", "stages/prepare.py", "params.yaml", "dvc.lock", "reports/summary.json", "README.md", ".gitignore")


def git(*arguments: str) -> str:
    author = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    return subprocess.run(("git", *author, *arguments), capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def repository(clean: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """One commit, and the working directory."""
    folder = tmp_path / "repository"
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("*.pyc\n")
    clean.chdir(folder)
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    return folder


def test_the_version_is_that_of_the_package():
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION == revision()["version"]


def test_the_code_of_a_clean_checkout_is_that_of_its_commit(repository: Path):
    assert revision() == {"version": VERSION, "commit": git("rev-parse", "HEAD"), "changed": False}


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        (lambda folder: (folder / "confidnet_core/losses.py").write_text("edited"), True),
        (lambda folder: (folder / "stages/prepare.py").unlink(), True),
        (lambda folder: (folder / "confidnet_core/new.py").write_text("no commit has it"), True),
        (lambda folder: (folder / "confidnet_core/losses.py").touch(), False),
        (lambda folder: (folder / "confidnet_core/losses.pyc").write_text("ignored"), False),
        (lambda folder: (folder / "params.yaml").write_text("stated beside it"), False),
        (lambda folder: (folder / "dvc.lock").write_text("a result"), False),
        (lambda folder: (folder / "reports/summary.json").write_text("a result"), False),
        (lambda folder: (folder / "reports/new.json").write_text("a result"), False),
        (lambda folder: (folder / "README.md").write_text("no code"), False),
    ],
)
def test_the_code_has_changed_where_a_file_that_computes_has(repository: Path, change: Callable[[Path], object], changed: bool):
    commit = git("rev-parse", "HEAD")
    change(repository)
    assert (revision()["commit"], revision()["changed"]) == (commit, changed)
    git("add", "--all")  # DVC stages what an experiment brings
    assert revision()["changed"] == changed
    if git("status", "--porcelain"):
        git("commit", "-qm", "second")
        assert (revision()["commit"] != commit, revision()["changed"]) == (True, False)


def test_an_experiment_of_dvc_is_compared_with_the_commit_that_it_is_of(repository: Path, clean: pytest.MonkeyPatch):
    first = git("rev-parse", "HEAD")
    (repository / "confidnet_core/losses.py").write_text("edited")
    git("commit", "-qam", "as DVC keeps an experiment")
    clean.setenv("DVC_EXP_BASELINE_REV", first)
    assert revision() == {"version": VERSION, "commit": first, "changed": True}
    clean.setenv("DVC_EXP_BASELINE_REV", "0" * 40)
    assert revision() == {"version": VERSION, "commit": "0" * 40, "changed": None}


def test_a_project_inside_a_larger_repository_asks_for_its_own_code(repository: Path, clean: pytest.MonkeyPatch):
    (repository / "part/confidnet_core").mkdir(parents=True)
    (repository / "confidnet_core/losses.py").write_text("edited")
    clean.chdir(repository / "part")
    assert revision()["changed"] is False
    (repository / "part/confidnet_core/losses.py").write_text("new")
    assert revision()["changed"] is True


def test_without_git_or_a_commit_the_version_is_all_that_is_known(clean: pytest.MonkeyPatch, tmp_path: Path):
    unknown = {"version": VERSION, "commit": None, "changed": None}
    assert revision() == unknown
    git("init", "-q")
    assert revision() == unknown
    clean.setenv("PATH", str(tmp_path))
    assert revision() == unknown
