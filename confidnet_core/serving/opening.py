"""Models by name: a folder, a benchmark of params.yaml with its present outputs, or a registered model of MLflow."""

import atexit
import os
import re
import shutil
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from confidnet_core.config.params import Params, load_params
from confidnet_core.config.registry import suggestion
from confidnet_core.files import read_yaml
from confidnet_core.progress import progress_bars_enabled
from confidnet_core.serving.packing import copy_networks_to_candidate
from confidnet_core.serving.registering import CHAMPION_ALIAS, pack_best_candidate
from confidnet_core.serving.selective_classifier import SelectiveClassifier
from confidnet_core.system.addresses import without_secrets
from confidnet_core.tracking.store import (
    ServerError,
    open_mlflow_client,
    project_root,
    server_failure_reason,
    store_uri,
    temporary_environment,
    uses_server,
)

PARAMS_FILE = Path("params.yaml")
PACKED_FILE, MLFLOW_FILE = "model.json", "MLmodel"  # by which a packed model, and a model of MLflow, are known


def open_model(name: str) -> SelectiveClassifier:
    """Return the model that `name` names, as find_model_folder does; it runs by the code of this installation."""
    return SelectiveClassifier.load(find_model_folder(name))


def find_model_folder(name: str, method: str | None = None) -> Path:
    """Return the folder of a packed model, networks included.

    name: a folder, that of a packed model or one that was downloaded from MLflow; a benchmark of params.yaml, whose best score is packed
        from its present outputs into a temporary folder, without MLflow; or a registered model: NAME (its champion), NAME@ALIAS,
        NAME/VERSION, or an address that begins with models:/
    method: for a benchmark, the score to pack in place of the best one on validation data
    Raises ValueError where there is no such model, where the outputs of the benchmark or the files of the model are incomplete, and for a
    score of a model that is packed already.
    """
    params = load_params(PARAMS_FILE) if PARAMS_FILE.is_file() else None
    is_packed = Path(name).is_dir() and any((Path(name) / file_name).is_file() for file_name in (PACKED_FILE, MLFLOW_FILE))
    is_benchmark = params is not None and name in params.benchmarks and not is_packed
    if method is not None and not is_benchmark:
        raise ValueError(f"--score is {method}, but {name} is no benchmark of {PARAMS_FILE}, and has its score already; leave it out")
    if name.startswith("models:/"):
        return _registered_model_folder(name)
    if is_packed:
        return _packed_folder_within(Path(name))
    if params is not None and is_benchmark:
        return _pack_benchmark(params, name, method)
    if Path(name).exists():
        raise ValueError(f"{name} holds no model; expected a folder with {PACKED_FILE} or {MLFLOW_FILE}")
    registered_name = re.fullmatch(r"\w[^/@:]*([@/][^/@:]+)?", name)
    if registered_name is None:
        raise ValueError(f"{name} does not exist; expected a folder, a benchmark, or a registered model as NAME@{CHAMPION_ALIAS}")
    benchmark_names = () if params is None else tuple(params.benchmarks)
    return _registered_model_folder(f"models:/{name}" + f"@{CHAMPION_ALIAS}" * (registered_name[1] is None), benchmark_names)


def _packed_folder_within(folder: Path) -> Path:
    """Return the folder of the packed model in a folder: itself, or the data of a model of MLflow."""
    if (folder / PACKED_FILE).is_file():
        return folder
    content: Any = read_yaml(folder / MLFLOW_FILE)
    try:
        data_path = folder / content["flavors"]["python_function"]["data"]
    except (KeyError, TypeError):
        data_path = folder
    if not (data_path / PACKED_FILE).is_file():
        raise ValueError(f"{folder} is a model of MLflow, but none of this project; expected one that `confidnet register` made")
    return data_path


def _pack_benchmark(params: Params, benchmark: str, method: str | None) -> Path:
    """Pack the best score, or `method`, of a benchmark's present outputs into a folder that is removed at the end of this process."""
    temporary_folder = Path(mkdtemp(prefix="confidnet-"))
    atexit.register(shutil.rmtree, temporary_folder, ignore_errors=True)
    candidate = pack_best_candidate(params, benchmark, temporary_folder, method)
    copy_networks_to_candidate(candidate)
    return candidate.model_folder


def _registered_model_folder(model_uri: str, benchmark_names: tuple[str, ...] = ()) -> Path:
    """Return the folder of a registered model: its own in a store on this machine, else a copy.

    benchmark_names: those that could have been meant, for a message
    """
    database_path = project_root() / "mlflow.db"
    if not os.environ.get("MLFLOW_TRACKING_URI", "").strip() and not database_path.exists():
        name = _registered_name(model_uri)
        names_text = suggestion(name, benchmark_names) if benchmark_names else ""
        raise ValueError(f"{name} is no folder and no benchmark, and {database_path}, of registered models, does not exist{names_text}")
    try:
        mlflow_client = open_mlflow_client()
    except ServerError as error:
        raise ValueError(f"the MLflow server {error}") from None
    try:
        return _packed_folder_within(Path(_local_path(model_uri)))
    except ValueError:
        raise
    except Exception as error:
        if getattr(error, "error_code", None) not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            subject = "the MLflow server" if uses_server() else f"{model_uri} of {without_secrets(store_uri(project_root()))}"
            raise ValueError(f"{subject} {server_failure_reason(error)}") from None
        name, known_names = _registered_name(model_uri), [model.name for model in mlflow_client.search_registered_models()]
        if name in known_names:
            raise ValueError(f"{model_uri} does not exist: {name} has no such version or alias; `make ui` shows which it has") from None
        names_text = suggestion(name, [*known_names, *benchmark_names])
        raise ValueError(f"{name} is no folder, no benchmark of {PARAMS_FILE}, and no registered model{names_text}") from None


def _registered_name(model_uri: str) -> str:
    return re.split("[@/]", model_uri.removeprefix("models:/"))[0]


def _local_path(model_uri: str) -> str:
    """Return the path of the folder of a model of MLflow on this machine, after its download if it is on another one."""
    from mlflow.artifacts import download_artifacts

    tracking_uri = store_uri(project_root())
    settings = {"MLFLOW_TRACKING_URI": tracking_uri, "MLFLOW_REGISTRY_URI": tracking_uri}
    settings["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = str(progress_bars_enabled())
    with temporary_environment(settings):
        return download_artifacts(artifact_uri=model_uri, tracking_uri=tracking_uri, registry_uri=tracking_uri)
