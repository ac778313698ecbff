"""DVC's own files after a kill or on a disk that was full: run-cache, .dvc/tmp/rwlock and dvc.lock, each of which can stop `dvc repro`.

DVC 3.67 writes dvc.lock and rwlock in place, and leaves half of a temporary entry in the run-cache, which it then takes for the newest.
"""

import fcntl
import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from confidnet_core.system.room import dvc_cache

# DVC makes these in an instant: what is older than this is no longer being made.
MIN_AGE_S = 5.0
LOCK_FILE = Path("dvc.lock")
_RUN_CACHE_ENTRY = re.compile(r"[0-9a-f]{64}")
_FILE_KEYS = {"path": str, "hash": str, "size": int, "nfiles": int, "isexec": bool}  # of an entry under `deps` and `outs`
_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")
_STAGE_START = re.compile(rb"^  (?=[^\s#])", re.MULTILINE)


@contextmanager
def dvc_standing_still(project_folder: Path) -> Iterator[bool]:
    """Context manager that yields whether no DVC is at work in the project; if so, none begins before the block ends.

    Where DVC runs a stage, it is not at work itself: it writes none of its files.
    """
    lock_path = project_folder / ".dvc/tmp/lock"
    with lock_path.open("a") if lock_path.parent.is_dir() else nullcontext() as file:
        yield file is None or _is_locked_by_this(file)


def _is_locked_by_this(file: IO[str]) -> bool:
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)  # as zc.lockfile does for DVC
    except BlockingIOError:
        return False
    return True


def repair_dvc_folder(project_folder: Path, min_age_s: float = MIN_AGE_S) -> None:
    """Remove what DVC did not finish in its run-cache, and a cut rwlock, if they are older than min_age_s."""
    _repair_run_cache(dvc_cache(project_folder)[0] / "runs", min_age_s)
    rwlock_path = project_folder / ".dvc/tmp/rwlock"
    with suppress(FileNotFoundError):
        if _is_older(rwlock_path, min_age_s) and not _is_json(rwlock_path):
            rwlock_path.unlink()


def _repair_run_cache(runs_folder: Path, min_age_s: float) -> None:
    """Remove empty folders of stages from DVC's run-cache, and what else than whole entries is in them."""
    with suppress(FileNotFoundError):
        for stage_folder in runs_folder.glob("*/*"):
            entries = list(stage_folder.iterdir())
            cut_entries = [entry for entry in entries if _is_older(entry, min_age_s) and not _is_whole(entry)]
            for entry in cut_entries:
                entry.unlink()
            if len(cut_entries) == len(entries) and (cut_entries or _is_older(stage_folder, min_age_s)):
                with suppress(OSError):  # filled meanwhile
                    stage_folder.rmdir()


def _is_whole(entry: Path) -> bool:
    """Return whether DVC gave an entry of the run-cache its name, which it does last, and its content reached the disk."""
    return _RUN_CACHE_ENTRY.fullmatch(entry.name) is not None and b"\nouts:\n" in entry.read_bytes()


def _is_older(path: Path, age_s: float) -> bool:
    return time.time() - path.stat().st_mtime >= age_s


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return False
    return True


def repair_lock_file() -> str | None:
    """Give a cut or empty dvc.lock in the working directory its whole stages, and those behind the cut as git's index has them.

    Returns the line that says so; None where nothing was done. A stage that is in neither comes out of the run-cache, or runs again. A file
    that is damaged otherwise, as by a merge, is left to the user.
    """
    with suppress(FileNotFoundError):
        content, staged_content = LOCK_FILE.read_bytes(), _staged_lock_file()
        entry_by_name, staged_entry_by_name = _stage_entries(content), _stage_entries(staged_content)
        if b"<<<<<<<" in content or not (_is_refused(content) or _is_beginning(list(entry_by_name), list(staged_entry_by_name))):
            return None
        whole_entries = dict(list(entry_by_name.items())[:-1])
        other_entries = {name: entry for name, entry in staged_entry_by_name.items() if name not in whole_entries}
        repaired = b"schema: '2.0'\nstages:\n" + b"".join([*whole_entries.values(), *other_entries.values()])
        if not (whole_entries or other_entries):
            LOCK_FILE.unlink()
        elif _is_refused(repaired):
            return None
        else:
            _replace(LOCK_FILE, repaired)
        return f"{LOCK_FILE} was cut off: {len(whole_entries)} stages are whole, {len(other_entries)} as in git; the others are found again"
    return None


def _staged_lock_file() -> bytes:
    """Return dvc.lock of git's index, where DVC puts it at the end of each command (core.autostage); nothing outside of git."""
    with suppress(OSError):
        return subprocess.run(["git", "show", f":./{LOCK_FILE}"], capture_output=True, check=False).stdout
    return b""


def _stage_entries(content: bytes) -> dict[bytes, bytes]:
    """Return the text of each stage in dvc.lock by its name, in order; an entry that is cut off before its colon has no name."""
    _, stages_line, stages = content.partition(b"\nstages:\n")
    entries = [entry for entry in _STAGE_START.split(stages) if entry.strip()] if stages_line else []
    return {entry.split(b"\n")[0]: b"  " + entry for entry in entries}


def _is_beginning(names: list[bytes], staged_names: list[bytes]) -> bool:
    """Return whether the index has the same stages in the same order, and more: DVC takes a file that is cut between two lines."""
    *whole_names, cut_name = names or [b""]
    count = len(whole_names)
    return len(names) < len(staged_names) and whole_names == staged_names[:count] and staged_names[count].startswith(cut_name)


def _is_refused(content: bytes) -> bool:
    """Return whether DVC refuses the content of dvc.lock; also True for a hash that is cut, some of which DVC takes."""
    try:
        lock = YAML(typ="safe").load(content)
    except (YAMLError, ValueError):
        return True
    stages = lock.get("stages") if isinstance(lock, dict) else None
    return not isinstance(stages, dict) or not all(map(_is_stage, stages.values()))


def _is_stage(stage: object) -> bool:
    if not isinstance(stage, dict) or not isinstance(stage.get("cmd"), str | list):
        return False
    file_lists, params = [stage.get(key, []) for key in ("deps", "outs")], stage.get("params", {})
    has_files = all(isinstance(files, list) and all(map(_is_file, files)) for files in file_lists)
    return has_files and isinstance(params, dict) and all(isinstance(values, dict) for values in params.values())


def _is_file(file: object) -> bool:
    if not isinstance(file, dict) or "path" not in file or not _MD5.fullmatch(str(file.get("md5", "0" * 32))):
        return False
    return all(isinstance(file[key], kind) for key, kind in _FILE_KEYS.items() if key in file)


def _replace(path: Path, content: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp", delete=False) as file:
        file.write(content)
    os.replace(file.name, path)
