"""Files that are whole or not there: written under a temporary name, then renamed."""

import json
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside PATH for a file or a folder; it takes PATH's place if the block ends without an error.

    A process killed in the block leaves PATH as it was, and a hidden temporary file beside it, which nothing reads. A folder is
    replaced by two renames: killed between them, the old one is under its hidden name and PATH is not there, never half there.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary, former = (path.with_name(f".{path.name}.{os.getpid()}.{end}") for end in ("tmp", "old.tmp"))
    _remove(temporary, former)  # of a killed process: in a container, the next one often has the same number
    try:
        yield temporary
        if path.is_dir() and temporary.exists():
            os.replace(path, former)
        try:
            os.replace(temporary, path)
        except OSError:
            if former.exists():
                os.replace(former, path)
            raise
    finally:
        _remove(temporary, former)


def _remove(*paths: Path) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Strict, sorted, UTF-8 JSON. NaN and infinity become null: DVC's tables and browsers break on them."""
    with replacing(path) as temporary:
        text = json.dumps(_finite(content), indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """ValueError that names the file, for a file that is missing or no JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist; `dvc repro` makes it") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}); delete it and run `dvc repro`") from None


def read_yaml(path: Path) -> Any:
    """YAML 1.2. ValueError that names the file, for a file that is missing, damaged, or gives a key twice."""
    try:
        return YAML(typ="safe").load(Path(path))
    except FileNotFoundError:
        raise ValueError(f"{path} does not exist; run this from the root of the project") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); expected a file") from None
    except YAMLError as error:
        problem, _, _ = str(error).partition("To suppress this check")  # ruamel's advice for a key given twice
        raise ValueError(f"{path} is not valid YAML in UTF-8; mend it: {' '.join(problem.split())}") from None


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {str(key): _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content
