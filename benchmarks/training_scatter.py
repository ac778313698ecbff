"""How often two methods that are equal on average get a verdict over several trainings, by how much their trainings differ.

OMP_NUM_THREADS=1 python -m benchmarks.training_scatter [--repetitions 1000] [--resamples 300] [--seed 0]

Each repetition trains two methods several times: the separation of a training's scores, in standard deviations between correct predictions
and errors, is 1.8 plus normal noise of the deviation tau. All trainings are evaluated on one test set of 1,000 samples with 10 % errors, on
which a part of a score's noise is the same in every training ("shared"), as it is where the same test images are hard for all.

networks    the verdict on these trained networks: the variance of the test set alone
t-test      Student's t over the trainings: their scatter alone, without what the test set does to all of them
ours        the verdict on the methods trained anew, evaluation/intervals.py: both variances

The table has the percentage of repetitions with a verdict at the level of 5 % on AUROC and on AUPR-Error: false ones, of which 5 are right,
where the methods are equal, and the power where the first one's separation is larger by 0.4.
"""

import argparse
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import ttest_1samp

from benchmarks._normal_scores import SEPARATION, measured_metrics
from confidnet_core.evaluation.intervals import ResampledMetrics, count_units, two_sided_p_values
from confidnet_core.metrics import METRICS
from confidnet_core.metrics.bootstrap import bootstrap

SHOWN_METRICS = ("auroc", "aupr_error")
COLUMNS = [METRICS.index(metric) for metric in SHOWN_METRICS]
SAMPLES, ERRORS = 1000, 100
VERDICTS = ("networks", "t-test", "ours")


class Study(NamedTuple):
    """Two methods on one benchmark; gain: by how much more the first one separates, 0 where they are equal."""

    trainings: int
    tau: float
    shared: float
    gain: float = 0.0

    def __str__(self) -> str:
        return f"{self.trainings} trainings, tau {self.tau:g}, shared {self.shared:g}"


STUDIES = (
    *(Study(5, tau, shared) for shared in (0.0, 0.5) for tau in (0.0, 0.1, 0.2, 0.3)),
    *(Study(3, tau, 0.5) for tau in (0.0, 0.3)),
    *(Study(5, tau, 0.5, gain=0.4) for tau in (0.0, 0.1, 0.2, 0.3)),
)


def p_values(study: Study, resamples: int, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """{kind of verdict: p-values (metrics shown,)} of one repetition."""
    correct, seed = np.arange(SAMPLES) >= ERRORS, int(generator.integers(2**31))
    of_methods = []
    for gain in (study.gain, 0.0):
        shared_noise, values, replicates = generator.normal(size=SAMPLES), [], []
        for _ in range(study.trainings):
            separation = SEPARATION + gain + study.tau * generator.normal()
            noise = study.shared**0.5 * shared_noise + (1 - study.shared) ** 0.5 * generator.normal(size=SAMPLES)
            values.append(measured_metrics(separation * correct + noise, correct))
            replicates.append(bootstrap(separation * correct + noise, correct, resample_count=resamples, seed=seed))
        of_methods.append(ResampledMetrics(np.array(values), np.array(replicates), count_units(correct)))
    differences = of_methods[0] - of_methods[1]
    return {
        "networks": two_sided_p_values(differences, includes_trainings=False)[COLUMNS],
        "t-test": ttest_1samp(differences.values[:, COLUMNS], 0).pvalue,
        "ours": two_sided_p_values(differences, includes_trainings=True)[COLUMNS],
    }


def simulate(study: Study, repetitions: int, resamples: int, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """{kind of verdict: percentages (metrics shown,)} of repetitions with p below 0.05."""
    found = [p_values(study, resamples, generator) for _ in range(repetitions)]
    return {verdict: 100 * np.mean([repetition[verdict] < 0.05 for repetition in found], axis=0) for verdict in VERDICTS}


def print_table(studies: Sequence[Study], repetitions: int, resamples: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    print(f"{repetitions} repetitions, {resamples} resamples, seed {seed}; percent with a verdict on AUROC, on AUPR-Error")
    print(f"{'':<42}{''.join(f'{verdict:>14}' for verdict in VERDICTS)}")
    for study in studies:
        found = simulate(study, repetitions, resamples, generator)
        cells = "".join(f"{number:>7.1f}" for verdict in VERDICTS for number in found[verdict])
        print(f"{'power' if study.gain else 'false':<7}{study!s:<35}{cells}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print_table(STUDIES, given.repetitions, given.resamples, given.seed)


if __name__ == "__main__":
    main()
