"""Errors of disks: found behind the errors of libraries, and told in one line with device, room and remedy."""

import errno
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from confidnet_core.files import atomic_write
from confidnet_core.system.errors import DiskError, describe_disk, disk_sentence, find_disk_error, in_units
from confidnet_core.system.room import new_memory_map

BYTES = 100_000
PIXELS = np.random.default_rng(0).integers(0, 256, (300, 300), np.uint8)


def write_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table t (x)")
        connection.execute("insert into t values (?)", ["x" * BYTES])
        connection.commit()


def write_map(path: Path) -> None:
    new_memory_map(path, np.uint8, (10,))[:] = 1
    new_memory_map(path, np.uint8, (BYTES,))


def write_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(BYTES))


WRITERS = {
    "text": lambda path: path.write_text("x" * BYTES),
    "numpy": write_array,
    "torch": lambda path: torch.save({"weights": torch.zeros(BYTES)}, path),
    "pandas": lambda path: pd.DataFrame({"a": range(BYTES)}).to_csv(path),
    "parquet": lambda path: pd.DataFrame({"a": np.random.default_rng(0).random(BYTES)}).to_parquet(path),
    "pillow": lambda path: Image.fromarray(PIXELS).save(path, format="png"),
    "matplotlib": lambda path: Figure(dpi=1000).savefig(path, format="png"),
    "sqlite": write_database,
    "map": write_map,
}


@pytest.fixture
def limit() -> Iterator[None]:
    """No file may grow above 20 kB: a disk that takes no more, without privileges."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("writer", WRITERS)
def test_a_file_that_grows_above_a_limit_is_named_whichever_library_writes_it(tmp_path: Path, writer: str, limit: None):
    with pytest.raises(DiskError) as caught, atomic_write(tmp_path / "out") as path:
        WRITERS[writer](path)
    assert str(caught.value) == (
        f"{tmp_path}/out cannot be written: it grows above the size limit for a file of 20 kB (`ulimit -f`); raise the limit, "
        "then run the same command again"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk quota of this user is used up"),
        (errno.EROFS, "the disk is read-only"),
        (errno.EIO, "the disk does not take it"),
    ],
)
def test_each_fault_of_a_disk_has_its_sentence_with_device_room_and_remedy(tmp_path: Path, number: int, words: str):
    sentence = disk_sentence(number, tmp_path / "models/x")
    assert sentence.startswith(f"{tmp_path}/models/x cannot be written: {words} (") and "\n" not in sentence
    assert describe_disk(tmp_path) in sentence and sentence.endswith(", then run the same command again")


def test_a_file_without_the_right_to_write_is_named_with_the_command_that_shows_its_rights():
    error = find_disk_error(PermissionError(errno.EACCES, "Permission denied", "models/digits"))
    assert str(error) == (
        "models/digits cannot be written: this user has no right to; change its owner or rights (`ls -ld models`), "
        "then run the same command again"
    )


def test_the_cause_is_found_behind_other_exceptions():
    def fail() -> None:
        try:
            try:
                raise OSError(errno.ENOSPC, "No space left on device", "mlruns/a")
            except OSError:
                raise RuntimeError("could not log the model")  # noqa: B904
        except RuntimeError as error:
            raise KeyError("artifact") from error

    with pytest.raises(KeyError) as caught:
        fail()
    found = find_disk_error(caught.value)
    assert (found.errno, found.filename) == (errno.ENOSPC, "mlruns/a")


def test_the_words_of_a_message_are_enough(tmp_path: Path):
    found = find_disk_error(RuntimeError("IO Error: Could not write file: No space left on device"), tmp_path / "a")
    assert isinstance(found, DiskError) and (found.errno, found.filename) == (errno.ENOSPC, str(tmp_path / "a"))


@pytest.mark.parametrize(
    "error", [ValueError("epochs is 0"), OSError("no network"), FileNotFoundError(2, "No such file", "a"), KeyError("a")]
)
def test_another_error_is_none_of_a_disk(error: Exception):
    assert find_disk_error(error) is None


def test_a_database_that_is_damaged_is_no_fault_of_the_disk(tmp_path: Path):
    (tmp_path / "a.db").write_bytes(b"SQLite format 3\0" + bytes(5000))
    connection = sqlite3.connect(tmp_path / "a.db")
    with pytest.raises(sqlite3.DatabaseError) as caught:
        connection.execute("select * from runs")
    connection.close()
    assert find_disk_error(caught.value) is None


def test_room_is_told_in_units_that_are_read_at_a_glance():
    assert [in_units(number) for number in (0, 999, 1000, 12_345, 1_250_000_000)] == ["0 bytes", "999 bytes", "1.0 kB", "12 kB", "1.2 GB"]
