"""What killed processes and full disks left: removed where its process is dead, kept where it lives."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from confidnet_core.files import atomic_write, write_text
from confidnet_core.system.leftovers import REMOTE_ALIVE_TIMEOUT_S, remove_dead_temporaries, remove_leftovers, temporary_name


def name_of(pid: int, kind: str = "tmp", host: str | None = None) -> str:
    own_host, _, rest = temporary_name("seed0", kind).removeprefix(".seed0.").partition("-")
    return f".seed0.{host or own_host}-{pid}.{rest.partition('.')[2]}"


@pytest.fixture
def dead() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_temporary_folder_of_a_dead_process_is_removed_and_that_of_a_living_one_stays(tmp_path: Path, dead: int):
    living = os.getppid()
    for pid in (dead, living):
        (tmp_path / name_of(pid)).mkdir()
        (tmp_path / name_of(pid) / "half").touch()
    (tmp_path / f".seed1.{dead}.tmp").touch()  # as former versions called it
    (tmp_path / "seed0").mkdir()
    (tmp_path / ".hidden.tmp").touch()
    remove_dead_temporaries(tmp_path)
    assert names(tmp_path) == {name_of(living), "seed0", ".hidden.tmp"}


def test_what_another_machine_writes_on_a_shared_disk_stays_for_a_day(tmp_path: Path, dead: int):
    for number, age_s in enumerate((60, REMOTE_ALIVE_TIMEOUT_S + 60)):
        path = tmp_path / name_of(dead + number, host="abcdef")
        path.touch()
        os.utime(path, (time.time() - age_s,) * 2)
    remove_dead_temporaries(tmp_path)
    assert names(tmp_path) == {name_of(dead, host="abcdef")}


def test_the_next_writer_of_a_path_removes_what_the_killed_one_left_of_it(tmp_path: Path, dead: int):
    (tmp_path / name_of(dead)).mkdir()
    (tmp_path / name_of(dead).replace("seed0", "seed1")).mkdir()
    with atomic_write(tmp_path / "seed0") as temporary_folder:
        temporary_folder.mkdir()
    assert names(tmp_path) == {"seed0", name_of(dead).replace("seed0", "seed1")}


def test_a_folder_whose_replacement_was_killed_between_the_two_renames_comes_back(tmp_path: Path, dead: int):
    write_text(tmp_path / name_of(dead, "old.tmp") / "old", "1")
    remove_dead_temporaries(tmp_path)
    assert (tmp_path / "seed0/old").read_text() == "1"
    write_text(tmp_path / name_of(dead, "old.tmp") / "older", "0")
    remove_dead_temporaries(tmp_path)
    assert names(tmp_path) == {"seed0"} and names(tmp_path / "seed0") == {"old"}


def test_a_project_without_dvc_is_no_error(tmp_path: Path):
    remove_leftovers(tmp_path, [tmp_path / "absent"])
