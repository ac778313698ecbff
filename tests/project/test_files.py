"""Atomic writing: files are complete or absent, whatever happens while they are written."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from project_code import ROOT

from confidnet_core.files import atomic_write, read_json, read_yaml, write_json, write_text


def content(folder: Path) -> dict[str, str]:
    """Return the text of every file below the folder, including hidden ones."""
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def write_folder(path: Path, **files: str) -> None:
    with atomic_write(path) as temporary:
        temporary.mkdir()
        for name, text in files.items():
            (temporary / name).write_text(text)


def test_a_file_is_replaced_and_its_folders_are_made(tmp_path: Path):
    path = tmp_path / "a" / "b" / "c.txt"
    for text in ("first", "second"):
        write_text(path, text)
        assert content(tmp_path) == {"a/b/c.txt": text}


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path):
    write_folder(tmp_path / "out", old="1", both="1")
    write_folder(tmp_path / "out", new="2", both="2")
    assert content(tmp_path) == {"out/new": "2", "out/both": "2"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_nothing_is_at_the_path_before_the_block_ends(tmp_path: Path):
    with atomic_write(tmp_path / "out") as temporary:
        temporary.write_text("half")
        assert not (tmp_path / "out").exists()
        assert temporary.parent == tmp_path


def test_an_error_in_the_block_leaves_the_old_file(tmp_path: Path):
    write_text(tmp_path / "out", "old")
    with pytest.raises(KeyboardInterrupt), atomic_write(tmp_path / "out") as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert content(tmp_path) == {"out": "old"}


def test_an_error_in_the_block_leaves_the_old_folder(tmp_path: Path):
    write_folder(tmp_path / "out", old="1")
    with pytest.raises(RuntimeError, match="stop"), atomic_write(tmp_path / "out") as temporary:
        temporary.mkdir()
        (temporary / "new").write_text("half")
        raise RuntimeError("stop")
    assert content(tmp_path) == {"out/old": "1"}


@pytest.mark.parametrize("old", ["file", "folder", "nothing"])
def test_a_block_that_writes_nothing_is_an_error_and_removes_nothing(tmp_path: Path, old: str):
    if old == "file":
        write_text(tmp_path / "out", "1")
    elif old == "folder":
        write_folder(tmp_path / "out", old="1")
    before = content(tmp_path)
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "out"):
        pass
    assert content(tmp_path) == before


def test_what_a_killed_process_of_the_same_number_left_is_in_nobodys_way(tmp_path: Path):
    for end in ("tmp", "old.tmp"):
        (tmp_path / f".out.{os.getpid()}.{end}").mkdir()
    write_folder(tmp_path / "out", new="2")
    assert content(tmp_path) == {"out/new": "2"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_killed_process_leaves_the_old_content_and_a_hidden_temporary_that_dvc_ignores(tmp_path: Path):
    write_folder(tmp_path / "out", old="1")
    script = (
        "import os, signal\nfrom pathlib import Path\nfrom confidnet_core.files import atomic_write\n"
        "with atomic_write(Path('out')) as temporary:\n"
        "    temporary.mkdir(); (temporary / 'new').write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == -signal.SIGKILL
    assert content(tmp_path / "out") == {"old": "1"}
    (left,) = [path.name for path in tmp_path.iterdir() if path.name != "out"]
    assert left.startswith(".out.") and left.endswith(".tmp")
    assert ".*.tmp" in (ROOT / ".dvcignore").read_text().splitlines()


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_a_read_only_file_of_a_cache_is_not_written_through_its_link(tmp_path: Path, link):
    cached, out = tmp_path / "cached", tmp_path / "out"
    cached.write_text("old")
    cached.chmod(0o444)
    link(cached, out)
    write_text(out, "new")
    assert content(tmp_path) == {"cached": "old", "out": "new"}
    assert not out.is_symlink() and cached.stat().st_mode & 0o777 == 0o444


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_read_only_files_of_a_cache_survive_the_replacement_of_a_folder_of_links(tmp_path: Path, link):
    cached, out = tmp_path / "cached", tmp_path / "out"
    cached.write_text("old")
    cached.chmod(0o444)
    out.mkdir()
    link(cached, out / "file")
    write_folder(out, file="new")
    assert content(tmp_path) == {"cached": "old", "out/file": "new"}


def test_a_folder_that_a_link_points_to_is_left_alone(tmp_path: Path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/file").write_text("kept")
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere")
    write_folder(tmp_path / "out", file="new")
    assert content(tmp_path) == {"elsewhere/file": "kept", "out/file": "new"}


def test_json_is_strict_sorted_and_readable(tmp_path: Path):
    path = tmp_path / "facts.json"
    numbers = {"nan": float("nan"), "inf": [float("inf"), (-float("inf"), np.float64("nan"))], "é": {"b": 1e-7, "a": True, "c": None}}
    write_json(path, numbers)
    text = path.read_bytes().decode("utf-8")
    assert "é" in text and text.endswith("}\n") and text.index('"a"') < text.index('"b"')
    found = json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is no strict JSON"))
    assert found == read_json(path) == {"nan": None, "inf": [None, [None, None]], "é": {"a": True, "b": 1e-7, "c": None}}


def test_equal_content_gives_equal_bytes(tmp_path: Path):
    write_json(tmp_path / "a", {"x": 1, "y": {2: 0.1, 1: 0.2}})
    write_json(tmp_path / "b", {"y": {1: 0.2, 2: 0.1}, "x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_json_cannot_hold_is_refused_and_the_old_file_stays(tmp_path: Path):
    write_json(tmp_path / "facts.json", [1])
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(tmp_path / "facts.json", {"array": np.zeros(2)})
    assert content(tmp_path) == {"facts.json": "[\n  1\n]\n"}


@pytest.mark.parametrize(("read", "remedy"), [(read_json, "dvc repro"), (read_yaml, "root of the project")])
def test_a_missing_file_is_named_with_the_remedy(tmp_path: Path, read, remedy: str):
    with pytest.raises(ValueError, match=rf"missing does not exist.*{remedy}"):
        read(tmp_path / "missing")


@pytest.mark.parametrize("damaged", [b"", b'{"a": 1', b"{'a': 1}", b"\xff\xfe"])
def test_a_damaged_json_file_is_named_with_the_remedy(tmp_path: Path, damaged: bytes):
    (tmp_path / "facts.json").write_bytes(damaged)
    with pytest.raises(ValueError, match=r"facts\.json is not valid JSON .*; delete it and run `dvc repro`"):
        read_json(tmp_path / "facts.json")
