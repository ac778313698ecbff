"""How much the thresholds with a guarantee accept on new data, and how often they exceed their target, beside other ways to choose them.

OMP_NUM_THREADS=1 python -m benchmarks.guarantee [--repetitions 1000] [--image-repetitions 100] [--seed 0]

Each repetition draws a calibration split of n units and a validation split of twice as many. Confidences are normal; the true coverage and
risk of each threshold are known for samples, and measured on a very large draw for images. Ways to choose a threshold:

oracle      the lowest threshold whose true risk is at most the target
learned     `threshold_with_guarantee` with validation labels, which choose where the sequence of tests starts
fixed       the same without these labels: the sequence starts at a fixed coverage
SGR         the bisection over ranks of the calibration split, with Bonferroni's correction of its ceil(log2 n) steps (Geifman & El-Yaniv)
Bonferroni  all 100 candidates tested at delta / 100; the lowest that passes

The last table is about a choice of the target: "least feasible" serves the least target that has a threshold, so that the calibration
split chooses the target, and "fixed beforehand" the same target always.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import ceil, log2

import numpy as np
from scipy.stats import norm

from benchmarks._normal_scores import IMAGE_DEVIATION, PIXELS
from confidnet_core.metrics._ranking.samples import count_above
from confidnet_core.metrics.guarantee import threshold_with_guarantee
from confidnet_core.metrics.guarantee._bounds import clopper_pearson_bound
from confidnet_core.metrics.guarantee._sequence import candidate_thresholds

DELTA = 0.05
Drawn = tuple[np.ndarray, np.ndarray]  # confidences and correctness


@dataclass(frozen=True)
class Scores:
    """Normal confidences: of correct predictions with mean 0, and of errors. parts: (probability, mean, deviation) of kinds of errors."""

    parts: tuple[tuple[float, float, float], ...]

    def draw(self, count: int, generator: np.random.Generator) -> Drawn:
        probabilities = [part[0] for part in self.parts]
        kind = generator.choice(len(self.parts) + 1, size=count, p=[*probabilities, 1 - sum(probabilities)])
        means, deviations = np.array([(mean, deviation) for _, mean, deviation in self.parts] + [(0, 1)]).T
        return means[kind] + deviations[kind] * generator.normal(size=count), kind == len(self.parts)

    def truth(self, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """True coverage and risk at thresholds."""
        errors = sum(probability * norm.sf(thresholds, mean, deviation) for probability, mean, deviation in self.parts)
        coverage = errors + (1 - sum(part[0] for part in self.parts)) * norm.sf(thresholds)
        return coverage, errors / coverage


NORMAL = Scores(((0.1, -2.5, 1),))
OVERCONFIDENT = Scores(((0.085, -2.5, 1), (0.015, 0, 1)))
INVERTED = Scores(((0.1 * 2 / 3, -3.034, 1), (0.1 / 3, 2, 0.3)))
SAMPLES = (
    ("10 % errors", NORMAL, 1000, 0.01),
    ("10 % errors", NORMAL, 1000, 0.05),
    ("10 % errors", NORMAL, 5000, 0.01),
    ("15 % of them overconfident", OVERCONFIDENT, 200, 0.05),
    ("15 % of them overconfident", OVERCONFIDENT, 1000, 0.05),
    ("a third in the top 10 %", INVERTED, 1000, 0.05),
    ("5 % errors", Scores(((0.05, -1.95, 1),)), 1000, 0.01),
    ("2 % errors", Scores(((0.02, -1.76, 1),)), 1000, 0.01),
)
IMAGES = (("images", 0.0, 100, 0.1), ("images", 0.0, 233, 0.05), ("images, overconfident", 0.15, 233, 0.05))
IMAGE_SEPARATION, IMAGE_ERROR_LOGIT = 2.5, -2.2
TRIED = np.linspace(-9, 6, 15_001)  # among which the oracle chooses


def oracle(coverage: np.ndarray, risk: np.ndarray, target_risk: float) -> float:
    return float(coverage[risk <= target_risk].max(initial=0))


def bisection(confidence: np.ndarray, correct: np.ndarray, target_risk: float) -> float | None:
    """The threshold of SGR, algorithm 2 of arXiv:1705.08500, with the exact binomial bound."""
    ordered, delta, found, low, high = np.sort(confidence), DELTA / ceil(log2(len(confidence))), None, 0, len(confidence) - 1
    for _ in range(ceil(log2(len(confidence)))):
        middle = (low + high + 1) // 2
        accepted = confidence >= ordered[middle]
        bound = clopper_pearson_bound(np.array([accepted.sum()]), np.array([(accepted & ~correct).sum()]), delta)[0]
        if bound <= target_risk:
            found, high = float(ordered[middle]), middle
        else:
            low = middle
    return found


def all_candidates(confidence: np.ndarray, correct: np.ndarray, reference: np.ndarray, target_risk: float) -> float | None:
    thresholds = candidate_thresholds(reference)
    accepted, errors = (count_above(np.sort(values), thresholds, "left") for values in (confidence, confidence[~correct]))
    passing = thresholds[clopper_pearson_bound(accepted, errors, DELTA / len(thresholds)) <= target_risk]
    return float(passing.min()) if len(passing) else None


def choose(calibration: Drawn, reference: Drawn, target_risk: float) -> dict[str, float | None]:
    given = {"target_risk": target_risk, "delta": DELTA, "reference_confidence": reference[0]}
    return {
        "learned": threshold_with_guarantee(*calibration, **given, reference_correct=reference[1]).threshold,
        "fixed": threshold_with_guarantee(*calibration, **given).threshold,
        "SGR": bisection(*calibration, target_risk),
        "Bonferroni": all_candidates(*calibration, reference[0], target_risk),
    }


def draw_images(count: int, overconfident: float, generator: np.random.Generator) -> Drawn:
    """Pixels of images whose scores and error rate share a part that differs from image to image."""
    rate = 1 / (1 + np.exp(-(IMAGE_ERROR_LOGIT + IMAGE_DEVIATION * generator.normal(size=(count, 1)))))
    correct = generator.random((count, PIXELS)) >= rate
    is_confident = correct | (generator.random((count, PIXELS)) < overconfident)
    shared = IMAGE_DEVIATION * generator.normal(size=(count, 1))
    return (IMAGE_SEPARATION * is_confident + shared + generator.normal(size=(count, PIXELS))).ravel(), correct.ravel()


def choose_for_images(calibration: Drawn, reference: Drawn, target_risk: float) -> dict[str, float | None]:
    sizes, reference_sizes = (np.full(len(drawn[0]) // PIXELS, PIXELS) for drawn in (calibration, reference))
    given = {"target_risk": target_risk, "delta": DELTA, "reference_confidence": reference[0], "pixels_per_image": sizes}
    labels = {"reference_correct": reference[1], "reference_pixels_per_image": reference_sizes}
    return {
        "learned": threshold_with_guarantee(*calibration, **given, **labels).threshold,
        "fixed": threshold_with_guarantee(*calibration, **given).threshold,
    }


def measure(draw: Callable, choose: Callable, truth: Callable, count: int, target_risk: float, repetitions: int) -> dict[str, np.ndarray]:
    """{way: mean true coverage, and the fraction of repetitions in which the true risk exceeds the target}."""
    outcomes: dict[str, list] = {}
    for _ in range(repetitions):
        for way, threshold in choose(draw(count), draw(2 * count), target_risk).items():
            coverage, risk = (0, 0) if threshold is None else truth(np.array(max(threshold, -50.0)))
            outcomes.setdefault(way, []).append((coverage, coverage > 0 and risk > target_risk))
    return {way: np.mean(found, axis=0) for way, found in outcomes.items()}


def served_target(repetitions: int, generator: np.random.Generator) -> dict[str, float]:
    """The fraction of repetitions in which the target that is served is violated, of a score with two levels of confidence.

    The upper half has a risk just above 1 %, and everything together one just above 5 %: 10,000 calibration samples, targets 1 and 5 %.
    """
    violations = {"least feasible": 0, "fixed beforehand": 0}
    for _ in range(repetitions):
        (confidence, correct), (reference, _) = (_two_levels(10_000, generator), _two_levels(20_000, generator))
        is_found, is_violated = [], []
        for target_risk, violating in ((0.01, (0.0, 1.0)), (0.05, (0.0,))):
            given = {"target_risk": target_risk, "delta": DELTA, "reference_confidence": reference}
            threshold = threshold_with_guarantee(confidence, correct, **given).threshold
            is_found.append(threshold is not None)
            is_violated.append(threshold is not None and max(threshold, 0.0) in violating)
        violations["least feasible"] += is_violated[0] if is_found[0] else is_violated[1]
        violations["fixed beforehand"] += is_violated[1]
    return {way: count / repetitions for way, count in violations.items()}


def _two_levels(count: int, generator: np.random.Generator) -> Drawn:
    is_high = generator.random(count) < 0.5
    return is_high.astype(float), generator.random(count) >= np.where(is_high, 0.01001, 2 * 0.05001 - 0.01001)


def print_row(label: str, count: int, target_risk: float, best: float, found: dict[str, np.ndarray], ways: tuple[str, ...]) -> None:
    cells = [f"{found[way][0]:.3f} ({100 * found[way][1]:.1f})" if way in found else "-" for way in ways]
    print(f"{label:<28}{count:>6}{100 * target_risk:>4.0f} %{best:>8.3f}{''.join(f'{cell:>14}' for cell in cells)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--image-repetitions", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rows", type=int, nargs="*", help="indices of rows of samples, in place of all")
    given = parser.parse_args()
    generator, ways = np.random.default_rng(given.seed), ("learned", "fixed", "SGR", "Bonferroni")

    print(f"{given.repetitions} repetitions, {given.image_repetitions} of images; true coverage, and percent above the target")
    print(f"{'scores':<28}{'n':>6}{'target':>6}{'oracle':>8}{''.join(f'{way:>14}' for way in ways)}")
    for label, scores, count, target_risk in (SAMPLES[row] for row in (range(len(SAMPLES)) if given.rows is None else given.rows)):
        found = measure(partial(scores.draw, generator=generator), choose, scores.truth, count, target_risk, given.repetitions)
        print_row(label, count, target_risk, oracle(*scores.truth(TRIED), target_risk), found, ways)
    for label, overconfident, count, target_risk in IMAGES if given.image_repetitions else ():
        confidence, correct = draw_images(5000, overconfident, generator)
        truth = partial(measured_truth, np.sort(confidence), np.sort(confidence[~correct]))
        draw = partial(draw_images, overconfident=overconfident, generator=generator)
        found = measure(draw, choose_for_images, truth, count, target_risk, given.image_repetitions)
        print_row(label, count, target_risk, oracle(*truth(TRIED), target_risk), found, ways)
    for way, violated in served_target(given.repetitions, generator).items():
        print(f"served target, {way + ':':<18}{100 * violated:.1f} % violated")


def measured_truth(confidence: np.ndarray, error_confidence: np.ndarray, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coverage and risk of a very large draw, whose confidences, and those of its errors, are given from low to high."""
    accepted = len(confidence) - np.searchsorted(confidence, thresholds)
    errors = len(error_confidence) - np.searchsorted(error_confidence, thresholds)
    return accepted / len(confidence), errors / np.maximum(accepted, 1)


if __name__ == "__main__":
    main()
