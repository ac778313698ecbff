"""Seconds and deviations of the bootstrap of many samples, against single draws of the same samples in the same run.

python -m benchmarks.large_bootstrap [--samples 1000000] [--resamples 10000] [--exact 400] [--shapes few_errors ...]
For each shape of the data: seconds for --resamples resamples in groups, and those for single draws, timed on --exact resamples and scaled;
their ratio is of processor time, which other work on the machine disturbs little. For each metric: the standard error of single draws, that
of groups as a ratio to it, both ends of the central 95 % of the resamples, as deviations in standard errors, and the ratio of the standard
errors of the difference from a second score. Single draws have noise of their own: 1 / sqrt(2 * exact) for a standard error, which is
printed, and about three times as much for the ends.
"""

import argparse
import platform
import time

import numpy as np

from benchmarks.failure_metrics import saturated_scores
from confidnet_core.metrics import METRICS
from confidnet_core.metrics._draws.groups import GROUPING_NOISE
from confidnet_core.metrics.bootstrap import _bootstrap_samples, bootstrap
from confidnet_core.metrics.calibration import CALIBRATION_METRICS, bootstrap_calibration

Scores = tuple[np.ndarray, np.ndarray]
TAILS = (0.025, 0.975)


def normal(samples: int) -> Scores:
    """Return float64 confidences without ties, 10 % errors, AUROC 0.86."""
    rng = np.random.default_rng(1)
    correct = rng.random(samples) < 0.9
    return rng.normal(size=samples) + 1.5 * correct, correct


def few_errors(samples: int) -> Scores:
    """Return 20 errors among all samples."""
    rng = np.random.default_rng(2)
    correct = np.ones(samples, bool)
    correct[rng.choice(samples, 20, replace=False)] = False
    return rng.normal(size=samples) + 1.5 * correct, correct


def many_ties(samples: int) -> Scores:
    """Return confidences of 20 levels, a third of the samples at the highest."""
    confidence, correct = normal(samples)
    return np.clip(np.round(confidence * 6), -6, 13), correct


def heavy_tails(samples: int) -> Scores:
    """Return Cauchy confidences of which 1 % of the errors are among the highest."""
    rng = np.random.default_rng(3)
    correct = rng.random(samples) < 0.97
    confidence = rng.standard_cauchy(samples) + 2 * correct
    return np.where(~correct & (rng.random(samples) < 0.01), np.abs(confidence) * 1e6, confidence), correct


SHAPES = {"saturated": saturated_scores, **{shape.__name__: shape for shape in (normal, few_errors, many_ties, heavy_tails)}}


def second_score(confidence: np.ndarray) -> np.ndarray:
    """Return a noisier score of the same samples: ranks, so that the scale of the first does not matter, plus a tenth of noise."""
    ranks = np.argsort(np.argsort(confidence, kind="stable"), kind="stable") / len(confidence)
    return ranks + 0.1 * np.random.default_rng(4).normal(size=len(confidence))


def compare(name: str, samples: int, resamples: int, exact: int) -> None:
    confidence, correct = SHAPES[name](samples)
    scores, replicates, seconds = (confidence, second_score(confidence)), {}, {}
    for way, count in (("groups", resamples), ("single", exact)):
        start, processor_start, replicates[way] = time.perf_counter(), time.process_time(), []
        for score in scores:
            single = way == "single"
            # The resamples of single draws are the same ones for both scores, as those of groups are.
            rows = (
                _bootstrap_samples(score, correct, count, np.random.default_rng(5))
                if single
                else bootstrap(score, correct, resample_count=count, seed=0)
            )
            replicates[way].append(rows)
        seconds[way] = (time.perf_counter() - start) / len(scores), (time.process_time() - processor_start) / len(scores)
    wall, processor = seconds["groups"]
    single_processor = seconds["single"][1] * resamples / exact
    print(f"\n{name}: {(~correct).sum():,} errors among {samples:,}")
    print(f"  {resamples:,} resamples of all metrics: {wall:.1f} s a score, {processor:.1f} s of all processors")
    print(f"  single draws: {single_processor:.0f} s of all processors, {single_processor / processor:.0f}x", flush=True)
    print(f"  {'metric':22}{'standard error':>15}{'ratio':>8}{'low end':>9}{'high end':>9}{'ratio of differences':>22}")
    groups, single = (np.stack(replicates[way]) for way in ("groups", "single"))
    for index, metric in enumerate(METRICS):
        error, reference = groups[0, :, index].std(ddof=1), single[0, :, index].std(ddof=1)
        if not reference > 0:
            print(f"  {metric:22}{reference:15.2e}{'-':>8}")
            continue
        ends = (np.quantile(groups[0, :, index], TAILS) - np.quantile(single[0, :, index], TAILS)) / reference
        differences = [(rows[0, :, index] - rows[1, :, index]).std(ddof=1) for rows in (groups, single)]
        ratio = differences[0] / differences[1] if differences[1] > 0 else float("nan")
        print(f"  {metric:22}{reference:15.2e}{error / reference:8.3f}{ends[0]:9.2f}{ends[1]:9.2f}{ratio:22.3f}")


def time_calibration(samples: int, resamples: int) -> None:
    confidence, correct = saturated_scores(samples)
    start = time.perf_counter()
    groups = bootstrap_calibration(confidence, correct, resample_count=resamples, seed=0)
    print(f"\ncalibration metrics, {resamples:,} resamples: {time.perf_counter() - start:.1f} s a score; standard error by formula:")
    losses = (confidence.astype(float) - correct) ** 2
    ratio = groups[:, CALIBRATION_METRICS.index("brier")].std(ddof=1) / (losses.std(ddof=1) / samples**0.5)
    print(f"  {'brier':22}{ratio:23.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--resamples", type=int, default=10_000)
    parser.add_argument("--exact", type=int, default=400)
    parser.add_argument("--shapes", nargs="*", choices=list(SHAPES), default=list(SHAPES))
    given = parser.parse_args()
    print(f"Python {platform.python_version()}, NumPy {np.__version__}")
    noise = [(GROUPING_NOISE**2 + 0.5 / given.resamples) ** 0.5, (0.5 / given.exact) ** 0.5]
    print(f"expected noise of a standard error: groups {100 * noise[0]:.1f} %, single draws {100 * noise[1]:.1f} %")
    for name in given.shapes:
        compare(name, given.samples, given.resamples, given.exact)
    time_calibration(given.samples, given.resamples)


if __name__ == "__main__":
    main()
