"""Files that a benchmark takes from elsewhere, such as the weights of a trained classifier, by paths in params.yaml."""

import os
from pathlib import Path

from confidnet_core.config.params import Benchmark
from confidnet_core.config.recipes import AttachedWeights


def weights_path(benchmark_name: str, benchmark: Benchmark) -> Path | None:
    """Return the path of the weights that a benchmark takes instead of training its classifier; None if it trains."""
    if not isinstance(benchmark.baseline, AttachedWeights):
        return None
    return find_file(benchmark.baseline.weights, f"benchmarks.{benchmark_name}.baseline.weights")


def find_file(path_text: str, key: str) -> Path:
    """Return an existing file, looked for in the working directory, then in the user's project: DVC's temporary copies lack most files.

    key: the key in params.yaml, for the ValueError if there is no such file
    """
    path = Path(path_text).expanduser()
    candidates = [path, Path(os.environ.get("DVC_ROOT") or ".") / path]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise ValueError(f"{key} is {path_text}, but {candidates[-1].resolve()} does not exist; put the file there, or correct the path")
