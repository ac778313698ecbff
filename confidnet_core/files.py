"""Reading and writing of text, JSON and YAML files, and room for large arrays on disk. A file is written under a temporary name and then
renamed, so that no reader finds a half-written file.
"""

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from errno import EDQUOT, EFBIG, ENOSPC
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

if TYPE_CHECKING:
    import numpy as np

MAX_BYTES_IN_MEMORY = 2**26  # of an array from `array_of_any_size`
LARGE_ARRAYS_FOLDER = Path("data")  # on the disk that the results need, since /tmp may lie in memory


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Context manager that yields a temporary path to write to; this file or folder replaces `path` if the block ends without an error.

    A process killed within the block leaves `path` unchanged, and beside it a hidden temporary file that nothing reads. A folder is
    replaced by two renames: if the process is killed between them, the old folder has its hidden name and `path` does not exist.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary_path, backup_path = (path.with_name(f".{path.name}.{os.getpid()}.{suffix}") for suffix in ("tmp", "old.tmp"))
    _remove_paths(temporary_path, backup_path)  # left by a killed process: in a container, the next process often has the same id
    try:
        yield temporary_path
        if path.is_dir() and temporary_path.exists():
            os.replace(path, backup_path)
        try:
            os.replace(temporary_path, path)
        except OSError:
            if backup_path.exists():
                os.replace(backup_path, path)
            raise
    finally:
        _remove_paths(temporary_path, backup_path)


def _remove_paths(*paths: Path) -> None:
    """Delete these files and folders, whether or not they exist."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write data to a JSON file in UTF-8, with sorted keys; the file is replaced as a whole.

    NaN and infinity become null, because DVC's tables and browsers fail on them.
    """
    with atomic_write(path) as temporary_path:
        text = json.dumps(_replace_non_finite(content), indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
        temporary_path.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Return the content of a JSON file. ValueError that names the file if the file is missing or not valid JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist; `dvc repro` makes it") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}); delete it and run `dvc repro`") from None


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML 1.2 file. ValueError that names the file if it is missing, damaged, or has a duplicate key."""
    try:
        return parse_yaml(Path(path).read_bytes())
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist; run this from the root of the project") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); expected a file") from None
    except YAMLError as error:
        problem, _, _ = str(error).partition("To suppress this check")  # ruamel's advice about a duplicate key
        problem = " ".join(problem.split()).replace('in "<byte string>", line', "at line")
        raise ValueError(f"{path} is not valid YAML in UTF-8; mend it: {problem}") from None


def parse_yaml(content: bytes) -> Any:
    """Return the content of a YAML 1.2 document in UTF-8, as DVC reads it: 1e-7 is a number. ruamel's YAMLError if it is damaged."""
    return deepcopy(_parse_yaml(content))


@lru_cache(maxsize=8)
def _parse_yaml(content: bytes) -> Any:
    """Parse a YAML document once in a process: a stage needs params.yaml, its committed version and dvc.lock several times."""
    return YAML(typ="safe").load(content)


def array_of_any_size(shape: tuple[int, ...], dtype: Any) -> "np.ndarray":
    """Return an uninitialised array: in memory, or above MAX_BYTES_IN_MEMORY in a file without a name, so that memory is bounded.

    The file is in the folder data/, if there is one, and is gone with the array. Raises ValueError where the disk has no room for it.
    """
    import numpy as np  # imported here, since most commands need no arrays

    byte_count = math.prod(shape) * np.dtype(dtype).itemsize
    if byte_count <= MAX_BYTES_IN_MEMORY:
        return np.empty(shape, dtype)
    folder = LARGE_ARRAYS_FOLDER if LARGE_ARRAYS_FOLDER.is_dir() else Path(tempfile.gettempdir())
    with tempfile.TemporaryFile(dir=folder) as file:
        reserve_disk_space(file.fileno(), byte_count, folder)
        return np.memmap(file, dtype, "w+", shape=shape)


def reserve_disk_space(file: Path | int, byte_count: int, folder: Path) -> None:
    """Have the disk set the bytes of a file aside: a map of a file that finds the disk full kills its process without a word (SIGBUS).

    file: its path or descriptor; folder: where it lies, for the ValueError if the disk has no room
    Nothing is done where the system or the disk cannot do this.
    """
    if not hasattr(os, "posix_fallocate"):  # macOS
        return
    with open(file, "r+b", closefd=isinstance(file, Path)) as opened_file:
        try:
            os.posix_fallocate(opened_file.fileno(), 0, byte_count)
        except OSError as error:
            if error.errno in (ENOSPC, EDQUOT, EFBIG):
                free_text = f"{shutil.disk_usage(folder).free / 1e9:.2f} GB are free on its disk"
                problem_text = f"{folder} has no room for an array of {byte_count / 1e9:.2f} GB ({error.strerror}; {free_text})"
                raise ValueError(f"{problem_text}; free some, or make the folder a link to another disk") from None


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8; an interrupted write leaves the old file unchanged."""
    with atomic_write(path) as temporary_path:
        temporary_path.write_text(text, encoding="utf-8")


def _replace_non_finite(content: Any) -> Any:
    """Return nested data with NaN and infinity replaced by None, keys converted to text, and tuples to lists."""
    if isinstance(content, dict):
        return {str(key): _replace_non_finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_replace_non_finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content
