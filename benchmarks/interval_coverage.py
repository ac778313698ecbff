"""How often a 95 % interval of a metric covers the truth, and two equal scores get different verdicts, by the number of errors or images.

OMP_NUM_THREADS=1 python -m benchmarks.interval_coverage [--repetitions 300] [--resamples 600] [--seed 0]

Each repetition draws a test set with two equally good scores: confidences of a normal distribution, whose means for correct predictions and
for errors are SEPARATION apart. Two kinds of intervals are judged on the same bootstrap resamples:

percentile  the central 95 % of the resamples (Efron & Tibshirani 1993, chapter 13), and p as comparison/differences.py computes it
logit t     value and standard deviation over the resamples on the logit scale, with the quantile of Student's t distribution for the number
            of the rarer outcome less 1, or of images less 1; a difference of two scores as it is, by the same distribution

"significant" is the percentage of repetitions in which the two scores of a test set differ at the level of 5 %; 5 is right. "-" stands for
what is undefined: Student's t needs two errors or images.
"""

import argparse
from collections.abc import Iterator
from functools import partial

import numpy as np
from scipy.stats import t as student

from benchmarks._normal_scores import PIXELS, SEPARATION, draw_images, draw_samples, true_metrics
from confidnet_core.metrics import METRICS, failure_metrics
from confidnet_core.metrics.bootstrap import bootstrap

SHOWN = ("auroc", "aupr_error", "aurc", "augrc", "fpr_at_95_tpr")
COLUMNS = [METRICS.index(metric) for metric in SHOWN]
SAMPLES = (
    (200, 1),
    (200, 2),
    (200, 3),
    (200, 5),
    (200, 10),
    (200, 20),
    (200, 40),
    (300, 6),
    (300, 30),
    (1000, 20),
    (1000, 100),
    (5000, 100),
)
IMAGES = (2, 3, 5, 10, 20, 60, 233)
LOGIT_LIMIT = 1e-9  # values of 0 and 1, whose logit is infinite, are taken as this far from them


def logit(values: np.ndarray) -> np.ndarray:
    inside = np.clip(values, LOGIT_LIMIT, 1 - LOGIT_LIMIT)
    return np.log(inside / (1 - inside))


def judged(value: np.ndarray, other: np.ndarray, replicates: np.ndarray, others: np.ndarray, truth: np.ndarray, freedom: int) -> Iterator:
    """Yield for either kind of interval whether it covers the truth, and whether the difference is significant: bool (metrics,) each."""
    low, high = np.nanquantile(replicates, [0.025, 0.975], axis=0)
    differences = replicates - others
    defined = (~np.isnan(differences)).sum(0)
    opposed = np.minimum((np.nan_to_num(differences, nan=1.0) <= 0).sum(0), (np.nan_to_num(differences, nan=-1.0) >= 0).sum(0))
    yield "percentile", (low <= truth) & (truth <= high), 2 * (opposed + 1) / (defined + 1) < 0.05
    if freedom > 0:
        # The variance of resamples of m values is on average (m - 1) / m of that of a mean.
        quantile = student.ppf(0.975, freedom) * ((freedom + 1) / freedom) ** 0.5
        deviation = np.nanstd(logit(replicates), axis=0, ddof=1)
        covers = np.abs(logit(value) - logit(truth)) <= quantile * deviation
        yield "logit t", covers, np.abs(value - other) > quantile * np.nanstd(differences, axis=0, ddof=1)


def simulate(draw, truth: np.ndarray, repetitions: int, resamples: int, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """{kind of interval: percentages of repetitions (2, metrics): covered, significant}."""
    outcomes: dict[str, list] = {}
    for _ in range(repetitions):
        correct, score, other, sizes, freedom = draw(generator)
        draws = {"resample_count": resamples, "seed": int(generator.integers(2**31)), "pixels_per_image": sizes}
        replicates, others = (bootstrap(confidence, correct, **draws)[:, COLUMNS] for confidence in (score, other))
        values = [np.array([failure_metrics(confidence, correct)[metric] for metric in SHOWN], float) for confidence in (score, other)]
        for kind, covers, significant in judged(*values, replicates, others, truth, freedom):
            outcomes.setdefault(kind, []).append((covers, significant))
    return {kind: 100 * np.mean(found, axis=0) for kind, found in outcomes.items()}


def print_rows(label: str, found: dict[str, np.ndarray]) -> None:
    for kind in ("percentile", "logit t"):
        covered, significant = found.get(kind, np.full((2, len(SHOWN)), np.nan))
        cells = [f"{'-' if np.isnan(number) else f'{number:.1f}':>7}" for pair in zip(covered, significant, strict=True) for number in pair]
        print(f"{label:<14} {kind:<11}{''.join(cells)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=300)
    parser.add_argument("--resamples", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=int, nargs="*", help="numbers of errors among 200 samples, in place of the whole table")
    parser.add_argument("--images", type=int, nargs="*", help="numbers of images, in place of the whole table")
    given = parser.parse_args()
    generator = np.random.default_rng(given.seed)
    samples = SAMPLES if given.samples is None else [(200, errors) for errors in given.samples]
    images = IMAGES if given.images is None else given.images

    print(
        f"{given.repetitions} repetitions, {given.resamples} resamples, normal scores {SEPARATION} apart; percent covered and significant"
    )
    print(f"{'':<26}{''.join(f'{metric:>14}' for metric in SHOWN)}")
    for sample_count, error_count in samples:
        truth = true_metrics(error_count / sample_count, SHOWN, generator)
        found = simulate(partial(draw_samples, sample_count, error_count), truth, given.repetitions, given.resamples, generator)
        print_rows(f"{error_count} of {sample_count}", found)
    truth = true_metrics(None, SHOWN, generator) if images else np.empty(0)
    for image_count in images:
        found = simulate(partial(draw_images, image_count), truth, given.repetitions, given.resamples, generator)
        print_rows(f"{image_count} images", found)
    print(f"An image has {PIXELS} pixels, whose scores and error rate share a part that differs from image to image.")


if __name__ == "__main__":
    main()
