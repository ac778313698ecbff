"""Registration of trained classifiers with their best score as versions of an MLflow model, and choice of the champion version.

Each served model has one version, by its served_digest. Experiments that differ only in what the served model does not use share it.

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
from confidnet_core.config.registry import PACKAGE_FOLDER
from confidnet_core.data import load_dataset
from confidnet_core.evaluation.stored import StoredResults
from confidnet_core.revision import git, package_versions
from confidnet_core.serving import selective_classifier as serving
from confidnet_core.serving.identity import served_digest
from confidnet_core.serving.mlflow_model import DIGEST_TAG, PackedModel, log_model, register_version, version_by_alias
from confidnet_core.serving.packing import Candidate, add_networks, best_score, example_images, pack
from confidnet_core.serving.selective_classifier import NotServedError
from confidnet_core.tracking.store import ServerError, open_store, project_root, server_failure_reason, uses_server

ALIAS = "champion"
REQUIREMENTS = (
    "jaxtyping",
    "mlflow",
    "numpy",
    "pandas",
    "pydantic",
    "ruamel.yaml",
    "scikit-learn",
    "scipy",
    "torch",
    "tqdm",
)  # of a served model


def register(params: Params, benchmark: str, run_id: str | None = None, champion: bool = False) -> str:
    """Register the best classifier of a benchmark, with its best score, as a version of the MLflow model confidnet-BENCHMARK.

    The same classifier with the first score of `against` is logged, too. The same served model gets one version. Returns a description of
    what was done.
    run_id: the MLflow run to which the models belong
    champion: whether this version gets the alias even if it is not better than the present champion
    Raises ValueError for a missing file, where no score can be served, and where the MLflow store refuses the model.
    """
    params.benchmark(benchmark)
    try:
        client, experiment_id = open_store(f"confidnet/{benchmark}")
        with TemporaryDirectory() as folder, FileLock(_lock_file_for_registering()):
            best = _best_candidate(params, benchmark, Path(folder))
            if (baseline := _baseline_candidate(params, best, Path(folder))) is not None:
                log_model(client, experiment_id, "baseline", _packed_model(baseline), run_id)
            packed = _packed_model(best)
            version = register_version(
                client, f"confidnet-{benchmark}", packed, log_model(client, experiment_id, "selective", packed, run_id)
            )
            registered_in_words = f"{version.name} version {version.version}: {_candidate_summary(best)}"
            skipped_in_words = [f"better, but not served: {score}" for score in best.skipped]
            return "; ".join([registered_in_words, *skipped_in_words, *_set_champion(client, version, champion)])
    except ValueError:
        raise
    except Exception as error:
        if not isinstance(error, ServerError) and not uses_server():
            raise
        raise ValueError(f"the MLflow server {server_failure_reason(error)}") from error


def register_or_warn(params: Params, benchmark: str, run_id: str | None = None) -> None:
    """Register the model at the end of a DVC stage, whose other outputs are complete: a ValueError is printed as a warning."""
    try:
        print(register(params, benchmark, run_id))
    except ValueError as error:
        remedy = f"`python -m confidnet_core register {benchmark}` does it from the same outputs"
        print(f"WARNING the model of {benchmark} is not registered: {error}; {remedy}", file=sys.stderr, flush=True)


def _best_candidate(params: Params, benchmark: str, candidates_folder: Path) -> Candidate:
    """Return the packed classifier, with its best score, of the seed with the lowest AURC on validation data."""
    seeds = [StoredResults(benchmark, seed, tuple(params.methods)) for seed in params.seeds]
    candidates = (best_score(stored, params, candidates_folder / str(stored.seed)) for stored in seeds)
    return min(candidates, key=lambda candidate: _aurc_or_infinity(candidate.validation.metrics))


def _baseline_candidate(params: Params, best: Candidate, candidates_folder: Path) -> Candidate | None:
    """Pack the best classifier with the first score of `against` instead; return None without such a score, or if it cannot be served."""
    reference_methods = [method for method in params.against if method in best.stored.methods]
    try:
        return pack(best.stored, reference_methods[0], params, candidates_folder / "baseline") if reference_methods else None
    except NotServedError:
        return None


def _aurc_or_infinity(metrics: Mapping[str, float | None]) -> float:
    return float("inf") if metrics["aurc"] is None else metrics["aurc"]


def _packed_model(candidate: Candidate) -> PackedModel:
    """Return a candidate with all that MLflow needs: networks in its folder, tags, requirements, input example and descriptions."""
    add_networks(candidate)
    model, on_validation = candidate.model, candidate.validation.metrics
    facts, guarantee = model.facts, model.guarantee()
    tags = {
        DIGEST_TAG: served_digest(candidate.folder),
        "benchmark": facts["benchmark"],
        "score": facts["method"],
        "seed": facts["seed"],
        "val_aupr_error": on_validation["aupr_error"],
        "val_aurc": on_validation["aurc"],
        "target_risk": guarantee["risk"],
        "threshold": guarantee["threshold"],
        "delta": guarantee["delta"],
        "data": facts["data"],
        "git_commit": git("rev-parse", "HEAD"),
        "dvc_exp_name": os.environ.get("DVC_EXP_NAME"),
    }
    return PackedModel(
        files=candidate.folder,
        loader=serving.__name__,
        code=PACKAGE_FOLDER,
        requirements=[
            f"{name}=={version.partition('+')[0]}" for name, version in package_versions(*REQUIREMENTS).items() if name != "Python"
        ],
        images=example_images(load_dataset(paths.prepared(facts["benchmark"]))),
        per_pixel=facts["segmentation"],
        risk=guarantee["risk"],
        tags={key: str(value) for key, value in tags.items() if value not in (None, "")},
        classes=facts["classes"],
        description=_model_description(facts["benchmark"]),
        version_description=f"{_candidate_summary(candidate)}.",
    )


def _model_description(benchmark: str) -> str:
    """Return the Markdown description of a benchmark's registered model."""
    return f"""A classifier for `{benchmark}` that knows when not to answer: for uint8 images (b, channels, height, width), in [0, 255], it
gives the class, the confidence of its best score on validation data, the probability of being correct, and whether the prediction is
accepted at a target risk. `mlflow.pyfunc.load_model("models:/confidnet-{benchmark}@{ALIAS}")` loads it without the project.

`{ALIAS}` is the version of the lowest AURC on validation data. Experiments that serve the same model share a version."""


def _candidate_summary(candidate: Candidate) -> str:
    """Return a sentence without a full stop about a candidate: score, seed, metrics on validation data and threshold."""
    guarantee, validation = candidate.model.guarantee(), candidate.validation
    figures = {name: "undefined" if (value := validation.metrics[name]) is None else f"{value:.4f}" for name in ("aupr_error", "aurc")}
    target_phrase = f"at a target risk of {guarantee['risk']:g}"
    accepts_nothing_clause = f"accepts nothing, since no threshold was found even {target_phrase}"
    acceptance_clause = (
        accepts_nothing_clause
        if guarantee["threshold"] is None
        else f"accepts from a confidence of {guarantee['threshold']:.4g} on, {target_phrase}"
    )
    text = f"{validation.method}, seed {validation.seed}, AUPR-Error {figures['aupr_error']} and AURC {figures['aurc']} on validation data"
    return f"{text}, {acceptance_clause}"


def _set_champion(client: Any, new_version: Any, is_forced: bool) -> list[str]:
    """Give a new version the alias `champion` if it is forced, the first, or better; return a description of what was done, as a list."""
    former_version = version_by_alias(client, new_version.name, ALIAS)
    if former_version is not None and former_version.version == new_version.version:
        return [ALIAS]
    reason_against = None if is_forced or former_version is None else _reason_against_champion(new_version.tags, former_version.tags)
    if former_version is None or reason_against is None:
        client.set_registered_model_alias(new_version.name, ALIAS, new_version.version)
        return [ALIAS]
    command = f"`python -m confidnet_core register {new_version.tags['benchmark']} --{ALIAS}` gives it the alias"
    return [f"{ALIAS} stays version {former_version.version}, {reason_against}; {command}"]


def _reason_against_champion(new_tags: Mapping[str, str], former_tags: Mapping[str, str]) -> str | None:
    """Return why a new version does not replace the former champion, from the tags of both; None if the new one is better."""
    if new_tags["data"] != former_tags.get("data"):
        return "which was judged on other data"
    new_aurc, former_aurc = (
        _aurc_or_infinity({"aurc": float(tags["val_aurc"]) if "val_aurc" in tags else None}) for tags in (new_tags, former_tags)
    )
    return None if new_aurc < former_aurc else f"whose AURC on validation data is {former_aurc:.4f}"


def _lock_file_for_registering() -> Path:
    """Return the path of the file that lets only one process register at a time.

    Without the lock, two processes could register one model twice, and make the worse of two models the champion.
    """
    path = project_root() / ".dvc" / "tmp" / "registering.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
