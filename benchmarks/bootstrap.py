"""Seconds for the metrics of 10,000 resamples, against measuring each resample on its own, on the same data in the same run.

OMP_NUM_THREADS=1 python -m benchmarks.bootstrap [--samples 10000] [--resamples 10000] [--pixels 172800]
The others are timed on a few resamples and scaled. --pixels: of each of the 233 images; 0 leaves them out.
"""

import argparse
import platform
from collections.abc import Callable

import numpy as np
import sklearn

from benchmarks.failure_metrics import best_seconds, peak_megabytes, saturated_scores, sklearn_metrics
from confidnet_core.metrics import failure_metrics
from confidnet_core.metrics.bootstrap import bootstrap

MEASURED = 50  # resamples on which the others are timed
IMAGES = 233  # of CamVid's test split


def of_each(metrics: Callable, confidence: np.ndarray, correct: np.ndarray, resamples: int) -> float:
    """Seconds to draw and measure so many resamples one by one, scaled from MEASURED."""

    def some() -> None:
        generator = np.random.default_rng(0)
        for _ in range(MEASURED):
            index = generator.integers(len(correct), size=len(correct))
            metrics(confidence[index], correct[index])

    return best_seconds(some, 2) * resamples / MEASURED


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--resamples", type=int, default=10_000)
    parser.add_argument("--pixels", type=int, default=360 * 480)
    given = parser.parse_args()
    samples, resamples = given.samples, given.resamples

    print(f"Python {platform.python_version()}, NumPy {np.__version__}, scikit-learn {sklearn.__version__}")
    print(f"{resamples:,} resamples of {samples:,} samples, 10 % errors")
    confidence, correct = saturated_scores(samples)
    ours = best_seconds(lambda: bootstrap(confidence, correct, resample_count=resamples, seed=0), 2)
    print(f"  {'bootstrap, all metrics':40} {ours:9.2f} s {1:6.1f}x")
    for name, metrics in (("failure_metrics of each, all metrics", failure_metrics), ("scikit-learn of each, 4 of them", sklearn_metrics)):
        seconds = of_each(metrics, confidence, correct, resamples)
        print(f"  {name:40} {seconds:9.2f} s {seconds / ours:6.1f}x")
    if given.pixels:
        confidence, correct = saturated_scores(IMAGES * given.pixels)
        sizes = np.full(IMAGES, given.pixels)
        seconds = best_seconds(lambda: bootstrap(confidence, correct, resample_count=resamples, seed=0, pixels_per_image=sizes), 1)
        peak = peak_megabytes(lambda: bootstrap(confidence, correct, resample_count=resamples, seed=0, pixels_per_image=sizes))
        print(f"{resamples:,} resamples of {IMAGES} images, {len(correct):,} pixels: {seconds:.1f} s, at most {peak:.0f} MB beside them")


if __name__ == "__main__":
    main()
