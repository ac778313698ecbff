"""Output paths of a stage from dvc.yaml, and their md5 as DVC writes it to dvc.lock, so that MLflow rows and DVC files refer to each
other.

Folders are hashed as in DVC 3: the md5 of a JSON list of their files (dvc_data/hashfile/tree.py, Tree.as_bytes).
"""

import json
import re
from hashlib import file_digest, md5
from pathlib import Path
from typing import Any

from confidnet_core.files import read_yaml
from confidnet_core.revision import ROOT


def stage_outputs(stage: str, **item: object) -> list[str]:
    """Return the paths of a stage's cached outputs for one benchmark, seed and method (item); empty if dvc.yaml has no such stage."""
    entries = _read_stages(ROOT / "dvc.yaml").get(stage, {}).get("outs", [])
    names = [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]
    return [re.sub(r"\$\{item\.(\w+)\}", lambda match: str(item[match[1]]), name) for name in names]


def stage_names() -> set[str]:
    """Return the names of all stages in dvc.yaml, without the items of their matrices."""
    return set(_read_stages(ROOT / "dvc.yaml"))


def locked_outputs(stage: str) -> dict[str, str]:
    """Return PATH -> md5 of a stage's outputs in dvc.lock, for a name such as evaluate@digits-0-mcp; empty if dvc.lock has none."""
    return {out["path"]: out.get("md5", "") for out in _read_stages(Path("dvc.lock")).get(stage, {}).get("outs", [])}


def dvc_md5(path: Path) -> str:
    """Return the md5 of a file (32 hexadecimal digits), or of a folder (followed by .dir). OSError if the path does not exist."""
    path = Path(path)
    if not path.is_dir():
        return _file_md5(path)
    files = [{"md5": _file_md5(file), "relpath": file.relative_to(path).as_posix()} for file in path.rglob("*") if file.is_file()]
    listed = json.dumps(sorted(files, key=lambda file: file["relpath"]), sort_keys=True)
    return f"{md5(listed.encode(), usedforsecurity=False).hexdigest()}.dir"


def _read_stages(path: Path) -> dict[str, Any]:
    """Return the stages of a dvc.yaml or dvc.lock; empty if there is no such file."""
    return (read_yaml(path) or {}).get("stages", {}) if path.exists() else {}


def _file_md5(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, lambda: md5(usedforsecurity=False)).hexdigest()
