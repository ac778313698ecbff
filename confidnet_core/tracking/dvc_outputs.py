"""What a stage writes, by dvc.yaml, and the md5 that DVC will give it in dvc.lock: a row of MLflow and a file of DVC name each other.

Folders are hashed as DVC 3 does: the md5 of a JSON list of their files (dvc_data/hashfile/tree.py, Tree.as_bytes).
"""

import json
import re
from hashlib import file_digest, md5
from pathlib import Path
from typing import Any

from confidnet_core.files import read_yaml
from confidnet_core.revision import ROOT


def outputs(stage: str, **item: object) -> list[str]:
    """Paths of the cached outputs of a stage, for one benchmark, seed and method (item); none where dvc.yaml has no such stage."""
    listed = _stages(ROOT / "dvc.yaml").get(stage, {}).get("outs", [])
    names = [entry if isinstance(entry, str) else next(iter(entry)) for entry in listed]
    return [re.sub(r"\$\{item\.(\w+)\}", lambda match: str(item[match[1]]), name) for name in names]


def stage_names() -> set[str]:
    """The stages of dvc.yaml, without the items of their matrices."""
    return set(_stages(ROOT / "dvc.yaml"))


def locked(stage: str) -> dict[str, str]:
    """Path -> md5 of what dvc.lock has as the outputs of a stage, such as evaluate@digits-0-mcp; empty where it has none."""
    return {out["path"]: out.get("md5", "") for out in _stages(Path("dvc.lock")).get(stage, {}).get("outs", [])}


def dvc_md5(path: Path) -> str:
    """md5 of a file, 32 hexadecimal digits, or of a folder, with .dir after them. OSError where it does not exist."""
    path = Path(path)
    if not path.is_dir():
        return _of_file(path)
    files = [{"md5": _of_file(file), "relpath": file.relative_to(path).as_posix()} for file in path.rglob("*") if file.is_file()]
    listed = json.dumps(sorted(files, key=lambda file: file["relpath"]), sort_keys=True)
    return f"{md5(listed.encode(), usedforsecurity=False).hexdigest()}.dir"


def _stages(path: Path) -> dict[str, Any]:
    """The stages of a dvc.yaml or dvc.lock; none where there is no such file."""
    return (read_yaml(path) or {}).get("stages", {}) if path.exists() else {}


def _of_file(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, lambda: md5(usedforsecurity=False)).hexdigest()
