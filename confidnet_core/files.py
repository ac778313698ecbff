"""Reading and writing of text, JSON and YAML files, and reading of arrays and tables.

A file is written under a temporary name and then renamed, so that no reader finds a half-written file.
"""

import json
import math
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from confidnet_core.system.errors import DiskError, find_disk_error
from confidnet_core.system.leftovers import remove_dead_temporaries, remove_path, temporary_name

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MAX_YAML_VALUES = 1_000_000  # dvc.lock of 200 benchmarks with five seeds each holds fewer


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


def require_regular_file(path: Path) -> None:
    """Raise ValueError for a pipe, a device or a socket, whose end a reader may await for ever; a path that is missing passes."""
    with suppress(OSError):
        mode = Path(path).stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise ValueError(f"{path} is a pipe, a device or a socket; expected a regular file")


def require_no_nan(array: "np.ndarray", path: Path) -> None:
    """Raise ValueError for numbers of an array file that are undefined (NaN), which no stage writes."""
    import numpy as np

    if np.isnan(array).any():
        raise ValueError(f"{path} holds NaN; delete it and run `dvc repro`")


def write_json(path: Path, content: Any) -> None:
    """Write data to a JSON file in UTF-8, with sorted keys; the file is replaced as a whole.

    NaN and infinity become null, because DVC's tables and browsers fail on them.
    """
    with atomic_write(path) as temporary_path:
        text = json.dumps(_replace_non_finite(content), indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
        temporary_path.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file, which is an object in every file of the project.

    ValueError that names the file if the file is missing, not valid JSON, or holds a list or a single value.
    """
    require_regular_file(path)
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist; `dvc repro` makes it") from None
    except (ValueError, OSError, RecursionError) as error:  # ValueError: no JSON, or no UTF-8
        raise ValueError(f"{path} is not valid JSON ({error}); delete it and run `dvc repro`") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}; expected a JSON object; delete it and run `dvc repro`")
    return _JsonObject(content, path)


class MissingJsonKeyError(ValueError, KeyError):
    """Error: the object in a JSON file lacks a key, which is the second argument; the first is the message."""

    def __str__(self) -> str:
        return str(self.args[0])


class _JsonObject(dict[str, Any]):
    """The object in a JSON file, which names the file where a key is asked for that it lacks."""

    def __init__(self, content: dict[str, Any], path: Path) -> None:
        super().__init__(content)
        self._path = path

    def __missing__(self, key: str) -> Any:
        raise MissingJsonKeyError(f"{self._path} lacks {key!r}: another version wrote it, or another program; run `dvc repro`", key)


def load_array(path: Path, shape: Sequence[int | None] | None = None, *, memory_mapped: bool = False) -> "np.ndarray":
    """Return the array of numbers in a .npy file, memory-mapped and read-only if so asked.

    shape: the sizes of the first axes, with None for any size; None allows every shape
    Raises ValueError, naming the file, if it is missing, cut off, of another kind, or of another shape.
    """
    import numpy as np  # imported here, as below, since commands that read no array are to start at once

    remedy_text = f"delete {path} and run `dvc repro`"
    require_regular_file(path)
    try:
        if memory_mapped:
            array = np.lib.format.open_memmap(path, mode="r")
        else:
            with Path(path).open("rb") as file:
                array = np.lib.format.read_array(file, allow_pickle=False)
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist; `dvc repro` makes it") from None
    except Exception as error:  # a damaged head can raise anything
        raise ValueError(f"{path} cannot be read ({error}); {remedy_text}") from None
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{path} holds {array.dtype}; expected an array of numbers: {remedy_text}")
    is_right_shape = shape is None or (
        array.ndim >= len(shape) and all(expected in (None, size) for expected, size in zip(shape, array.shape, strict=False))
    )
    if not is_right_shape:
        expected_text = ", ".join("any" if size is None else str(size) for size in shape or ())
        raise ValueError(f"{path} is of shape {array.shape}; expected ({expected_text}, ...): it is another run's; {remedy_text}")
    return array


def read_csv(path: Path) -> "pd.DataFrame":
    """Return a CSV file of the project as a data frame. Raises ValueError, naming the file, if it is missing or no table."""
    import pandas as pd

    require_regular_file(path)
    try:
        return pd.read_csv(path)
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist; `dvc repro` makes it") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no CSV table ({' '.join(str(error).split())}); delete it and run `dvc repro`") from None


def load_named_arrays(path: Path, names: Sequence[str]) -> "list[np.ndarray]":
    """Return the arrays with these names in a .npz file. Raises ValueError, naming the file, if it is missing, damaged or lacks one."""
    import numpy as np

    require_regular_file(path)
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return [arrays[name] for name in names]
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist; expected a .npz file with {', '.join(names)}") from None
    except Exception as error:  # zipfile, zlib and NumPy raise several kinds for a damaged file
        problem = " ".join(str(error).split())
        raise ValueError(f"{path} is damaged, or no .npz file with {', '.join(names)} ({problem}); write it again") from None


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML 1.2 file. ValueError that names the file if it is missing, damaged, or has a duplicate key."""
    require_regular_file(path)
    try:
        return parse_yaml(Path(path).read_bytes())
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist; run this from the root of the project") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); expected a file") from None
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply; expected a few levels of keys") from None
    except (YAMLError, ValueError) as error:  # ValueError for a date or a number that there is not
        problem, _, _ = str(error).partition("To suppress this check")  # ruamel's advice about a duplicate key
        problem = " ".join(problem.split()).replace('in "<byte string>", line', "at line")
        raise ValueError(f"{path} is not valid YAML in UTF-8; mend it: {problem}") from None


def parse_yaml(content: bytes) -> Any:
    """Return the content of a YAML 1.2 document in UTF-8, as DVC reads it: 1e-7 is a number.

    ruamel's YAMLError if it is damaged; ValueError for an alias inside what it stands for, and for more than MAX_YAML_VALUES values.
    """
    return deepcopy(_parse_yaml(content))


@lru_cache(maxsize=8)
def _parse_yaml(content: bytes) -> Any:
    """Parse a YAML document once in a process: a stage needs params.yaml, its committed version and dvc.lock several times."""
    parsed = YAML(typ="safe").load(content)
    _count_yaml_values(parsed, {}, set())
    return parsed


def _count_yaml_values(node: Any, count_of_node: dict[int, int], nodes_around: set[int]) -> int:
    """Return how many values a YAML node holds, where an alias counts as all that it stands for, as whoever writes it out has to.

    Ten lines of aliases of aliases can stand for 10**10 values. count_of_node: of those that were counted; nodes_around: those on the way
    to this one. Raises ValueError for a node that holds itself, and for more than MAX_YAML_VALUES.
    """
    if not isinstance(node, dict | list | set):
        return 1
    if id(node) in nodes_around:
        raise ValueError("an alias (*name) stands inside the value that it is an alias of; write the value out")
    if id(node) not in count_of_node:
        nodes_around.add(id(node))
        children = [*node, *node.values()] if isinstance(node, dict) else node
        count = 1 + sum(_count_yaml_values(child, count_of_node, nodes_around) for child in children)
        if count > MAX_YAML_VALUES:
            raise ValueError(f"its aliases (*name) stand for more than {MAX_YAML_VALUES:,} values; write out those that are needed")
        nodes_around.remove(id(node))
        count_of_node[id(node)] = count
    return count_of_node[id(node)]


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
