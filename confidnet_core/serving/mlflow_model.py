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
class ModelToLog:
    """A model whose files are complete, with all that MLflow needs to log and register it.

    model_files_folder: the folder of the model's files
    loader_module: the module with the function _load_pyfunc, which loads them; code_paths: the folders and files of code that it needs
    example_images: the input example, uint8 (b, c, h, w); is_per_pixel: whether the model classifies each pixel
    default_target_risk: the target risk if the caller of the model gives none
    tags: facts about the model, with a unique "digest" among them
    model_description, version_description: Markdown texts about the registered model and about this version
    """

    model_files_folder: Path
    loader_module: str
    code_paths: list[Path]
    pip_requirements: list[str]
    example_images: np.ndarray
    is_per_pixel: bool
    default_target_risk: float
    tags: dict[str, str]
    class_names: list[str]
    model_description: str
    version_description: str


def find_or_log_model(
    mlflow_client: Any, mlflow_experiment_id: str, model_name: str, model_to_log: ModelToLog, mlflow_run_id: str | None
) -> Any:
    """Return MLflow's logged model that has this model's digest, created if there is none, after adding it to the outputs of the run.

    model_name: of the logged model; mlflow_run_id: the MLflow run, or None
    """
    models_of_digest = mlflow_client.search_logged_models(
        [mlflow_experiment_id], f"tags.{DIGEST_TAG} = '{model_to_log.tags[DIGEST_TAG]}' AND name = '{model_name}'"
    )
    if ready_models := [logged_model for logged_model in models_of_digest if logged_model.status == "READY"]:
        return _attach_to_mlflow_run(mlflow_client, ready_models[0], mlflow_run_id)
    logged_model = mlflow_client.create_logged_model(
        mlflow_experiment_id, model_name, mlflow_run_id, tags=model_to_log.tags, model_type="selective classifier"
    )
    try:
        with TemporaryDirectory() as temporary_folder:
            save_pyfunc_model(Path(temporary_folder) / "model", model_to_log, logged_model)
            mlflow_client.log_model_artifacts(logged_model.model_id, f"{temporary_folder}/model")
    except BaseException:
        mlflow_client.finalize_logged_model(logged_model.model_id, "FAILED")
        raise
    return _attach_to_mlflow_run(mlflow_client, mlflow_client.finalize_logged_model(logged_model.model_id, "READY"), mlflow_run_id)


def find_or_register_version(mlflow_client: Any, model_name: str, model_to_log: ModelToLog, logged_model: Any) -> Any:
    """Return the version of the registered model `model_name` that has this model's digest, created if there is none."""
    from mlflow.exceptions import MlflowException

    try:
        mlflow_client.create_registered_model(model_name, description=model_to_log.model_description)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    versions_of_digest = mlflow_client.search_model_versions(
        f"name = '{model_name}' AND tag.{DIGEST_TAG} = '{model_to_log.tags[DIGEST_TAG]}'"
    )
    if versions_of_digest:
        return versions_of_digest[0]
    # MLflow's database store looks up the logged model in the store of the environment, even if the client uses another store.
    with temporary_environment({"MLFLOW_TRACKING_URI": mlflow_client.tracking_uri}):
        model_uri, mlflow_run_id = f"models:/{logged_model.model_id}", logged_model.source_run_id
        return mlflow_client.create_model_version(
            model_name,
            model_uri,
            mlflow_run_id,
            model_to_log.tags,
            description=model_to_log.version_description,
            model_id=logged_model.model_id,
        )


def find_version_by_alias(mlflow_client: Any, model_name: str, alias: str) -> Any | None:
    """Return the version of a registered model that has this alias; None if there is no such version."""
    from mlflow.exceptions import MlflowException

    try:
        return mlflow_client.get_model_version_by_alias(model_name, alias)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def _attach_to_mlflow_run(mlflow_client: Any, logged_model: Any, mlflow_run_id: str | None) -> Any:
    """Add a logged model to the outputs of an MLflow run, unless the run is None; return the logged model."""
    from mlflow.entities import LoggedModelOutput

    run_outputs = mlflow_client.get_run(mlflow_run_id).outputs if mlflow_run_id else None
    attached_model_ids = [output.model_id for output in run_outputs.model_outputs] if run_outputs else []
    if mlflow_run_id and logged_model.model_id not in attached_model_ids:
        mlflow_client.log_outputs(mlflow_run_id, [LoggedModelOutput(logged_model.model_id, step=0)])
    return logged_model


def save_pyfunc_model(model_folder: Path, model_to_log: ModelToLog, logged_model: Any = None) -> None:
    """Write an MLflow model folder: the packed files, code, requirements, signature and input example.

    logged_model: the logged model of MLflow whose files these are; None for a folder that MLflow need not know
    """
    import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

    ids: dict[str, Any] = {}
    if logged_model is not None:
        ids = {"model_id": logged_model.model_id, "model_uuid": logged_model.model_id, "run_id": logged_model.source_run_id}
    output_shape = (-1, *model_to_log.example_images.shape[2:]) if model_to_log.is_per_pixel else (-1,)
    dtype_by_output = {"class_index": np.int64, "confidence": np.float64, "probability": np.float64, "accepted": np.bool_}
    dtype_by_output = dtype_by_output if model_to_log.is_per_pixel else {"label": np.str_, **dtype_by_output}
    signature = ModelSignature(
        # MLflow would cast to any other type, 0.5 to the pixel 0; by this one it takes all arrays, which served_model.py checks.
        inputs=Schema([TensorSpec(np.dtype(object), (-1,))]),
        outputs=Schema([TensorSpec(np.dtype(dtype), output_shape, output_name) for output_name, dtype in dtype_by_output.items()]),
        params=ParamSchema([ParamSpec("risk", "double", model_to_log.default_target_risk)]),
    )
    mlflow.pyfunc.save_model(
        model_folder,
        loader_module=model_to_log.loader_module,
        data_path=model_to_log.model_files_folder,
        code_paths=[str(code_path) for code_path in model_to_log.code_paths],
        mlflow_model=Model(**ids),
        signature=signature,
        input_example=model_to_log.example_images,
        pip_requirements=model_to_log.pip_requirements,
        metadata={**model_to_log.tags, "classes": model_to_log.class_names},
    )
