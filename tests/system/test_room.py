"""Room looked at before the work and before DVC stores the outputs."""

import errno
import os
import resource
from pathlib import Path

import numpy as np
import pytest

from confidnet_core.system import room
from confidnet_core.system.errors import DiskError
from confidnet_core.system.room import array_of_any_size, dvc_cache, new_memory_map, require_room_for_dvc, require_writable


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_looking_for_room_leaves_nothing(folder: Path):
    require_writable([Path("models/digits/seed0/baseline"), Path("data/histories/digits/a.csv")])
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_named_before_the_work(folder: Path):
    (folder / "models").mkdir(mode=0o555)
    with pytest.raises(DiskError, match=r"models/digits cannot be written: this user has no right to"):
        require_writable([Path("models/digits")])


def test_a_disk_that_is_read_only_is_named_before_the_work(folder: Path):
    if os.access("/sys/kernel", os.F_OK) and os.statvfs("/sys").f_flag & os.ST_RDONLY:
        with pytest.raises(DiskError, match=r"/sys/models/digits cannot be written: the disk is read-only"):
            require_writable([Path("/sys/models/digits")])
    else:
        pytest.skip("/sys is not read-only here")


def test_outputs_that_dvc_has_no_room_to_copy_are_an_error_of_the_stage(folder: Path):
    Path("large").write_bytes(b"1")
    require_room_for_dvc([Path("large"), Path("absent")], folder)
    os.truncate("large", 1 << 43)  # a file with holes, which copied would fill any disk
    if room._file_system(folder) in room.SHARING_FILE_SYSTEMS:
        pytest.skip("copies share their blocks on this file system")
    with pytest.raises(DiskError, match=r"\.dvc/cache cannot be written: the disk is full") as caught:
        require_room_for_dvc([Path("large")], folder)
    assert caught.value.errno == errno.ENOSPC


def test_a_cache_of_links_needs_no_copies(folder: Path):
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text("[core]\n    autostage = true\n[cache]\n    type = hardlink,symlink\n    dir = ../shared\n")
    assert dvc_cache(folder) == (folder / ".dvc/../shared", False)
    Path("large").touch()
    os.truncate("large", 1 << 43)
    require_room_for_dvc([Path("large")], folder)


def test_the_local_setting_of_the_cache_comes_last_and_a_damaged_file_is_left_to_dvc(folder: Path):
    assert dvc_cache(folder) == (folder / ".dvc/cache", True)
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text("[cache]\n    dir = /a\n['remote \"x\"']\n    url = s3://%x\n")
    (folder / ".dvc/config.local").write_text("[cache]\n    dir = /b\n")
    assert dvc_cache(folder) == (Path("/b"), True)
    (folder / ".dvc/config").write_text("[cache\n")
    dvc_cache(folder)


def test_a_file_with_holes_takes_its_room_at_once(folder: Path):
    memory_map = new_memory_map(folder / "map.npy", np.uint8, (1 << 20, 1))
    assert (folder / "map.npy").stat().st_blocks * 512 >= 1 << 20
    memory_map[:] = 7
    memory_map.flush()
    assert np.all(np.load(folder / "map.npy") == 7)


def test_a_large_array_lies_on_disk_in_a_file_that_nobody_sees(folder: Path, monkeypatch: pytest.MonkeyPatch):
    (folder / "data").mkdir()
    assert not isinstance(array_of_any_size((10, 2), np.float32), np.memmap)
    monkeypatch.setattr(room, "MAX_BYTES_IN_MEMORY", 79)
    array = array_of_any_size((10, 2), np.float32)
    array[:] = np.arange(20).reshape(10, 2)
    assert isinstance(array, np.memmap) and array.dtype == np.float32 and array.sum() == 190 and not list((folder / "data").iterdir())


def test_a_disk_without_room_for_an_array_is_said_in_one_line_before_anything_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """A limit of the process stands for the full disk: a map that finds it full would kill the process."""
    (folder / "data").mkdir()
    monkeypatch.setattr(room, "MAX_BYTES_IN_MEMORY", 0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(DiskError, match=r"data/an array of 0\.02 GB cannot be written"):
            array_of_any_size((20, 10**6), np.uint8)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list((folder / "data").iterdir())
