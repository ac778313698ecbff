"""Logs models in MLflow, with signature and input example, and registers them as versions under a name, each digest once.

MLflow 3.17: logged models (mlflow.org/docs/latest/ml/mlflow-3), registry and aliases (mlflow.org/docs/latest/ml/model-registry).
"""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from confidnet_core.tracking.store import temporary_environment

DIGEST_TAG = "digest"  # by this tag an existing model is found


@dataclass(frozen=True)
class PackedModel:
    """A packed model is ready to be logged.

    files: the folder of the model's files
    loader: the module with the function _load_pyfunc, which loads them; code: the folder of its package
    images: the input example, uint8 (b, c, h, w); per_pixel: whether the model classifies each pixel
    risk: the default of the model's parameter `risk`, the target risk
    tags: facts about the model, with a unique "digest" among them
    description, version_description: Markdown texts about the registered model and about this version
    """

    files: Path
    loader: str
    code: Path
    requirements: list[str]
    images: np.ndarray
    per_pixel: bool
    risk: float
    tags: dict[str, str]
    classes: list[str]
    description: str
    version_description: str


def log_model(client: Any, experiment_id: str, name: str, model: PackedModel, run_id: str | None) -> Any:
    """Return MLflow's logged model of this digest, the existing one or a new one, after attaching it to the run."""
    existing = client.search_logged_models([experiment_id], f"tags.{DIGEST_TAG} = '{model.tags[DIGEST_TAG]}' AND name = '{name}'")
    if ready := [logged for logged in existing if logged.status == "READY"]:
        return _attach_to_run(client, ready[0], run_id)
    logged = client.create_logged_model(experiment_id, name, run_id, tags=model.tags, model_type="selective classifier")
    try:
        with TemporaryDirectory() as folder:
            _save_pyfunc(Path(folder) / "model", model, logged)
            client.log_model_artifacts(logged.model_id, f"{folder}/model")
    except BaseException:
        client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    return _attach_to_run(client, client.finalize_logged_model(logged.model_id, "READY"), run_id)


def register_version(client: Any, name: str, model: PackedModel, logged: Any) -> Any:
    """Return the version of this digest under the registered model `name`, the existing one or a new one."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, description=model.description)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    existing = client.search_model_versions(f"name = '{name}' AND tag.{DIGEST_TAG} = '{model.tags[DIGEST_TAG]}'")
    if existing:
        return existing[0]
    # MLflow's database store looks up the logged model in the store of the environment, even if the client uses another store.
    with temporary_environment({"MLFLOW_TRACKING_URI": client.tracking_uri}):
        source, run_id = f"models:/{logged.model_id}", logged.source_run_id
        return client.create_model_version(
            name, source, run_id, model.tags, description=model.version_description, model_id=logged.model_id
        )


def version_by_alias(client: Any, name: str, alias: str) -> Any | None:
    """Return the version with this alias, or None."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _attach_to_run(client: Any, logged: Any, run_id: str | None) -> Any:
    """Add the logged model to the outputs of the run, if there is a run, and return it."""
    from mlflow.entities import LoggedModelOutput

    outputs = client.get_run(run_id).outputs if run_id else None
    existing = [output.model_id for output in outputs.model_outputs] if outputs else []
    if run_id and logged.model_id not in existing:
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return logged


def _save_pyfunc(path: Path, model: PackedModel, logged: Any) -> None:
    """Write the folder of an MLflow model: files, code, requirements, signature and input example."""
    import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

    shape = (-1, *model.images.shape[2:]) if model.per_pixel else (-1,)
    dtypes = {"class_index": np.int64, "confidence": np.float64, "probability": np.float64, "accepted": np.bool_}
    dtypes = dtypes if model.per_pixel else {"label": np.str_, **dtypes}
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, *model.images.shape[1:]))]),
        outputs=Schema([TensorSpec(np.dtype(dtype), shape, name) for name, dtype in dtypes.items()]),
        params=ParamSchema([ParamSpec("risk", "double", model.risk)]),
    )
    mlflow.pyfunc.save_model(
        path,
        loader_module=model.loader,
        data_path=model.files,
        code_paths=[str(model.code)],
        mlflow_model=Model(model_id=logged.model_id, model_uuid=logged.model_id, run_id=logged.source_run_id),
        signature=signature,
        input_example=model.images,
        pip_requirements=model.requirements,
        metadata={**model.tags, "classes": model.classes},
    )
