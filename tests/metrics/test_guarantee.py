"""Thresholds with a guarantee: it is violated with at most its stated probability, accepts most samples, and is absent if unprovable."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from scipy.stats import binom

from confidnet_core.metrics.guarantee import Guarantee, threshold_with_guarantee


def error_rate(confidence: np.ndarray) -> np.ndarray:
    """Return the error probability at each confidence; for uniform confidences in [0, 1] 10.6 % are errors."""
    return 0.006 + 0.5 * (1 - confidence) ** 4


def true_risk(threshold: float) -> float:
    """Return the mean of error_rate above the threshold."""
    return 0.006 + 0.1 * (1 - max(threshold, 0)) ** 4


def oracle_coverage(risk: float) -> float:
    """Return the coverage at which true_risk equals `risk`: 0.81 for 5 %, 0.93 for 8 %."""
    return ((risk - 0.006) / 0.1) ** (1 / 4)


def max_violation_rate(delta: float, repetitions: int) -> float:
    """Return the largest plausible violation rate: three standard deviations above delta."""
    return delta + 3 * np.sqrt(delta * (1 - delta) / repetitions)


def guarantee_from_samples(generator: np.random.Generator, n: int = 1000) -> Guarantee:
    confidence = generator.random(n)
    return threshold_with_guarantee(confidence, generator.random(n) >= error_rate(confidence), target_risk=0.05, delta=0.1)


def guarantee_from_images(generator: np.random.Generator, n: int = 101) -> Guarantee:
    """Find a threshold for images of different sizes, in some of which pixels err three times as often at the same confidence."""
    sizes = generator.integers(50, 150, size=n)
    confidence = generator.random(sizes.sum())
    rate = np.repeat(generator.choice([0.5, 1.5], size=n), sizes) * error_rate(confidence)
    return threshold_with_guarantee(confidence, generator.random(len(rate)) >= rate, target_risk=0.08, delta=0.1, pixels_per_image=sizes)


def guarantee_with_reference(generator: np.random.Generator, n: int = 300) -> Guarantee:
    confidence, reference_confidence = generator.random(n), generator.random(200)
    correct = generator.random(n) >= error_rate(confidence)
    return threshold_with_guarantee(confidence, correct, target_risk=0.05, delta=0.1, reference_confidence=reference_confidence)


@pytest.mark.parametrize(
    ("find_guarantee", "repetitions", "missed_coverage"),
    [(guarantee_from_samples, 1000, 0.15), (guarantee_with_reference, 1000, 0.2), (guarantee_from_images, 200, 0.15)],
)
def test_the_true_risk_is_above_the_target_no_more_often_than_delta_and_most_of_the_coverage_is_kept(
    find_guarantee, repetitions: int, missed_coverage: float
):
    generator = np.random.default_rng(0)
    found = [find_guarantee(generator) for _ in range(repetitions)]
    thresholds = [1.0 if one.threshold is None else max(one.threshold, 0) for one in found]
    violation_rate = np.mean([threshold < 1 and true_risk(threshold) > found[0].risk for threshold in thresholds])
    assert violation_rate <= max_violation_rate(0.1, repetitions)
    best = oracle_coverage(found[0].risk)
    assert best - missed_coverage < 1 - np.mean(thresholds) < best


def test_where_every_threshold_is_just_too_risky_one_is_found_no_more_often_than_delta():
    """This is the hardest case: the confidence is uninformative, and the error rate is just above the target."""
    generator = np.random.default_rng(1)
    found = [
        threshold_with_guarantee(generator.random(1000), generator.random(1000) >= 0.0501, target_risk=0.05, delta=0.1) for _ in range(1000)
    ]
    violation_rate = np.mean([one.threshold is not None for one in found])
    assert 0.03 < violation_rate <= max_violation_rate(0.1, 1000)


def test_few_tied_confidences_of_which_the_surest_are_the_worst_break_it_no_more_often_than_delta():
    generator = np.random.default_rng(2)
    rates = np.array([0.02, 0.09, 0.03, 0.075, 0.055])  # at the confidences 0 to 4, all as frequent
    risks = np.cumsum(rates[::-1])[::-1] / np.arange(5, 0, -1)
    violation_rate = []
    for _ in range(1000):
        confidence = generator.integers(5, size=800)
        correct = generator.random(800) >= rates[confidence]
        found = threshold_with_guarantee(confidence, correct, target_risk=0.054, delta=0.1)
        violation_rate.append(found.threshold is not None and risks[int(np.ceil(max(found.threshold, 0)))] > 0.054)
    assert np.mean(violation_rate) <= max_violation_rate(0.1, 1000)


def test_images_that_err_as_a_whole_are_no_more_than_as_many_samples():
    """All pixels of an image have one confidence and one outcome; treated as independent samples they would guarantee too much."""
    generator = np.random.default_rng(3)
    violation_rate = {"images": 0, "pixels": 0}
    for _ in range(400):
        correct = np.repeat(generator.random(100) >= 0.101, 20)
        confidence = np.repeat(generator.random(100), 20)
        for name, sizes in (("images", [20] * 100), ("pixels", None)):
            violation_rate[name] += (
                threshold_with_guarantee(confidence, correct, target_risk=0.1, delta=0.1, pixels_per_image=sizes).threshold is not None
            )
    assert violation_rate["images"] / 400 <= max_violation_rate(0.1, 400)
    assert violation_rate["pixels"] / 400 > 0.3


def units_tested(values: np.ndarray) -> np.ndarray:
    """Return the units that are tested: every 20th one provides candidate thresholds instead."""
    return values[np.arange(len(values)) % 20 != 0]


def test_the_bound_of_samples_is_clopper_and_pearsons():
    generator = np.random.default_rng(4)
    confidence = generator.random(1000)
    correct = generator.random(1000) >= error_rate(confidence)
    found = threshold_with_guarantee(confidence, correct, target_risk=0.05, delta=0.1)
    accepted = units_tested(confidence) >= found.threshold
    assert binom.cdf(np.sum(~units_tested(correct)[accepted]), accepted.sum(), found.bound) == pytest.approx(0.1)
    assert 0 < found.bound <= 0.05


def final_stake(accepted: list[float], wrong: list[float], risk: float, delta: float) -> float:
    """Compute the final stake by betting on one image after the other."""
    stake, excesses = 1.0, []
    for accepted_fraction, error_fraction in zip(accepted, wrong, strict=True):
        mean = sum(excesses) / max(len(excesses), 1)
        variance = (risk**2 + sum((excess - mean) ** 2 for excess in excesses)) / (len(excesses) + 1)
        bet = min((2 * np.log(1 / delta) / (len(accepted) * variance)) ** 0.5, 1 / (1 - risk))
        excesses.append(error_fraction - risk * accepted_fraction)
        stake *= 1 - bet * excesses[-1]
    return stake


@pytest.mark.parametrize(("worst", "risk"), [(0.01, 0.08), (0.9, 0.8)])
def test_the_bound_of_images_is_the_least_hundredth_of_the_target_at_which_bets_still_win(worst: float, risk: float):
    """Bets reach their cap where images are alike, and are lower where they differ."""
    generator = np.random.default_rng(5)
    sizes = generator.integers(5, 60, size=120)
    confidence = generator.random(sizes.sum())
    correct = generator.random(len(confidence)) >= np.repeat(generator.choice([0, worst], size=120), sizes)
    found = threshold_with_guarantee(confidence, correct, target_risk=risk, delta=0.1, pixels_per_image=sizes)
    guarantee_from_images = [confidence >= found.threshold, (confidence >= found.threshold) & ~correct]
    accepted, wrong = (
        units_tested(np.array([part.mean() for part in np.split(values, np.cumsum(sizes)[:-1])])) for values in guarantee_from_images
    )
    hundredths = round(found.bound / risk * 100)
    assert found.bound == pytest.approx(hundredths * risk / 100) and hundredths < 100
    assert final_stake(list(accepted), list(wrong), hundredths * risk / 100, 0.1) >= 10
    assert final_stake(list(accepted), list(wrong), (hundredths - 1) * risk / 100, 0.1) < 10


LOWEST = np.finfo(np.float64).min


def test_a_target_above_the_error_rate_accepts_everything():
    generator = np.random.default_rng(6)
    confidence, correct = generator.random(2000), generator.random(2000) >= 0.05
    for sizes in (None, [10] * 200):
        found = threshold_with_guarantee(confidence, correct, target_risk=0.2, delta=0.05, pixels_per_image=sizes)
        assert (found.threshold, found.coverage, found.samples, found.errors) == (LOWEST, 1, 2000, np.sum(~correct))
        assert np.mean(~correct) < found.bound < 0.2
        assert found.units == (2000 if sizes is None else 200)


@pytest.mark.parametrize("sizes", [None, [5] * 60])
def test_where_all_are_wrong_no_threshold_is_feasible(sizes: list[int] | None):
    found = threshold_with_guarantee(np.linspace(0, 1, 300), np.zeros(300, bool), target_risk=0.5, delta=0.1, pixels_per_image=sizes)
    assert (found.threshold, found.coverage, found.bound) == (None, 0, None)
    assert (found.samples, found.errors, found.units, found.min_units) == (300, 300, 300 if sizes is None else 60, 4)


@pytest.mark.parametrize("sizes", [None, [5] * 60])
def test_equal_confidences_are_accepted_all_or_none(sizes: list[int] | None):
    correct = np.arange(300) % 20 != 1
    assert threshold_with_guarantee(np.full(300, 0.7), correct, target_risk=0.1, delta=0.1, pixels_per_image=sizes).coverage == 1
    assert threshold_with_guarantee(np.full(300, 0.7), correct, target_risk=0.04, delta=0.1, pixels_per_image=sizes).coverage == 0


@pytest.mark.parametrize("sizes", [None, [1]])
def test_one_sample_shows_nothing(sizes: list[int] | None):
    """Without a reference it provides the candidates, and nothing is tested."""
    found = threshold_with_guarantee([0.5], [True], target_risk=0.5, delta=0.5, pixels_per_image=sizes)
    assert (found.threshold, found.coverage, found.bound, found.units, found.min_units) == (None, 0, None, 1, 1)


def test_images_without_a_pixel_do_not_count():
    generator = np.random.default_rng(7)
    confidence, correct = generator.random(600), generator.random(600) >= 0.05
    without_empty_images = threshold_with_guarantee(confidence, correct, target_risk=0.2, delta=0.1, pixels_per_image=[10] * 60)
    assert (
        threshold_with_guarantee(confidence, correct, target_risk=0.2, delta=0.1, pixels_per_image=[0, *[10] * 30, 0, 0, *[10] * 30])
        == without_empty_images
    )
    assert without_empty_images.units == 60


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_the_threshold_accepts_in_the_type_of_the_confidence_what_it_says_and_survives_json(dtype: type):
    generator = np.random.default_rng(8)
    confidence = (100 * generator.random(3000)).astype(dtype)
    correct = generator.random(3000) >= error_rate(confidence.astype(float) / 100)
    for risk in (0.03, 0.04, 0.05, 0.3):
        found = threshold_with_guarantee(confidence, correct, target_risk=risk, delta=0.05)
        threshold = json.loads(json.dumps(asdict(found), allow_nan=False))["threshold"]
        assert np.mean(confidence >= threshold) == found.coverage > 0.5
        assert dtype == np.int64 or float(dtype(threshold)) == threshold
    assert found.coverage == 1


def test_thresholds_lie_at_ranks_of_the_confidences_elsewhere():
    confidence, reference_confidence = np.linspace(0, 1, 400), np.array([0.25, 0.5, 0.75])
    correct = confidence > 0.4
    found = threshold_with_guarantee(confidence, correct, target_risk=0.1, delta=0.1, reference_confidence=reference_confidence)
    allowed = np.quantile(reference_confidence, np.arange(1, 100) / 100)
    assert np.isclose(allowed, found.threshold).any() and 0.3 < found.threshold < 0.45
    assert (found.samples, found.units) == (400, 400)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target_risk": 0}, "risk is 0; give a share between 0 and 1"),
        ({"target_risk": 1.0}, "risk is 1.0; give a share"),
        ({"delta": float("nan")}, "delta is nan; give a share"),
        ({"delta": 5}, "delta is 5; give a share"),
        ({"confidence": [], "correct": []}, "there are no samples"),
        ({"confidence": [0.1, np.inf]}, "1 of 2 confidences are NaN or infinite"),
        ({"correct": [True]}, "give one value a sample"),
        ({"reference_confidence": []}, "there are no samples"),
        ({"reference_correct": [True]}, "reference_correct is given without reference_confidence; give both"),
        ({"reference_confidence": [0.3, 0.4], "reference_correct": [True]}, "give one value a sample"),
        (
            {"reference_confidence": [0.3], "reference_correct": [True], "reference_pixels_per_image": [1]},
            "only one of pixels_per_image and",
        ),
        ({"reference_confidence": [0.3], "reference_correct": [True], "pixels_per_image": [2]}, "give both for segmentation, or neither"),
        ({"reference_confidence": [0.3, np.nan]}, "1 of 2 confidences are NaN or infinite"),
        ({"pixels_per_image": [3]}, r"pixels_per_image are int64 \(1,\) with the sum 3; expected how many of the 2 values each image has"),
    ],
)
def test_what_cannot_be_guaranteed_is_refused(changes: dict, message: str):
    arguments = {"confidence": [0.1, 0.2], "correct": [True, False], "target_risk": 0.1, "delta": 0.1} | changes
    with pytest.raises(ValueError, match=message):
        threshold_with_guarantee(arguments.pop("confidence"), arguments.pop("correct"), **arguments)
