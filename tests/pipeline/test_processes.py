"""CONFIDNET_PROCESSES=2: a stage starts two processes, of which one writes; when one of them dies, or is to end, all do, with one line."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import torch
from dvc_project import Project
from small_study import rows
from stage_processes import environment_of_stages, start

from confidnet_core.files import read_csv

LONG = 2000  # epochs, which no test awaits
TRAIN = ("train_baseline", "--benchmark", "digits", "--seed", "0")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the digits prepared, whose MLflow store is made."""
    folder = tmp_path_factory.mktemp("processes") / "project"
    shifts = {"corruptions": ["noise"], "severities": [3], "seed": 0}
    settings = {"baseline.epochs": 2, "mc_dropout.passes": 3, "shifts": shifts}
    Project.create(folder, methods={"tta": {}}, **{f"benchmarks.digits.{key}": value for key, value in settings.items()})
    assert start(folder, "prepare", "digits").returncode == 0
    return folder


@pytest.fixture
def project(prepared: Path, tmp_path: Path) -> Project:
    shutil.copytree(prepared, tmp_path / "project")
    return Project(tmp_path / "project")


@contextmanager
def in_training(project: Project, epochs: int = LONG) -> Iterator[tuple[psutil.Process, list[psutil.Process]]]:
    """The process that was started as the stage, and its two, by rank, after their first epoch. All are ended at last."""
    project.change(**{"benchmarks.digits.baseline.epochs": epochs})
    command = [sys.executable, "-m", f"stages.{TRAIN[0]}", *TRAIN[1:]]
    variables = environment_of_stages() | {"CONFIDNET_PROCESSES": "2"}
    with (project.folder / "printed").open("w") as printed:
        stage = psutil.Popen(command, cwd=project.folder, env=variables, stdout=printed, stderr=printed)
    try:
        wait_for(lambda: any((project.folder / ".resume").glob("*/state.pt")) or stage.poll() is not None)
        assert stage.poll() is None, (project.folder / "printed").read_text()
        workers = [child for child in stage.children() if "RANK" in child.environ()]
        yield stage, sorted(workers, key=lambda worker: int(worker.environ()["RANK"]))
    finally:
        for process in [stage, *workers]:
            if process.is_running():
                process.kill()
        stage.wait()


def wait_for(condition: Callable[[], bool], seconds: float = 100) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def messages(project: Project) -> list[str]:
    """What the stage has printed beside its lines of epochs."""
    return [line for line in (project.folder / "printed").read_text().splitlines() if ": epoch " not in line]


def statuses(project: Project) -> list[str]:
    return [run.info.status for run in rows(project) if run.data.tags.get("stage") == "train_baseline"]


@pytest.mark.slow
def test_two_processes_write_one_network_and_one_row_as_a_single_process_does(project: Project):
    single = start(project.folder, *TRAIN)
    weights = torch.load(project.folder / "models/digits/seed0/baseline/weights.pt")
    history = read_csv(project.folder / "data/histories/digits/seed0/baseline.csv")
    shutil.rmtree(project.folder / "models/digits")
    shared = start(project.folder, *TRAIN, CONFIDNET_PROCESSES="2")
    assert shared.returncode == 0
    epochs_of_both = [[line.split(", val")[0] for line in done.stderr.splitlines()] for done in (shared, single)]
    assert epochs_of_both[0] == epochs_of_both[1]
    for name, value in torch.load(project.folder / "models/digits/seed0/baseline/weights.pt").items():
        torch.testing.assert_close(value, weights[name], rtol=1e-4, atol=1e-6)
    assert read_csv(project.folder / "data/histories/digits/seed0/baseline.csv").round(4).equals(history.round(4))
    assert statuses(project) == ["FINISHED", "FINISHED"]


@pytest.mark.slow
def test_predictions_samples_and_scores_of_four_processes_are_the_single_ones_to_the_bit(project: Project):
    assert start(project.folder, *TRAIN).returncode == 0
    inputs = project.folder / "data/inputs/digits/seed0"
    inputs.mkdir(parents=True)
    (inputs / "tta.json").write_text("{}")
    stages = [("predict", "digits", "0"), ("sample", "digits", "0"), ("evaluate", "digits", "0", "tta")]
    stages += [("thresholds", "digits", "0", "tta"), ("prepare_foreign", "digits"), ("evaluate_shifts", "digits")]
    outputs = [project.folder / "data" / name / "digits/seed0" for name in ("predictions", "samples", "scores")]
    outputs.append(project.folder / "data/shifts/digits")

    def contents(**variables: str) -> dict[Path, bytes]:
        for stage in stages:
            done = start(project.folder, *stage, **variables)
            assert (done.returncode, done.stderr) == (0, "")
        files = {path: path.read_bytes() for output in outputs for path in output.rglob("*") if path.is_file()}
        for output in outputs:
            shutil.rmtree(output)
        return files

    single = contents()
    assert len(single) > 10
    assert contents(CONFIDNET_PROCESSES="4") == single


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_dies_ends_the_stage_within_a_minute_and_another_number_goes_on(project: Project, rank: int):
    with in_training(project) as (stage, workers):
        began = time.monotonic()
        workers[rank].kill()
        assert stage.wait(timeout=60) == 1
        assert time.monotonic() - began < 60
        assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)
    killed = f"process {rank + 1} of 2 (pid {workers[rank].pid}) was killed by SIGKILL, perhaps for want of memory"
    assert messages(project) == [f"train_baseline: {killed}; run the same command again, it goes on"]
    assert not (project.folder / "models/digits").exists()
    epochs_before = (project.folder / "printed").read_text().count(": epoch ")
    first_epoch = first_epoch_of_a_single_process(project)
    assert first_epoch in (epochs_before + 1, epochs_before + 2)  # an epoch is stored before it is printed


def first_epoch_of_a_single_process(project: Project) -> int:
    """The epoch with which a stage in one process begins, or goes on; it is killed after it."""
    command = [sys.executable, "-m", f"stages.{TRAIN[0]}", *TRAIN[1:]]
    with subprocess.Popen(command, cwd=project.folder, env=environment_of_stages(), stderr=subprocess.PIPE, text=True) as stage:
        assert stage.stderr is not None
        first_line = stage.stderr.readline()
        stage.kill()
    return int(first_line.removeprefix("train_baseline: epoch ").split("/")[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "exit_code", "printed"),
    [
        (signal.SIGTERM, 143, []),
        (signal.SIGINT, 130, ["train_baseline: interrupted; run the same command again, it goes on"]),
    ],
)
def test_a_signal_to_the_stage_ends_all_its_processes(project: Project, number: int, exit_code: int, printed: list[str]):
    with in_training(project) as (stage, workers):
        os.kill(stage.pid, number)
        assert stage.wait(timeout=60) == exit_code
        assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)
    assert messages(project) == printed
    assert statuses(project) == ["KILLED"]


@pytest.mark.slow
def test_processes_end_by_themselves_when_the_one_that_started_them_is_killed(project: Project):
    with in_training(project) as (stage, workers):
        stage.kill()
        wait_for(lambda: not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers), 60)
    assert statuses(project) == ["KILLED"]


@pytest.mark.parametrize("number", ["two", "0", "-1", "1.5"])
def test_a_number_of_processes_that_is_none_is_refused(prepared: Path, number: str):
    done = start(prepared, "predict", "digits", "0", CONFIDNET_PROCESSES=number)
    expected = f"predict: CONFIDNET_PROCESSES is {number!r}; expected a number of processes, 1 or more; unset it for one\n"
    assert (done.returncode, done.stderr) == (1, expected)


@pytest.mark.slow
def test_a_mistake_of_the_user_is_told_once_by_all_processes_together(prepared: Path):
    done = start(prepared, "predict", "digitz", "0", CONFIDNET_PROCESSES="2")
    assert (done.returncode, done.stderr) == (1, "predict: params.yaml: benchmarks has no digitz; did you mean digits?\n")
