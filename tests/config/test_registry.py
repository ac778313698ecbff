"""The folder is the registry: what it finds, and what a file's digest depends on."""

import shutil
import sys
from pathlib import Path

import pytest
from project_code import ROOT

from confidnet_core.config import registry
from confidnet_core.config.registry import entry_code_digest, entry_names, find_entry, suggestion

REGISTRY_FOLDERS = ("datasets", "models", "scores")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package, from which the registry and Python's imports read."""
    folder = tmp_path / "confidnet_core"
    shutil.copytree(ROOT / "confidnet_core", folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in [name for name in sys.modules if name.partition(".")[0] == "confidnet_core"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "PACKAGE_FOLDER", folder)
    return folder


@pytest.mark.parametrize("registry_folder", REGISTRY_FOLDERS)
def test_every_entry_is_found_under_the_name_of_its_file(registry_folder: str):
    assert entry_names(registry_folder) == sorted(entry_names(registry_folder)) and len(entry_names(registry_folder)) >= 3
    for name in entry_names(registry_folder):
        entry = find_entry(registry_folder, name)
        assert (entry.__name__, entry.__module__) == (name, f"confidnet_core.{registry_folder}.{name}")


def test_shared_files_of_a_registry_folder_are_no_entries():
    assert not [name for registry_folder in REGISTRY_FOLDERS for name in entry_names(registry_folder) if name.startswith("_")]
    with pytest.raises(ValueError, match=r"models/_head\.py does not exist"):
        find_entry("models", "_head")


@pytest.mark.parametrize("name", ["", ".", "..", "../registry", "mcp.py", "MCP", "scores.mcp", None, 3, ["mcp"]])
def test_what_is_no_entry_is_refused_with_the_known_ones(name: object):
    with pytest.raises(ValueError, match=r"^confidnet_core/scores/.*\.py does not exist; (did you mean|known: )"):
        find_entry("scores", name)


def test_a_new_file_is_an_entry_and_nothing_else_needs_to_know(package: Path):
    (package / "scores/constant.py").write_text("def constant(run, value: float = 0.5):\n    return value\n")
    assert "constant" in entry_names("scores")
    assert find_entry("scores", "constant")(None) == 0.5


@pytest.mark.parametrize("content", ["", "def another(run): ...\n", "constant = 3\n"])
def test_a_file_without_a_function_of_its_name_is_refused_with_the_remedy(package: Path, content: str):
    (package / "scores/constant.py").write_text(content)
    with pytest.raises(ValueError, match=r"scores/constant\.py has no function constant; an entry's function bears the name of its file"):
        find_entry("scores", "constant")


def test_a_mistake_inside_an_entry_is_shown_as_it_is(package: Path):
    (package / "scores/broken.py").write_text("import no_such_package\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        find_entry("scores", "broken")


def test_the_suggestion_is_what_is_near_or_everything():
    assert suggestion("margn", ["margin", "mcp"]) == "; did you mean margin?"
    assert suggestion("mcd", ["mcp", "mcq", "entropy"]) == "; did you mean mcq or mcp?"
    assert suggestion("zzz", iter(["mcp", "entropy"])) == "; known: mcp, entropy"
    assert suggestion("zzz", []) == "; known: none"


def test_a_digest_follows_the_entrys_file_and_the_shared_files_of_its_registry_folder(package: Path):
    digests = [entry_code_digest("models", "mlp")]
    for name in ("mlp.py", "_classifier.py", "_vgg_weights.py"):
        with (package / "models" / name).open("a") as file:
            file.write("# changed\n")
        digests.append(entry_code_digest("models", "mlp"))
    (package / "models/_new.py").write_text("")
    digests.append(entry_code_digest("models", "mlp"))
    assert len(set(digests)) == len(digests)


def test_a_digest_does_not_follow_other_entries_or_other_folders(package: Path):
    before = entry_code_digest("models", "mlp")
    (package / "models/segnet.py").unlink()
    (package / "models/new.py").write_text("def new(): ...\n")
    (package / "datasets/_raw.py").write_text("")
    assert entry_code_digest("models", "mlp") == before
    assert entry_code_digest("models", "mlp") != entry_code_digest("models", "vgg16")


def test_a_digest_of_what_is_no_entry_is_refused():
    with pytest.raises(ValueError, match=r"datasets/digit\.py does not exist; did you mean digits\?"):
        entry_code_digest("datasets", "digit")
