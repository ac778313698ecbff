"""Seconds for all failure metrics against scikit-learn's separate calls, on the same data in the same run.

OMP_NUM_THREADS=1 python benchmarks/failure_metrics.py
"""

import platform
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import sklearn
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

sys.path.insert(0, str(Path(__file__).parents[1]))
from confidnet_core.metrics import failure_metrics

LARGEST_FOR_SKLEARN = 10_000_000


def saturated_scores(samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Float32 maximum probabilities of an overconfident classifier with 10 % errors, many near or at exactly 1."""
    generator = np.random.default_rng(0)
    correct = generator.random(samples) < 0.9
    margin = generator.standard_normal(samples, dtype=np.float32) * np.float32(4) + np.where(correct, np.float32(7), np.float32(2))
    return 1 / (1 + np.exp(-np.abs(margin))), correct


def sklearn_metrics(confidence: np.ndarray, correct: np.ndarray) -> dict[str, float]:
    false_positive_rate, true_positive_rate, _ = roc_curve(correct, confidence, drop_intermediate=False)
    return {
        "fpr_at_95_tpr": float(false_positive_rate[np.argmax(true_positive_rate >= 0.95)]),
        "aupr_error": average_precision_score(~correct, -confidence),
        "aupr_success": average_precision_score(correct, confidence),
        "auroc": roc_auc_score(correct, confidence),
    }


def best_seconds(function: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def peak_megabytes(function: Callable[[], object]) -> float:
    """What NumPy holds at most beyond the arguments."""
    tracemalloc.start()
    function()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def main() -> None:
    print(f"Python {platform.python_version()}, NumPy {np.__version__}, scikit-learn {sklearn.__version__}, float32, best of 3 to 5")
    print(f"{'samples':>12} {'8 metrics (s)':>14} {'scikit-learn, 4 of them (s)':>28} {'ratio':>6}")
    for samples in (10_000, 1_000_000, 10_000_000, 40_000_000):
        confidence, correct = saturated_scores(samples)
        ours = best_seconds(lambda c=confidence, ok=correct: failure_metrics(c, ok), 5)
        if samples > LARGEST_FOR_SKLEARN:
            print(f"{samples:12,} {ours:14.4f} {'-':>28} {'-':>6}")
            continue
        theirs = best_seconds(lambda c=confidence, ok=correct: sklearn_metrics(c, ok), 3 if samples < LARGEST_FOR_SKLEARN else 1)
        print(f"{samples:12,} {ours:14.4f} {theirs:28.4f} {theirs / ours:5.0f}x")
        reference = sklearn_metrics(confidence, correct)
        found = failure_metrics(confidence, correct)
        difference = max(abs(found[name] - value) for name, value in reference.items())
        print(f"{'':12} largest difference {difference:.1e}")
    print(f"peak memory at {samples:,} beyond the input: {peak_megabytes(lambda: failure_metrics(confidence, correct)):.0f} MB")


if __name__ == "__main__":
    main()
