"""A week with the project, in order: repro, an override, a queue of three, a killed worker, resuming, comparing, applying, sharing."""

import json
import os
import signal
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import psutil
import pytest
from dvc_project import Project
from mlflow import pyfunc
from small_study import METHODS, rows, small_study, wait_for_epoch

from confidnet_core.data import load_dataset
from confidnet_core.tracking.names import COMPARED_METRICS, pipeline_results

pytestmark = pytest.mark.slow

FEWER = "methods.trust_score.samples_per_class=4"
LONGER = ("--name", "longer", "--set-param", "benchmarks.digits.confidnet.epochs=60", "train_confidnet@digits-0")
TRUST_SCORE = "digits.aupr_error.trust_score"
UNKNOWN = {method: dict.fromkeys(COMPARED_METRICS) for method in METHODS}  # metrics that summary.json does not have
QUEUED = {"mcp": "against=[mcp]", "bolder": "thresholds.delta=0.2"}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """After the first `dvc repro`. The tests are the chapters of one story, and need their order."""
    return small_study(tmp_path_factory, tmp_path_factory.mktemp("story") / "project")


def metrics(project: Project) -> dict[str, dict]:
    """What `dvc exp show` has of each experiment's summary.json, by its name; of the commit that they start from, as "main"."""
    (baseline,) = [shown for shown in json.loads(project.dvc("exp", "show", "--json")) if shown["rev"] != "workspace"]
    revisions = {"main": baseline} | {experiment["name"]: experiment["revs"][0] for experiment in baseline["experiments"]}
    return {name: shown["data"]["metrics"]["reports/summary.json"]["data"]["digits"] for name, shown in revisions.items()}


def test_an_override_is_an_experiment_and_runs_what_it_concerns(project):
    stages = {f"{stage}@digits-0-trust_score" for stage in ("evaluate", "bootstrap", "thresholds")}
    assert set(project.stages_run("exp", "run", "--name", "fewer", "--set-param", FEWER)) == {
        "ensemble@digits",
        "inputs@digits-0",
        *stages,
        "evaluate_shifts@digits",
        "compare",
    }
    project.git("reset", "--quiet", "--hard")
    project.dvc("checkout")
    assert "up to date" in project.dvc("repro")


def test_a_queue_of_three_with_two_workers_outlives_the_death_of_one_stage(project):
    project.dvc("exp", "run", "--queue", *LONGER)
    for name, change in QUEUED.items():
        project.dvc("exp", "run", "--queue", "--name", name, "--set-param", change)
    with project.queue_workers(2):
        saved = wait_for_epoch(project, 3)
        (training,) = [process for process in psutil.process_iter(["cmdline", "cwd"]) if is_training(process, project)]
        os.kill(training.pid, signal.SIGKILL)
        project.wait_for_queue()
    status = {line.split()[1]: line.split()[-1] for line in project.dvc("queue", "status").splitlines() if "AM" in line or "PM" in line}
    assert status == {"longer": "Failed"} | dict.fromkeys(QUEUED, "Success")
    assert saved.exists()


def is_training(process: psutil.Process, project: Project) -> bool:
    inside = str(process.info["cwd"]).startswith(str(project.folder))
    return inside and "stages.train_confidnet" in (process.info["cmdline"] or [])


def test_the_killed_training_goes_on_in_its_row_when_it_is_run_again(project):
    (killed,) = rows(project, stage="train_confidnet", dvc_exp_name="longer")
    output = project.dvc("exp", "run", "--temp", *LONGER)
    assert "train_confidnet: epoch 60/60" in output and "train_confidnet: epoch 2/100" not in output
    (resumed,) = rows(project, stage="train_confidnet", dvc_exp_name="longer")
    assert (killed.info.status, resumed.info.status) == ("KILLED", "FINISHED")  # closed by the next stage in the queue
    assert resumed.info.run_id == killed.info.run_id


def test_dvc_and_mlflow_hold_the_same_values_of_every_experiment(project):
    shown = metrics(project)
    assert set(shown) == {"main", "fewer", "longer", *QUEUED}
    assert shown["fewer"]["aupr_error"]["trust_score"] != shown["main"]["aupr_error"]["trust_score"]
    for name, summary in shown.items():
        if name == "longer":  # the training alone
            continue
        (execution,) = [row for row in rows(project, role="pipeline") if row.data.tags.get("dvc_exp_name", "main") == name]
        logged = execution.data.metrics | execution.data.tags
        assert set(summary["aupr_error"]) == set(METHODS) - {"tcp"}
        expected = {key: value for key, value in pipeline_results(summary, UNKNOWN).items() if value is not None}
        assert {key: logged[key] for key in expected} == expected


def test_dvc_compares_any_two_of_them(project):
    (diff,) = json.loads(project.dvc("metrics", "diff", "main", "fewer", "--json")).values()
    assert TRUST_SCORE in diff and set(diff) <= {TRUST_SCORE, "digits.best", "digits.best_score"}
    params = json.loads(project.dvc("exp", "diff", "main", "bolder", "--json"))["params"]["params.yaml"]
    assert {name: (change["old"], change["new"]) for name, change in params.items()} == {"thresholds.delta": (0.05, 0.2)}


def test_the_champion_answers_as_the_pipeline_did(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project.folder}/mlflow.db")
    monkeypatch.chdir(project.folder)
    model = pyfunc.load_model("models:/confidnet-digits@champion")
    data, what = load_dataset(Path("data/prepared/digits")), model.metadata.metadata
    # The target that is served is fixed beforehand, so that a small calibration split may have no threshold for it.
    warned = nullcontext() if "threshold" in what else pytest.warns(UserWarning, match="nothing is accepted: there is no threshold")
    with warned:
        answers = model.predict(data.split("test")[0])
    np.testing.assert_array_equal(answers["class_index"], np.load("data/predictions/digits/seed0/test/predicted.npy"))
    stored = np.load(f"data/scores/digits/seed0/{what['score']}/test.npy")
    np.testing.assert_allclose(answers["confidence"], stored, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(answers["accepted"], answers["confidence"] >= float(what.get("threshold", "inf")))


def test_experiments_become_branches_are_saved_by_hand_and_go_without_their_rows(project):
    project.dvc("exp", "branch", "bolder", "bold")
    assert "delta: 0.2" in project.git("show", "bold:params.yaml")
    (project.folder / "notes.txt").write_text("What was tried.")
    project.dvc("exp", "save", "--name", "noted", "--include-untracked", "notes.txt")
    project.dvc("exp", "remove", "bolder", "mcp")
    assert set(metrics(project)) == {"main", "fewer", "longer", "noted"}
    assert {"bolder", "mcp"} <= {row.data.tags.get("dvc_exp_name") for row in rows(project, role="pipeline")}
    (project.folder / "notes.txt").unlink()
    assert project.git("status", "--porcelain") == ""


def test_an_applied_experiment_is_the_workspace_and_needs_no_run(project):
    project.dvc("exp", "apply", "fewer")
    assert TRUST_SCORE in json.loads(project.dvc("metrics", "diff", "--json"))["reports/summary.json"]
    assert "up to date" in project.dvc("repro")
    project.commit("Fewer samples for Trust Score")
    assert project.git("status", "--porcelain") == ""


def test_a_second_clone_pulls_it_all_and_repeats_nothing(project, tmp_path):
    project.dvc("remote", "add", "--default", "shared", str(tmp_path / "remote"))
    project.commit("A remote")
    project.dvc("push", "--run-cache")
    project.git("clone", "--quiet", ".", str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    clone.dvc("pull", "--run-cache")
    assert "up to date" in clone.dvc("repro")
    assert clone.git("status", "--porcelain") == ""
    assert (clone.folder / "reports/index.html").read_bytes() == (project.folder / "reports/index.html").read_bytes()
