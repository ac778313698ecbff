"""A disk that fills while a stage runs: one line says so, and the same command ends the study bit for bit once there is room again.

CONFIDNET_FULL_DISK=all is the long form, over all stages in turn: `make full-disk`.
"""

import os
import random
import re
from collections import Counter
from pathlib import Path

import pytest
from disturbed_study import assert_undisturbed, forget_outputs, repro_on_a_disk_that_fills, small_disk
from dvc_project import Project
from ruamel.yaml import YAML
from small_study import small_study

pytestmark = pytest.mark.slow

FILLS_ALL_STAGES = os.environ.get("CONFIDNET_FULL_DISK") == "all"
SIZE_MB = 120
# What is left free: nothing, less than a stage needs to start, and enough to start.
LEFT_BYTES = (0, 100_000, 2_600_000)


def test_the_study_on_a_disk_that_fills_in_each_stage_ends_bit_for_bit_by_the_same_command(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, capsys: pytest.CaptureFixture
):
    with small_disk(tmp_path / "disk", SIZE_MB) as disk:
        project = small_study(tmp_path_factory, disk / "project")
        forget_outputs(project)
        stages = list(YAML(typ="safe").load(project.folder / "dvc.yaml")["stages"]) if FILLS_ALL_STAGES else ["train_baseline"]
        targets = () if FILLS_ALL_STAGES else ("train_baseline@digits-0",)
        draw, failures = random.Random(0), Counter()
        for index in range(len(stages)):
            for left_bytes in LEFT_BYTES if FILLS_ALL_STAGES else (0,):
                printed = repro_on_a_disk_that_fills(project, targets, stages[index:], draw.uniform(0, 3), left_bytes)
                if printed == "":  # all stages from this one on were over before, or needed no more
                    break
                assert "Traceback" not in printed, printed
                line = re.search(r"^(\w+): .* cannot be written: the disk is full \(.* free\); free some space", printed, re.M)
                # Where the stage was over, the one after it says so; or DVC, which then stores what the stage wrote.
                assert line or "No space left on device" in printed, printed
                assert line is None or line[1] in stages[index:], printed
                failures[line[1] if line else "dvc"] += 1
        project.clear_leftovers()
        project.dvc("repro", *targets)
        assert_undisturbed(project)
    if FILLS_ALL_STAGES:
        with capsys.disabled():
            print(f"\n{failures.total()} times full, in {len(stages)} stages; named by {dict(failures)}")
    assert len(failures.keys() - {"dvc"}) >= len(stages) / 2


def test_a_limit_for_the_size_of_files_is_named_and_the_same_command_goes_on_without_it(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
):
    project = small_study(tmp_path_factory, tmp_path / "project")
    limited = Project(project.folder)
    limited.prefix = ("bash", "-c", 'ulimit -f "$0"; exec "$@"', "600")  # kB; without privileges, unlike a small disk
    command = ("repro", "--force", "--single-item", "train_baseline@digits-0")
    printed = limited.dvc(*command, fails=True)
    assert "train_baseline: models/digits/seed0/baseline cannot be written: it grows above the size limit for a file of 614 kB" in printed
    assert "Traceback" not in printed
    project.dvc(*command)
    assert_undisturbed(project)


def test_what_a_full_disk_left_in_the_run_cache_is_removed_before_the_study_goes_on(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
):
    project = small_study(tmp_path_factory, tmp_path / "project")
    empty = next((project.folder / ".dvc/cache/runs").glob("*/*"))
    for entry in empty.iterdir():
        entry.unlink()
    os.utime(empty, (0, 0))
    (project.folder / ".dvc/tmp/rwlock").write_text("")
    os.utime(project.folder / ".dvc/tmp/rwlock", (0, 0))
    project.clear_leftovers()
    assert not empty.exists()
    assert "up to date" in project.dvc("repro")
