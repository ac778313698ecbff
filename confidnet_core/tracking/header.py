"""Description of a stage's MLflow run: what is known before the stage's work starts, as a dictionary that MLflow gets, or a file on disk
(tracking/records.py).

experiment, name, start (milliseconds), params, tags, dataset    of the stage's run
parent: name, start, params, tags, dataset                       of the pipeline execution's run, shared by all its stages
meant_for                                                        address of the store, without what is secret in it

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
from confidnet_core.revision import VERSION, git, package_code_version, package_versions
from confidnet_core.system.addresses import without_secrets
from confidnet_core.tracking.changes import PARAMS_FILE, changed_params, changes_as_markdown, changes_text_for_run_name, code_is_edited
from confidnet_core.tracking.store import project_root
from confidnet_core.tracking.views import MLFLOW_NOTE_TAG

RUN_ROLE_TAG, PIPELINE_ID_TAG, PROJECT_ID_TAG = "role", "pipeline", "project"
GENERATED_PATHS = ("dvc.lock", "reports")  # written by the stages themselves, so changes there do not make the commit dirty
MAX_DATASET_DIGEST_LENGTH = 36  # characters, the limit of MLflow


def describe_stage_run(
    stage_identity: dict[str, Any], stage_params: dict[str, str], pipeline_params: dict[str, str], output_paths: list[str]
) -> dict[str, Any]:
    """Return the description of a stage's MLflow run: a dictionary with the keys that the docstring of the module lists.

    stage_identity: stage, benchmark, seed and method
    stage_params: parameters of the stage; pipeline_params: parameters of the whole pipeline execution
    output_paths: paths that the stage writes
    """
    stage, benchmark, seed, method = (stage_identity[identity_key] for identity_key in ("stage", "benchmark", "seed", "method"))
    start_time_ms, commit_hash = int(time.time() * 1000), git("rev-parse", "HEAD") or None
    shared_tags = (
        {PIPELINE_ID_TAG: _pipeline_id(commit_hash), PROJECT_ID_TAG: _project_id(), "benchmark": benchmark}
        | _git_tags(commit_hash)
        | environment_tags()
    )
    source_tag = "mlflow.source.name"  # shown by MLflow in a column of its own
    stage_tags = (
        shared_tags | stage_identity | {RUN_ROLE_TAG: "stage", source_tag: f"stages/{stage}.py", "dvc_stage": os.environ.get("DVC_STAGE")}
    )
    # Data that this stage writes itself does not exist yet, or is that of an earlier run.
    dataset_description = (
        None if paths.prepared_data_folder(benchmark).as_posix() in output_paths else describe_prepared_data(benchmark, output_paths)
    )
    return {
        "experiment": f"confidnet/{benchmark}",
        "name": _stage_run_name(stage, seed, method),
        "start": start_time_ms,
        "params": stage_params,
        "tags": _drop_empty_tags(stage_tags),
        "dataset": dataset_description,
        "parent": {
            "start": start_time_ms,
            "params": pipeline_params,
            "dataset": dataset_description and {**dataset_description, "context": "train, test"},
            **_describe_pipeline_run(
                benchmark, commit_hash, _drop_empty_tags(shared_tags | {RUN_ROLE_TAG: "pipeline", source_tag: "dvc.yaml"})
            ),
        },
        "meant_for": without_secrets(os.environ.get("MLFLOW_TRACKING_URI", "").strip()),
    }


def describe_prepared_data(benchmark: str, output_paths: list[str]) -> dict[str, Any] | None:
    """Return a dictionary with name, digest, source, samples per split and context (use) of a benchmark's prepared data, for MLflow.

    None if the data is not prepared yet. output_paths: paths that the stage writes, which tell whether it trains, prepares or tests
    """
    dataset_facts_path = paths.prepared_data_folder(benchmark) / "facts.json"
    try:
        dataset_metadata = read_json(dataset_facts_path)
        dataset_description = {
            "name": benchmark,
            "digest": dataset_metadata["sha256"][:MAX_DATASET_DIGEST_LENGTH],
            "source": dataset_metadata["source"],
            "samples": dataset_metadata["samples"],
        }
    except (ValueError, KeyError, TypeError):  # missing, or of another version: the stage itself reports this
        return None
    data_use_by_folder = {"models": "train", "data/prepared": "prepare"}
    data_use = next(
        (use for folder, use in data_use_by_folder.items() if any(path.startswith(f"{folder}/") for path in output_paths)), "test"
    )
    return dataset_description | {"context": data_use}


def environment_tags() -> dict[str, str]:
    """Return MLflow tags as a dictionary: package versions, CPU, torch's threads if torch is imported, the GPU if this process uses one."""
    version_by_package = package_versions("torch", "mlflow", "dvc") | {"confidnet_core": VERSION}
    tag_values = {f"env.{package.lower()}": version for package, version in version_by_package.items()} | {"env.cpu": _cpu_name()}
    if (torch := sys.modules.get("torch")) is not None:  # importing it takes seconds, and not every stage needs it
        tag_values["env.threads"] = str(torch.get_num_threads())
    return tag_values | gpu_tag()


def gpu_tag() -> dict[str, str]:
    """Return the MLflow tag {"env.gpu": name of the GPU}; an empty dictionary if this process has not used a GPU.

    Other processes are not asked for their GPU, because that would start CUDA in a stage that does not need it.
    """
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {}
    return {"env.gpu": torch.cuda.get_device_name()}


def _cpu_name() -> str:
    """Return the model name of this machine's CPU."""
    try:
        cpuinfo_lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        cpuinfo_lines = []
    cpu_names = (cpuinfo_line.partition(":")[2].strip() for cpuinfo_line in cpuinfo_lines if cpuinfo_line.startswith("model name"))
    return next(cpu_names, platform.processor() or platform.machine())


def _stage_run_name(stage: str, seed: int | None, method: str | None) -> str:
    """Return a name for a stage's MLflow run that fits a narrow column, such as "mcp · seed 0 · bootstrap".

    The stage `evaluate` is not named: "mcp · seed 0" is the evaluation of the score mcp.
    """
    name_parts = [method or stage, *([] if seed is None else [f"seed {seed}"]), *([stage] if method and stage != "evaluate" else [])]
    return " · ".join(name_parts)


def _describe_pipeline_run(benchmark: str, commit_hash: str | None, pipeline_tags: dict[str, str]) -> dict[str, Any]:
    """Return {"name": NAME, "tags": TAGS} for the MLflow run of a pipeline execution.

    The name is that of the DVC experiment; without one, it is made of the commit and of the differences from the commit.
    """
    param_changes, is_code_edited = changed_params(benchmark), commit_hash is not None and code_is_edited()
    note_introduction = f"What differs from commit {commit_hash[:7]}:\n\n" if commit_hash else ""
    note_tags = (
        {MLFLOW_NOTE_TAG: note_introduction + change_list} if (change_list := changes_as_markdown(param_changes, is_code_edited)) else {}
    )
    if experiment_name := os.environ.get("DVC_EXP_NAME"):
        return {"name": experiment_name, "tags": pipeline_tags | note_tags}
    repro_name = " ".join(["repro", *([commit_hash[:7]] if commit_hash else [])])
    changes_text = changes_text_for_run_name(param_changes, is_code_edited)
    return {"name": f"{repro_name}: {changes_text}" if changes_text else repro_name, "tags": pipeline_tags | note_tags}


def _pipeline_id(commit_hash: str | None) -> str:
    """Return the text by which the stages of one pipeline execution find its MLflow run: exp/BASELINE/NAME, or repro/COMMIT/DIGEST."""
    experiment_name, baseline_commit = os.environ.get("DVC_EXP_NAME"), os.environ.get("DVC_EXP_BASELINE_REV") or "none"
    if experiment_name:
        return f"exp/{baseline_commit[:7]}/{experiment_name}"
    params_bytes = PARAMS_FILE.read_bytes() if PARAMS_FILE.exists() else b""
    params_and_code_digest = sha256(params_bytes + package_code_version()["sha256"].encode()).hexdigest()
    return f"repro/{(commit_hash or 'none')[:7]}/{params_and_code_digest[:8]}"


def _project_id() -> str:
    """Return 12 hexadecimal digits that identify this checkout of the project on this machine."""
    return sha256(f"{platform.node()}:{project_root()}".encode()).hexdigest()[:12]


def _git_tags(commit_hash: str | None) -> dict[str, str | None]:
    """Return a dictionary of MLflow tags for the git commit, uncommitted changes, and the DVC experiment; None for what is unknown."""
    changed_files = git("status", "--porcelain", "--", ".", *(f":(exclude){generated_path}" for generated_path in GENERATED_PATHS))
    return {
        "mlflow.source.git.commit": commit_hash,
        "git_commit": commit_hash,
        "git_dirty": None if changed_files is None or not commit_hash else "true" if changed_files else "false",
        "dvc_exp_name": os.environ.get("DVC_EXP_NAME") or None,
        "dvc_exp_baseline_rev": os.environ.get("DVC_EXP_BASELINE_REV") or None,
    }


def _drop_empty_tags(tags: dict[str, Any]) -> dict[str, str]:
    """Return a dictionary of those MLflow tags that have a value, converted to text."""
    return {tag_name: str(tag_value) for tag_name, tag_value in tags.items() if tag_value is not None and tag_value != ""}
