"""Reading and writing of text, JSON and YAML files. A file is written under a temporary name and then renamed, so that no reader finds a
half-written file.
"""

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from confidnet_core.system.errors import DiskError, find_disk_error
from confidnet_core.system.leftovers import remove_dead_temporaries, remove_path, temporary_name


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Context manager that yields a temporary path to write to; this file or folder replaces `path` if the block ends without an error.

    A process killed within the block leaves `path` unchanged, and beside it a hidden temporary file that nothing reads, and that the next
    process to write `path` removes. A folder is replaced by two renames: if the process is killed between them, the old folder has its
    hidden name and `path` does not exist. DiskError, with `path`, where the disk is full, read-only or failing.
    """
    path = Path(path)
    temporary_path, backup_path = (path.with_name(temporary_name(path.name, kind)) for kind in ("tmp", "old.tmp"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_dead_temporaries(path.parent, path.name)
        yield temporary_path
        if path.is_dir() and temporary_path.exists():
            os.replace(path, backup_path)
        try:
            os.replace(temporary_path, path)
        except OSError:
            if backup_path.exists():
                os.replace(backup_path, path)
            raise
    except Exception as error:
        if (disk_error := find_disk_error(error, path)) is not None:
            raise DiskError(disk_error.errno, disk_error.strerror, str(path)) from error  # and not the hidden name
        raise
    finally:
        with suppress(OSError):  # on a disk that has become read-only they stay
            remove_path(temporary_path)
            remove_path(backup_path)


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
