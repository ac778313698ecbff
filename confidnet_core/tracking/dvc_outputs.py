"""Output paths of a pipeline stage from dvc.yaml, and their md5 as DVC writes it to dvc.lock, so that MLflow runs and DVC files refer to
each other.

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
    """Return the paths of a stage's outputs that dvc.yaml lists, filled in for one benchmark, seed and method (`item`).

    The list is empty if dvc.yaml has no such stage.
    """
    output_entries = _read_stages(ROOT / "dvc.yaml").get(stage, {}).get("outs", [])
    path_patterns = [output_entry if isinstance(output_entry, str) else next(iter(output_entry)) for output_entry in output_entries]
    return [re.sub(r"\$\{item\.(\w+)\}", lambda match: str(item[match[1]]), path_pattern) for path_pattern in path_patterns]


def stage_names() -> set[str]:
    """Return the names of all stages in dvc.yaml, such as evaluate, without the matrix suffix as in evaluate@digits-0-mcp."""
    return set(_read_stages(ROOT / "dvc.yaml"))


def locked_outputs(stage: str) -> dict[str, str]:
    """Return PATH -> md5 of a stage's outputs as stored in dvc.lock; empty if dvc.lock does not have the stage.

    stage: name with its matrix suffix, such as evaluate@digits-0-mcp
    """
    return {output["path"]: output.get("md5", "") for output in _read_stages(Path("dvc.lock")).get(stage, {}).get("outs", [])}


def dvc_md5(path: Path) -> str:
    """Return the md5 of a file or folder as DVC computes it: 32 hexadecimal digits, followed by .dir for a folder.

    OSError if the path does not exist.
    """
    path = Path(path)
    if not path.is_dir():
        return _compute_file_md5(path)
    file_hashes = [
        {"md5": _compute_file_md5(file), "relpath": file.relative_to(path).as_posix()} for file in path.rglob("*") if file.is_file()
    ]
    listing_json = json.dumps(sorted(file_hashes, key=lambda file: file["relpath"]), sort_keys=True)
    return f"{md5(listing_json.encode(), usedforsecurity=False).hexdigest()}.dir"


def _read_stages(path: Path) -> dict[str, Any]:
    """Return stage name -> its definition, read from a dvc.yaml or dvc.lock; empty if the file does not exist."""
    return (read_yaml(path) or {}).get("stages", {}) if path.exists() else {}


def _compute_file_md5(path: Path) -> str:
    """Return the md5 of a file as 32 hexadecimal digits."""
    with path.open("rb") as file:
        return file_digest(file, lambda: md5(usedforsecurity=False)).hexdigest()
