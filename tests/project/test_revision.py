"""The digests of the code: equal for equal files in any checkout, and different where a file that computes differs."""

import platform
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import numpy as np
import pytest
from project_code import ROOT

from confidnet_core import revision
from confidnet_core.config import registry
from confidnet_core.revision import VERSION, git, last_commit, package_code_version, package_versions, stage_code_version


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy the project's code and let the digests be those of the copy."""
    folder = tmp_path / "checkout"
    for name in ("confidnet_core", "stages"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dvc.yaml", folder)
    monkeypatch.setattr(revision, "CODE_ROOT", folder)
    monkeypatch.setattr(registry, "PACKAGE_FOLDER", folder / "confidnet_core")
    return folder


def test_the_version_is_that_of_the_package():
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION
    assert stage_code_version("train_baseline", "mlp")["version"] == package_code_version()["version"] == VERSION


def test_two_checkouts_of_the_same_files_hold_the_same_code(checkout: Path, monkeypatch: pytest.MonkeyPatch):
    copied = stage_code_version("train_baseline", "mlp"), package_code_version()
    monkeypatch.undo()
    assert copied == (stage_code_version("train_baseline", "mlp"), package_code_version())


def test_each_stage_and_each_model_has_code_of_its_own():
    stages, models = ("train_baseline", "train_confidnet", "finetune"), ("mlp", "vgg16")
    digests = [stage_code_version(stage, model)["sha256"] for stage in stages for model in models]
    assert len(set(digests)) == 6 and all(len(digest) == 64 for digest in digests)


@pytest.mark.parametrize(
    ("name", "same_stage", "same_package"),
    [
        ("confidnet_core/training/losses.py", False, False),
        ("confidnet_core/metrics/failure.py", False, False),
        ("confidnet_core/models/mlp.py", False, False),
        ("confidnet_core/networks/head.py", False, False),
        ("stages/_training.py", False, True),
        ("confidnet_core/models/vgg16.py", True, False),
        ("confidnet_core/scores/mcp.py", True, False),
        ("confidnet_core/tracking/stage_run.py", True, False),
        ("stages/compare.py", True, True),
    ],
)
def test_a_stages_code_is_what_it_computes_with_and_the_packages_is_all_of_it(
    name: str, same_stage: bool, same_package: bool, checkout: Path
):
    before = stage_code_version("train_baseline", "mlp"), package_code_version()
    with (checkout / name).open("a") as file:
        file.write("# edited\n")
    assert [stage_code_version("train_baseline", "mlp") == before[0], package_code_version() == before[1]] == [same_stage, same_package]


def test_git_answers_of_the_working_directory_or_not_at_all(clean: pytest.MonkeyPatch, tmp_path: Path):
    assert git("rev-parse", "HEAD") is None
    subprocess.run(["git", "init", "-q"], check=True)
    assert git("status", "--porcelain") == "" and git("rev-parse", "HEAD") is None
    clean.setenv("PATH", str(tmp_path))
    assert git("status", "--porcelain") is None


def test_the_commit_of_files_is_the_last_that_changed_one_and_says_whether_they_differ_now(clean: pytest.MonkeyPatch):
    assert last_commit(["code.py"]) is None
    person = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    subprocess.run(["git", "init", "-q"], check=True)
    for name in ("code.py", "result.txt"):
        Path(name).write_text("1")
        subprocess.run(["git", "add", name], check=True)
        subprocess.run(["git", *person, "commit", "-q", "-m", name], check=True)
    assert re.fullmatch(r"[0-9a-f]{7,} of \d{4}-\d\d-\d\d", last_commit(["code.py"]))
    assert last_commit(["code.py"]).split()[0] == git("rev-parse", "--short", "HEAD~") and last_commit(["other.py"]) is None
    Path("result.txt").write_text("2")
    assert last_commit(["code.py", "result.txt"]).endswith(", with changed files") and "changed" not in last_commit(["code.py"])


def test_versions_are_those_installed():
    assert package_versions("numpy", "no-such-package") == {"Python": platform.python_version(), "numpy": np.__version__}
