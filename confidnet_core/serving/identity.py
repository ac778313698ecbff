"""The digest of a served model. It covers all that the model's predictions and its watch depend on, and nothing else.

weights      the weights of the networks that the score uses
values       the values that the score fitted, and the validation sample to which the calibrator is fitted
reference    the calibration sample with which `confidnet watch` compares new answers
thresholds   the thresholds with their guarantees, without their results on the test split
metadata     score, settings, scale, classes, shape and normalisation of images, how their files are read, and the benchmark's model and
             baseline, the only ones of its recipes that a score may read (params of the stage `evaluate` in dvc.yaml)
code         the code that a served model runs: SERVED_CODE_PATHS, and the files of its score, its model and its data set

If these are equal, two experiments serve the same model, whatever else differs in params.yaml or in the code.
"""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from confidnet_core.config.registry import PACKAGE_FOLDER, entry_code_digest
from confidnet_core.files import read_json
from confidnet_core.monitoring.reference import REFERENCE_FILE_NAME
from confidnet_core.serving.new_images import reader_settings

SERVED_CODE_PATHS = (  # files and folders of confidnet_core, without the files of the score and of the model
    *(
        "config",
        "data.py",
        "datasets/_file_tree.py",
        "datasets/_image_formats.py",
        "datasets/_images.py",
        "datasets/_raw.py",
        "datasets/_resizing.py",
        "display.py",
        "evaluation/calibrators.py",
    ),
    *("evaluation/result.py", "files.py", "metrics/__init__.py", "metrics/_ranking", "metrics/failure.py", "metrics/segmentation.py"),
    *("networks", "paths.py", "progress.py", "scoring/cache.py", "scoring/fitted.py", "scoring/reads.py", "scoring/run.py"),
    *("serving/new_images.py", "serving/selective_classifier.py", "serving/served_model.py", "system"),
)
DIGESTED_METADATA_KEYS = ("benchmark", "seed", "method", "settings", "scale", "classes", "image_shape", "mean", "std", "segmentation")
DIGESTED_RECIPE_KEYS = ("model", "baseline")


def served_model_digest(model_folder: Path) -> str:
    """Return the SHA-256 that identifies a served model, from the files that packing.py wrote into the folder, networks included."""
    model_metadata = read_json(model_folder / "model.json")
    digested_metadata = {field_name: model_metadata[field_name] for field_name in DIGESTED_METADATA_KEYS} | {
        field_name: model_metadata["recipes"][field_name] for field_name in DIGESTED_RECIPE_KEYS
    }
    digested_metadata["reading"] = reader_settings(model_metadata["recipes"]["data"])
    stored_thresholds = read_json(model_folder / "threshold.json")["thresholds"]
    digested_thresholds = [
        {field_name: field_value for field_name, field_value in stored_threshold.items() if field_name != "test"}
        for stored_threshold in stored_thresholds
    ]
    digest = sha256(json.dumps([digested_metadata, digested_thresholds], sort_keys=True).encode())
    value_files = [model_folder / "fitted.pt", model_folder / "validation.npz", *model_folder.glob(REFERENCE_FILE_NAME)]
    for model_file in sorted([*value_files, *model_folder.glob("networks/*/weights.pt")]):
        digest.update(f"{model_file.relative_to(model_folder).as_posix()} {model_file.stat().st_size} ".encode() + model_file.read_bytes())
    digest.update(_code_digest(model_metadata, has_second_network=(model_folder / "networks/second_opinion").exists()).encode())
    return digest.hexdigest()


def _code_digest(model_metadata: dict[str, Any], *, has_second_network: bool) -> str:
    """Return the SHA-256 of the code that a served model runs, including the names of its files.

    model_metadata: the content of model.json; has_second_network: whether the score reads a second network, which may have its own model
    """
    code_files = {
        code_file
        for code_path in SERVED_CODE_PATHS
        for code_file in (
            (PACKAGE_FOLDER / code_path).rglob("*.py") if (PACKAGE_FOLDER / code_path).is_dir() else [PACKAGE_FOLDER / code_path]
        )
    }
    code_bytes = b"".join(
        served_file.relative_to(PACKAGE_FOLDER).as_posix().encode() + served_file.read_bytes() for served_file in sorted(code_files)
    )
    recipes = model_metadata["recipes"]
    models = [recipes["model"], *([recipes["second_opinion"]["model"] or recipes["model"]] if has_second_network else [])]
    entry_digests = [
        entry_code_digest("scores", model_metadata["method"]),
        *(entry_code_digest("models", model["name"], model["settings"]) for model in models),
        sha256((PACKAGE_FOLDER / "datasets" / f"{recipes['data']['name']}.py").read_bytes()).hexdigest(),
    ]
    return sha256(code_bytes + "".join(entry_digests).encode()).hexdigest()
