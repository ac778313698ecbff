"""Scores that are left out for a benchmark, since they read what it does not have: the reason, stored in place of their results."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from confidnet_core import paths
from confidnet_core.files import atomic_write, read_json, write_json

LEFT_OUT_FILE_NAME = "left_out.json"
LEFT_OUT_KEY = "left_out"  # of the file of a score's inputs, and of model.json of a network that is not trained


def save_left_out(results_folder: Path, reason: str) -> None:
    """Write the reason why a score has no results into the folder that would hold them, in place of what is there."""
    with atomic_write(results_folder) as temporary_folder:
        temporary_folder.mkdir()
        write_json(temporary_folder / LEFT_OUT_FILE_NAME, {"reason": reason})


def planned_left_out_reason(input_digests_path: Path) -> str | None:
    """Return why a score is to be left out, from the file METHOD.json of the stage `inputs`; None if it is to be evaluated."""
    return read_json(input_digests_path).get(LEFT_OUT_KEY) if input_digests_path.exists() else None


def left_out_reason(benchmark: str, seed: int, method: str) -> str | None:
    """Return why the stage `evaluate` left a score out; None if the score has results, or is not yet evaluated."""
    reason_path = paths.score_folder(benchmark, seed, method) / LEFT_OUT_FILE_NAME
    return read_json(reason_path)["reason"] if reason_path.exists() else None


def left_out_by_benchmark(benchmarks: Iterable[str], seeds: Iterable[int], methods: Iterable[str]) -> dict[str, list[str]]:
    """Return {benchmark: its left_out_lines}, from what the stage `evaluate` stored for the first seed."""
    first_seed = next(iter(seeds))
    return {
        benchmark: left_out_lines({method: left_out_reason(benchmark, first_seed, method) for method in methods})
        for benchmark in benchmarks
    }


def left_out_lines(reason_of_method: Mapping[str, str | None]) -> list[str]:
    """Return a line for each reason: the scores that it leaves out, and the reason. None is the reason of a score that is not left out."""
    methods_of_reason: dict[str, list[str]] = {}
    for method, reason in reason_of_method.items():
        if reason is not None:
            methods_of_reason.setdefault(reason, []).append(method)
    return [f"left out {', '.join(methods)}: {reason}" for reason, methods in methods_of_reason.items()]
