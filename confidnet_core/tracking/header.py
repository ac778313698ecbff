"""Header of a stage's MLflow run: what is known about the run before the stage's work starts, as plain data that also fits in a local
record
(tracking/records.py).

experiment, name, start (milliseconds), params, tags, dataset    of the stage's run
parent: name, start, params, tags, dataset                       of the pipeline execution's run, shared by all its stages
meant_for                                                        URI of the store, without a password

The run of a pipeline execution is found by its tags role, pipeline and project. `pipeline` is exp/BASELINE/NAME in a DVC experiment, and
repro/COMMIT/DIGEST otherwise, both under `dvc repro` and by hand, where the digest is of params.yaml and of the package's code. `project`
distinguishes checkouts that share a server: two people who reproduce one commit get one run each.
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
    """Return the header of a stage's MLflow run: a dictionary with the keys that the module's docstring lists.

    identity: stage, benchmark, seed and method
    params: of the stage; execution_params: of the whole pipeline execution
    outputs: paths that the stage writes
    """
    stage, benchmark, seed, method = (identity[name] for name in ("stage", "benchmark", "seed", "method"))
    start_ms, commit = int(time.time() * 1000), git("rev-parse", "HEAD") or None
    shared_tags = (
        {PIPELINE_TAG: _pipeline_id(commit), PROJECT_TAG: _project_id(), "benchmark": benchmark} | _git_tags(commit) | environment_tags()
    )
    source_tag = "mlflow.source.name"  # shown by MLflow in a column of its own
    tags = shared_tags | identity | {ROLE_TAG: "stage", source_tag: f"stages/{stage}.py", "dvc_stage": os.environ.get("DVC_STAGE")}
    # Data that this stage writes itself does not exist yet, or is that of an earlier run.
    dataset = None if paths.prepared(benchmark).as_posix() in outputs else describe_dataset(benchmark, outputs)
    return {
        "experiment": f"confidnet/{benchmark}",
        "name": _stage_run_name(stage, seed, method),
        "start": start_ms,
        "params": params,
        "tags": _drop_empty_tags(tags),
        "dataset": dataset,
        "parent": {
            "start": start_ms,
            "params": execution_params,
            "dataset": dataset and {**dataset, "context": "train, test"},
            **_describe_execution(benchmark, commit, _drop_empty_tags(shared_tags | {ROLE_TAG: "pipeline", source_tag: "dvc.yaml"})),
        },
        "meant_for": without_password(os.environ.get("MLFLOW_TRACKING_URI", "").strip()),
    }


def describe_dataset(benchmark: str, outputs: list[str]) -> dict[str, Any] | None:
    """Return name, digest, source, samples per split and context (use) of a benchmark's prepared data, for MLflow.

    None if the data is not prepared yet. outputs: paths that the stage writes, which tell whether it trains, prepares or tests
    """
    facts_path = paths.prepared(benchmark) / "facts.json"
    try:
        stored_facts = read_json(facts_path)
        description = {
            "name": benchmark,
            "digest": stored_facts["sha256"][:MAX_DIGEST_LENGTH],
            "source": stored_facts["source"],
            "samples": stored_facts["samples"],
        }
    except (ValueError, KeyError, TypeError):  # missing, or of another version: the stage itself reports this
        return None
    use_by_folder = {"models": "train", "data/prepared": "prepare"}
    context = next((use for folder, use in use_by_folder.items() if any(path.startswith(f"{folder}/") for path in outputs)), "test")
    return description | {"context": context}


def environment_tags() -> dict[str, str]:
    """Return MLflow tags with package versions, CPU, torch's threads if torch is imported, and the GPU if this process uses one."""
    versions = package_versions("torch", "mlflow", "dvc") | {"confidnet_core": VERSION}
    tags = {f"env.{name.lower()}": version for name, version in versions.items()} | {"env.cpu": _cpu_name()}
    if (torch := sys.modules.get("torch")) is not None:  # importing it takes seconds, and not every stage needs it
        tags["env.threads"] = str(torch.get_num_threads())
    return tags | gpu_tag()


def gpu_tag() -> dict[str, str]:
    """Return the MLflow tag env.gpu as {name: GPU}; empty if this process has not used a GPU.

    A process that has not is not asked for its GPU, because that would start CUDA in a stage that does not need it.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {}
    return {"env.gpu": torch.cuda.get_device_name()}


def _cpu_name() -> str:
    """Return the model name of this machine's CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    cpu_names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(cpu_names, platform.processor() or platform.machine())


def _stage_run_name(stage: str, seed: int | None, method: str | None) -> str:
    """Return a name for a stage's MLflow run that fits a narrow column.

    "mcp · seed 0" is an evaluation of the score mcp, "mcp · seed 0 · bootstrap" another stage for that score.
    """
    name_parts = [method or stage, *([] if seed is None else [f"seed {seed}"]), *([stage] if method and stage != "evaluate" else [])]
    return " · ".join(name_parts)


def _describe_execution(benchmark: str, commit: str | None, tags: dict[str, str]) -> dict[str, Any]:
    """Return {"name": ..., "tags": ...} of a pipeline execution's MLflow run.

    The name is that of the DVC experiment; without one, it is made of the commit and of the differences from the commit.
    """
    changes, is_code_edited = changed_params(benchmark), commit is not None and code_is_edited()
    introduction = f"What differs from commit {commit[:7]}:\n\n" if commit else ""
    note_tags = {NOTE_TAG: introduction + change_list} if (change_list := changes_as_markdown(changes, is_code_edited)) else {}
    if name := os.environ.get("DVC_EXP_NAME"):
        return {"name": name, "tags": tags | note_tags}
    base_name, change_names = " ".join(["repro", *([commit[:7]] if commit else [])]), changes_for_name(changes, is_code_edited)
    return {"name": f"{base_name}: {change_names}" if change_names else base_name, "tags": tags | note_tags}


def _pipeline_id(commit: str | None) -> str:
    """Return the tag value that all stages of one pipeline execution share: exp/BASELINE/NAME, or repro/COMMIT/DIGEST."""
    name, baseline = os.environ.get("DVC_EXP_NAME"), os.environ.get("DVC_EXP_BASELINE_REV") or "none"
    if name:
        return f"exp/{baseline[:7]}/{name}"
    params_bytes = PARAMS_FILE.read_bytes() if PARAMS_FILE.exists() else b""
    digest = sha256(params_bytes + package_code()["sha256"].encode()).hexdigest()
    return f"repro/{(commit or 'none')[:7]}/{digest[:8]}"


def _project_id() -> str:
    """Return 12 hexadecimal digits that identify this checkout of the project on this machine."""
    return sha256(f"{platform.node()}:{project_root()}".encode()).hexdigest()[:12]


def _git_tags(commit: str | None) -> dict[str, str | None]:
    """Return MLflow tags for the git commit, uncommitted changes, and the DVC experiment; None for what is unknown."""
    changed_files = git("status", "--porcelain", "--", ".", *(f":(exclude){path}" for path in GENERATED_PATHS))
    return {
        "mlflow.source.git.commit": commit,
        "git_commit": commit,
        "git_dirty": None if changed_files is None or not commit else "true" if changed_files else "false",
        "dvc_exp_name": os.environ.get("DVC_EXP_NAME") or None,
        "dvc_exp_baseline_rev": os.environ.get("DVC_EXP_BASELINE_REV") or None,
    }


def _drop_empty_tags(tags: dict[str, Any]) -> dict[str, str]:
    """Return the tags that have a value, converted to text."""
    return {key: str(value) for key, value in tags.items() if value is not None and value != ""}
