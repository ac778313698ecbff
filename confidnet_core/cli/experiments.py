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
WORKSPACE, COMMIT, SUCCESS, RUNNING = "workspace", "commit", "success", "running"  # statuses; DVC also uses queued and failed
STASH_MESSAGE = re.compile(
    "dvc-exp:[0-9a-f]+:([0-9a-f]+):"
)  # DVC's stash message of a queued or failed experiment: its commit, then its baseline
ABSENT = object()
NO_EXPERIMENTS = (
    "no experiment started from this commit; `dvc exp run -S benchmarks.digits.baseline.learning_rate=0.01` runs one, "
    "and --all lists those of earlier commits"
)

KeyPath = tuple[str, ...]  # path to a value in nested mappings


@dataclass(frozen=True)
class Experiment:
    """A DVC experiment, the workspace (the working directory), or a commit that experiments started from."""

    name: str
    revision: str  # git commit, 40 digits; "workspace" for the workspace
    status: str
    created: str  # as 2026-11-28T19:17:08; empty for the workspace
    params: Mapping[str, Any] = field(repr=False)
    results: Mapping[str, Mapping[str, Any]]  # BENCHMARK -> accuracy, errors, aupr_error, best_score, best; empty until it has finished
    baseline: "Experiment | None" = None  # None for a commit
    problem: str = ""  # why DVC could not read it, or why it does not really run

    @property
    def is_experiment(self) -> bool:
        """Whether this is a DVC experiment, not the workspace and not a commit."""
        return self.status not in (COMMIT, WORKSPACE)

    @property
    def changes(self) -> dict[KeyPath, Any]:
        """Changed parameter -> its value in this experiment, compared with the baseline commit; ABSENT for a removed parameter."""
        return dict(_iterate_changes((), self.baseline.params, self.params)) if self.baseline else {}

    def value(self, benchmark: str, key: KeyPath) -> float | None:
        """Return the number at a key of a benchmark's results (in percent, or a count); None if the result is undefined or absent."""
        value = value_at(self.results, (benchmark, *key), None)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def has(self, benchmark: str, key: KeyPath) -> bool:
        """Return whether a benchmark's results have the key, even if the value is undefined (null)."""
        return value_at(self.results, (benchmark, *key)) is not ABSENT

    def difference(self, benchmark: str, key: KeyPath) -> float | None:
        """Return a result minus that of the baseline commit, in percentage points; None if one of the two is missing."""
        before, after = self.baseline and self.baseline.value(benchmark, key), self.value(benchmark, key)
        return None if before is None or after is None else round(after - before, 2)  # both have two decimals


def load_experiments(all_commits: bool = False) -> list[Experiment]:
    """Return the workspace, the commit HEAD, and the DVC experiments that started from HEAD, in DVC's order.

    The order is: running, finished (newest first), queued, failed.
    all_commits: add every other commit that has experiments, each followed by its experiments. ValueError if DVC fails.
    """
    revisions = [part for revision in ["HEAD", *(_other_baselines() if all_commits else [])] for part in ("--rev", revision)]
    try:
        return parse_experiments(json.loads(_run_command([sys.executable, "-m", "dvc", "exp", "show", "--json", *revisions])))
    except json.JSONDecodeError as error:
        raise ValueError(f"`dvc exp show --json` printed no JSON ({error})") from None


def parse_experiments(rows: list[dict]) -> list[Experiment]:
    """Return the experiments in what `dvc exp show --json` prints (parsed JSON). ValueError if the repository has no commit."""
    commits = [state for state in rows if state["rev"] != WORKSPACE]
    if not commits:
        raise ValueError("there is no commit yet, and experiments start from one; `git add --all && git commit -m Start`")
    parsed_experiments: list[Experiment] = []
    for state in commits:
        commit = _parse_experiment(state, COMMIT, None)
        if not parsed_experiments:
            parsed_experiments += [_parse_experiment(each, WORKSPACE, commit) for each in rows if each["rev"] == WORKSPACE]
        parsed_experiments.append(commit)
        for each in state["experiments"] or []:
            status = (each["executor"] or {}).get("state", SUCCESS).lower()
            newest_revision = each["revs"][0]
            parsed_experiments.append(
                _parse_experiment(newest_revision | {"name": each["name"] or newest_revision["name"]}, status, commit, each["executor"])
            )
    return parsed_experiments


def value_at(tree: Any, key: KeyPath, default: Any = ABSENT) -> Any:
    """Return the value at a key path of nested mappings, such as ("aupr_error", "mcp"), or DEFAULT if the path does not exist."""
    for part in key:
        tree = tree.get(part, ABSENT) if isinstance(tree, Mapping) else ABSENT
    return default if tree is ABSENT else tree


def changed_keys(experiments: Iterable[Experiment]) -> list[KeyPath]:
    """Return the key paths of all parameters that at least one experiment changed."""
    return list(dict.fromkeys(key for each in experiments for key in each.changes))


def benchmark_names(experiments: Iterable[Experiment]) -> list[str]:
    """Return the names of the benchmarks for which at least one experiment has results."""
    return list(dict.fromkeys(benchmark for each in experiments for benchmark in each.results))


def short_names(keys: list[KeyPath]) -> dict[KeyPath, str]:
    """Return key path -> shortest name that tells the parameter from the others: the fewest last parts of its path, joined by dots.

    If no ending is unique, the name is the whole path.
    """

    def is_unique(ending: KeyPath) -> bool:
        return sum(key[-len(ending) :] == ending for key in keys) == 1

    endings = {key: [key[-length:] for length in range(1, len(key))] for key in keys}
    return {key: ".".join(next(filter(is_unique, endings[key]), key)) for key in keys}


def yaml_text(value: Any) -> str:
    """Return a parameter's value as one line of YAML, such as [0,1], {k: 5}, true or 0.01."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {yaml_text(each)}' for key, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{','.join(map(yaml_text, value))}]"
    return value if isinstance(value, str) else json.dumps(value)


def _parse_experiment(state: dict, status: str, baseline: Experiment | None, executor: dict | None = None) -> Experiment:
    """Return the experiment that one JSON object of `dvc exp show` describes, with its status and its baseline commit."""
    state_data = state["data"] or {}
    params, summary = state_data.get("params", {}).get(PARAMS_FILE, {}), state_data.get("metrics", {}).get(SUMMARY_FILE, {})
    problems = [" ".join(str(error.get("msg") or error.get("type")).split()) for error in _collect_errors(state, params, summary)]
    process_id = ((executor or {}).get("local") or {}).get("pid")
    if status == RUNNING and process_id and not _is_process_alive(process_id):
        problems.append(
            f"its process {process_id} is not there; if it was killed, run it again, or delete .dvc/tmp/exps while nothing runs"
        )
    has_own_results = status in (WORKSPACE, COMMIT, SUCCESS)  # other experiments still hold the summary.json of their baseline
    return Experiment(
        name=WORKSPACE if status == WORKSPACE else state["name"] or state["rev"][:7],
        revision=state["rev"],
        status=status,
        created=state_data.get("timestamp") or "",
        params=params.get("data") or {},
        results=(has_own_results and summary.get("data")) or {},
        baseline=baseline,
        problem="; ".join(problems),
    )


def _collect_errors(*parts: dict) -> list[dict]:
    """Return the errors that DVC reports in these JSON objects."""
    return [part["error"] for part in parts if part.get("error")]


def _is_process_alive(process_id: int) -> bool:
    """Return whether a process with this id runs on this machine."""
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # the process is another user's
        return True
    return True


def _iterate_changes(key: KeyPath, before: Any, after: Any) -> Iterator[tuple[KeyPath, Any]]:
    """Yield (key path, new value) for each parameter that differs between two nested mappings."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for part in dict.fromkeys([*after, *before]):
            yield from _iterate_changes((*key, part), before.get(part, ABSENT), after.get(part, ABSENT))
    elif before != after:
        yield key, after


def _other_baselines() -> list[str]:
    """Return the commits other than HEAD that finished, queued or failed experiments started from, newest commit first."""
    names = _run_command(["git", "for-each-ref", "--format=%(refname)", "refs/exps"]).split()
    # A finished experiment is refs/exps/AB/CDEF.../NAME for its baseline ABCDEF...; others are stashes under refs/exps/celery/.
    baselines = {"".join(parts[2:4]) for parts in (name.split("/") for name in names) if len(parts) == 5 and len(parts[2]) == 2}
    for name in names:
        if name.startswith("refs/exps/celery/"):
            baselines |= set(STASH_MESSAGE.findall(_run_command(["git", "log", "--walk-reflogs", "--format=%gs", name])))
    baselines.discard(_run_command(["git", "rev-parse", "HEAD"]).strip())
    return _run_command(["git", "rev-list", "--no-walk=sorted", *baselines]).split() if baselines else []


def _run_command(command: list[str]) -> str:
    """Run a command and return what it prints. ValueError with the last line of its error output if the command fails."""
    finished_process = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace")
    if finished_process.returncode == 0:
        return finished_process.stdout
    reason = (finished_process.stderr.strip().splitlines() or [f"exit code {finished_process.returncode}"])[-1].removeprefix("ERROR: ")
    hint = "; run this from the root of the project" if "not inside of a DVC repository" in reason else ""
    raise ValueError(f"`{' '.join(part for part in command if part not in (sys.executable, '-m'))}` failed: {reason}{hint}")
