"""What killed processes and full disks left behind, removed by the next run: python -m confidnet_core.system.leftovers

Temporary outputs of dead processes, and what stops every later `dvc repro`: see dvc_files.py. `make repro` calls this first, and every
stage when it starts; dvc.lock is repaired by `make repro` alone, since DVC reads it before any stage.
"""

import os
import re
import shutil
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import psutil

from confidnet_core.system.dvc_files import MIN_AGE_S, dvc_standing_still, repair_dvc_folder, repair_lock_file
from confidnet_core.system.errors import find_disk_error
from confidnet_core.system.interruption import one_line_if_interrupted
from confidnet_core.system.room import require_writable

REMOTE_ALIVE_TIMEOUT_S = 24 * 3600.0  # how long what a process of another machine or container left counts as in use
OUTPUT_FOLDERS = ("data", "models", "reports")
RAW_DATA_FOLDER = Path("data/raw")  # which may hold many folders, none of them an output
MAX_OUTPUT_DEPTH = 4  # folders above an output, as data/scores/BENCHMARK/seedSEED
_TEMPORARY_NAME = re.compile(r"\.(?P<name>.+)\.(?:(?P<host>[0-9a-f]{6})-)?(?P<pid>\d+)\.(?P<kind>tmp|old\.tmp)")


def temporary_name(name: str, kind: str) -> str:
    """Return the hidden name of a temporary file or folder of this process, for what will be called `name`.

    kind: "tmp" for what is being written, "old.tmp" for what it replaces. DVC ignores both, see .dvcignore.
    """
    return f".{name}.{_host_code()}-{os.getpid()}.{kind}"


def remove_dead_temporaries(folder: Path, name: str | None = None) -> None:
    """Remove temporary files and folders in a folder whose process is dead; those of one name, or all for None.

    What an `old.tmp` holds gets its name back if nothing has that name: its process died between the two renames of a replacement.
    """
    with suppress(FileNotFoundError):
        for path in sorted(folder.iterdir()):
            match = _TEMPORARY_NAME.fullmatch(path.name)
            if match and name in (None, match["name"]) and not _is_owner_alive(path, match):
                with suppress(FileNotFoundError):  # another process removes them, too
                    _remove_or_restore(path, match)


def remove_leftovers(project_folder: Path, output_folders: Iterable[Path], min_age_s: float = MIN_AGE_S) -> None:
    """Remove what killed processes and full disks left in the folders of outputs, and in DVC's folder of the project.

    min_age_s: of DVC's files, where DVC may be at work
    """
    for folder in set(output_folders):
        remove_dead_temporaries(folder)
    repair_dvc_folder(project_folder, min_age_s)


def _is_owner_alive(path: Path, match: re.Match[str]) -> bool:
    if match["host"] not in (None, _host_code()):
        return time.time() - path.lstat().st_mtime < REMOTE_ALIVE_TIMEOUT_S
    pid = int(match["pid"])
    return pid != os.getpid() and psutil.pid_exists(pid)  # in a container, the next process often has the same id


def _remove_or_restore(path: Path, match: re.Match[str]) -> None:
    target = path.with_name(match["name"])
    if match["kind"] == "old.tmp" and not os.path.lexists(target):
        os.replace(path, target)
    else:
        remove_path(path)


def remove_path(path: Path) -> None:
    """Delete a file, a link or a folder, whether or not it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _host_code() -> str:
    """Return six hexadecimal digits that stand for this machine or container."""
    return sha256(socket.gethostname().encode()).hexdigest()[:6]


def _output_folders() -> Iterator[Path]:
    """Yield the folders of the project in which outputs lie."""
    for root in map(Path, OUTPUT_FOLDERS):
        for depth in range(MAX_OUTPUT_DEPTH):
            folders = root.glob("/".join(["[!.]*"] * depth)) if depth else [root]
            yield from (folder for folder in folders if folder.is_dir() and RAW_DATA_FOLDER not in folder.parents)


def main() -> None:
    """Clear what is left, and say in one line where the project cannot be written, which DVC says in words of its own."""
    try:
        require_writable([Path(".dvc/tmp/lock"), Path("dvc.lock")])
        with dvc_standing_still(Path.cwd()) as is_still:
            remove_leftovers(Path.cwd(), _output_folders(), 0.0 if is_still else MIN_AGE_S)
            if is_still and (sentence := repair_lock_file()) is not None:
                print(sentence, file=sys.stderr)
    except OSError as error:
        sys.exit(str(find_disk_error(error) or error))


if __name__ == "__main__":
    with one_line_if_interrupted("interrupted; run the same command again"):
        main()
