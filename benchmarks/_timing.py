"""Processor seconds of several ways to do one work, in turns, with the ratio of the first to each."""

import time
from collections.abc import Callable, Mapping


def print_processor_seconds(title: str, ways: Mapping[str, Callable[[], object]], repeats: int) -> None:
    """Call each way `repeats` times in turns, after once to warm up; print the least of its processor seconds, and the ratio."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for round_index in range(repeats + 1):
        for name, way in ways.items():
            start = time.process_time()
            way()
            if round_index:
                seconds[name].append(time.process_time() - start)
    usual, *_ = map(min, seconds.values())
    print(title)
    for name, values in seconds.items():
        print(f"  {name:40} {min(values):8.4f} s {usual / min(values):7.2f}x", flush=True)
