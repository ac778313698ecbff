"""Experiments on several machines, as docs/sweeps.md describes: clones with one git remote, one DVC remote and one MLflow server."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from dvc.utils.hydra import apply_overrides
from dvc_project import BINARIES, Project, clone
from mlflow import MlflowClient
from mlflow.entities import Run
from project_code import ROOT
from small_study import small_study
from tracking_servers import Mlflow, mlflow_server

from confidnet_core.config.params import load_params

SCRIPT = ROOT / "docs/examples/sweep.sbatch"
SAMPLES = {"benchmarks.digits.mc_dropout.passes": "3"}  # reruns the sampling and a score
HEAD = {"benchmarks.digits.confidnet.epochs": "2"}  # reruns trainings
EPOCHS = 800  # of which the shortest take 0.03 s


@pytest.fixture(scope="module")
def server(first_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mlflow]:
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(first_store, folder / "s.db")
    with mlflow_server(folder) as running:
        yield running


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The bare git repository of a study whose results are in a DVC remote, a folder."""
    folder = tmp_path_factory.mktemp("sweeps")
    study = small_study(tmp_path_factory, folder / "study")
    study.dvc("remote", "add", "--default", "shared", str(folder / "remote"))
    study.commit("A remote")
    study.dvc("push", "--run-cache")
    study.git("clone", "--quiet", "--bare", str(study.folder), str(folder / "origin"))
    return Project(folder / "origin")


def machine(origin: Project, folder: Path, server: Mlflow) -> Project:
    """A clone that knows the MLflow server."""
    copy = clone(origin, folder)
    copy.environment["MLFLOW_TRACKING_URI"] = server.uri
    return copy


def run_and_push(machine: Project, name: str, settings: dict[str, str]) -> str:
    """As the page says it; return what was printed."""
    words = [word for item in settings.items() for word in ("--set-param", "=".join(item))]
    printed = machine.dvc("exp", "run", "--pull", "--name", name, *words)
    return printed + machine.dvc("exp", "push", "--run-cache", "origin", name)


def rows_of(server: Mlflow, experiment_name: str, **tags: str) -> list[Run]:
    client = MlflowClient(server.uri)
    wanted = " and ".join(f"tags.{key} = '{value}'" for key, value in {"dvc_exp_name": experiment_name, **tags}.items())
    return client.search_runs([client.get_experiment_by_name("confidnet/digits").experiment_id], wanted)


@pytest.mark.slow
def test_two_machines_run_and_push_and_a_third_takes_all_that_they_have_computed(origin: Project, server: Mlflow, tmp_path: Path):
    first, second, third = (machine(origin, tmp_path / name, server) for name in ("first", "second", "third"))
    assert "Running stage 'sample@digits-0'" in run_and_push(first, "samples", SAMPLES)
    assert "Running stage 'train_confidnet@digits-0'" in run_and_push(second, "head", HEAD)
    assert not third.dvc("exp", "list", "--name-only").split()

    third.dvc("exp", "pull", "origin", "samples", "head")
    assert set(third.dvc("exp", "list", "--name-only").split()) == {"samples", "head"}
    table = third.confidnet("experiments", "--csv")
    assert all(name in table for name in ("samples", "head"))
    side_by_side = third.confidnet("show", "main", "samples", "head")
    assert all(name in side_by_side for name in ("samples", "head"))
    for name, computed in {"samples": first, "head": second}.items():
        third.dvc("exp", "apply", name)
        assert third.stages_run("repro") == []
        for path in ("reports/comparison.csv", "reports/index.html", "models/digits/seed0/confidnet/weights.pt"):
            assert (third.folder / path).read_bytes() == (computed.folder / path).read_bytes()
        (execution,) = rows_of(server, name, role="pipeline")
        assert (execution.info.run_name, execution.info.status) == (name, "FINISHED")
    assert rows_of(server, "head", stage="train_confidnet") and not rows_of(server, "samples", stage="train_confidnet")
    assert not (third.folder / "mlflow.db").exists()

    printed = run_and_push(third, "both", HEAD | {"against": "[entropy]"})
    stages = [line.split("'")[1].partition("@")[0] for line in printed.splitlines() if line.startswith("Running stage")]
    assert stages == ["compare"], "it alone reads `against`; all else comes from the second machine's run cache"

    assert "has diverged from remote experiment with the same name" in run_and_push(second, "samples", {"against": "[entropy]"})


def slurm_task(project: Project, folder: Path, line: str, **variables: str) -> subprocess.Popen:
    """The script as Slurm starts it for the second task of an array, whose line is this; `scontrol` notes how it was called."""
    (folder / "scratch").mkdir(exist_ok=True)
    (folder / "sweep.txt").write_text(f"other seeds=[5]\n{line}\n")
    scontrol = folder / "bin/scontrol"
    scontrol.parent.mkdir(exist_ok=True)
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {folder}/scontrol\n')
    scontrol.chmod(0o755)
    slurm = {"SLURM_JOB_ID": "8", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "2", "SLURM_SUBMIT_DIR": str(project.folder)}
    sweep = {"SWEEP_FILE": str(folder / "sweep.txt"), "SWEEP_SCRATCH": str(folder / "scratch"), "SWEEP_VENV": str(BINARIES.parent)}
    git = {f"GIT_{who}_{what}": "test@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    path = {"PATH": f"{scontrol.parent}{os.pathsep}{project.environment['PATH']}"}
    with (folder / "printed").open("a") as printed:
        return subprocess.Popen(
            ["bash", str(SCRIPT)], env=project.environment | slurm | sweep | git | path | variables, stdout=printed, stderr=printed
        )


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


@pytest.mark.slow
def test_a_task_of_slurm_that_is_stopped_twice_goes_on_in_its_training_and_pushes(origin: Project, server: Mlflow, tmp_path: Path):
    """By SIGKILL, as in a preemption, and by SIGTERM, before its time is over, upon which it asks to be started again."""
    project, name = machine(origin, tmp_path / "project", server), "long"
    line, work = f"{name} run=[digits] benchmarks.digits.confidnet.epochs={EPOCHS}", tmp_path / "scratch/7_2"

    def printed() -> str:
        return (tmp_path / "printed").read_text()

    first = slurm_task(project, tmp_path, line)
    wait_for(lambda: any(work.glob(".resume/train_confidnet-*/state.pt")) or first.poll() is not None)
    assert first.poll() is None, printed()
    kill_with_children(first)
    before = printed()
    assert "start 1, CONFIDNET_PROCESSES=1" in before and f"{EPOCHS}/{EPOCHS}" not in before

    second = slurm_task(project, tmp_path, line, SLURM_RESTART_COUNT="1")
    wait_for(lambda: "train_confidnet: epoch" in printed().removeprefix(before) or second.poll() is not None)
    assert second.poll() is None, printed()
    second.send_signal(signal.SIGTERM)
    assert second.wait(timeout=60) == 0
    assert (tmp_path / "scontrol").read_text() == "requeue 7_2\n"
    again = printed().removeprefix(before)
    assert "start 2" in again and f"{EPOCHS}/{EPOCHS}" not in again

    third = slurm_task(project, tmp_path, line, SLURM_RESTART_COUNT="2")
    assert third.wait(timeout=600) == 0, printed()
    last = printed().removeprefix(before + again)
    assert "start 3" in last and f"epoch {EPOCHS}/{EPOCHS}" in last
    assert f"train_confidnet: epoch 1/{EPOCHS}" not in again + last
    assert last.rstrip().endswith(f"sweep: {name} is done and pushed; {work} can be deleted")
    assert name in project.dvc("exp", "list", "origin", "--name-only")
    (training,) = rows_of(server, name, stage="train_confidnet")  # one row, which was continued
    assert training.info.status == "FINISHED"


def kill_with_children(script: subprocess.Popen) -> None:
    """SIGKILL to the script and to all that it has started, as Slurm does it at last."""
    processes = [psutil.Process(script.pid), *psutil.Process(script.pid).children(recursive=True)]
    for process in processes:
        process.kill()
    script.wait(timeout=60)
    psutil.wait_procs(processes[1:], timeout=60)


def test_the_script_for_slurm_is_valid_and_says_what_is_missing(tmp_path: Path):
    assert subprocess.run(["bash", "-n", str(SCRIPT)], capture_output=True, text=True).stderr == ""
    project = Project(tmp_path)
    for variables, problem in [
        ({"SLURM_SUBMIT_DIR": ""}, "SLURM_SUBMIT_DIR: is set by Slurm: start this script with sbatch"),
        ({"SLURM_ARRAY_JOB_ID": ""}, "SLURM_ARRAY_JOB_ID: is set by Slurm: start this script with sbatch --array=1-N"),
        ({"SWEEP_SCRATCH": ""}, "SWEEP_SCRATCH: is not set: name a folder that all nodes see, and that outlives a task"),
        ({"SLURM_ARRAY_TASK_ID": "9"}, f"is missing: {tmp_path}/sweep.txt has no line 9"),
    ]:
        (tmp_path / "printed").write_text("")
        assert slurm_task(project, tmp_path, "seed1 seeds=[1]", **variables).wait(timeout=60) != 0
        (message,) = (tmp_path / "printed").read_text().splitlines()
        assert message.endswith(problem)


def test_every_line_of_the_example_names_an_experiment_and_settings_that_exist(tmp_path: Path):
    lines = [line.split() for line in (ROOT / "docs/examples/sweep.txt").read_text().splitlines()]
    assert len({name for name, *_ in lines}) == len(lines)
    for _, *settings in lines:
        shutil.copy(ROOT / "params.yaml", tmp_path)
        apply_overrides(tmp_path / "params.yaml", settings)
        load_params(tmp_path / "params.yaml")
