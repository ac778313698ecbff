"""Interrupted trainings: killed at any moment and started again, they end bit for bit as if never interrupted."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filelock
import pytest
import torch
from project_code import ROOT
from small import BASELINE, CPU, MLP, benchmark, same, small_digits, state, trained_run, training
from small_params import changed, load, replace
from torch import Tensor

from confidnet_core import revision
from confidnet_core.config.recipes import Augmentation, BaselineRecipe
from confidnet_core.data import save_dataset
from confidnet_core.networks.artifacts import build_classifier
from confidnet_core.training.loop import Training, TrainingState
from confidnet_core.training.resume import ResumeFolder, resumable_work
from confidnet_core.training.trainings import finetune_confidnet, train_classifier, train_confidnet
from stages._training import training_job

INPUTS = {"params": {"epochs": 5, "rate": 0.01}, "seed": 0, "data": "0123", "device": "cpu", "code": "4567"}
RECIPE = replace(BASELINE, epochs=5, augmentation=Augmentation(flip=True, crop=1))


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return tmp_path


def train(resume: ResumeFolder, recipe: BaselineRecipe = RECIPE, stop_at: int | None = None) -> tuple[dict[str, Tensor], TrainingState]:
    """Train a perceptron on digits, always from the same initial weights."""

    def log(metrics: dict, epoch: int) -> None:
        if epoch == stop_at:  # before the epoch is saved: all of its work is lost
            raise KeyboardInterrupt

    dataset = small_digits()
    torch.manual_seed(0)
    classifier = build_classifier(MLP, dataset)
    fit = train_classifier(classifier, Training("train_baseline", dataset, recipe, 0, CPU, resume, log))
    return state(classifier), fit


def folders(project: Path) -> list[Path]:
    return [path for path in (project / ".resume").iterdir() if path.is_dir()]


@contextmanager
def process_in_its_third_epoch(project: Path) -> Iterator[subprocess.Popen]:
    """Start a training in its own process and yield it as soon as it waits in its third epoch."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests/helpers'}", "DVC_ROOT": str(project)}
    with subprocess.Popen([sys.executable, __file__], env=environment, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout.readline() == "third epoch\n"
            yield child
        finally:
            child.kill()


@pytest.mark.slow
def test_a_training_killed_in_its_third_epoch_ends_bit_for_bit_as_an_uninterrupted_one(project: Path):
    with process_in_its_third_epoch(project) as child:
        message = rf"another process \(pid {child.pid}\) is already at this work \(train_baseline.*wait for it or stop it"
        refused = pytest.raises(ValueError, match=message)
        with refused, resumable_work("train_baseline", INPUTS):
            pytest.fail("two processes at one training")
        with resumable_work("train_baseline", {**INPUTS, "seed": 1}):
            pass  # another seed may run beside it
        child.kill()  # SIGKILL: nothing in the process can clean up
        child.wait()
    with resumable_work("train_baseline", INPUTS) as resume:
        assert [row["epoch"] for row in resume.load()["history"]] == [1, 2]
        weights, fit = train(resume)
    expected_weights, expected = train(ResumeFolder(project / "uninterrupted"))
    assert same(weights, expected_weights)
    assert fit.history == expected.history
    assert (fit.best_epoch, fit.best_metrics) == (expected.best_epoch, expected.best_metrics)
    assert folders(project) == []


@pytest.mark.parametrize("stop_at", [1, 2, 5])
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"optimizer": "sgd", "learning_rate": 0.05, "schedule": "one_cycle"},
        {"schedule": "multi_step", "milestones": (1, 3), "weight_decay": 1e-3},
        {"schedule": "one_cycle", "class_weights": "median_frequency"},
    ],
)
def test_every_optimiser_and_schedule_goes_on_where_it_was(tmp_path: Path, changed: dict, stop_at: int):
    recipe = replace(RECIPE, **changed)
    with pytest.raises(KeyboardInterrupt):
        train(ResumeFolder(tmp_path / "interrupted"), recipe, stop_at)
    weights, fit = train(ResumeFolder(tmp_path / "interrupted"), recipe)
    expected_weights, expected = train(ResumeFolder(tmp_path / "uninterrupted"), recipe)
    assert same(weights, expected_weights)
    assert fit.history == expected.history


def test_a_training_that_was_killed_after_its_last_epoch_is_not_trained_again(tmp_path: Path):
    weights, fit = train(ResumeFolder(tmp_path))
    again, fit_again = train(ResumeFolder(tmp_path), stop_at=5)
    assert same(weights, again)
    assert fit_again.history == fit.history


@pytest.mark.parametrize("stage", ["train_confidnet", "finetune"])
def test_the_trainings_of_the_confidence_go_on_as_well(tmp_path: Path, stage: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CONFIDNET_DEVICE", "cpu")
    run = trained_run(tmp_path, small_digits(), benchmark())

    def train_one(folder: str, stop_at: int | None) -> tuple[dict[str, Tensor], list]:
        def log(metrics: dict, epoch: int) -> None:
            if epoch == stop_at:
                raise KeyboardInterrupt

        network, recipe = replace(run).confidnet_head(), run.benchmark.confidnet  # loaded anew
        if stage == "finetune":
            network, recipe = network.finetuning_copy(), run.benchmark.finetune
        training_inputs = replace(training(run.dataset, replace(recipe, epochs=3), tmp_path / folder, stage), log=log)
        fit = (
            train_confidnet(network, training_inputs)
            if stage == "train_confidnet"
            else finetune_confidnet(network, run.classifier, training_inputs)
        )
        return state(network), fit.history

    with pytest.raises(KeyboardInterrupt):
        train_one("interrupted", stop_at=3)
    weights, history = train_one("interrupted", stop_at=None)
    expected_weights, expected = train_one("uninterrupted", stop_at=None)
    assert same(weights, expected_weights)
    assert history == expected


@pytest.mark.parametrize("key", ["params", "seed", "data", "device", "code"])
def test_other_inputs_are_another_training_and_start_afresh(key: str):
    with pytest.raises(KeyboardInterrupt), resumable_work("train_baseline", INPUTS) as resume:
        train(resume, stop_at=3)
    with resumable_work("train_baseline", {**INPUTS, key: "other"}) as resume:
        assert resume.load() is None
    with resumable_work("train_confidnet", INPUTS) as resume:
        assert resume.load() is None
    with resumable_work("train_baseline", dict(reversed(INPUTS.items()))) as resume:  # the same inputs in another order
        assert len(resume.load()["history"]) == 2


def test_a_stages_other_code_is_another_training_and_what_only_reports_is_not(root: Path, clean: pytest.MonkeyPatch, tmp_path: Path):
    clean.setenv("CONFIDNET_DEVICE", "cpu")
    checkout = tmp_path / "checkout"
    for name in ("confidnet_core", "stages"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "dvc.yaml", checkout)
    clean.setattr(revision, "CODE_ROOT", checkout)
    params = load(tmp_path, changed(("seeds",), [0]))
    save_dataset(small_digits(), Path("data/prepared/small"))
    found = []
    for edited in ("README.md", "confidnet_core/reporting/page.py", "stages/_training.py"):
        with (checkout / edited).open("a") as file:
            file.write("# edited\n")
        started = training_job("train_baseline", params, "small", 77, "baseline")  # a seed of no other test, since what is left stays
        with pytest.raises(KeyboardInterrupt), started as (job, _):
            found.append(job.training.resume.load())
            job.training.resume.save({"epoch": 1})
            raise KeyboardInterrupt
    assert found == [None, {"epoch": 1}, None]


def test_the_folder_stays_after_a_failure_and_goes_after_success(project: Path):
    for error in (ValueError, KeyboardInterrupt, SystemExit):
        with pytest.raises(error), resumable_work("train_baseline", INPUTS) as resume:
            resume.save({"epoch": 1})
            raise error
        assert folders(project) == [resume.folder]
        assert resume.load() == {"epoch": 1}
    with resumable_work("train_baseline", INPUTS) as resume:
        assert resume.load() == {"epoch": 1}
    assert folders(project) == []


def test_without_dvc_the_folder_is_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("DVC_ROOT")
    monkeypatch.chdir(tmp_path)
    with resumable_work("train_baseline", INPUTS) as resume:
        monkeypatch.chdir("/")
        assert resume.folder.parent == tmp_path / ".resume"


def test_a_lock_that_times_out_inside_the_training_is_not_taken_for_a_second_process():
    with pytest.raises(filelock.Timeout), resumable_work("train_baseline", INPUTS):
        raise filelock.Timeout("mlflow.db.lock")


@pytest.mark.parametrize("damage", ["empty", "cut", "text"])
def test_a_damaged_state_is_named_and_the_training_starts_again(tmp_path: Path, damage: str, capsys: pytest.CaptureFixture):
    with pytest.raises(KeyboardInterrupt):
        train(ResumeFolder(tmp_path / "damaged"), stop_at=3)
    path = tmp_path / "damaged" / "state.pt"
    content = path.read_bytes()
    path.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "text": b"no weights\n"}[damage])
    weights, fit = train(ResumeFolder(tmp_path / "damaged"))
    expected_weights, expected = train(ResumeFolder(tmp_path / "uninterrupted"))
    assert f"WARNING {path} is damaged (" in capsys.readouterr().err
    assert same(weights, expected_weights)
    assert fit.history == expected.history


def third_epoch(metrics: dict, epoch: int) -> None:
    if epoch == 3:
        print("third epoch", flush=True)
        time.sleep(600)


if __name__ == "__main__":
    with resumable_work("train_baseline", INPUTS) as started:
        data = small_digits()
        torch.manual_seed(0)
        train_classifier(build_classifier(MLP, data), Training("train_baseline", data, RECIPE, 0, CPU, started, third_epoch))
