"""DVC experiments with their changed parameters and results, read from `dvc exp show --json` and compared with their baselines.

An experiment's baseline is the commit that it started from. DVC runs as a command because its Python interface for this is not stable.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

SUMMARY_FILE = "reports/summary.json"  # written by the stage `compare`, see comparison/frames.py
PARAMS_FILE = "params.yaml"
# Values of Experiment.status; DVC also uses "queued" and "failed".
WORKSPACE_STATUS, COMMIT_STATUS, SUCCESS_STATUS, RUNNING_STATUS = "workspace", "commit", "success", "running"
# DVC's stash message of a queued or failed experiment: its commit, then the commit that it started from.
STASH_MESSAGE_PATTERN = re.compile("dvc-exp:[0-9a-f]+:([0-9a-f]+):")
ABSENT_VALUE = object()  # stands for the value of a parameter that does not exist
NO_EXPERIMENTS_MESSAGE = (
    "no experiment started from this commit; `dvc exp run -S benchmarks.digits.baseline.learning_rate=0.01` runs one, "
    "and --all lists those of earlier commits"
)

KeyPath = tuple[str, ...]  # path to a value in nested mappings


@dataclass(frozen=True)
class Experiment:
    """A DVC experiment, the workspace (the working directory), or a commit that experiments started from, with parameters and results."""

    name: str
    revision: str  # git commit, 40 digits; "workspace" for the workspace
    status: str
    created: str  # as 2026-11-28T19:17:08; empty for the workspace
    params: Mapping[str, Any] = field(repr=False)
    results_by_benchmark: Mapping[str, Mapping[str, Any]]  # content of summary.json; empty until the experiment has finished
    baseline_commit: "Experiment | None" = None  # None for a commit
    problem: str = ""  # why DVC could not read it, or why it does not really run

    @property
    def is_experiment(self) -> bool:
        """True for a DVC experiment, False for the workspace and for a commit."""
        return self.status not in (COMMIT_STATUS, WORKSPACE_STATUS)

    @property
    def changed_params(self) -> dict[KeyPath, Any]:
        """The changed parameters as {key path: value in this experiment}, compared with the baseline commit; ABSENT_VALUE if removed."""
        return dict(_iterate_param_changes((), self.baseline_commit.params, self.params)) if self.baseline_commit else {}

    def result_value(self, benchmark: str, result_key: KeyPath) -> float | None:
        """Return one result of a benchmark in percent, or a count; None if it is undefined or absent. result_key: its key path"""
        raw_value = value_at_key_path(self.results_by_benchmark, (benchmark, *result_key), None)
        return float(raw_value) if isinstance(raw_value, int | float) and not isinstance(raw_value, bool) else None

    def has_result(self, benchmark: str, result_key: KeyPath) -> bool:
        """Return whether a benchmark's results have this key, even if the value is undefined (null)."""
        return value_at_key_path(self.results_by_benchmark, (benchmark, *result_key)) is not ABSENT_VALUE

    def difference_from_commit(self, benchmark: str, result_key: KeyPath) -> float | None:
        """Return a result minus that of the baseline commit, in percentage points; None if one of the two is missing."""
        baseline_value = self.baseline_commit and self.baseline_commit.result_value(benchmark, result_key)
        new_value = self.result_value(benchmark, result_key)
        return None if baseline_value is None or new_value is None else round(new_value - baseline_value, 2)  # both have two decimals


def load_experiments(all_commits: bool = False) -> list[Experiment]:
    """Return the workspace, the commit HEAD, and the DVC experiments that started from HEAD, in DVC's order.

    The order is: running, finished (newest first), queued, failed.
    all_commits: add every other commit that has experiments, each followed by its experiments. Raises ValueError if DVC fails.
    """
    revision_options = [
        option for revision in ["HEAD", *(_other_baseline_commits() if all_commits else [])] for option in ("--rev", revision)
    ]
    try:
        return parse_experiments(json.loads(_run_command([sys.executable, "-m", "dvc", "exp", "show", "--json", *revision_options])))
    except json.JSONDecodeError as error:
        raise ValueError(f"`dvc exp show --json` printed no JSON ({error})") from None


def parse_experiments(exp_show_entries: list[dict]) -> list[Experiment]:
    """Return the experiments in the parsed JSON that `dvc exp show --json` prints.

    exp_show_entries: one dictionary for the workspace and for each commit, with its experiments. Raises ValueError if the repository has no
    commit.
    """
    commit_entries = [commit_entry for commit_entry in exp_show_entries if commit_entry["rev"] != WORKSPACE_STATUS]
    if not commit_entries:
        raise ValueError("there is no commit yet, and experiments start from one; `git add --all && git commit -m Start`")
    parsed_experiments: list[Experiment] = []
    for commit_entry in commit_entries:
        commit = _parse_experiment(commit_entry, COMMIT_STATUS, None)
        if not parsed_experiments:
            parsed_experiments += [
                _parse_experiment(exp_show_entry, WORKSPACE_STATUS, commit)
                for exp_show_entry in exp_show_entries
                if exp_show_entry["rev"] == WORKSPACE_STATUS
            ]
        parsed_experiments.append(commit)
        for exp_show_entry in commit_entry["experiments"] or []:
            status = (exp_show_entry["executor"] or {}).get("state", SUCCESS_STATUS).lower()
            newest_revision = exp_show_entry["revs"][0]
            parsed_experiments.append(
                _parse_experiment(
                    newest_revision | {"name": exp_show_entry["name"] or newest_revision["name"]},
                    status,
                    commit,
                    exp_show_entry["executor"],
                )
            )
    return parsed_experiments


def value_at_key_path(nested_mapping: Any, key_path: KeyPath, default_value: Any = ABSENT_VALUE) -> Any:
    """Return the value at a key path of nested mappings, such as ("aupr_error", "mcp").

    The result is default_value if the path does not exist.
    """
    for mapping_key in key_path:
        nested_mapping = nested_mapping.get(mapping_key, ABSENT_VALUE) if isinstance(nested_mapping, Mapping) else ABSENT_VALUE
    return default_value if nested_mapping is ABSENT_VALUE else nested_mapping


def changed_key_paths(experiments: Iterable[Experiment]) -> list[KeyPath]:
    """Return the key paths of all parameters that at least one experiment changed."""
    return list(dict.fromkeys(key_path for experiment in experiments for key_path in experiment.changed_params))


def benchmarks_with_results(experiments: Iterable[Experiment]) -> list[str]:
    """Return the names of the benchmarks for which at least one experiment has results."""
    return list(dict.fromkeys(benchmark for experiment in experiments for benchmark in experiment.results_by_benchmark))


def short_param_names(key_paths: list[KeyPath]) -> dict[KeyPath, str]:
    """Return {key path: shortest name that distinguishes the parameter from the others}: the last parts of its path, joined by dots.

    If no ending is unique, the name is the whole path.
    """

    def is_unique(key_path_ending: KeyPath) -> bool:
        return sum(key_path[-len(key_path_ending) :] == key_path_ending for key_path in key_paths) == 1

    endings_by_key_path = {key_path: [key_path[-ending_length:] for ending_length in range(1, len(key_path))] for key_path in key_paths}
    return {key_path: ".".join(next(filter(is_unique, endings_by_key_path[key_path]), key_path)) for key_path in key_paths}


def yaml_text(param_value: Any) -> str:
    """Return the value of a parameter as one line of YAML, such as [0,1], {k: 5}, true or 0.01."""
    if isinstance(param_value, Mapping):
        return f"{{{', '.join(f'{key}: {yaml_text(nested_value)}' for key, nested_value in param_value.items())}}}"
    if isinstance(param_value, list):
        return f"[{','.join(map(yaml_text, param_value))}]"
    return param_value if isinstance(param_value, str) else json.dumps(param_value)


def _parse_experiment(exp_show_entry: dict, status: str, baseline_commit: Experiment | None, executor: dict | None = None) -> Experiment:
    """Return the experiment, workspace or commit that one dictionary of `dvc exp show --json` describes."""
    experiment_data = exp_show_entry["data"] or {}
    params_file_entry = experiment_data.get("params", {}).get(PARAMS_FILE, {})
    summary_file_entry = experiment_data.get("metrics", {}).get(SUMMARY_FILE, {})
    problem_texts = [
        " ".join(str(error.get("msg") or error.get("type")).split())
        for error in _collect_dvc_errors(exp_show_entry, params_file_entry, summary_file_entry)
    ]
    process_id = ((executor or {}).get("local") or {}).get("pid")
    if status == RUNNING_STATUS and process_id and not _is_process_alive(process_id):
        problem_texts.append(
            f"its process {process_id} is not there; if it was killed, run it again, or delete .dvc/tmp/exps while nothing runs"
        )
    has_own_results = status in (
        WORKSPACE_STATUS,
        COMMIT_STATUS,
        SUCCESS_STATUS,
    )  # other experiments still hold the summary.json of their baseline
    return Experiment(
        name=WORKSPACE_STATUS if status == WORKSPACE_STATUS else exp_show_entry["name"] or exp_show_entry["rev"][:7],
        revision=exp_show_entry["rev"],
        status=status,
        created=experiment_data.get("timestamp") or "",
        params=params_file_entry.get("data") or {},
        results_by_benchmark=(has_own_results and summary_file_entry.get("data")) or {},
        baseline_commit=baseline_commit,
        problem="; ".join(problem_texts),
    )


def _collect_dvc_errors(*exp_show_objects: dict) -> list[dict]:
    """Return the errors that DVC reports in these dictionaries of `dvc exp show --json`."""
    return [exp_show_object["error"] for exp_show_object in exp_show_objects if exp_show_object.get("error")]


def _is_process_alive(process_id: int) -> bool:
    """Return whether a process with this id runs on this machine."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # the process is another user's
        return True
    return True


def _iterate_param_changes(key_path: KeyPath, baseline_value: Any, new_value: Any) -> Iterator[tuple[KeyPath, Any]]:
    """Yield (key path, new value) for each parameter that differs between two nested mappings; ABSENT_VALUE for a removed parameter."""
    if isinstance(baseline_value, Mapping) and isinstance(new_value, Mapping):
        for mapping_key in dict.fromkeys([*new_value, *baseline_value]):
            yield from _iterate_param_changes(
                (*key_path, mapping_key), baseline_value.get(mapping_key, ABSENT_VALUE), new_value.get(mapping_key, ABSENT_VALUE)
            )
    elif baseline_value != new_value:
        yield key_path, new_value


def _other_baseline_commits() -> list[str]:
    """Return the commits other than HEAD from which finished, queued or failed experiments started, newest commit first."""
    git_ref_names = _run_command(["git", "for-each-ref", "--format=%(refname)", "refs/exps"]).split()
    # A finished experiment is refs/exps/AB/CDEF.../NAME for its baseline ABCDEF...; others are stashes under refs/exps/celery/.
    baseline_commits = {
        "".join(git_ref_parts[2:4])
        for git_ref_parts in (git_ref_name.split("/") for git_ref_name in git_ref_names)
        if len(git_ref_parts) == 5 and len(git_ref_parts[2]) == 2
    }
    for git_ref_name in git_ref_names:
        if git_ref_name.startswith("refs/exps/celery/"):
            baseline_commits |= set(
                STASH_MESSAGE_PATTERN.findall(_run_command(["git", "log", "--walk-reflogs", "--format=%gs", git_ref_name]))
            )
    baseline_commits.discard(_run_command(["git", "rev-parse", "HEAD"]).strip())
    return _run_command(["git", "rev-list", "--no-walk=sorted", *baseline_commits]).split() if baseline_commits else []


def _run_command(command: list[str]) -> str:
    """Run a command and return what it prints. Raises ValueError with the last line of its error output if the command fails."""
    finished_process = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace")
    if finished_process.returncode == 0:
        return finished_process.stdout
    failure_reason = (finished_process.stderr.strip().splitlines() or [f"exit code {finished_process.returncode}"])[-1].removeprefix(
        "ERROR: "
    )
    hint = "; run this from the root of the project" if "not inside of a DVC repository" in failure_reason else ""
    raise ValueError(f"`{' '.join(word for word in command if word not in (sys.executable, '-m'))}` failed: {failure_reason}{hint}")
