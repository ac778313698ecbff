"""Registration of trained classifiers with their best score as versions of an MLflow model, and choice of the champion version.

Each served model has one version, by its served_model_digest. Experiments that differ only in what the served model does not use share it.

Each classifier is registered with the score of the highest AUPR-Error on validation data. AUPR-Error grows with the error rate. So between
classifiers, of other seeds or of the champion, the lower AURC on validation data decides, which includes their error rates. The alias
`champion` moves by itself only to a version that is better on the same data.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filelock import FileLock

from confidnet_core import paths
from confidnet_core.config.params import Params
from confidnet_core.data import load_dataset
from confidnet_core.evaluation.stored import StoredResults
from confidnet_core.revision import git
from confidnet_core.serving.identity import served_model_digest
from confidnet_core.serving.mlflow_model import DIGEST_TAG, ModelToLog, find_or_log_model, find_or_register_version, find_version_by_alias
from confidnet_core.serving.packing import (
    CandidateModel,
    copy_networks_to_candidate,
    example_images,
    pack_model_with_best_score,
    pack_model_with_score,
)
from confidnet_core.serving.requirements import code_paths, pip_requirements
from confidnet_core.serving.selective_classifier import ScoreNotServableError
from confidnet_core.tracking.store import ServerError, open_mlflow_store, project_root, server_failure_reason, uses_server

CHAMPION_ALIAS = "champion"
LOADER_MODULE = "confidnet_core.serving.served_model"  # not imported here, since it imports MLflow, which takes seconds


def register_best_model(params: Params, benchmark: str, mlflow_run_id: str | None = None, force_champion: bool = False) -> str:
    """Register the best classifier of a benchmark, with its best score, as a version of the MLflow model confidnet-BENCHMARK.

    The same classifier with the first score of `against` is logged, too. The same served model gets one version. Returns a description of
    what was done.
    mlflow_run_id: the MLflow run to which the models belong
    force_champion: whether this version gets the alias `champion` even if it is not better than the present champion
    Raises ValueError for a missing file, where no score can be served, and where the MLflow store refuses the model.
    """
    params.benchmark(benchmark)
    try:
        mlflow_client, mlflow_experiment_id = open_mlflow_store(f"confidnet/{benchmark}")
        with TemporaryDirectory() as temporary_folder, FileLock(_registering_lock_path()):
            best_candidate = pack_best_candidate(params, benchmark, Path(temporary_folder))
            if (baseline_candidate := _pack_baseline_candidate(params, best_candidate, Path(temporary_folder))) is not None:
                find_or_log_model(
                    mlflow_client, mlflow_experiment_id, "baseline", _complete_model_to_log(baseline_candidate), mlflow_run_id
                )
            model_to_log = _complete_model_to_log(best_candidate)
            model_version = find_or_register_version(
                mlflow_client,
                f"confidnet-{benchmark}",
                model_to_log,
                find_or_log_model(mlflow_client, mlflow_experiment_id, "selective", model_to_log, mlflow_run_id),
            )
            registration_in_words = f"{model_version.name} version {model_version.version}: {_candidate_summary(best_candidate)}"
            skipped_scores_in_words = [f"better, but not served: {score}" for score in best_candidate.skipped_scores]
            return "; ".join(
                [registration_in_words, *skipped_scores_in_words, *_update_champion(mlflow_client, model_version, force_champion)]
            )
    except ValueError:
        raise
    except Exception as error:
        if not isinstance(error, ServerError) and not uses_server():
            raise
        raise ValueError(f"the MLflow server {server_failure_reason(error)}") from error


def register_best_model_or_warn(params: Params, benchmark: str, mlflow_run_id: str | None = None) -> None:
    """Register the best model at the end of a DVC stage, whose other outputs are complete: a ValueError is printed as a warning."""
    try:
        print(register_best_model(params, benchmark, mlflow_run_id))
    except ValueError as error:
        remedy = f"`python -m confidnet_core register {benchmark}` does it from the same outputs"
        print(f"WARNING the model of {benchmark} is not registered: {error}; {remedy}", file=sys.stderr, flush=True)


def pack_best_candidate(params: Params, benchmark: str, candidates_folder: Path, method: str | None = None) -> CandidateModel:
    """Pack each seed's classifier with its best score, or with `method`; return the candidate with the lowest AURC on validation data."""
    candidates = []
    for stored_results in (StoredResults.without_left_out(benchmark, seed, params.methods) for seed in params.seeds):
        seed_folder = candidates_folder / str(stored_results.seed)
        if method is None:
            candidates.append(pack_model_with_best_score(stored_results, params, seed_folder))
        else:
            params.method(method)
            candidates.append(pack_model_with_score(stored_results, method, params, seed_folder))
    return min(candidates, key=lambda candidate: _aurc_or_infinity(candidate.validation_evaluation.metrics))


def _pack_baseline_candidate(params: Params, best_candidate: CandidateModel, candidates_folder: Path) -> CandidateModel | None:
    """Pack the best candidate's classifier with the first score of `against`, and return it as a candidate.

    The result is None without such a score, or if this score cannot be served.
    """
    reference_methods = [method for method in params.against if method in best_candidate.stored_results.methods]
    try:
        return (
            pack_model_with_score(best_candidate.stored_results, reference_methods[0], params, candidates_folder / "baseline")
            if reference_methods
            else None
        )
    except ScoreNotServableError:
        return None


def _aurc_or_infinity(metrics: Mapping[str, float | None]) -> float:
    """Return the AURC among the metrics; infinity if it is undefined, so that it sorts last."""
    return float("inf") if metrics["aurc"] is None else metrics["aurc"]


def _complete_model_to_log(candidate: CandidateModel) -> ModelToLog:
    """Copy the networks into the candidate's folder; return it with all else that MLflow needs, as a ModelToLog."""
    copy_networks_to_candidate(candidate)
    served_model, validation_metrics = candidate.served_model, candidate.validation_evaluation.metrics
    model_metadata, threshold = served_model.model_metadata, served_model.guaranteed_threshold()
    tags = {
        DIGEST_TAG: served_model_digest(candidate.model_folder),
        "benchmark": model_metadata["benchmark"],
        "score": model_metadata["method"],
        "seed": model_metadata["seed"],
        "val_aupr_error": validation_metrics["aupr_error"],
        "val_aurc": validation_metrics["aurc"],
        "target_risk": threshold["risk"],
        "threshold": threshold["threshold"],
        "delta": threshold["delta"],
        "no_threshold": threshold["reason"],  # why, where there is none
        "data": model_metadata["data"],
        "git_commit": git("rev-parse", "HEAD"),
        "dvc_exp_name": os.environ.get("DVC_EXP_NAME"),
    }
    model_choice = model_metadata["recipes"]["model"]
    second_choice = (model_metadata["recipes"]["second_opinion"] or {}).get("model") or model_choice
    requirements = {line for model in (model_choice, second_choice) for line in pip_requirements(model["name"], model["settings"])}
    return ModelToLog(
        model_files_folder=candidate.model_folder,
        loader_module=LOADER_MODULE,
        code_paths=code_paths(model_choice["name"], model_choice["settings"]),
        pip_requirements=sorted(requirements, key=str.lower),
        example_images=example_images(load_dataset(paths.prepared_data_folder(model_metadata["benchmark"]))),
        is_per_pixel=model_metadata["segmentation"],
        default_target_risk=threshold["risk"],
        tags={tag_name: str(tag_value) for tag_name, tag_value in tags.items() if tag_value not in (None, "")},
        class_names=model_metadata["classes"],
        model_description=_model_description(model_metadata["benchmark"]),
        version_description=f"{_candidate_summary(candidate)}.",
    )


def _model_description(benchmark: str) -> str:
    """Return the Markdown description of a benchmark's registered model."""
    return f"""A classifier for `{benchmark}` that knows when not to answer: for uint8 images (b, channels, height, width), in [0, 255], it
gives the class, the confidence of its best score on validation data, the probability of being correct, and whether the prediction is
accepted at a target risk. `mlflow.pyfunc.load_model("models:/confidnet-{benchmark}@{CHAMPION_ALIAS}")` loads it without the project.

`{CHAMPION_ALIAS}` is the version of the lowest AURC on validation data. Experiments that serve the same model share a version."""


def _candidate_summary(candidate: CandidateModel) -> str:
    """Return a sentence without a full stop about a candidate: score, seed, metrics on validation data and threshold."""
    threshold, validation_evaluation = candidate.served_model.guaranteed_threshold(), candidate.validation_evaluation
    metric_texts = {
        metric: "undefined" if (metric_value := validation_evaluation.metrics[metric]) is None else f"{metric_value:.4f}"
        for metric in ("aupr_error", "aurc")
    }
    target_risk_phrase = f"at a target risk of {threshold['risk']:g}"
    accepts_nothing_clause = f"accepts nothing, since there is no threshold {target_risk_phrase}: {threshold['reason']}"
    acceptance_clause = (
        accepts_nothing_clause
        if threshold["threshold"] is None
        else f"accepts from a confidence of {threshold['threshold']:.4g} on, {target_risk_phrase}"
    )
    method_and_seed = f"{validation_evaluation.method}, seed {validation_evaluation.seed}"
    metrics_in_words = f"AUPR-Error {metric_texts['aupr_error']} and AURC {metric_texts['aurc']} on validation data"
    return f"{method_and_seed}, {metrics_in_words}, {acceptance_clause}"


def _update_champion(mlflow_client: Any, new_model_version: Any, is_forced: bool) -> list[str]:
    """Give a new version the alias `champion` if it is forced, the first, or better; return a description of what was done, as a list."""
    champion_version = find_version_by_alias(mlflow_client, new_model_version.name, CHAMPION_ALIAS)
    if champion_version is not None and champion_version.version == new_model_version.version:
        return [CHAMPION_ALIAS]
    reason_to_keep_champion = (
        None if is_forced or champion_version is None else _reason_to_keep_champion(new_model_version.tags, champion_version.tags)
    )
    if champion_version is None or reason_to_keep_champion is None:
        mlflow_client.set_registered_model_alias(new_model_version.name, CHAMPION_ALIAS, new_model_version.version)
        return [CHAMPION_ALIAS]
    command_hint = f"`python -m confidnet_core register {new_model_version.tags['benchmark']} --{CHAMPION_ALIAS}` gives it the alias"
    return [f"{CHAMPION_ALIAS} stays version {champion_version.version}, {reason_to_keep_champion}; {command_hint}"]


def _reason_to_keep_champion(new_tags: Mapping[str, str], champion_tags: Mapping[str, str]) -> str | None:
    """Return why a new version does not replace the champion, from the MLflow tags of both; None if the new one is better."""
    if new_tags["data"] != champion_tags.get("data"):
        return "which was judged on other data"
    new_aurc, champion_aurc = (
        _aurc_or_infinity({"aurc": float(tags["val_aurc"]) if "val_aurc" in tags else None}) for tags in (new_tags, champion_tags)
    )
    return None if new_aurc < champion_aurc else f"whose AURC on validation data is {champion_aurc:.4f}"


def _registering_lock_path() -> Path:
    """Return the path of the lock file that lets only one process register at a time.

    Without the lock, two processes could register one model twice, and make the worse of two models the champion.
    """
    lock_path = project_root() / ".dvc" / "tmp" / "registering.lock"
    lock_path.parent.mkdir(parents=True, exist_ok=True)
    return lock_path
