"""Which scores a table of DVC experiments shows first, and the sorting of experiments by a column."""

from collections.abc import Callable, Iterable
from typing import Any

from confidnet_core.cli.experiments import (
    ABSENT_VALUE,
    COMMIT_STATUS,
    WORKSPACE_STATUS,
    Experiment,
    KeyPath,
    benchmarks_with_results,
    changed_key_paths,
    short_param_names,
    value_at_key_path,
    yaml_text,
)
from confidnet_core.config.registry import suggestion

ACCURACY_KEY_PATH = ("accuracy",)
EXPERIMENT_FIELDS = ("name", "status", "created")
KEY_PATH_BY_RESULT = {"accuracy": ACCURACY_KEY_PATH, "best": ("best",), "errors": ("errors",)}  # keys of summary.json
LOWER_IS_BETTER_KEY_PATHS = (("errors",),)


def aupr_error_key_path(method: str) -> KeyPath:
    """Return the key path of a score's AUPR-Error within a benchmark's results in summary.json."""
    return "aupr_error", method


def evaluated_methods(experiments: Iterable[Experiment]) -> list[str]:
    """Return the names of all scores that at least one experiment has a result for, even an undefined one.

    Those of params.yaml come first, in its order.
    """
    experiments = list(experiments)
    methods = {
        method
        for experiment in experiments
        for benchmark_result in experiment.results_by_benchmark.values()
        for method in benchmark_result.get("aupr_error", {})
    }
    listed_methods = [method for experiment in experiments for method in experiment.params.get("methods") or {} if method in methods]
    return list(dict.fromkeys([*listed_methods, *sorted(methods)]))


def methods_with_changed_results(experiments: list[Experiment]) -> list[str]:
    """Return the scores whose AUPR-Error differs from that of the baseline commit, most important first; the best scores if none differs.

    First come scores that are the best of an experiment, then those that all are compared with (`against` of params.yaml), then those with
    the largest change.
    """
    benchmark_results = [benchmark_result for experiment in experiments for benchmark_result in experiment.results_by_benchmark.values()]
    best_methods = list(
        dict.fromkeys(benchmark_result["best_score"] for benchmark_result in benchmark_results if benchmark_result.get("best_score"))
    )
    rank_by_method = {
        method: rank for rank, method in enumerate(dict.fromkeys([*best_methods, *(experiments[0].params.get("against") or [])]))
    }
    largest_change_by_method = {
        method: largest_change
        for method in evaluated_methods(experiments)
        if (largest_change := _largest_result_change(experiments, aupr_error_key_path(method))) is not None
    }
    return (
        sorted(
            largest_change_by_method,
            key=lambda method: (rank_by_method.get(method, len(rank_by_method)), -largest_change_by_method[method]),
        )
        or best_methods
    )


def _largest_result_change(experiments: list[Experiment], result_key: KeyPath) -> float | None:
    """Return the largest absolute change of a result from the baseline commit over all experiments, in percentage points.

    The change is 0 if a value only appeared or vanished; the result is None without any change.
    """
    compared_experiments = [
        (experiment, experiment.baseline_commit, benchmark)
        for experiment in experiments
        if experiment.baseline_commit
        for benchmark in experiment.results_by_benchmark
    ]
    differences = [experiment.difference_from_commit(benchmark, result_key) for experiment, _, benchmark in compared_experiments]
    has_gained_or_lost_value = any(
        (experiment.result_value(benchmark, result_key) is None) != (baseline_commit.result_value(benchmark, result_key) is None)
        for experiment, baseline_commit, benchmark in compared_experiments
    )
    return max([abs(difference) for difference in differences if difference] + [0.0] * has_gained_or_lost_value, default=None)


def sort_experiments(experiments: list[Experiment], sort_key: str, reverse_order: bool = False) -> list[Experiment]:
    """Return the experiments sorted within each commit, below the commit: best results first, all else ascending, missing values last.

    sort_key: name, status, created, accuracy, errors, best, a score, or the end of a changed parameter's name. Results are those of the
    first benchmark; BENCHMARK.accuracy and the like name another benchmark. Raises ValueError for an unknown key, or a key that several
    parameters share.
    """
    get_sort_value, is_descending = _sort_criterion(experiments, sort_key)
    experiments_by_commit: list[list[Experiment]] = []
    for experiment in experiments:
        if experiment.status in (COMMIT_STATUS, WORKSPACE_STATUS):
            experiments_by_commit.append([experiment])
        else:
            experiments_by_commit[-1].append(experiment)
    return [
        experiment
        for commit, *experiments_from_commit in experiments_by_commit
        for experiment in (commit, *_sort_experiments_of_commit(experiments_from_commit, get_sort_value, is_descending != reverse_order))
    ]


def _sort_experiments_of_commit(
    experiments: list[Experiment], get_sort_value: Callable[[Experiment], Any], is_descending: bool
) -> list[Experiment]:
    """Return one commit's experiments sorted by the value that `get_sort_value` gives, with those that lack the value last."""
    experiments_with_sort_value = [experiment for experiment in experiments if get_sort_value(experiment) is not None]
    return sorted(experiments_with_sort_value, key=get_sort_value, reverse=is_descending) + [
        experiment for experiment in experiments if get_sort_value(experiment) is None
    ]


def _sort_criterion(experiments: list[Experiment], sort_key: str) -> tuple[Callable[[Experiment], Any], bool]:
    """Return (function, descending): the function gives the value by which an experiment is sorted; descending puts the highest first."""
    if sort_key in EXPERIMENT_FIELDS:
        return lambda experiment: getattr(experiment, sort_key), False
    result_keys = KEY_PATH_BY_RESULT | {result_name: aupr_error_key_path(result_name) for result_name in evaluated_methods(experiments)}
    benchmark_names = benchmarks_with_results(experiments)
    named_benchmark, _, result_name = sort_key.rpartition(".")
    if result_name in result_keys and named_benchmark in ("", *benchmark_names):
        sort_benchmark = named_benchmark or next(iter(benchmark_names), "")
        return lambda experiment: experiment.result_value(sort_benchmark, result_keys[result_name]), result_keys[
            result_name
        ] not in LOWER_IS_BETTER_KEY_PATHS
    matching_key_paths = [key_path for key_path in changed_key_paths(experiments) if f".{'.'.join(key_path)}".endswith(f".{sort_key}")]
    if len(matching_key_paths) > 1:
        raise ValueError(f"--sort {sort_key} could be {' or '.join(map('.'.join, matching_key_paths))}; give more of its name")
    if not matching_key_paths:
        known_columns = [*EXPERIMENT_FIELDS, *result_keys, *short_param_names(changed_key_paths(experiments)).values()]
        raise ValueError(f"--sort {sort_key}: the experiments have no such column{suggestion(sort_key, known_columns)}")
    return lambda experiment: _sortable_param_value(value_at_key_path(experiment.params, matching_key_paths[0])), False


def _sortable_param_value(param_value: Any) -> tuple[bool, Any] | None:
    """Return a tuple by which parameter values sort, numbers before texts; None if the parameter is absent."""
    is_number = isinstance(param_value, int | float) and not isinstance(param_value, bool)
    return None if param_value is ABSENT_VALUE else (not is_number, param_value if is_number else yaml_text(param_value))
