"""A small study that is disturbed while it runs: killed at random moments, or its disk filled and emptied again."""

import errno
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from dvc_project import Project
from small_study import rows

MAX_STAGES_PASSED = 3  # before a kill, so that the kills spread over all stages however busy the machine is


def forget_outputs(project: Project) -> None:
    """Remove what the stages wrote, and DVC's cache of it; dvc.lock stays, so that git tells whether other files come out."""
    for folder in ("models", "data", ".dvc/cache", ".resume"):
        shutil.rmtree(project.folder / folder, ignore_errors=True)
    project.git("checkout", "--quiet", "--", ".")


def assert_undisturbed(project: Project) -> None:
    """Every file is as in the commit, no MLflow run is open, and nothing temporary is left."""
    assert project.git("status", "--porcelain") == ""
    assert [run.info.run_id for run in rows(project) if run.info.status == "RUNNING"] == []
    folders = [project.folder / name for name in ("data", "models", "reports", ".dvc/tmp/mlflow_open", ".mlflow_kept")]
    assert [path for folder in folders if folder.exists() for path in folder.rglob(".*.tmp")] == []


def kill_at_random_moments(project: Project, kills: int, targets: tuple[str, ...], random_seed: int) -> Counter:
    """Do what `make repro` does again and again, killed with all its processes; return how many kills hit each stage, or DVC itself.

    "dvc.lock" counts how many cut that file. A study that is done before all kills begins anew. AssertionError where DVC fails by itself.
    """
    draw, hits, cut_lock_files = random.Random(random_seed), Counter(), 0
    while hits.total() < kills:
        cut_lock_files += "dvc.lock was cut off" in project.clear_leftovers()
        process = project.start("repro", *targets)
        _wait_for_moment(process, draw.randint(0, MAX_STAGES_PASSED), draw.random())
        if process.poll() is None:
            hits[running_stage(process.pid) or "dvc"] += 1
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        elif process.returncode != 0:
            project.dvc("repro", *targets)  # raises with what it says
        else:
            forget_outputs(project)
    cut_lock_files += "dvc.lock was cut off" in project.clear_leftovers()
    return hits | Counter({"dvc.lock": cut_lock_files})


def _wait_for_moment(process: subprocess.Popen, passed_stages: int, share: float) -> None:
    """Return after some stages of a `dvc repro`, and that share of the time that the last of them took; or where it has ended."""
    stage, began, lasted = None, time.monotonic(), 5.0
    while process.poll() is None:
        now, current = time.monotonic(), running_stage(process.pid)
        if current != stage:
            if stage is not None:
                passed_stages -= 1
                lasted = now - began
            stage, began = current, now
        if passed_stages <= 0 and now - began >= share * lasted:
            return
        time.sleep(0.05)  # to look at all processes takes some milliseconds of a core


def running_stage(dvc_pid: int) -> str | None:
    """The name of the stage that DVC runs at this moment; None between stages."""
    try:
        for child in psutil.Process(dvc_pid).children(recursive=True):
            for word in child.cmdline()[:3]:
                if word.startswith("stages."):
                    return word.removeprefix("stages.")
    except psutil.Error:  # it has ended
        pass
    return None


@contextmanager
def small_disk(folder: Path, size_mb: int) -> Iterator[Path]:
    """A disk in memory, of this size, on FOLDER; the test is skipped where nobody may mount one."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", folder], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"a small disk needs the right to mount one: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def _fill(file: int, left_bytes: int) -> None:
    """Let an open file take all room of its disk but LEFT_BYTES, whatever is written there at the same time."""
    while True:
        room = os.fstatvfs(file)
        try:
            return os.posix_fallocate(file, 0, max(room.f_bavail * room.f_frsize - left_bytes, 1))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


def repro_on_a_disk_that_fills(project: Project, targets: tuple[str, ...], stages: list[str], delay_s: float, left_bytes: int) -> str:
    """Do what `make repro` does; the disk fills DELAY_S after the first of STAGES has begun, or at its end. Return what a failure printed.

    left_bytes: what is left free. When DVC has ended, there is room again.
    """
    project.clear_leftovers()
    ballast, log_path = project.folder.parent / "ballast", project.folder.parent.parent / "log"
    with log_path.open("w") as log:
        command = [*project.prefix, "dvc", "repro", *targets]
        process = subprocess.Popen(command, cwd=project.folder, env=project.environment, stdout=log, stderr=subprocess.STDOUT)
        while process.poll() is None and running_stage(process.pid) not in stages:
            time.sleep(0.01)
        stage, end = running_stage(process.pid), time.monotonic() + delay_s
        while time.monotonic() < end and running_stage(process.pid) == stage:
            time.sleep(0.01)
        with ballast.open("wb") as file:
            _fill(file.fileno(), left_bytes)
        try:
            process.wait(timeout=600)
        finally:
            ballast.unlink()
    printed = log_path.read_text()
    return printed if process.returncode else ""
