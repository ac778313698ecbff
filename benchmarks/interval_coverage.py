"""How often a 95 % interval of a metric covers the truth, and two equal scores differ significantly, by the number of errors or images.

OMP_NUM_THREADS=1 python -m benchmarks.interval_coverage [--repetitions 1000] [--resamples 400] [--seed 0]

Each repetition draws a test set with two equally good scores: confidences of a normal distribution, whose means for correct predictions and
for errors are 1.8 apart if no other number is given. Two kinds of intervals are judged on the same bootstrap resamples:

percentile  the central 95 % of the resamples (Efron & Tibshirani 1993, chapter 13), and as p twice the fraction of the resamples in which
            the difference has the other sign
ours        evaluation/intervals.py: the logit scale, the standard deviation over the resamples and Student's t, exact binomial at 0 and 1,
            and nothing where UnitCounts are not enough

Of each metric: the percentage of the intervals shown that cover the truth, and of all repetitions in which the two scores differ
significantly at the level of 5 %. "shown" is the percentage of repetitions with an interval; "-" stands for none.
"""

import argparse
from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks._normal_scores import PIXELS, Images, Samples, measured_metrics, true_metrics
from confidnet_core.evaluation.intervals import ResampledMetrics, confidence_interval, count_units, two_sided_p_values
from confidnet_core.metrics import METRICS
from confidnet_core.metrics.bootstrap import bootstrap

SHOWN_METRICS = ("auroc", "aupr_error", "aurc", "augrc", "fpr_at_95_tpr")
COLUMNS = [METRICS.index(metric) for metric in SHOWN_METRICS]
SETTINGS = (
    *(Samples(200, mean_errors) for mean_errors in (0, 1, 2, 3, 5, 6, 8, 10, 20, 40)),
    *(Samples(200, mean_errors, separation) for separation in (0.5, 3.5) for mean_errors in (6, 10, 40)),
    *(Samples(1000, mean_errors) for mean_errors in (8, 20, 100)),
    *(Samples(10_000, mean_errors) for mean_errors in (8, 20)),
    *(Images(images) for images in (2, 5, 6, 8, 10, 15, 20, 60)),
    *(Images(images, mean_error_logit=-4.0) for images in (10, 20)),
    *(Images(images, mean_error_logit=-4.6) for images in (20, 60, 200)),
    *(Images(images, mean_error_logit=-5.5) for images in (60,)),
)
Setting = Samples | Images


def percentile_interval(replicates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.nanquantile(replicates, [0.025, 0.975], axis=0))


def percentile_p_values(differences: np.ndarray) -> np.ndarray:
    opposed = np.minimum((np.nan_to_num(differences, nan=1.0) <= 0).sum(0), (np.nan_to_num(differences, nan=-1.0) >= 0).sum(0))
    return 2 * (opposed + 1) / ((~np.isnan(differences)).sum(0) + 1)


def judge(setting: Setting, truth: np.ndarray, resamples: int, generator: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """Draw one test set; yield for either kind of interval bool (3, metrics): shown, covers the truth, significant difference."""
    drawn = setting.draw(generator)
    if drawn.correct.all() or not drawn.correct.any():
        yield from ((kind, np.zeros((3, len(COLUMNS)), bool)) for kind in ("percentile", "ours"))
        return
    seed, counts = int(generator.integers(2**31)), count_units(drawn.correct, drawn.pixels_per_image)
    first, second = (
        ResampledMetrics(
            measured_metrics(confidence, drawn.correct)[None],
            bootstrap(confidence, drawn.correct, resample_count=resamples, seed=seed, pixels_per_image=drawn.pixels_per_image)[None],
            counts,
        )
        for confidence in (drawn.first, drawn.second)
    )
    for kind, (lows, highs), p_values in (
        ("percentile", percentile_interval(first.replicates[0]), percentile_p_values((first - second).replicates[0])),
        ("ours", confidence_interval(first, 0.95, includes_trainings=False), two_sided_p_values(first - second, includes_trainings=False)),
    ):
        yield kind, np.array([~np.isnan(lows), (lows <= truth) & (truth <= highs), p_values < 0.05])[:, COLUMNS]


def simulate(setting: Setting, repetitions: int, resamples: int, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """{kind of interval: percentages (3, metrics)}: shown, covered of those shown, significant."""
    truth, outcomes = true_metrics(setting, generator), {}
    for _ in range(repetitions):
        for kind, outcome in judge(setting, truth, resamples, generator):
            outcomes.setdefault(kind, []).append(outcome)
    found = {}
    for kind, outcome in outcomes.items():
        shown, covered, significant = np.sum(outcome, axis=0)
        found[kind] = 100 * np.array([shown / repetitions, covered / np.where(shown > 0, shown, np.nan), significant / repetitions])
    return found


def print_table(settings: Sequence[Setting], repetitions: int, resamples: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    print(f"{repetitions} repetitions, {resamples} resamples, seed {seed}; percent of intervals that cover, percent significant")
    print(f"{'':<38}{'shown':>7}{''.join(f'{metric:>14}' for metric in SHOWN_METRICS)}")
    for setting in settings:
        for kind, (shown, covered, significant) in simulate(setting, repetitions, resamples, generator).items():
            pairs = zip(covered, significant, strict=True)
            cells = "".join(f"{'-' if np.isnan(number) else f'{number:.1f}':>7}" for pair in pairs for number in pair)
            print(f"{setting!s:<27}{kind:<11}{shown[0]:>7.1f}{cells}", flush=True)
    print(f"An image has {PIXELS} pixels, whose scores and error rate share a part that differs from image to image.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print_table(SETTINGS, given.repetitions, given.resamples, given.seed)


if __name__ == "__main__":
    main()
