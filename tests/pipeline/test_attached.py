"""A trained classifier attached by params.yaml alone, with real DVC: its weights are a dependency, and no setting trains over them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from dvc_project import Project
from own_networks import Blocks
from PIL import Image
from project_code import ROOT
from safetensors.torch import save_file

MINE = {
    "data": {"name": "image_folder", "folder": "ants", "height": 8, "width": 8, "mean": "imagenet", "std": "imagenet"},
    "model": {"name": "module", "build": "nets.own_networks:blocks", "arguments": {"classes": 2, "dropout": 0.0}},
    "baseline": {"weights": "models/mine.safetensors"},
}
METHODS = {"mcp": {}, "mc_dropout": {}, "confidnet": {}, "trust_score": {}}


def write_weights(project: Project, seed: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    weights = Blocks(2).state_dict()
    save_file(weights, project.folder / "models/mine.safetensors")
    return weights


def attached(folder: Path) -> Project:
    project = Project.create(folder, run=["mine"], methods=METHODS, against=["mcp"], **{"benchmarks.mine": MINE})
    for name in ("models", "nets"):
        (folder / name).mkdir()
    shutil.copy(ROOT / "tests/helpers/own_networks.py", folder / "nets")
    (folder / "nets/notes.py").touch()
    rng = np.random.default_rng(0)
    for name in ("ant", "bee"):  # images to evaluate, and none to train on
        (folder / "data/raw/ants/val" / name).mkdir(parents=True)
        for number in range(20):
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"data/raw/ants/val/{name}/{number}.png")
    return project


@pytest.mark.slow
def test_weights_are_taken_as_they_are_and_only_another_file_changes_them(tmp_path: Path):
    project = attached(tmp_path / "project")
    weights, stored = write_weights(project, 1), project.folder / "models/mine/seed0/baseline/weights.pt"
    assert project.stages_run("repro", "train_baseline") == ["sources@mine", "prepare@mine", "train_baseline@mine-0"]
    taken = torch.load(stored, weights_only=True)
    assert all(torch.equal(tensor, taken[f"network.{name}"]) for name, tensor in weights.items())

    before = stored.read_bytes()
    recipe = {"epochs": 1, "batch_size": 8, "optimizer": "adam", "learning_rate": 0.01}
    project.change(**{"benchmarks.mine.confidnet": recipe, "benchmarks.mine.mc_dropout": {"passes": 2}, "thresholds.delta": 0.1})
    assert project.stages_run("repro", "train_baseline") == ["sources@mine"]
    assert stored.read_bytes() == before

    output = project.dvc("repro", "thresholds")  # on the way to it lie all scores
    assert "left out mc_dropout: the classifier has no dropout" in output
    assert "left out confidnet, trust_score: there are no training images" in output
    results = project.folder / "data/scores/mine/seed0"
    assert json.loads((results / "mc_dropout/left_out.json").read_text()) == {"reason": "the classifier has no dropout"}
    assert (results / "mcp/metrics.json").exists() and stored.read_bytes() == before
    assert "up to date" in project.dvc("repro", "thresholds")

    write_weights(project, 2)
    assert project.stages_run("repro", "train_baseline") == ["sources@mine", "train_baseline@mine-0"]
    assert stored.read_bytes() != before
    (project.folder / "nets/notes.py").rename(project.folder / "nets/remarks.py")
    assert project.stages_run("repro", "train_baseline") == ["sources@mine", "train_baseline@mine-0"]
    (project.folder / "models/mine.safetensors").unlink()
    assert "data/attached/mine/baseline.weights=mine.safetensors" in project.dvc("repro", "train_baseline", fails=True)
