"""Finds the model that a user names: a folder, a benchmark of params.yaml, or a registered model with an alias or a version.

MLflow 3.17: URIs of registered models (mlflow.org/docs/latest/ml/model-registry), the file MLmodel (mlflow.org/docs/latest/ml/model).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from confidnet_core.config.params import load_params
from confidnet_core.config.registry import suggestion
from confidnet_core.files import read_yaml
from confidnet_core.tracking.store import open_mlflow_client, temporary_environment

MODEL_URI_SCHEME = "models:/"
WITHOUT_PROGRESS_BAR = {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}  # for the copy of a few files
NAMES_OF_MODELS = "a folder with MLmodel or model.json, a benchmark of params.yaml, or NAME@ALIAS or NAME/VERSION in MLflow's registry"


@contextmanager
def locate_model(model_text: str, method: str | None = None) -> Iterator[Path]:
    """Context manager that yields the folder of a packed model, from which SelectiveClassifier.load loads it.

    model_text: the path of a folder with MLmodel (as MLflow stores it) or with model.json; the name of a benchmark in params.yaml, whose
        best model is packed from the outputs in the workspace; or a registered model, as confidnet-digits (its champion),
        confidnet-digits@champion, confidnet-digits/3, or any of MLflow's URIs models:/...
    method: for a benchmark, the score to pack in place of the best one on validation data
    A model that is packed or downloaded lies in a temporary folder, which is deleted at the end of the block.
    Raises ValueError for a text that names no model, and for a score of what is packed already.
    """
    is_benchmark = Path("params.yaml").is_file() and model_text in load_params(check_entries=False).benchmarks
    if method is not None and not is_benchmark:
        raise ValueError(f"--score is {method}, but {model_text} is no benchmark of params.yaml, and has its score already; leave it out")
    if Path(model_text).is_dir():
        yield _packed_folder(Path(model_text))
        return
    with TemporaryDirectory() as temporary_folder:
        if is_benchmark:
            from confidnet_core.serving.packing import copy_networks_to_candidate  # imported here: PyTorch takes seconds
            from confidnet_core.serving.registering import pack_best_candidate

            candidate = pack_best_candidate(load_params(), model_text, Path(temporary_folder), method)
            copy_networks_to_candidate(candidate)
            yield candidate.model_folder
        else:
            yield _packed_folder(_download_registered_model(model_text, temporary_folder))


def _packed_folder(folder: Path) -> Path:
    """Return the folder with model.json: the given one, or the one that its file MLmodel names. Raises ValueError if there is none."""
    packed_folder = folder
    if (folder / "MLmodel").is_file():
        flavors = read_yaml(folder / "MLmodel").get("flavors") or {}
        packed_folder = folder / (flavors.get("python_function") or {}).get("data", ".")
    if not (packed_folder / "model.json").is_file():
        raise ValueError(f"{folder} holds no model of this project (model.json, or MLmodel that leads to it); expected {NAMES_OF_MODELS}")
    return packed_folder


def _download_registered_model(model_text: str, target_folder: str) -> Path:
    """Download a registered model from the project's MLflow store into a folder; return the folder that holds its MLmodel."""
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    from confidnet_core.serving.registering import CHAMPION_ALIAS

    mlflow_client = open_mlflow_client()
    is_complete = model_text.startswith(MODEL_URI_SCHEME) or "@" in model_text or "/" in model_text
    model_uri = MODEL_URI_SCHEME + (model_text if is_complete else f"{model_text}@{CHAMPION_ALIAS}").removeprefix(MODEL_URI_SCHEME)
    try:
        with temporary_environment({"MLFLOW_TRACKING_URI": mlflow_client.tracking_uri, **WITHOUT_PROGRESS_BAR}):
            return Path(download_artifacts(artifact_uri=model_uri, dst_path=target_folder, tracking_uri=mlflow_client.tracking_uri))
    except MlflowException as error:
        reason = str(error).strip().splitlines()[0]
        known_names = suggestion(model_text.removeprefix(MODEL_URI_SCHEME), _registered_names(mlflow_client))
        raise ValueError(f"{model_text} names no model ({reason}){known_names}; expected {NAMES_OF_MODELS}") from None


def _registered_names(mlflow_client: Any) -> list[str]:
    return [model.name for model in mlflow_client.search_registered_models()]
