"""Models by name: registered with an alias or a version, in a folder, or of a benchmark with its present outputs."""

import shutil
from pathlib import Path

import mlflow
import numpy as np
import pytest
from small import BASELINE, CONFIDNET, CORRECTED_MCP, FINETUNE, MLP
from small_params import VALID, load

from confidnet_core.config.params import Params
from confidnet_core.data import load_dataset
from confidnet_core.serving.opening import find_model_folder, open_model
from confidnet_core.serving.registering import register_best_model


@pytest.fixture
def params(project_of_packed_models: Path, first_store: Path, clean: pytest.MonkeyPatch, tmp_path: Path) -> Params:
    """Of the project in the working directory: the outputs for digits, a params.yaml that names them, and a store that is ready."""
    folder = tmp_path / "my project"
    shutil.copytree(project_of_packed_models, folder)
    shutil.copy(first_store, folder)
    clean.setenv("DVC_ROOT", str(folder))
    clean.setenv("CONFIDNET_DEVICE", "cpu")
    clean.chdir(folder)
    recipes = {"baseline": BASELINE, "confidnet": CONFIDNET, "finetune": FINETUNE, "corrected_mcp": CORRECTED_MCP}
    benchmark = VALID["benchmarks"]["small"] | {name: recipe.model_dump(mode="json") for name, recipe in recipes.items()}
    benchmark |= {"data": {"name": "digits"}, "model": {"name": MLP.name, **MLP.settings}}
    return load(folder, VALID | {"run": ["digits"], "methods": {"mcp": {}, "confidnet": {}}, "benchmarks": {"digits": benchmark}})


def test_a_model_is_opened_by_its_name_its_version_its_folder_and_its_benchmark(params: Params):
    register_best_model(params, "digits")
    images, addresses = load_dataset(Path("data/prepared/digits")).split("test")[0], (mlflow.get_tracking_uri(), mlflow.get_registry_uri())
    folder = find_model_folder("models:/confidnet-digits/1")
    copied = shutil.copytree(folder.parents[1], "a copy")  # as MLflow downloads it
    expected = open_model("confidnet-digits").predict(images)["confidence"]
    for name in ("confidnet-digits@champion", "confidnet-digits/1", "models:/confidnet-digits/latest", str(folder), str(copied)):
        np.testing.assert_array_equal(open_model(name).predict(images)["confidence"], expected)
    shutil.rmtree("mlruns")
    np.testing.assert_array_equal(open_model("digits").predict(images)["confidence"], expected)
    assert (mlflow.get_tracking_uri(), mlflow.get_registry_uri()) == addresses


def test_a_name_that_leads_nowhere_is_refused_with_what_could_have_been_meant(params: Params):
    register_best_model(params, "digits")
    Path("other").mkdir()
    Path("other/MLmodel").write_text("flavors: {sklearn: {}}\n")
    for name, message in {
        "confidnet-digit": r"confidnet-digit is no folder, .* and no registered model; did you mean confidnet-digits",
        "digitz": r"digitz is no folder, no benchmark of params.yaml, .*; did you mean digits",
        "confidnet-digits@best": "confidnet-digits has no such version or alias",
        "models:/confidnet-digits/7": "confidnet-digits has no such version or alias",
        "data": r"data holds no model; expected a folder with model.json or MLmodel",
        "other": "other is a model of MLflow, but none of this project",
        "../nothing": "../nothing does not exist; expected a folder, a benchmark, or",
    }.items():
        with pytest.raises(ValueError, match=message):
            open_model(name)
    Path("mlflow.db").unlink()
    with pytest.raises(ValueError, match=r"digitz is no folder and no benchmark, and .*mlflow.db, of .* does not exist; did"):
        open_model("digitz")
    assert not Path("mlflow.db").exists()
