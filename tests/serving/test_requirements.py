"""What a served model needs follows from what its network is built by."""

from importlib.metadata import version
from pathlib import Path

import pytest
from project_code import ROOT

from confidnet_core.config.registry import PACKAGE_FOLDER
from confidnet_core.serving.requirements import SERVED_CODE_REQUIREMENTS, code_paths, pip_requirements


def names(requirements: list[str]) -> set[str]:
    return {requirement.partition("==")[0] for requirement in requirements}


def test_a_model_of_this_project_needs_what_all_served_code_does():
    assert names(pip_requirements("mlp", {})) == set(SERVED_CODE_REQUIREMENTS)
    assert code_paths("mlp", {}) == [PACKAGE_FOLDER]


def test_a_network_of_torchvision_needs_torchvision_in_this_version():
    settings = {"build": "torchvision.models:resnet18", "arguments": {"num_classes": 3}}
    added = set(pip_requirements("module", settings)) - set(pip_requirements("mlp", {}))
    assert added == {f"torchvision=={version('torchvision').partition('+')[0]}"}
    assert code_paths("module", settings) == [PACKAGE_FOLDER]


@pytest.mark.parametrize(("package", "is_plain_folder"), [("ants", False), ("bees", True)])
def test_code_of_ones_own_is_packed_and_what_it_imports_is_needed(
    package: str, is_plain_folder: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / package).mkdir()
    if not is_plain_folder:
        (tmp_path / package / "__init__.py").write_text(f"from {package}.nets import net\n")
    (tmp_path / package / "nets.py").write_text("import torchvision.models\n\n\ndef net():\n    return torchvision.models.resnet18()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    settings = {"build": f"{package}.nets:net"}
    assert code_paths("module", settings) == [PACKAGE_FOLDER, tmp_path / package]
    assert names(pip_requirements("module", settings)) == {*SERVED_CODE_REQUIREMENTS, "torchvision"}


def test_a_single_file_of_ones_own_is_packed():
    assert code_paths("module", {"build": "own_networks:blocks"}) == [PACKAGE_FOLDER, ROOT / "tests/helpers/own_networks.py"]
