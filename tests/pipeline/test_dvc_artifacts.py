"""Trained models as DVC artifacts: dvc.yaml names outputs of stages, and `dvc artifacts get` brings one from a remote, ready to load."""

import shutil
from pathlib import Path

import pytest
import torch
from dvc_checks import paths
from dvc_project import Project
from gto.constants import check_string_is_valid
from project_code import ROOT
from ruamel.yaml import YAML
from small_study import small_study

from confidnet_core.config.params import load_params
from confidnet_core.data import load_dataset
from confidnet_core.networks.artifacts import load_verified_classifier

DVC = YAML(typ="safe").load(ROOT / "dvc.yaml")
PARAMS = YAML(typ="safe").load(ROOT / "params.yaml")
ARTIFACTS = DVC["artifacts"]
NAME, VERSION = "digits-baseline", "v1.0.0"


def outputs() -> set[str]:
    """Every output that the stages have for some benchmark at seed 0."""
    written = [path for stage in DVC["stages"].values() for path in paths(stage, "outs")]
    filled = [path.replace("${item.seed}", "0") for path in written]
    return {path.replace("${item.benchmark}", benchmark) for path in filled for benchmark in PARAMS["benchmarks"]}


def test_the_trained_models_of_a_benchmark_are_outputs_that_an_artifact_may_name():
    assert {f"models/digits/seed0/{network}" for network in ("baseline", "confidnet", "finetune")} <= outputs()


@pytest.mark.parametrize("name", ARTIFACTS)
def test_an_artifact_is_an_output_of_a_stage_for_a_benchmark_of_params_yaml(name: str):
    assert ARTIFACTS[name]["path"] in outputs()


@pytest.mark.parametrize("name", ARTIFACTS)
def test_an_artifact_is_a_model_named_after_its_benchmark_and_its_folder(name: str):
    models, benchmark, seed, network = ARTIFACTS[name]["path"].split("/")
    assert (models, seed) == ("models", "seed0")
    assert name == f"{benchmark}-{network}"
    assert check_string_is_valid(name), "git tags of DVC's model registry do not take this name"
    assert ARTIFACTS[name]["type"] == "model" and ARTIFACTS[name]["desc"]


def forget_stage(project: Project, name: str) -> None:
    """Let a stage be one that has never run."""
    path, yaml = project.folder / "dvc.lock", YAML()
    lock = yaml.load(path)
    for output in lock["stages"].pop(name)["outs"]:
        path_of_output = project.folder / output["path"]
        shutil.rmtree(path_of_output) if path_of_output.is_dir() else path_of_output.unlink()
    yaml.dump(lock, path)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Project]:
    """A project with a trained and tagged classifier, and a clone whose data is in a remote alone."""
    folder = tmp_path_factory.mktemp("artifacts")
    project = small_study(tmp_path_factory, folder / "project")
    forget_stage(project, "finetune@digits-0")
    project.dvc("remote", "add", "--default", "store", str(folder / "store"))
    project.commit("Trained")
    project.git("tag", "--annotate", f"{NAME}@{VERSION}", "--message", "First version")
    project.dvc("push", "train_baseline@digits-0")
    project.git("clone", "--quiet", ".", str(folder / "clone"))
    return project, Project(folder / "clone")


@pytest.mark.slow
def test_a_trained_model_comes_by_its_name_from_a_remote_and_answers_as_it_did(published: tuple[Project, Project], tmp_path: Path):
    project, clone = published
    assert not (clone.folder / ".dvc/cache").exists()
    Project(tmp_path).dvc("artifacts", "get", str(clone.folder), NAME, "--rev", VERSION)
    trained = project.folder / ARTIFACTS[NAME]["path"]
    assert {path.name: path.read_bytes() for path in (tmp_path / "baseline").iterdir()} == {
        path.name: path.read_bytes() for path in trained.iterdir()
    }
    benchmark = load_params(project.folder / "params.yaml").benchmark("digits")
    dataset = load_dataset(project.folder / "data/prepared/digits")
    load_verified_classifier(tmp_path / "baseline", benchmark, dataset, torch.device("cpu"))


@pytest.mark.slow
def test_a_model_that_was_never_trained_is_refused_and_stops_nothing_else(published: tuple[Project, Project], tmp_path: Path):
    project, _ = published
    output = project.dvc("status", "train_baseline@digits-0")
    assert "up to date" in output and "artifact" not in output
    project.git("tag", "--annotate", f"digits-finetune@{VERSION}", "--message", "Not trained")
    output = Project(tmp_path).dvc("artifacts", "get", str(project.folder), "digits-finetune", fails=True)
    assert "digits-finetune" in output
    assert not list(tmp_path.iterdir())
