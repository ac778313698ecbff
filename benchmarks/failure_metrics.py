"""Seconds for all failure metrics against those of other libraries, metric by metric, on the same data in the same run.

OMP_NUM_THREADS=1 python -m benchmarks.failure_metrics [SIZE ...] [--rounds 3]
Without sizes: 10 thousand, 1, 10 and 40 million samples; beyond 10 million only ours. Seconds are processor time of one thread: other
work on the machine disturbs it little. All calls take turns, and the shortest of the rounds counts. Installed libraries are compared;
`pip install -r benchmarks/requirements.txt` in an environment of its own brings the others.
"""

import argparse
import importlib.metadata
import platform
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import torch

from benchmarks._alternatives import LIBRARIES, SKLEARN, Call, alternatives
from confidnet_core.metrics import METRICS, failure_metrics

LARGEST_FOR_OTHERS = 10_000_000
CLOSE = 1e-6
INSTALL = "pip install -r benchmarks/requirements.txt"


def saturated_scores(samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Float32 maximum probabilities of an overconfident classifier with 10 % errors, many near or at exactly 1."""
    generator = np.random.default_rng(0)
    correct = generator.random(samples) < 0.9
    margin = generator.standard_normal(samples, dtype=np.float32) * np.float32(4) + np.where(correct, np.float32(7), np.float32(2))
    return 1 / (1 + np.exp(-np.abs(margin))), correct


def sklearn_metrics(confidence: np.ndarray, correct: np.ndarray) -> dict[str, float]:
    return {name: function(confidence, correct) for name, function in SKLEARN.items()}


def best_seconds(function: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def best_in_turns(functions: list[Callable[[], object]], rounds: int) -> np.ndarray:
    """Seconds of processor time of each function, the shortest of `rounds`, in each of which every one runs once."""
    seconds = np.empty((rounds, len(functions)))
    for turn in seconds:
        for place, function in enumerate(functions):
            start = time.process_time()
            function()
            turn[place] = time.process_time() - start
    return seconds.min(axis=0)


def peak_megabytes(function: Callable[[], object]) -> float:
    """What NumPy holds at most beyond the arguments."""
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def print_alternatives(calls: list[Call], seconds: np.ndarray, ours: float, found: dict[str, float]) -> None:
    """One line a call, then the two sums, of the fastest calls whatever their definition. seconds (calls,)."""
    for call, taken in zip(calls, seconds, strict=True):
        title = call.metrics[0] if len(call.metrics) == 1 else f"{len(call.metrics)} in one"
        difference = max(abs(found[name] - value) for name, value in zip(call.metrics, call.values(), strict=True))
        differs = f"differs by {difference:.0e}: {call.convention or 'of the same definition, so one is wrong'}"
        print(f"  {title:22}{call.package:24}{taken:9.4f} s {taken / ours:6.1f}x  {'agrees' if difference <= CLOSE else differs}")

    best = {}
    for call, taken in zip(calls, seconds, strict=True):
        if len(call.metrics) == 1:
            best[call.metrics[0]] = min(taken, best.get(call.metrics[0], np.inf))
    together = sum(best.values())
    print(f"  best single calls together / ours, {len(best)} metrics: {together:.4f} s {together / ours:.1f}x")
    bundles = [
        (taken + sum(value for name, value in best.items() if name not in call.metrics), call.package)
        for call, taken in zip(calls, seconds, strict=True)
        if len(call.metrics) > 1
    ]
    if bundles:
        taken, library = min(bundles)
        print(f"  best bundle / ours, {library} and the best single calls for the rest: {taken:.4f} s {taken / ours:.1f}x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", type=int, nargs="*", default=[10_000, 1_000_000, 10_000_000, 40_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()

    torch.set_num_threads(1)
    missing = alternatives(*saturated_scores(10))[1]
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("numpy", *LIBRARIES) if name not in missing]
    print(f"Python {platform.python_version()}, {', '.join(versions)}; float32, 10 % errors, best of {given.rounds} rounds")
    if missing:
        print(f"not installed: {', '.join(missing)}; {INSTALL}")
    for samples in given.sizes:
        confidence, correct = saturated_scores(samples)
        others = alternatives(confidence, correct)[0] if samples <= LARGEST_FOR_OTHERS else []
        others = [call for call in others if set(call.metrics) <= set(METRICS)]

        def measured(confidence: np.ndarray = confidence, correct: np.ndarray = correct) -> dict[str, float | None]:
            return failure_metrics(confidence, correct)

        ours, *theirs = best_in_turns([measured, *(call.values for call in others)], given.rounds)
        print(f"{samples:,} samples: {len(METRICS)} metrics in {ours:.4f} s, at most {peak_megabytes(measured):.0f} MB beside the input")
        if others:
            print_alternatives(others, np.array(theirs), ours, measured())


if __name__ == "__main__":
    main()
