"""Which served models are the same: a digest of all that the answers of a packed model depend on, and of nothing else.

weights      of the networks that the score uses
values       that the score fitted, and the validation sample that makes probabilities of it
thresholds   with their guarantees; not how they fared on the test split
facts        score, settings, scale, classes, shape and normalisation of images, and the benchmark's model and baseline, which alone of its
             recipes a score may read (params of the stage `evaluate` in dvc.yaml)
code         that a served model runs: SERVED, and the files of its score and of its model

Where these are equal, two experiments serve the same model, whatever else params.yaml or the rest of the code says.
"""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from confidnet_core.config.registry import PACKAGE_FOLDER, source_digest
from confidnet_core.files import read_json

SERVED = (  # files and folders of confidnet_core that a served model runs, beside its score and its model
    *("config", "data.py", "evaluation/calibrators.py", "evaluation/result.py", "files.py", "metrics/__init__.py", "metrics/_ranking"),
    *("metrics/failure.py", "metrics/segmentation.py", "networks", "paths.py", "progress.py"),
    *("scoring/fitted.py", "scoring/reads.py", "scoring/run.py", "serving/selective_classifier.py"),
)
FACTS = ("benchmark", "seed", "method", "settings", "scale", "classes", "image_shape", "mean", "std", "segmentation")
RECIPES = ("model", "baseline")


def served_digest(folder: Path) -> str:
    """SHA-256 of a packed model, from the files that packing.py wrote into FOLDER, networks included."""
    facts = read_json(folder / "model.json")
    used = {name: facts[name] for name in FACTS} | {name: facts["recipes"][name] for name in RECIPES}
    stored = read_json(folder / "threshold.json")["thresholds"]
    thresholds = [{name: value for name, value in each.items() if name != "test"} for each in stored]
    digest = sha256(json.dumps([used, thresholds], sort_keys=True).encode())
    for path in sorted([folder / "fitted.pt", folder / "validation.npz", *folder.glob("networks/*/weights.pt")]):
        digest.update(f"{path.relative_to(folder).as_posix()} {path.stat().st_size} ".encode() + path.read_bytes())
    digest.update(_code(facts).encode())
    return digest.hexdigest()


def _code(facts: dict[str, Any]) -> str:
    """SHA-256 of the code that the model runs, with the names of its files."""
    files = {
        file
        for name in SERVED
        for file in ((PACKAGE_FOLDER / name).rglob("*.py") if (PACKAGE_FOLDER / name).is_dir() else [PACKAGE_FOLDER / name])
    }
    code = b"".join(path.relative_to(PACKAGE_FOLDER).as_posix().encode() + path.read_bytes() for path in sorted(files))
    entries = [source_digest("scores", facts["method"]), source_digest("models", facts["recipes"]["model"]["name"])]
    return sha256(code + "".join(entries).encode()).hexdigest()
