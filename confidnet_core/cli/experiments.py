"""DVC's experiments, what they changed and what came out, read from `dvc exp show --json` and compared with their baselines.

An experiment's baseline is the commit that it started from. DVC runs as a command: in Python it has no stable interface for this.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

SUMMARY = "reports/summary.json"  # of the stage `compare`: see comparison/table.py
PARAMS = "params.yaml"
WORKSPACE, COMMIT, SUCCESS, RUNNING = "workspace", "commit", "success", "running"  # statuses; DVC has queued and failed, too
STASHED = re.compile("dvc-exp:[0-9a-f]+:([0-9a-f]+):")  # DVC's message of a queued or failed experiment: its commit, then its baseline
ABSENT = object()
NO_EXPERIMENTS = (
    "no experiment started from this commit; `dvc exp run -S benchmarks.digits.baseline.learning_rate=0.01` runs one, "
    "and --all lists those of earlier commits"
)

Key = tuple[str, ...]  # of nested mappings


@dataclass(frozen=True)
class Experiment:
    """An experiment, the workspace, or a commit that experiments started from."""

    name: str
    revision: str  # of git, 40 digits; "workspace" for the workspace
    status: str
    created: str  # as 2026-11-28T19:17:08; empty for the workspace
    params: Mapping[str, Any] = field(repr=False)
    results: Mapping[str, Mapping[str, Any]]  # BENCHMARK -> accuracy, errors, aupr_error, best_score, best; empty before the end of a run
    baseline: "Experiment | None" = None  # None for a commit
    problem: str = ""  # why DVC could not read it, or that nothing runs it

    @property
    def is_experiment(self) -> bool:
        return self.status not in (COMMIT, WORKSPACE)

    @property
    def changes(self) -> dict[Key, Any]:
        """Parameter -> its value, where the baseline has another; ABSENT for one that was taken away."""
        return dict(_changes((), self.baseline.params, self.params)) if self.baseline else {}

    def value(self, benchmark: str, key: Key) -> float | None:
        """A number of summary.json (percent, or a count); None where it is undefined or absent."""
        value = value_at(self.results, (benchmark, *key), None)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def has(self, benchmark: str, key: Key) -> bool:
        """Whether summary.json has the key, be it undefined (null)."""
        return value_at(self.results, (benchmark, *key)) is not ABSENT

    def difference(self, benchmark: str, key: Key) -> float | None:
        """The value minus the baseline's, in percentage points; None where one of them is missing."""
        before, after = self.baseline and self.baseline.value(benchmark, key), self.value(benchmark, key)
        return None if before is None or after is None else round(after - before, 2)  # both have two decimals


def load(all_commits: bool = False) -> list[Experiment]:
    """The workspace, the commit HEAD and its experiments in DVC's order: running, finished (newest first), queued, failed.

    all_commits: followed by every other commit that has experiments, with these. ValueError where DVC cannot tell.
    """
    revisions = [part for revision in ["HEAD", *(_other_baselines() if all_commits else [])] for part in ("--rev", revision)]
    try:
        return experiments(json.loads(_output([sys.executable, "-m", "dvc", "exp", "show", "--json", *revisions])))
    except json.JSONDecodeError as error:
        raise ValueError(f"`dvc exp show --json` printed no JSON ({error})") from None


def experiments(shown: list[dict]) -> list[Experiment]:
    """From the content of what `dvc exp show --json` prints; ValueError where there is no commit."""
    commits = [state for state in shown if state["rev"] != WORKSPACE]
    if not commits:
        raise ValueError("there is no commit yet, and experiments start from one; `git add --all && git commit -m Start`")
    found: list[Experiment] = []
    for state in commits:
        commit = _experiment(state, COMMIT, None)
        if not found:
            found += [_experiment(each, WORKSPACE, commit) for each in shown if each["rev"] == WORKSPACE]
        found.append(commit)
        for each in state["experiments"] or []:
            status = (each["executor"] or {}).get("state", SUCCESS).lower()
            newest = each["revs"][0]
            found.append(_experiment(newest | {"name": each["name"] or newest["name"]}, status, commit, each["executor"]))
    return found


def value_at(tree: Any, key: Key, missing: Any = ABSENT) -> Any:
    """What stands at KEY of nested mappings; MISSING where nothing does."""
    for part in key:
        tree = tree.get(part, ABSENT) if isinstance(tree, Mapping) else ABSENT
    return missing if tree is ABSENT else tree


def changed_keys(found: Iterable[Experiment]) -> list[Key]:
    return list(dict.fromkeys(key for each in found for key in each.changes))


def benchmark_names(found: Iterable[Experiment]) -> list[str]:
    return list(dict.fromkeys(benchmark for each in found for benchmark in each.results))


def short_names(keys: list[Key]) -> dict[Key, str]:
    """Each key -> its shortest ending, parts joined by dots, that no other of the KEYS has; the whole key where there is none."""

    def is_unique(ending: Key) -> bool:
        return sum(key[-len(ending) :] == ending for key in keys) == 1

    endings = {key: [key[-length:] for length in range(1, len(key))] for key in keys}
    return {key: ".".join(next(filter(is_unique, endings[key]), key)) for key in keys}


def value_text(value: Any) -> str:
    """A parameter as YAML in one line: [0,1], {k: 5}, true, 0.01."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {value_text(each)}' for key, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{','.join(map(value_text, value))}]"
    return value if isinstance(value, str) else json.dumps(value)


def _experiment(state: dict, status: str, baseline: Experiment | None, executor: dict | None = None) -> Experiment:
    data = state["data"] or {}
    params, summary = data.get("params", {}).get(PARAMS, {}), data.get("metrics", {}).get(SUMMARY, {})
    problems = [" ".join(str(error.get("msg") or error.get("type")).split()) for error in _errors(state, params, summary)]
    process = ((executor or {}).get("local") or {}).get("pid")
    if status == RUNNING and process and not _is_alive(process):
        problems.append(f"its process {process} is not there; if it was killed, run it again, or delete .dvc/tmp/exps while nothing runs")
    finished = status in (WORKSPACE, COMMIT, SUCCESS)  # the others still hold the summary.json of their baseline
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
    except PermissionError:  # another user's
        return True
    return True


def _changes(key: Key, before: Any, after: Any) -> Iterator[tuple[Key, Any]]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for part in dict.fromkeys([*after, *before]):
            yield from _changes((*key, part), before.get(part, ABSENT), after.get(part, ABSENT))
    elif before != after:
        yield key, after


def _other_baselines() -> list[str]:
    """The commits but HEAD that experiments started from, finished, queued or failed ones; the newest commit first."""
    names = _output(["git", "for-each-ref", "--format=%(refname)", "refs/exps"]).split()
    # A finished one is refs/exps/AB/CDEF.../NAME for its baseline ABCDEF...; the others lie in stashes, refs/exps/celery/...
    found = {"".join(parts[2:4]) for parts in (name.split("/") for name in names) if len(parts) == 5 and len(parts[2]) == 2}
    for name in names:
        if name.startswith("refs/exps/celery/"):
            found |= set(STASHED.findall(_output(["git", "log", "--walk-reflogs", "--format=%gs", name])))
    found.discard(_output(["git", "rev-parse", "HEAD"]).strip())
    return _output(["git", "rev-list", "--no-walk=sorted", *found]).split() if found else []


def _output(command: list[str]) -> str:
    """What it prints. ValueError with its last line of errors where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", errors="replace")
    if done.returncode == 0:
        return done.stdout
    reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1].removeprefix("ERROR: ")
    hint = "; run this from the root of the project" if "not inside of a DVC repository" in reason else ""
    raise ValueError(f"`{' '.join(part for part in command if part not in (sys.executable, '-m'))}` failed: {reason}{hint}")
