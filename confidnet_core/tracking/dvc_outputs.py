"""What a stage writes, by dvc.yaml, and the md5 that DVC will give it in dvc.lock: a row of MLflow and a file of DVC name each other.

Folders are hashed as DVC 3 does: the md5 of a JSON list of their files (dvc_data/hashfile/tree.py, Tree.as_bytes).
"""

import json
import re
from hashlib import file_digest, md5
from pathlib import Path

from confidnet_core.files import read_yaml
from confidnet_core.revision import ROOT


def outputs(stage: str, **item: object) -> list[str]:
    """Paths of the cached outputs of a stage, for one benchmark, seed and method (item); none where dvc.yaml has no such stage."""
    pipeline = ROOT / "dvc.yaml"
    listed = read_yaml(pipeline)["stages"].get(stage, {}).get("outs", []) if pipeline.exists() else []
    names = [entry if isinstance(entry, str) else next(iter(entry)) for entry in listed]
    return [re.sub(r"\$\{item\.(\w+)\}", lambda found: str(item[found[1]]), name) for name in names]


def dvc_md5(path: Path) -> str:
    """Of a file, 32 hexadecimal digits; of a folder, with .dir after them. OSError where it does not exist."""
    path = Path(path)
    if not path.is_dir():
        return _of_file(path)
    files = [{"md5": _of_file(file), "relpath": file.relative_to(path).as_posix()} for file in path.rglob("*") if file.is_file()]
    listed = json.dumps(sorted(files, key=lambda file: file["relpath"]), sort_keys=True)
    return f"{md5(listed.encode(), usedforsecurity=False).hexdigest()}.dir"


def _of_file(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, lambda: md5(usedforsecurity=False)).hexdigest()
