"""Header of a stage's run: what is known before its work starts about its own row and its execution's row, as plain data for a record.

experiment, name, start (milliseconds), params, tags, dataset    of the stage's row
parent: name, start, params, tags, dataset                       of the pipeline execution that it belongs to, shared by all its stages
meant_for                                                        URI of the store, without a password

An execution's row is found by its tags role, pipeline and project. `pipeline` is exp/BASELINE/NAME in a DVC experiment, and
repro/COMMIT/DIGEST otherwise, both under `dvc repro` and by hand, where the digest is of params.yaml and of the package's code. `project`
distinguishes checkouts that share a server: two people who reproduce one commit get one row each.
"""

import os
import platform
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

from confidnet_core import paths
from confidnet_core.files import read_json
from confidnet_core.revision import VERSION, git, package_code, package_versions
from confidnet_core.tracking.changes import PARAMS_FILE, changed_params, changes_as_markdown, changes_for_name, code_is_edited
from confidnet_core.tracking.store import project_root, without_password
from confidnet_core.tracking.views import NOTE_TAG

ROLE_TAG, PIPELINE_TAG, PROJECT_TAG = "role", "pipeline", "project"
GENERATED_PATHS = ("dvc.lock", "reports")  # written by the stages themselves, so changes there do not make the commit dirty
MAX_DIGEST_LENGTH = 36  # characters, the limit of MLflow


def describe_run(identity: dict[str, Any], params: dict[str, str], execution_params: dict[str, str], outputs: list[str]) -> dict[str, Any]:
    """Return the header of a stage's run.

    identity: stage, benchmark, seed and method
    params: of the stage; execution_params: of the whole execution
    outputs: paths that the stage writes
    """
    stage, benchmark, seed, method = (identity[name] for name in ("stage", "benchmark", "seed", "method"))
    start, commit = int(time.time() * 1000), git("rev-parse", "HEAD") or None
    shared = (
        {PIPELINE_TAG: _pipeline_id(commit), PROJECT_TAG: _project_id(), "benchmark": benchmark} | _code_tags(commit) | environment_tags()
    )
    source = "mlflow.source.name"  # shown by MLflow in a column of its own
    tags = shared | identity | {ROLE_TAG: "stage", source: f"stages/{stage}.py", "dvc_stage": os.environ.get("DVC_STAGE")}
    # Data that this stage writes itself does not exist yet, or is that of an earlier run.
    data = None if paths.prepared(benchmark).as_posix() in outputs else describe_dataset(benchmark, outputs)
    return {
        "experiment": f"confidnet/{benchmark}",
        "name": _row_name(stage, seed, method),
        "start": start,
        "params": params,
        "tags": _given_tags(tags),
        "dataset": data,
        "parent": {
            "start": start,
            "params": execution_params,
            "dataset": data and {**data, "context": "train, test"},
            **_describe_execution(benchmark, commit, _given_tags(shared | {ROLE_TAG: "pipeline", source: "dvc.yaml"})),
        },
        "meant_for": without_password(os.environ.get("MLFLOW_TRACKING_URI", "").strip()),
    }


def describe_dataset(benchmark: str, outputs: list[str]) -> dict[str, Any] | None:
    """Return name, digest, source, samples per split and context (use) of the prepared data; None if there is none."""
    facts = paths.prepared(benchmark) / "facts.json"
    try:
        stored = read_json(facts)
        known = {
            "name": benchmark,
            "digest": stored["sha256"][:MAX_DIGEST_LENGTH],
            "source": stored["source"],
            "samples": stored["samples"],
        }
    except (ValueError, KeyError, TypeError):  # missing, or of another version: the stage itself reports this
        return None
    uses = {"models": "train", "data/prepared": "prepare"}
    context = next((use for folder, use in uses.items() if any(path.startswith(f"{folder}/") for path in outputs)), "test")
    return known | {"context": context}


def environment_tags() -> dict[str, str]:
    """Return tags of versions, the CPU, torch's number of threads once torch is imported, and the GPU where this process uses one."""
    installed = package_versions("torch", "mlflow", "dvc") | {"confidnet_core": VERSION}
    tags = {f"env.{name.lower()}": number for name, number in installed.items()} | {"env.cpu": _cpu_name()}
    if (torch := sys.modules.get("torch")) is not None:  # importing it takes seconds, and not every stage needs it
        tags["env.threads"] = str(torch.get_num_threads())
    return tags | gpu_tag()


def gpu_tag() -> dict[str, str]:
    """Return the tag env.gpu if this process has used a GPU; asking earlier would start CUDA in a stage that does not need it."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {}
    return {"env.gpu": torch.cuda.get_device_name()}


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _row_name(stage: str, seed: int | None, method: str | None) -> str:
    """Return a short name, since the table's column is narrow: "mcp · seed 0" for an evaluation, "mcp · seed 0 · bootstrap" for another
    stage.
    """
    parts = [method or stage, *([] if seed is None else [f"seed {seed}"]), *([stage] if method and stage != "evaluate" else [])]
    return " · ".join(parts)


def _describe_execution(benchmark: str, commit: str | None, tags: dict[str, str]) -> dict[str, Any]:
    """Return name and tags of the execution's row: named by its DVC experiment, or by the commit and the differences from it."""
    changes, is_code_edited = changed_params(benchmark), commit is not None and code_is_edited()
    introduction = f"What differs from commit {commit[:7]}:\n\n" if commit else ""
    note = {NOTE_TAG: introduction + change_list} if (change_list := changes_as_markdown(changes, is_code_edited)) else {}
    if name := os.environ.get("DVC_EXP_NAME"):
        return {"name": name, "tags": tags | note}
    base, change_names = " ".join(["repro", *([commit[:7]] if commit else [])]), changes_for_name(changes, is_code_edited)
    return {"name": f"{base}: {change_names}" if change_names else base, "tags": tags | note}


def _pipeline_id(commit: str | None) -> str:
    name, baseline = os.environ.get("DVC_EXP_NAME"), os.environ.get("DVC_EXP_BASELINE_REV") or "none"
    if name:
        return f"exp/{baseline[:7]}/{name}"
    params_bytes = PARAMS_FILE.read_bytes() if PARAMS_FILE.exists() else b""
    digest = sha256(params_bytes + package_code()["sha256"].encode()).hexdigest()
    return f"repro/{(commit or 'none')[:7]}/{digest[:8]}"


def _project_id() -> str:
    return sha256(f"{platform.node()}:{project_root()}".encode()).hexdigest()[:12]


def _code_tags(commit: str | None) -> dict[str, str | None]:
    changed = git("status", "--porcelain", "--", ".", *(f":(exclude){path}" for path in GENERATED_PATHS))
    return {
        "mlflow.source.git.commit": commit,
        "git_commit": commit,
        "git_dirty": None if changed is None or not commit else "true" if changed else "false",
        "dvc_exp_name": os.environ.get("DVC_EXP_NAME") or None,
        "dvc_exp_baseline_rev": os.environ.get("DVC_EXP_BASELINE_REV") or None,
    }


def _given_tags(tags: dict[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in tags.items() if value is not None and value != ""}
