"""Models in MLflow: logged with signature and input example, registered as versions under a name, each once by its digest.

MLflow 3.17: logged models (mlflow.org/docs/latest/ml/mlflow-3), registry and aliases (mlflow.org/docs/latest/ml/model-registry).
"""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from confidnet_core.tracking.store import temporary_environment

DIGEST = "digest"  # the tag by which a model is found again


@dataclass(frozen=True)
class Packed:
    """A model that is ready to be logged.

    files: the folder that LOADER, a module of the folder CODE with a function _load_pyfunc, loads
    images: uint8 (b, c, h, w), the input example; maps: whether there is an answer for each pixel
    risk: the default of the parameter of this name
    tags: what it is; "digest" among them, which differs from that of any other model
    description, about: Markdown of all versions, and of this one
    """

    files: Path
    loader: str
    code: Path
    requirements: list[str]
    images: np.ndarray
    maps: bool
    risk: float
    tags: dict[str, str]
    classes: list[str]
    description: str
    about: str


def log_model(client: Any, experiment_id: str, name: str, packed: Packed, run_id: str | None) -> Any:
    """MLflow's logged model of this digest: the existing one, or a new one; listed with the run."""
    known = client.search_logged_models([experiment_id], f"tags.{DIGEST} = '{packed.tags[DIGEST]}' AND name = '{name}'")
    if ready := [each for each in known if each.status == "READY"]:
        return _listed(client, ready[0], run_id)
    made = client.create_logged_model(experiment_id, name, run_id, tags=packed.tags, model_type="selective classifier")
    try:
        with TemporaryDirectory() as folder:
            _save(Path(folder) / "model", packed, made)
            client.log_model_artifacts(made.model_id, f"{folder}/model")
    except BaseException:
        client.finalize_logged_model(made.model_id, "FAILED")
        raise
    return _listed(client, client.finalize_logged_model(made.model_id, "READY"), run_id)


def register_version(client: Any, name: str, packed: Packed, logged: Any) -> Any:
    """The version of this digest under NAME: the existing one, or a new one."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, description=packed.description)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    known = client.search_model_versions(f"name = '{name}' AND tag.{DIGEST} = '{packed.tags[DIGEST]}'")
    if known:
        return known[0]
    # MLflow's database store looks the logged model up in the store that the environment names, whatever the client's own is.
    with temporary_environment({"MLFLOW_TRACKING_URI": client.tracking_uri}):
        source, run_id = f"models:/{logged.model_id}", logged.source_run_id
        return client.create_model_version(name, source, run_id, packed.tags, description=packed.about, model_id=logged.model_id)


def version_by_alias(client: Any, name: str, alias: str) -> Any | None:
    """The version with this alias; None where none has it."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _listed(client: Any, logged: Any, run_id: str | None) -> Any:
    """List the model among those of the run, and return it."""
    from mlflow.entities import LoggedModelOutput

    outputs = client.get_run(run_id).outputs if run_id else None
    known = [each.model_id for each in outputs.model_outputs] if outputs else []
    if run_id and logged.model_id not in known:
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return logged


def _save(path: Path, packed: Packed, logged: Any) -> None:
    import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

    shape = (-1, *packed.images.shape[2:]) if packed.maps else (-1,)
    kinds = {"class_index": np.int64, "confidence": np.float64, "probability": np.float64, "accepted": np.bool_}
    kinds = kinds if packed.maps else {"label": np.str_, **kinds}
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, *packed.images.shape[1:]))]),
        outputs=Schema([TensorSpec(np.dtype(kind), shape, name) for name, kind in kinds.items()]),
        params=ParamSchema([ParamSpec("risk", "double", packed.risk)]),
    )
    mlflow.pyfunc.save_model(
        path,
        loader_module=packed.loader,
        data_path=packed.files,
        code_paths=[str(packed.code)],
        mlflow_model=Model(model_id=logged.model_id, model_uuid=logged.model_id, run_id=logged.source_run_id),
        signature=signature,
        input_example=packed.images,
        pip_requirements=packed.requirements,
        metadata={**packed.tags, "classes": packed.classes},
    )
