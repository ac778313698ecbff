"""The digest of a served model. It covers all that the model's predictions depend on, and nothing else.

weights      the weights of the networks that the score uses
values       the values that the score fitted, and the validation sample to which the calibrator is fitted
thresholds   the thresholds with their guarantees, without their results on the test split
facts        score, settings, scale, classes, shape and normalisation of images, and the benchmark's model and baseline, the only ones of
             its recipes that a score may read (params of the stage `evaluate` in dvc.yaml)
code         the code that a served model runs: SERVED_CODE, and the files of its score and of its model

If these are equal, two experiments serve the same model, whatever else differs in params.yaml or in the code.
"""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from confidnet_core.config.registry import PACKAGE_FOLDER, source_digest
from confidnet_core.files import read_json

SERVED_CODE = (  # files and folders of confidnet_core, without the files of the score and of the model
    *("config", "data.py", "evaluation/calibrators.py", "evaluation/result.py", "files.py", "metrics/__init__.py", "metrics/_ranking"),
    *("metrics/failure.py", "metrics/segmentation.py", "networks", "paths.py", "progress.py"),
    *("scoring/fitted.py", "scoring/reads.py", "scoring/run.py", "serving/selective_classifier.py"),
)
FACT_KEYS = ("benchmark", "seed", "method", "settings", "scale", "classes", "image_shape", "mean", "std", "segmentation")
RECIPE_KEYS = ("model", "baseline")


def served_digest(model_folder: Path) -> str:
    """Return the SHA-256 that identifies a served model, from the files that packing.py wrote into the folder, networks included."""
    facts = read_json(model_folder / "model.json")
    used_facts = {name: facts[name] for name in FACT_KEYS} | {name: facts["recipes"][name] for name in RECIPE_KEYS}
    all_threshold_facts = read_json(model_folder / "threshold.json")["thresholds"]
    thresholds = [{name: value for name, value in threshold_facts.items() if name != "test"} for threshold_facts in all_threshold_facts]
    digest = sha256(json.dumps([used_facts, thresholds], sort_keys=True).encode())
    for path in sorted([model_folder / "fitted.pt", model_folder / "validation.npz", *model_folder.glob("networks/*/weights.pt")]):
        digest.update(f"{path.relative_to(model_folder).as_posix()} {path.stat().st_size} ".encode() + path.read_bytes())
    digest.update(_code_digest(facts).encode())
    return digest.hexdigest()


def _code_digest(facts: dict[str, Any]) -> str:
    """Return the SHA-256 of the code that a served model runs, including the names of its files. facts: content of model.json"""
    code_files = {
        file
        for name in SERVED_CODE
        for file in ((PACKAGE_FOLDER / name).rglob("*.py") if (PACKAGE_FOLDER / name).is_dir() else [PACKAGE_FOLDER / name])
    }
    code = b"".join(path.relative_to(PACKAGE_FOLDER).as_posix().encode() + path.read_bytes() for path in sorted(code_files))
    entry_digests = [source_digest("scores", facts["method"]), source_digest("models", facts["recipes"]["model"]["name"])]
    return sha256(code + "".join(entry_digests).encode()).hexdigest()
