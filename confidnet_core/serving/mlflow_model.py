"""Logging of served models in MLflow, with signature and input example, and registration as versions, one for each digest.

The digest (serving/identity.py) is a SHA-256 of all that a model's predictions depend on.
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
    """A model whose files are complete, with all that MLflow needs to log and register it.

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
    """Return MLflow's logged model that has this model's digest, created if there is none, after adding it to the outputs of the run.

    name: of the logged model; run_id: the MLflow run, or None
    """
    models_of_digest = client.search_logged_models([experiment_id], f"tags.{DIGEST_TAG} = '{model.tags[DIGEST_TAG]}' AND name = '{name}'")
    if ready_models := [logged_model for logged_model in models_of_digest if logged_model.status == "READY"]:
        return _attach_to_run(client, ready_models[0], run_id)
    logged_model = client.create_logged_model(experiment_id, name, run_id, tags=model.tags, model_type="selective classifier")
    try:
        with TemporaryDirectory() as folder:
            _save_pyfunc_model(Path(folder) / "model", model, logged_model)
            client.log_model_artifacts(logged_model.model_id, f"{folder}/model")
    except BaseException:
        client.finalize_logged_model(logged_model.model_id, "FAILED")
        raise
    return _attach_to_run(client, client.finalize_logged_model(logged_model.model_id, "READY"), run_id)


def register_version(client: Any, name: str, model: PackedModel, logged: Any) -> Any:
    """Return the version of the registered model `name` that has this model's digest, created if there is none."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, description=model.description)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    versions_of_digest = client.search_model_versions(f"name = '{name}' AND tag.{DIGEST_TAG} = '{model.tags[DIGEST_TAG]}'")
    if versions_of_digest:
        return versions_of_digest[0]
    # MLflow's database store looks up the logged model in the store of the environment, even if the client uses another store.
    with temporary_environment({"MLFLOW_TRACKING_URI": client.tracking_uri}):
        source, run_id = f"models:/{logged.model_id}", logged.source_run_id
        return client.create_model_version(
            name, source, run_id, model.tags, description=model.version_description, model_id=logged.model_id
        )


def version_by_alias(client: Any, name: str, alias: str) -> Any | None:
    """Return the version of a registered model that has this alias; None if there is no such version."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _attach_to_run(client: Any, logged_model: Any, run_id: str | None) -> Any:
    """Add a logged model to the outputs of an MLflow run, unless the run is None; return the logged model."""
    from mlflow.entities import LoggedModelOutput

    run_outputs = client.get_run(run_id).outputs if run_id else None
    attached_ids = [output.model_id for output in run_outputs.model_outputs] if run_outputs else []
    if run_id and logged_model.model_id not in attached_ids:
        client.log_outputs(run_id, [LoggedModelOutput(logged_model.model_id, step=0)])
    return logged_model


def _save_pyfunc_model(model_folder: Path, packed_model: PackedModel, logged_model: Any) -> None:
    """Write an MLflow model folder: the packed files, code, requirements, signature and input example."""
    import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

    shape = (-1, *packed_model.images.shape[2:]) if packed_model.per_pixel else (-1,)
    dtypes = {"class_index": np.int64, "confidence": np.float64, "probability": np.float64, "accepted": np.bool_}
    dtypes = dtypes if packed_model.per_pixel else {"label": np.str_, **dtypes}
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, *packed_model.images.shape[1:]))]),
        outputs=Schema([TensorSpec(np.dtype(dtype), shape, name) for name, dtype in dtypes.items()]),
        params=ParamSchema([ParamSpec("risk", "double", packed_model.risk)]),
    )
    mlflow.pyfunc.save_model(
        model_folder,
        loader_module=packed_model.loader,
        data_path=packed_model.files,
        code_paths=[str(packed_model.code)],
        mlflow_model=Model(model_id=logged_model.model_id, model_uuid=logged_model.model_id, run_id=logged_model.source_run_id),
        signature=signature,
        input_example=packed_model.images,
        pip_requirements=packed_model.requirements,
        metadata={**packed_model.tags, "classes": packed_model.classes},
    )
