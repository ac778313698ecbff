"""DVC experiments with their changes and results, read from `dvc exp show --json` and compared with their baselines.

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
    """A DVC experiment, the workspace, or a commit that experiments started from."""

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
        return self.status not in (COMMIT, WORKSPACE)

    @property
    def changes(self) -> dict[KeyPath, Any]:
        """Parameter -> its value, where the baseline has another one; ABSENT for a removed parameter."""
        return dict(_iterate_changes((), self.baseline.params, self.params)) if self.baseline else {}

    def value(self, benchmark: str, key: KeyPath) -> float | None:
        """Return a number of summary.json (in percent, or a count); None if it is undefined or absent."""
        value = value_at(self.results, (benchmark, *key), None)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def has(self, benchmark: str, key: KeyPath) -> bool:
        """Return whether summary.json has the key, even if its value is undefined (null)."""
        return value_at(self.results, (benchmark, *key)) is not ABSENT

    def difference(self, benchmark: str, key: KeyPath) -> float | None:
        """Return the value minus the baseline's, in percentage points; None if one of them is missing."""
        before, after = self.baseline and self.baseline.value(benchmark, key), self.value(benchmark, key)
        return None if before is None or after is None else round(after - before, 2)  # both have two decimals


def load_experiments(all_commits: bool = False) -> list[Experiment]:
    """Return the workspace, the commit HEAD and its experiments in DVC's order: running, finished (newest first), queued, failed.

    all_commits: add every other commit that has experiments, followed by these. ValueError if DVC fails.
    """
    revisions = [part for revision in ["HEAD", *(_other_baselines() if all_commits else [])] for part in ("--rev", revision)]
    try:
        return parse_experiments(json.loads(_run_command([sys.executable, "-m", "dvc", "exp", "show", "--json", *revisions])))
    except json.JSONDecodeError as error:
        raise ValueError(f"`dvc exp show --json` printed no JSON ({error})") from None


def parse_experiments(rows: list[dict]) -> list[Experiment]:
    """Convert the content that `dvc exp show --json` prints. ValueError if there is no commit."""
    commits = [state for state in rows if state["rev"] != WORKSPACE]
    if not commits:
        raise ValueError("there is no commit yet, and experiments start from one; `git add --all && git commit -m Start`")
    parsed: list[Experiment] = []
    for state in commits:
        commit = _experiment(state, COMMIT, None)
        if not parsed:
            parsed += [_experiment(each, WORKSPACE, commit) for each in rows if each["rev"] == WORKSPACE]
        parsed.append(commit)
        for each in state["experiments"] or []:
            status = (each["executor"] or {}).get("state", SUCCESS).lower()
            newest = each["revs"][0]
            parsed.append(_experiment(newest | {"name": each["name"] or newest["name"]}, status, commit, each["executor"]))
    return parsed


def value_at(tree: Any, key: KeyPath, default: Any = ABSENT) -> Any:
    """Return the value at a key of nested mappings, or DEFAULT if there is none."""
    for part in key:
        tree = tree.get(part, ABSENT) if isinstance(tree, Mapping) else ABSENT
    return default if tree is ABSENT else tree


def changed_keys(experiments: Iterable[Experiment]) -> list[KeyPath]:
    """Return the keys of all parameters that some experiment changed."""
    return list(dict.fromkeys(key for each in experiments for key in each.changes))


def benchmark_names(experiments: Iterable[Experiment]) -> list[str]:
    """Return the benchmarks for which some experiment has results."""
    return list(dict.fromkeys(benchmark for each in experiments for benchmark in each.results))


def short_names(keys: list[KeyPath]) -> dict[KeyPath, str]:
    """Return each key -> its shortest ending, parts joined by dots, that no other of the KEYS shares; the whole key if there is none."""

    def is_unique(ending: KeyPath) -> bool:
        return sum(key[-len(ending) :] == ending for key in keys) == 1

    endings = {key: [key[-length:] for length in range(1, len(key))] for key in keys}
    return {key: ".".join(next(filter(is_unique, endings[key]), key)) for key in keys}


def yaml_text(value: Any) -> str:
    """Format a parameter as one line of YAML: [0,1], {k: 5}, true, 0.01."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {yaml_text(each)}' for key, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{','.join(map(yaml_text, value))}]"
    return value if isinstance(value, str) else json.dumps(value)


def _experiment(state: dict, status: str, baseline: Experiment | None, executor: dict | None = None) -> Experiment:
    data = state["data"] or {}
    params, summary = data.get("params", {}).get(PARAMS_FILE, {}), data.get("metrics", {}).get(SUMMARY_FILE, {})
    problems = [" ".join(str(error.get("msg") or error.get("type")).split()) for error in _errors(state, params, summary)]
    process = ((executor or {}).get("local") or {}).get("pid")
    if status == RUNNING and process and not _is_alive(process):
        problems.append(f"its process {process} is not there; if it was killed, run it again, or delete .dvc/tmp/exps while nothing runs")
    finished = status in (WORKSPACE, COMMIT, SUCCESS)  # other experiments still hold the summary.json of their baseline
    return Experiment(
        name=WORKSPACE if status == WORKSPACE else state["name"] or state["rev"][:7],
        revision=state["rev"],
        status=status,
        created=data.get("timestamp") or "",
        params=params.get("data") or {},
        results=(finished and summary.get("data")) or {},
        baseline=baseline,
        problem="; ".join(problems),
    )


def _errors(*parts: dict) -> list[dict]:
    return [part["error"] for part in parts if part.get("error")]


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # the process is another user's
        return True
    return True


def _iterate_changes(key: KeyPath, before: Any, after: Any) -> Iterator[tuple[KeyPath, Any]]:
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
    """Return the output of a command. ValueError with its last error line if it fails."""
    completed = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace")
    if completed.returncode == 0:
        return completed.stdout
    reason = (completed.stderr.strip().splitlines() or [f"exit code {completed.returncode}"])[-1].removeprefix("ERROR: ")
    hint = "; run this from the root of the project" if "not inside of a DVC repository" in reason else ""
    raise ValueError(f"`{' '.join(part for part in command if part not in (sys.executable, '-m'))}` failed: {reason}{hint}")
