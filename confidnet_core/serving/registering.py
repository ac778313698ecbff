"""Trained classifiers with their best score as versions of an MLflow model, and which of them is the champion.

A version is made once for what it serves: see served_digest. Experiments that differ in what the served model does not use share it.

Of each classifier, the score of the highest AUPR-Error on validation data is taken. AUPR-Error grows with the error rate, so between
classifiers, of other seeds or of the champion, the lower AURC on validation data decides, in which their errors count. The alias moves by
itself only to a version that is better on the same data; an experiment cannot take it otherwise.
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
from confidnet_core.revision import git, versions
from confidnet_core.serving import selective_classifier as serving
from confidnet_core.serving.identity import served_digest
from confidnet_core.serving.mlflow_model import DIGEST, Packed, log_model, register_version, version_by_alias
from confidnet_core.serving.packing import Candidate, add_networks, best_score, examples, pack
from confidnet_core.serving.selective_classifier import NotServedError
from confidnet_core.tracking.store import ServerError, failure_reason, open_store, project_root, uses_server

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
)  # served


def register(params: Params, benchmark: str, run_id: str | None = None, champion: bool = False) -> str:
    """Log the classifier with its best score, and with the first score of `against`; register the former as confidnet-BENCHMARK, once for
    the same served model. Returns what was done, in words.

    run_id: the run that the models belong to; champion: give the alias to this version, whatever the rule says
    ValueError for a file that is missing, where no score can be served, and where the MLflow store does not take it.
    """
    params.benchmark(benchmark)
    try:
        client, experiment_id = open_store(f"confidnet/{benchmark}")
        with TemporaryDirectory() as folder, FileLock(_lock()):
            best = _best(params, benchmark, Path(folder))
            if (baseline := _baseline(params, best, Path(folder))) is not None:
                log_model(client, experiment_id, "baseline", _packed(baseline), run_id)
            packed = _packed(best)
            version = register_version(
                client, f"confidnet-{benchmark}", packed, log_model(client, experiment_id, "selective", packed, run_id)
            )
            made = f"{version.name} version {version.version}: {_described(best)}"
            skipped = [f"better, but not served: {score}" for score in best.skipped]
            return "; ".join([made, *skipped, *_set_champion(client, version, champion)])
    except ValueError:
        raise
    except Exception as error:
        if not isinstance(error, ServerError) and not uses_server():
            raise
        raise ValueError(f"the MLflow server {failure_reason(error)}") from error


def register_or_warn(params: Params, benchmark: str, run_id: str | None = None) -> None:
    """Register for a stage whose work is done: a reason that hinders it becomes one warning."""
    try:
        print(register(params, benchmark, run_id))
    except ValueError as error:
        later = f"`python -m confidnet_core register {benchmark}` does it from the same outputs"
        print(f"WARNING the model of {benchmark} is not registered: {error}; {later}", file=sys.stderr, flush=True)


def _best(params: Params, benchmark: str, folder: Path) -> Candidate:
    """The best candidate of all seeds, by AURC on validation data."""
    seeds = [StoredResults(benchmark, seed, tuple(params.methods)) for seed in params.seeds]
    candidates = (best_score(stored, params, folder / str(stored.seed)) for stored in seeds)
    return min(candidates, key=lambda candidate: _aurc(candidate.validation.metrics))


def _baseline(params: Params, best: Candidate, folder: Path) -> Candidate | None:
    """The same classifier with the first score of `against`; None where `methods` leaves it out, or it cannot be served."""
    listed = [method for method in params.against if method in best.stored.methods]
    try:
        return pack(best.stored, listed[0], params, folder / "baseline") if listed else None
    except NotServedError:
        return None


def _aurc(metrics: Mapping[str, float | None]) -> float:
    return float("inf") if metrics["aurc"] is None else metrics["aurc"]


def _packed(candidate: Candidate) -> Packed:
    add_networks(candidate)
    model, on_validation = candidate.model, candidate.validation.metrics
    facts, guarantee = model.facts, model.guarantee()
    tags = {
        DIGEST: served_digest(candidate.folder),
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
    return Packed(
        files=candidate.folder,
        loader=serving.__name__,
        code=PACKAGE_FOLDER,
        requirements=[f"{name}=={version.partition('+')[0]}" for name, version in versions(*REQUIREMENTS).items() if name != "Python"],
        images=examples(load_dataset(paths.prepared(facts["benchmark"]))),
        maps=facts["segmentation"],
        risk=guarantee["risk"],
        tags={key: str(value) for key, value in tags.items() if value not in (None, "")},
        classes=facts["classes"],
        description=_description(facts["benchmark"]),
        about=f"{_described(candidate)}.",
    )


def _description(benchmark: str) -> str:
    """Of the registered model of a benchmark, in Markdown."""
    return f"""A classifier for `{benchmark}` that knows when not to answer: for uint8 images (b, channels, height, width), in [0, 255], it
gives the class, the confidence of its best score on validation data, the probability of being correct, and whether the prediction is
accepted at a target risk. `mlflow.pyfunc.load_model("models:/confidnet-{benchmark}@{ALIAS}")` loads it without the project.

`{ALIAS}` is the version of the lowest AURC on validation data. Experiments that serve the same model share a version."""


def _described(candidate: Candidate) -> str:
    """Score, seed, figures on validation data and acceptance of a candidate, in words."""
    guarantee, of = candidate.model.guarantee(), candidate.validation
    figures = {name: "undefined" if (value := of.metrics[name]) is None else f"{value:.4f}" for name in ("aupr_error", "aurc")}
    asked = f"at a target risk of {guarantee['risk']:g}"
    nothing = f"accepts nothing, since no threshold was found even {asked}"
    accepts = nothing if guarantee["threshold"] is None else f"accepts from a confidence of {guarantee['threshold']:.4g} on, {asked}"
    text = f"{of.method}, seed {of.seed}, AUPR-Error {figures['aupr_error']} and AURC {figures['aurc']} on validation data"
    return f"{text}, {accepts}"


def _set_champion(client: Any, version: Any, forced: bool) -> list[str]:
    """Give the version the alias where it may have it. Returns what became of it, in words."""
    former = version_by_alias(client, version.name, ALIAS)
    if former is not None and former.version == version.version:
        return [ALIAS]
    why = None if forced or former is None else _why_not_better(version.tags, former.tags)
    if former is None or why is None:
        client.set_registered_model_alias(version.name, ALIAS, version.version)
        return [ALIAS]
    command = f"`python -m confidnet_core register {version.tags['benchmark']} --{ALIAS}` gives it the alias"
    return [f"{ALIAS} stays version {former.version}, {why}; {command}"]


def _why_not_better(new: Mapping[str, str], former: Mapping[str, str]) -> str | None:
    """Why a version does not replace the former champion; None where it is better."""
    if new["data"] != former.get("data"):
        return "which was judged on other data"
    mine, other = (_aurc({"aurc": float(tags["val_aurc"]) if "val_aurc" in tags else None}) for tags in (new, former))
    return None if mine < other else f"whose AURC on validation data is {other:.4f}"


def _lock() -> Path:
    """A lock file: two processes would else make two versions of one model, or the worse of two the champion."""
    path = project_root() / ".dvc" / "tmp" / "registering.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
