"""DVC's own files, cut by a kill or a full disk: repaired while no DVC is at work, and left alone otherwise."""

import errno
import fcntl
import os
import random
import subprocess
from pathlib import Path

import pytest
from dvc.schema import COMPILED_LOCKFILE_SCHEMA
from dvc.utils.serialize import loads_yaml
from project_code import ROOT

from confidnet_core.files import write_text
from confidnet_core.system import leftovers, room
from confidnet_core.system.dvc_files import _is_refused, dvc_standing_still, repair_dvc_folder, repair_lock_file

ENTRY = "0123456789abcdef" * 4
STAGE = "  {name}:\n    cmd: python -m {name}\n    outs:\n    - path: {name}.txt\n      hash: md5\n      md5: {md5}\n      size: 12\n"
WHOLE = "schema: '2.0'\nstages:\n" + "".join(STAGE.format(name=name, md5="0a" * 16) for name in ("one", "two", "three@x-0"))


def make_old(*paths: Path) -> None:
    for path in paths:
        os.utime(path, (0, 0))


def test_empty_folders_and_cut_entries_of_the_run_cache_are_removed_and_what_dvc_is_making_stays(tmp_path: Path):
    runs = tmp_path / ".dvc/cache/runs"
    whole, empty, cut, new = (runs / key[:2] / key for key in ("aa1", "bb2", "cc3", "dd4"))
    for stage_folder in (whole, empty, cut, new):
        stage_folder.mkdir(parents=True)
    (whole / ENTRY).write_text("cmd: x\nouts:\n- path: a\n")
    (whole / ".Qm3-x_9.tmp").write_text("cmd: x\ndeps:\n")  # the newest, where a disk was full: DVC would look for its outputs
    (cut / ENTRY).touch()
    make_old(whole / ENTRY, whole / ".Qm3-x_9.tmp", cut / ENTRY, whole, empty, cut)
    repair_dvc_folder(tmp_path)
    assert [path.exists() for path in (whole / ENTRY, empty, cut, new)] == [True, False, False, True]
    assert [entry.name for entry in whole.iterdir()] == [ENTRY]


@pytest.mark.parametrize(("content", "stays"), [("", False), ('{"read": ', False), ("{}", True)])
def test_a_cut_rwlock_of_dvc_is_removed(tmp_path: Path, content: str, stays: bool):
    rwlock = tmp_path / ".dvc/tmp/rwlock"
    write_text(rwlock, content)
    repair_dvc_folder(tmp_path)
    assert rwlock.exists()  # of this moment: DVC may be writing it
    make_old(rwlock)
    repair_dvc_folder(tmp_path)
    assert rwlock.exists() == stays


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, in which git has WHOLE as dvc.lock in its index."""
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "--quiet"], check=True)
    Path("dvc.lock").write_text(WHOLE)
    subprocess.run(["git", "add", "dvc.lock"], check=True)
    return tmp_path


def test_a_lock_file_that_is_cut_anywhere_is_whole_again_with_the_stages_in_their_order(folder: Path):
    for length in range(len(WHOLE)):
        Path("dvc.lock").write_text(WHOLE[:length])
        repair_lock_file()
        lock = loads_yaml(Path("dvc.lock").read_text())
        assert COMPILED_LOCKFILE_SCHEMA(lock) and list(lock["stages"]) == ["one", "two", "three@x-0"], length
    assert [path.name for path in folder.iterdir() if path.name != ".git"] == ["dvc.lock"]


def test_what_was_written_before_the_cut_stays_and_the_sentence_counts_it(folder: Path):
    newer = WHOLE.replace("size: 12", "size: 13")
    Path("dvc.lock").write_text(newer[: newer.index("  three") - 15])
    assert repair_lock_file() == "dvc.lock was cut off: 1 stages are whole, 2 as in git; the others are found again"
    assert Path("dvc.lock").read_text() == newer[: newer.index("  two")] + WHOLE[WHOLE.index("  two") :]


@pytest.mark.parametrize(
    "content",
    [
        WHOLE,
        WHOLE.replace("size: 12", "size: 13"),
        "schema: '2.0'\nstages:\n" + STAGE.format(name="other", md5="0a" * 16),  # of another benchmark: not the beginning of what git has
        WHOLE.replace("  two", "<<<<<<< HEAD\n  two"),
        WHOLE.replace("  one:", " one:\n:"),
    ],
)
def test_a_lock_file_that_is_not_cut_stays_as_it_is(folder: Path, content: str):
    Path("dvc.lock").write_text(content)
    assert repair_lock_file() is None
    assert Path("dvc.lock").read_text() == content


def test_outside_of_git_the_whole_stages_stay_and_an_empty_file_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    Path("dvc.lock").write_text(WHOLE[:-20])
    repair_lock_file()
    assert Path("dvc.lock").read_text() == WHOLE[: WHOLE.index("  three")]
    Path("dvc.lock").write_text("")
    repair_lock_file()
    assert not Path("dvc.lock").exists() and repair_lock_file() is None


def test_every_cut_that_dvc_refuses_is_seen(tmp_path: Path):
    content = (ROOT / "dvc.lock").read_text()
    start = content.index("  evaluate@digits-0-mcp:")
    content = content[:3000].rpartition("\n")[0] + "\n" + content[start : start + 6000]
    assert not _is_refused((ROOT / "dvc.lock").read_bytes())
    for length in random.Random(0).sample(range(len(content)), 200):
        try:
            COMPILED_LOCKFILE_SCHEMA(loads_yaml(content[:length]))
        except Exception:  # whatever DVC raises for it
            assert _is_refused(content[:length].encode()), content[:length][-80:]


def test_a_project_that_cannot_be_written_is_named_before_dvc_begins(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(place: Path, byte_count: int) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(place / "tmp123"))

    monkeypatch.setattr(room, "write_probe", refuse)
    with pytest.raises(SystemExit, match=r"^dvc\.lock cannot be written: the disk is read-only \("):
        leftovers.main()


def test_while_dvc_is_at_work_its_lock_file_stays_and_afterwards_is_repaired(folder: Path, capsys: pytest.CaptureFixture):
    Path(".dvc/tmp").mkdir(parents=True)
    Path("dvc.lock").write_text(WHOLE[:100])
    with Path(".dvc/tmp/lock").open("a") as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        with dvc_standing_still(folder) as is_still:
            assert not is_still
        leftovers.main()
        assert Path("dvc.lock").read_text() == WHOLE[:100]
    leftovers.main()
    assert Path("dvc.lock").read_text() == WHOLE and capsys.readouterr().err.startswith("dvc.lock was cut off: ")
