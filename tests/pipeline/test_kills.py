"""SIGKILL at random moments, of DVC and its stages at once. CONFIDNET_KILLS=50 is the long form, over all stages: `make kills`."""

import os
from pathlib import Path

import pytest
from disturbed_study import assert_undisturbed, forget_outputs, kill_at_random_moments
from small_study import small_study

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("CONFIDNET_KILLS", "0"))


def test_a_study_that_is_killed_at_random_moments_ends_bit_for_bit_as_one_that_is_not(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, capsys: pytest.CaptureFixture
):
    project = small_study(tmp_path_factory, tmp_path / "project")
    forget_outputs(project)
    targets = () if KILLS else ("train_confidnet@digits-0",)
    hits = kill_at_random_moments(project, KILLS or 3, targets, random_seed=KILLS)
    project.dvc("repro", *targets)
    assert_undisturbed(project)
    if KILLS:
        with capsys.disabled():
            print(f"\n{KILLS} kills: {dict(hits)}")
