"""How good the probabilities of calibrators are on new data, and how often intervals of calibration metrics cover the truth.

OMP_NUM_THREADS=1 python -m benchmarks.probabilities [--repetitions 100] [--resamples 300] [--seed 0]

The first table fits calibrators to a validation split, and measures NLL, Brier score and AUPR-Error on TEST_SAMPLES samples:

isotonic  scikit-learn's isotonic regression, with one more correct and one more wrong sample at either end, so that NLL is finite
Platt     the sigmoid of the standardised score that is most likely for Platt's targets; it may fall, and so turn a reversed score round
ours      `fit_calibrator`

Correct predictions and errors have normal scores SEPARATION apart, which are shown to the calibrators as they are ("normal"), as
-exp(3 - score) ("skewed"), as a sigmoid rounded to three digits ("saturated"), as exp(score) with 2 % of 1e12 ("outliers"), with 30 % of
the errors scored as correct predictions are ("overconfident"), 5 apart ("steep"), or with the other sign ("reversed"). The last two lines
count the rows in which ours is better.

The second table draws probabilities whose log-odds are off by a factor, and counts how often a 95 % interval holds the value of the
population: the central resamples ("percentile"), or these mirrored at the value of the data ("basic"; Davison & Hinkley 1997, section 5.2).
"""

import argparse
from collections.abc import Callable

import numpy as np
from scipy.special import expit, xlogy

from benchmarks._normal_scores import SEPARATION
from confidnet_core.evaluation.calibrators import fit_calibrator
from confidnet_core.metrics import failure_metrics
from confidnet_core.metrics.calibration import CALIBRATION_METRICS, bootstrap_calibration, calibration_metrics

TEST_SAMPLES = 20_000
POPULATION = 1_000_000
SHAPES = ("normal", "skewed", "saturated", "outliers", "overconfident", "steep", "reversed")
SIZES_AND_ERROR_RATES = ((200, 0.03), (200, 0.3), (1000, 0.02), (1000, 0.1), (5000, 0.1))
FACTORS = (("good", 1.0), ("mildly off", 0.8), ("far off", 0.5))
COVERAGE_SIZES = (200, 1000, 5000)

ProbabilityMap = Callable[[np.ndarray], np.ndarray]


def draw_scores(shape: str, sample_count: int, error_rate: float, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Confidences and correctness, with at least one error and one correct prediction."""
    correct = generator.random(sample_count) >= error_rate
    correct[:2] = False, True
    generator.shuffle(correct)
    looks_correct = correct | ((shape == "overconfident") & (generator.random(sample_count) < 0.3))
    score = generator.normal(size=sample_count) + SEPARATION * looks_correct
    is_outlier = generator.random(sample_count) < 0.02
    confidence_by_shape = {
        "normal": score,
        "skewed": -np.exp(3 - score),
        "saturated": expit(3 * score).round(3),
        "outliers": np.where(is_outlier, 1e12, np.exp(score)),
        "overconfident": score,
        "steep": score + (5 - SEPARATION) * correct,
        "reversed": -score,
    }
    return confidence_by_shape[shape], correct


def fit_isotonic(confidence: np.ndarray, correct: np.ndarray) -> ProbabilityMap:
    from sklearn.isotonic import IsotonicRegression

    ends = np.repeat([confidence.min(), confidence.max()], 2)
    regression = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    return regression.fit(np.append(confidence, ends), np.append(correct, [True, False, True, False])).predict


def fit_platt(confidence: np.ndarray, correct: np.ndarray) -> ProbabilityMap:
    from sklearn.linear_model import LogisticRegression

    def standardise(values: np.ndarray) -> np.ndarray:
        return ((values - confidence.mean()) / confidence.std())[:, None]

    successes, samples = np.count_nonzero(correct), len(correct)
    target = np.where(correct, (successes + 1) / (successes + 2), 1 / (samples - successes + 2))
    # A target between 0 and 1 is a sample of either outcome, weighted.
    outcomes, weights = np.repeat([1, 0], samples), np.concatenate([target, 1 - target])
    regression = LogisticRegression(C=np.inf, max_iter=1000).fit(np.tile(standardise(confidence), (2, 1)), outcomes, weights)
    return lambda confidences: regression.predict_proba(standardise(confidences))[:, 1]


CALIBRATORS = {"isotonic": fit_isotonic, "Platt": fit_platt, "ours": fit_calibrator}


def measure(probability: np.ndarray, correct: np.ndarray) -> list[float]:
    """NLL, Brier score and AUPR-Error, all times 100."""
    found = calibration_metrics(probability, correct)
    return [100 * found["nll"], 100 * found["brier"], 100 * (failure_metrics(probability, correct)["aupr_error"] or 0.0)]


def print_calibrators(repetitions: int, generator: np.random.Generator) -> None:
    groups = "".join(f"{name:<27}" for name in ("NLL", "Brier", "AUPR-Error"))
    print(f"{'times 100':<30}{groups}")
    print(f"{'score, samples, errors':<30}{''.join(f'{name:>9}' for name in CALIBRATORS) * 3}{'score':>9}")
    means = []
    for shape in SHAPES:
        for sample_count, error_rate in SIZES_AND_ERROR_RATES:
            rows = []
            for _ in range(repetitions):
                validation = draw_scores(shape, sample_count, error_rate, generator)
                confidence, correct = draw_scores(shape, TEST_SAMPLES, error_rate, generator)
                found = np.array([measure(fit(*validation)(confidence), correct) for fit in CALIBRATORS.values()])
                rows.append([*found.T.ravel(), 100 * (failure_metrics(confidence, correct)["aupr_error"] or 0.0)])
            means.append(np.mean(rows, axis=0))
            print(f"{f'{shape}, {sample_count}, {100 * error_rate:g} %':<30}{''.join(f'{mean:9.2f}' for mean in means[-1])}", flush=True)
    table = np.array(means)
    print(f"{'mean':<30}{''.join(f'{mean:9.2f}' for mean in table.mean(axis=0))}")
    for column, name in enumerate(("isotonic", "Platt")):
        better = [int((table[:, 2 + first] < table[:, column + first]).sum()) for first in (0, 3)]
        print(f"ours is better than {name} in {better[0]} of {len(table)} rows by NLL, in {better[1]} by Brier score")


def draw_probabilities(factor: float, sample_count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The probabilities that are given, and the true ones, whose log-odds are those times the factor."""
    log_odds = generator.normal(2, 1.5, sample_count)
    return expit(log_odds), expit(factor * log_odds)


def true_values(factor: float, generator: np.random.Generator) -> np.ndarray:
    """The ECE, Brier score and NLL of the population."""
    given, true = draw_probabilities(factor, POPULATION, generator)
    bin_sums = np.bincount(np.ceil(given * 15).astype(int), given - true)
    brier = true * (1 - given) ** 2 + (1 - true) * given**2
    return np.array([np.abs(bin_sums).sum() / POPULATION, brier.mean(), -(xlogy(true, given) + xlogy(1 - true, 1 - given)).mean()])


def print_coverage(repetitions: int, resamples: int, generator: np.random.Generator) -> None:
    columns = [CALIBRATION_METRICS.index(metric) for metric in ("ece", "brier", "nll")]
    print(f"\n{'coverage, percent':<30}{'percentile':<27}basic")
    print(f"{'calibration, samples':<30}{''.join(f'{name:>9}' for name in ('ECE', 'Brier', 'NLL')) * 2}{'true ECE':>11}{'mean ECE':>11}")
    for name, factor in FACTORS:
        truth = true_values(factor, generator)
        for sample_count in COVERAGE_SIZES:
            covered, eces = [], []
            for _ in range(repetitions):
                given, true = draw_probabilities(factor, sample_count, generator)
                correct = generator.random(sample_count) < true
                value = np.array([calibration_metrics(given, correct)[CALIBRATION_METRICS[column]] for column in columns])
                replicates = bootstrap_calibration(given, correct, resample_count=resamples, seed=int(generator.integers(2**31)))
                low, high = np.quantile(replicates[:, columns], [0.025, 0.975], axis=0)
                basic_low, basic_high = 2 * value - high, 2 * value - low
                covered.append([*((low <= truth) & (truth <= high)), *((basic_low <= truth) & (truth <= basic_high))])
                eces.append(value[0])
            cells = "".join(f"{100 * share:9.1f}" for share in np.mean(covered, axis=0))
            print(f"{f'{name}, {sample_count}':<30}{cells}{100 * truth[0]:11.2f}{100 * np.mean(eces):11.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=100)
    parser.add_argument("--resamples", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print(f"{given.repetitions} repetitions, {given.resamples} resamples, seed {given.seed}")
    generator = np.random.default_rng(given.seed)
    print_calibrators(given.repetitions, generator)
    print_coverage(3 * given.repetitions, given.resamples, generator)


if __name__ == "__main__":
    main()
