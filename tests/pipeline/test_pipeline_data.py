"""Real CamVid and real MNIST through the real DVC pipeline, small: the data lie outside the project, found by CONFIDNET_DATA."""

import json
from pathlib import Path

import pytest
from dvc_project import Project
from real_data import data_folder, needs

from confidnet_core.config.params import load_params
from confidnet_core.config.registry import find_entry
from confidnet_core.metrics.failure import failure_metrics
from confidnet_core.scoring.run import load_run

pytestmark = pytest.mark.slow


def study(folder: Path, data: Path, **changes: object) -> Project:
    project = Project.create(folder, **changes)
    project.environment["CONFIDNET_DATA"] = str(data)
    return project


@needs("CamVid", "camvid/")
def test_real_camvid_in_a_temporary_workspace_gets_its_table(tmp_path):
    recipe, trainings = "benchmarks.camvid_segnet", ("baseline", "confidnet", "finetune", "corrected_mcp")
    project = study(
        tmp_path / "project",
        data_folder("camvid"),
        **{
            f"{recipe}.data.height": 32,
            f"{recipe}.data.width": 40,
            f"{recipe}.model.width": 0.25,
            f"{recipe}.baseline.epochs": 2,
            f"{recipe}.confidnet.epochs": 1,
            f"{recipe}.finetune.epochs": 1,
            f"{recipe}.corrected_mcp.epochs": 1,
            f"{recipe}.mc_dropout": {"passes": 2, "precision": "fp32"},
            # bf16 takes eight times as long on a processor that computes it in software.
            **{f"{recipe}.{training}.precision": "fp32" for training in trainings},
            **{f"{recipe}.{training}.batch_size": 12 for training in trainings},  # in steps of 4 images, most of the time is the steps'
            f"{recipe}.baseline.learning_rate": 0.004,
            "methods": {"mcp": {}, "confidnet": {}},
            "against": ["mcp"],
        },
    )
    project.dvc("exp", "run", "--temp", "--name", "camvid", "--set-param", "run=[camvid_segnet]")
    project.dvc("exp", "apply", "camvid")

    facts = json.loads((project.folder / "data/prepared/camvid_segnet/facts.json").read_text())
    summary = json.loads((project.folder / "reports/summary.json").read_text())["camvid_segnet"]
    scored = json.loads((project.folder / "data/scores/camvid_segnet/seed0/confidnet/metrics.json").read_text())
    assert facts["samples"] == {"train": 367, "val": 61, "test": 233, "calibration": 34}  # 6 of the 101 lie between
    assert scored["samples"] == sum(facts["labels"]["test"]) == 233 * 32 * 40 - facts["void_labels"]["test"]
    assert summary["accuracy"] > 50 and summary["mean_iou"] > 10 and summary["aupr_error"]["mcp"] > 100 - summary["accuracy"]
    assert (project.folder / "reports/figures/camvid_segnet_seed0_maps.png").stat().st_size > 10_000
    assert "up to date" in project.dvc("repro")


@needs("MNIST", "mnist/")
def test_real_mnist_ranks_errors_well_above_chance(tmp_path, monkeypatch):
    recipe = "benchmarks.mnist_mlp"
    project = study(
        tmp_path / "project",
        data_folder("mnist"),
        run=["mnist_mlp"],
        methods={"mcp": {}, "trust_score": {"samples_per_class": 500}},
        **{f"{recipe}.model.hidden": 200, f"{recipe}.baseline.epochs": 3},
    )
    project.dvc("repro", "predict@mnist_mlp-0")
    monkeypatch.chdir(project.folder)
    params = load_params()
    for method, least_aupr_error in {"mcp": 0.1, "trust_score": 0.05}.items():
        score = find_entry("scores", method)
        run = load_run("mnist_mlp", params.benchmark("mnist_mlp"), 0, method, getattr(score, "reads", ()))
        metrics = failure_metrics(score(run, **params.method(method)), run.correct)
        assert metrics["accuracy"] > 0.95 and metrics["aupr_error"] > least_aupr_error
