"""Which scores a table of DVC experiments shows first, and the sorting of experiments by a column."""

from collections.abc import Callable, Iterable
from typing import Any

from confidnet_core.cli.experiments import (
    ABSENT,
    COMMIT,
    WORKSPACE,
    Experiment,
    KeyPath,
    benchmark_names,
    changed_keys,
    short_names,
    value_at,
    yaml_text,
)
from confidnet_core.config.registry import suggestion

ACCURACY_KEY = ("accuracy",)
EXPERIMENT_FIELDS = ("name", "status", "created")
BENCHMARK_RESULT_KEYS = {"accuracy": ACCURACY_KEY, "best": ("best",), "errors": ("errors",)}  # keys of summary.json
LOWER_IS_BETTER_KEYS = (("errors",),)


def aupr_error_key(score: str) -> KeyPath:
    """Return the key path under which a benchmark's part of summary.json holds a score's AUPR-Error."""
    return "aupr_error", score


def score_names(experiments: Iterable[Experiment]) -> list[str]:
    """Return all scores that at least one experiment has a result for, even an undefined one; first those of params.yaml in its order."""
    experiments = list(experiments)
    names = {name for each in experiments for result in each.results.values() for name in result.get("aupr_error", {})}
    listed_names = [name for each in experiments for name in each.params.get("methods") or {} if name in names]
    return list(dict.fromkeys([*listed_names, *sorted(names)]))


def changed_scores(experiments: list[Experiment]) -> list[str]:
    """Return the scores whose AUPR-Error differs from that of the baseline commit, most important first; the best scores if none differs.

    First come scores that are the best of an experiment, then those that all are compared with (`against` of params.yaml), then those with
    the largest change.
    """
    results = [result for each in experiments for result in each.results.values()]
    best = list(dict.fromkeys(result["best_score"] for result in results if result.get("best_score")))
    ranks = {name: rank for rank, name in enumerate(dict.fromkeys([*best, *(experiments[0].params.get("against") or [])]))}
    changes = {
        name: change for name in score_names(experiments) if (change := _largest_change(experiments, aupr_error_key(name))) is not None
    }
    return sorted(changes, key=lambda name: (ranks.get(name, len(ranks)), -changes[name])) or best


def _largest_change(experiments: list[Experiment], key: KeyPath) -> float | None:
    """Return the largest absolute change of a result from the baseline commit over all experiments, in percentage points.

    0 if a value only appeared or vanished, None without any change.
    """
    compared_results = [(each, each.baseline, benchmark) for each in experiments if each.baseline for benchmark in each.results]
    differences = [each.difference(benchmark, key) for each, _, benchmark in compared_results]
    has_gained_or_lost_value = any(
        (each.value(benchmark, key) is None) != (baseline.value(benchmark, key) is None) for each, baseline, benchmark in compared_results
    )
    return max([abs(difference) for difference in differences if difference] + [0.0] * has_gained_or_lost_value, default=None)


def sort_experiments(experiments: list[Experiment], key: str, reverse: bool = False) -> list[Experiment]:
    """Return the experiments sorted by KEY within each commit, below the commit: best results first, all else ascending, missing values
    last.

    key: name, status, created, accuracy, errors, best, a score, or the end of a changed parameter's name. Results are those of the first
    benchmark; BENCHMARK.accuracy and the like name another benchmark. ValueError for an unknown key, or a key that several parameters
    share.
    """
    sort_value_of, descending = _sort_criterion(experiments, key)
    groups: list[list[Experiment]] = []
    for each in experiments:
        if each.status in (COMMIT, WORKSPACE):
            groups.append([each])
        else:
            groups[-1].append(each)
    return [each for first, *others in groups for each in (first, *_sort_group(others, sort_value_of, descending != reverse))]


def _sort_group(experiments: list[Experiment], sort_value_of: Callable[[Experiment], Any], descending: bool) -> list[Experiment]:
    """Return one commit's experiments in sorted order, with those that lack the value last."""
    with_value = [each for each in experiments if sort_value_of(each) is not None]
    return sorted(with_value, key=sort_value_of, reverse=descending) + [each for each in experiments if sort_value_of(each) is None]


def _sort_criterion(experiments: list[Experiment], key: str) -> tuple[Callable[[Experiment], Any], bool]:
    """Return a function that gives each experiment's value to sort by, and whether the highest value comes first."""
    if key in EXPERIMENT_FIELDS:
        return lambda each: getattr(each, key), False
    result_keys = BENCHMARK_RESULT_KEYS | {name: aupr_error_key(name) for name in score_names(experiments)}
    benchmarks = benchmark_names(experiments)
    benchmark, _, name = key.rpartition(".")
    if name in result_keys and benchmark in ("", *benchmarks):
        benchmark_name = benchmark or next(iter(benchmarks), "")
        return lambda each: each.value(benchmark_name, result_keys[name]), result_keys[name] not in LOWER_IS_BETTER_KEYS
    matching_params = [each for each in changed_keys(experiments) if f".{'.'.join(each)}".endswith(f".{key}")]
    if len(matching_params) > 1:
        raise ValueError(f"--sort {key} could be {' or '.join(map('.'.join, matching_params))}; give more of its name")
    if not matching_params:
        known_columns = [*EXPERIMENT_FIELDS, *result_keys, *short_names(changed_keys(experiments)).values()]
        raise ValueError(f"--sort {key}: the experiments have no such column{suggestion(key, known_columns)}")
    return lambda each: _sortable_value(value_at(each.params, matching_params[0])), False


def _sortable_value(value: Any) -> tuple[bool, Any] | None:
    """Return a tuple by which parameter values sort, numbers before texts; None if the parameter is absent."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return None if value is ABSENT else (not is_number, value if is_number else yaml_text(value))
