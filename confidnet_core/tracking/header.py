"""What is known of a run before its work, as the plain header that a file can keep as well: the row, and the one that it lies under.

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
from confidnet_core.files import read_json, read_yaml
from confidnet_core.revision import VERSION, git, package_code, versions
from confidnet_core.tracking.store import project_root, without_password

ROLE, PIPELINE, PROJECT = "role", "pipeline", "project"  # tags
GENERATED = ("dvc.lock", "reports")  # what the stages themselves rewrite: changed files there do not make the commit dirty
LONGEST_DIGEST = 36  # MLflow's own limit, in characters
PARAMS = Path("params.yaml")


def describe(identity: dict[str, Any], params: dict[str, str], whole: dict[str, str], outputs: list[str]) -> dict[str, Any]:
    """The header. identity: stage, benchmark, seed, method; whole: params of the execution; outputs: the stage's, by dvc.yaml."""
    stage, benchmark, seed, method = (identity[name] for name in ("stage", "benchmark", "seed", "method"))
    start, commit = int(time.time() * 1000), git("rev-parse", "HEAD") or None
    shared = {PIPELINE: _pipeline(commit), PROJECT: _project(), "benchmark": benchmark} | _code(commit) | environment()
    source = "mlflow.source.name"  # a column of MLflow's own
    tags = shared | identity | {ROLE: "stage", source: f"stages/{stage}.py", "dvc_stage": os.environ.get("DVC_STAGE")}
    # What `prepare` writes is not there yet, or of an earlier run.
    data = None if paths.prepared(benchmark).as_posix() in outputs else dataset(benchmark, outputs)
    return {
        "experiment": f"confidnet/{benchmark}",
        "name": " ".join([method or stage, *([] if seed is None else [f"· seed {seed}"])]),  # short: the table's column is narrow
        "start": start,
        "params": params,
        "tags": _stated(tags),
        "dataset": data,
        "parent": {
            "name": os.environ.get("DVC_EXP_NAME") or " ".join(["repro", *([commit[:7]] if commit else [])]),
            "start": start,
            "params": whole,
            "tags": _stated(shared | {ROLE: "pipeline", source: "dvc.yaml"}),
            "dataset": data and {**data, "context": "train, test"},
        },
        "meant_for": without_password(os.environ.get("MLFLOW_TRACKING_URI", "").strip()),
    }


def dataset(benchmark: str, outputs: list[str]) -> dict[str, Any] | None:
    """name, digest, source, samples (of each split) and context (of its use) of the prepared data; None where there is none."""
    facts = paths.prepared(benchmark) / "facts.json"
    try:
        found = read_json(facts)
        known = {"name": benchmark, "digest": found["sha256"][:LONGEST_DIGEST], "source": found["source"], "samples": found["samples"]}
    except (ValueError, KeyError, TypeError):  # none yet, or of another version: the stage itself says so
        return None
    uses = {"models": "train", "data/prepared": "prepare"}
    return known | {"context": next((use for place, use in uses.items() if any(path.startswith(f"{place}/") for path in outputs)), "test")}


def settings(benchmark: str) -> dict[str, Any]:
    """What params.yaml says of a benchmark and of all, nested; without a params.yaml nothing."""
    if not PARAMS.exists():
        return {}
    written = read_yaml(PARAMS) or {}
    shared = {name: value for name, value in written.items() if name not in ("run", "benchmarks")}
    return shared | (written.get("benchmarks") or {}).get(benchmark, {})


def environment() -> dict[str, str]:
    """Tags: versions, the CPU, and once torch is imported the number of its threads; the GPU where this process uses one."""
    installed = versions("torch", "mlflow", "dvc") | {"confidnet_core": VERSION}
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
