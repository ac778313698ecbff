"""What is known of a stage's run before its work, as the plain header that a record keeps as well: its row, and the one above it.

experiment, name, start (milliseconds), params, tags, dataset    of the stage's row
parent: name, start, params, tags, dataset                       of the pipeline execution that it belongs to, one for all its stages
meant_for                                                        the store, without a password

An execution is found again by its tags role, pipeline and project. `pipeline` is exp/BASELINE/NAME in an experiment of DVC's, and
repro/COMMIT/DIGEST elsewhere, under `dvc repro` as by hand; the digest is of params.yaml and of the package's code. `project` tells
checkouts apart that share a server: two people who reproduce one commit get a row each.
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
from confidnet_core.tracking.changes import PARAMS, changed_params, code_is_edited, long, short
from confidnet_core.tracking.store import project_root, without_password
from confidnet_core.tracking.views import NOTE

ROLE, PIPELINE, PROJECT = "role", "pipeline", "project"  # tags
GENERATED = ("dvc.lock", "reports")  # what the stages themselves rewrite: changed files there do not make the commit dirty
MAX_DIGEST = 36  # characters that MLflow takes


def describe(identity: dict[str, Any], params: dict[str, str], whole: dict[str, str], outputs: list[str]) -> dict[str, Any]:
    """The header. identity: stage, benchmark, seed, method; whole: params of the execution; outputs: paths that the stage writes."""
    stage, benchmark, seed, method = (identity[name] for name in ("stage", "benchmark", "seed", "method"))
    start, commit = int(time.time() * 1000), git("rev-parse", "HEAD") or None
    shared = {PIPELINE: _pipeline(commit), PROJECT: _project(), "benchmark": benchmark} | _code(commit) | environment()
    source = "mlflow.source.name"  # a column of MLflow's own
    tags = shared | identity | {ROLE: "stage", source: f"stages/{stage}.py", "dvc_stage": os.environ.get("DVC_STAGE")}
    # What `prepare` writes is not there yet, or of an earlier run.
    data = None if paths.prepared(benchmark).as_posix() in outputs else dataset(benchmark, outputs)
    return {
        "experiment": f"confidnet/{benchmark}",
        "name": _name(stage, seed, method),
        "start": start,
        "params": params,
        "tags": _stated(tags),
        "dataset": data,
        "parent": {
            "start": start,
            "params": whole,
            "dataset": data and {**data, "context": "train, test"},
            **_execution(benchmark, commit, _stated(shared | {ROLE: "pipeline", source: "dvc.yaml"})),
        },
        "meant_for": without_password(os.environ.get("MLFLOW_TRACKING_URI", "").strip()),
    }


def dataset(benchmark: str, outputs: list[str]) -> dict[str, Any] | None:
    """name, digest, source, samples (of each split) and context (of its use) of the prepared data; None where there is none."""
    facts = paths.prepared(benchmark) / "facts.json"
    try:
        stored = read_json(facts)
        known = {"name": benchmark, "digest": stored["sha256"][:MAX_DIGEST], "source": stored["source"], "samples": stored["samples"]}
    except (ValueError, KeyError, TypeError):  # none yet, or of another version: the stage itself says so
        return None
    uses = {"models": "train", "data/prepared": "prepare"}
    context = next((use for folder, use in uses.items() if any(path.startswith(f"{folder}/") for path in outputs)), "test")
    return known | {"context": context}


def environment() -> dict[str, str]:
    """Tags: versions, the CPU, the number of torch's threads once it is imported, and the GPU where this process uses one."""
    installed = package_versions("torch", "mlflow", "dvc") | {"confidnet_core": VERSION}
    tags = {f"env.{name.lower()}": number for name, number in installed.items()} | {"env.cpu": _cpu()}
    if (torch := sys.modules.get("torch")) is not None:  # not every stage needs it, and it takes seconds
        tags["env.threads"] = str(torch.get_num_threads())
    return tags | accelerator()


def accelerator() -> dict[str, str]:
    """The tag env.gpu, once this process has used one: to ask earlier would start CUDA in a stage that does without."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {}
    return {"env.gpu": torch.cuda.get_device_name()}


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _name(stage: str, seed: int | None, method: str | None) -> str:
    """Short, since the table's column is narrow: "mcp · seed 0" of its evaluation, "mcp · seed 0 · bootstrap" of another stage."""
    parts = [method or stage, *([] if seed is None else [f"seed {seed}"]), *([stage] if method and stage != "evaluate" else [])]
    return " · ".join(parts)


def _execution(benchmark: str, commit: str | None, tags: dict[str, str]) -> dict[str, Any]:
    """Name and tags of the row of the execution: the DVC experiment, or the commit and what differs from it."""
    changes, edited = changed_params(benchmark), commit is not None and code_is_edited()
    above = f"What differs from commit {commit[:7]}:\n\n" if commit else ""
    note = {NOTE: above + listed} if (listed := long(changes, edited)) else {}
    if name := os.environ.get("DVC_EXP_NAME"):
        return {"name": name, "tags": tags | note}
    base, different = " ".join(["repro", *([commit[:7]] if commit else [])]), short(changes, edited)
    return {"name": f"{base}: {different}" if different else base, "tags": tags | note}


def _pipeline(commit: str | None) -> str:
    name, baseline = os.environ.get("DVC_EXP_NAME"), os.environ.get("DVC_EXP_BASELINE_REV") or "none"
    if name:
        return f"exp/{baseline[:7]}/{name}"
    written = PARAMS.read_bytes() if PARAMS.exists() else b""
    digest = sha256(written + package_code()["sha256"].encode()).hexdigest()
    return f"repro/{(commit or 'none')[:7]}/{digest[:8]}"


def _project() -> str:
    return sha256(f"{platform.node()}:{project_root()}".encode()).hexdigest()[:12]


def _code(commit: str | None) -> dict[str, str | None]:
    changed = git("status", "--porcelain", "--", ".", *(f":(exclude){path}" for path in GENERATED))
    return {
        "mlflow.source.git.commit": commit,
        "git_commit": commit,
        "git_dirty": None if changed is None or not commit else "true" if changed else "false",
        "dvc_exp_name": os.environ.get("DVC_EXP_NAME") or None,
        "dvc_exp_baseline_rev": os.environ.get("DVC_EXP_BASELINE_REV") or None,
    }


def _stated(tags: dict[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in tags.items() if value is not None and value != ""}
