"""Which scores of experiments matter most, and experiments in the order of a column."""

from collections.abc import Callable, Iterable
from typing import Any

from confidnet_core.cli.experiments import (
    ABSENT,
    COMMIT,
    WORKSPACE,
    Experiment,
    Key,
    benchmark_names,
    changed_keys,
    short_names,
    value_at,
    value_text,
)
from confidnet_core.config.registry import suggestion

ACCURACY = ("accuracy",)
OF_EXPERIMENT = ("name", "status", "created")
OF_BENCHMARK = {"accuracy": ACCURACY, "best": ("best",), "errors": ("errors",)}  # keys of summary.json
LOWER_IS_BETTER = (("errors",),)


def aupr_error(score: str) -> Key:
    """The score's AUPR-Error in summary.json."""
    return "aupr_error", score


def score_names(found: Iterable[Experiment]) -> list[str]:
    """All scores that some experiment has, be they undefined; in the order of params.yaml where that lists them."""
    found = list(found)
    names = {name for each in found for result in each.results.values() for name in result.get("aupr_error", {})}
    listed = [name for each in found for name in each.params.get("methods") or {} if name in names]
    return list(dict.fromkeys([*listed, *sorted(names)]))


def moved_scores(found: list[Experiment]) -> list[str]:
    """Scores with another AUPR-Error than the baseline's somewhere, the most important ones first; where none moved, the best ones.

    Most important are those that are the best of some experiment, then those that all are compared with (`against` of params.yaml), then
    those that moved farthest.
    """
    results = [result for each in found for result in each.results.values()]
    best = list(dict.fromkeys(result["best_score"] for result in results if result.get("best_score")))
    ranks = {name: rank for rank, name in enumerate(dict.fromkeys([*best, *(found[0].params.get("against") or [])]))}
    moves = {name: move for name in score_names(found) if (move := _largest_move(found, aupr_error(name))) is not None}
    return sorted(moves, key=lambda name: (ranks.get(name, len(ranks)), -moves[name])) or best


def _largest_move(found: list[Experiment], key: Key) -> float | None:
    """From a baseline, in percentage points; 0 where a value only came or went, None where all are their baselines'."""
    pairs = [(each, each.baseline, benchmark) for each in found if each.baseline for benchmark in each.results]
    differences = [each.difference(benchmark, key) for each, _, benchmark in pairs]
    gone = any((each.value(benchmark, key) is None) != (baseline.value(benchmark, key) is None) for each, baseline, benchmark in pairs)
    return max([abs(difference) for difference in differences if difference] + [0.0] * gone, default=None)


def sort(found: list[Experiment], key: str, reverse: bool = False) -> list[Experiment]:
    """Each commit's experiments by KEY, below the commit: results best first, all else in ascending order, those without a value last.

    key: name, status, created, accuracy, errors, best, a score, or the end of a changed parameter's name. A result is that of the first
    benchmark; BENCHMARK.accuracy and the like that of another. ValueError for a key that is not there, or means several parameters.
    """
    value_of, descending = _sorting(found, key)
    groups: list[list[Experiment]] = []
    for each in found:
        if each.status in (COMMIT, WORKSPACE):
            groups.append([each])
        else:
            groups[-1].append(each)
    return [each for first, *others in groups for each in (first, *_sorted(others, value_of, descending != reverse))]


def _sorted(group: list[Experiment], value_of: Callable[[Experiment], Any], descending: bool) -> list[Experiment]:
    known = [each for each in group if value_of(each) is not None]
    return sorted(known, key=value_of, reverse=descending) + [each for each in group if value_of(each) is None]


def _sorting(found: list[Experiment], key: str) -> tuple[Callable[[Experiment], Any], bool]:
    """What to sort by, and whether the highest comes first."""
    if key in OF_EXPERIMENT:
        return lambda each: getattr(each, key), False
    results = OF_BENCHMARK | {name: aupr_error(name) for name in score_names(found)}
    benchmarks = benchmark_names(found)
    benchmark, _, name = key.rpartition(".")
    if name in results and benchmark in ("", *benchmarks):
        at = benchmark or next(iter(benchmarks), "")
        return lambda each: each.value(at, results[name]), results[name] not in LOWER_IS_BETTER
    keys = [each for each in changed_keys(found) if f".{'.'.join(each)}".endswith(f".{key}")]
    if len(keys) > 1:
        raise ValueError(f"--sort {key} could be {' or '.join(map('.'.join, keys))}; give more of its name")
    if not keys:
        known = [*OF_EXPERIMENT, *results, *short_names(changed_keys(found)).values()]
        raise ValueError(f"--sort {key}: the experiments have no such column{suggestion(key, known)}")
    return lambda each: _comparable(value_at(each.params, keys[0])), False


def _comparable(value: Any) -> tuple[bool, Any] | None:
    """Numbers before texts; None where the parameter is absent."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return None if value is ABSENT else (not is_number, value if is_number else value_text(value))
