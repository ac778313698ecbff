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
from confidnet_core.revision import CODE_ROOT


def stage_output_paths(stage: str, **matrix_values: object) -> list[str]:
    """Return the paths of a stage's outputs that dvc.yaml lists, for one benchmark, seed and method.

    matrix_values: benchmark, seed and method, which replace ${item.benchmark} and so on in dvc.yaml. The list is empty if dvc.yaml has no
    such stage.
    """
    output_definitions = _read_stage_definitions(CODE_ROOT / "dvc.yaml").get(stage, {}).get("outs", [])
    path_patterns = [
        output_definition if isinstance(output_definition, str) else next(iter(output_definition))
        for output_definition in output_definitions
    ]
    return [re.sub(r"\$\{item\.(\w+)\}", lambda match: str(matrix_values[match[1]]), path_pattern) for path_pattern in path_patterns]


def stage_names() -> set[str]:
    """Return the names of all stages in dvc.yaml, such as evaluate, without the matrix suffix as in evaluate@digits-0-mcp."""
    return set(_read_stage_definitions(CODE_ROOT / "dvc.yaml"))


def locked_output_md5s(stage_with_matrix_suffix: str) -> dict[str, str]:
    """Return a dictionary PATH -> md5 of a stage's outputs, read from dvc.lock; it is empty if dvc.lock does not have the stage.

    stage_with_matrix_suffix: name of the stage with its matrix suffix, such as evaluate@digits-0-mcp
    """
    return {
        locked_output["path"]: locked_output.get("md5", "")
        for locked_output in _read_stage_definitions(Path("dvc.lock")).get(stage_with_matrix_suffix, {}).get("outs", [])
    }


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
    folder_listing_json = json.dumps(sorted(file_hashes, key=lambda file_hash: file_hash["relpath"]), sort_keys=True)
    return f"{md5(folder_listing_json.encode(), usedforsecurity=False).hexdigest()}.dir"


def _read_stage_definitions(dvc_file: Path) -> dict[str, Any]:
    """Return a dictionary STAGE -> its content in a file dvc.yaml or dvc.lock; it is empty if the file does not exist."""
    return (read_yaml(dvc_file) or {}).get("stages", {}) if dvc_file.exists() else {}


def _compute_file_md5(path: Path) -> str:
    """Return the md5 of a file as 32 hexadecimal digits."""
    with path.open("rb") as file:
        return file_digest(file, lambda: md5(usedforsecurity=False)).hexdigest()
