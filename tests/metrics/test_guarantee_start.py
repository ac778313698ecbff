"""Where the sequence of tested thresholds starts: by validation labels, within the guarantee; and how many units a target needs."""

import numpy as np
import pytest
from scipy.stats import binom, norm

from confidnet_core.metrics.guarantee import threshold_with_guarantee
from confidnet_core.metrics.guarantee._sequence import _allowed_error_counts


def overconfident(generator: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Confidence and correctness; of the errors, a tenth, 15 % are as confident as the correct predictions."""
    correct = generator.random(n) >= 0.1
    is_found = ~correct & (generator.random(n) >= 0.15)
    return generator.normal(size=n) - 2.5 * is_found, correct


def risk_of_overconfident(threshold: float) -> float:
    accepted, accepted_errors = 0.915 * norm.sf(threshold) + 0.085 * norm.sf(threshold + 2.5), 0.015 * norm.sf(threshold)
    return (accepted_errors + 0.085 * norm.sf(threshold + 2.5)) / accepted


def test_a_start_that_is_learned_keeps_the_guarantee_and_accepts_more_where_errors_are_confident():
    generator, found = np.random.default_rng(9), {"fixed": [], "learned": []}
    for _ in range(400):
        (confidence, correct), (reference_confidence, reference_correct) = overconfident(generator, 1000), overconfident(generator, 2000)
        reference = {"reference_confidence": reference_confidence}
        for start, labels in (("fixed", {}), ("learned", {"reference_correct": reference_correct})):
            found[start].append(threshold_with_guarantee(confidence, correct, target_risk=0.05, delta=0.05, **reference, **labels))
    violations = [one.threshold is not None and risk_of_overconfident(max(one.threshold, -9)) > 0.05 for one in found["learned"]]
    assert np.mean(violations) <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5
    coverage = {start: np.mean([one.coverage for one in ones]) for start, ones in found.items()}
    assert coverage["learned"] > 0.84 and coverage["fixed"] < 0.82
    assert {one.start for one in found["fixed"]} == {"at a fixed coverage"} and found["learned"][
        0
    ].start == "learned from validation labels"


def test_reference_labels_that_mislead_cost_coverage_but_not_the_guarantee():
    """The validation labels are turned round, so that the sequence starts anywhere, at risks just above the target."""
    generator, rates = np.random.default_rng(10), []
    for _ in range(1000):
        confidence, reference_confidence = generator.random(400), generator.random(400)
        correct = generator.random(400) >= 0.0501  # wherever the sequence starts
        reference = {"reference_confidence": reference_confidence, "reference_correct": reference_confidence < 0.5}
        rates.append(threshold_with_guarantee(confidence, correct, target_risk=0.05, delta=0.1, **reference).threshold is not None)
    assert np.mean(rates) <= 0.1 + 3 * (0.1 * 0.9 / 1000) ** 0.5


def test_images_learn_where_to_start_too():
    """In the surest tenth of each image 15 % is wrong; the fixed start is too near to it."""
    generator = np.random.default_rng(11)
    sizes = np.full(300, 50)

    def draw() -> tuple[np.ndarray, np.ndarray]:
        confidence = generator.random(300 * 50)
        return confidence, generator.random(len(confidence)) >= np.where(confidence > 0.9, 0.15, np.where(confidence > 0.3, 0.005, 0.5))

    (confidence, correct), (reference_confidence, reference_correct) = draw(), draw()
    reference = {"reference_confidence": reference_confidence, "pixels_per_image": sizes}
    labels = {"reference_correct": reference_correct, "reference_pixels_per_image": sizes}
    fixed = threshold_with_guarantee(confidence, correct, target_risk=0.05, delta=0.05, **reference)
    learned = threshold_with_guarantee(confidence, correct, target_risk=0.05, delta=0.05, **reference, **labels)
    assert (fixed.threshold, fixed.start_coverage < 0.45) == (None, True)
    assert learned.coverage > 0.6 and learned.start_coverage > 0.5 and learned.bound <= 0.05


@pytest.mark.parametrize("pixels", [None, 3])
@pytest.mark.parametrize(
    ("reference_correct", "name"),
    [
        (np.ones(200), "none wrong"),
        (np.zeros(200), "all wrong"),
        (np.arange(200) > 0, "one wrong"),
        (np.ones(1), "one"),
        (np.zeros(1), "0"),
    ],
)
def test_the_start_is_one_of_the_candidates_whatever_the_reference(pixels: int | None, reference_correct: np.ndarray, name: str):
    generator, repeats = np.random.default_rng(12), pixels or 1
    confidence = generator.random(400 * repeats)
    correct = generator.random(len(confidence)) >= 0.01
    reference_confidence = generator.random(len(reference_correct) * repeats)
    sizes = {} if pixels is None else {"pixels_per_image": [3] * 400, "reference_pixels_per_image": [3] * len(reference_correct)}
    labels = {"reference_correct": np.repeat(reference_correct.astype(bool), repeats)}
    found = threshold_with_guarantee(
        confidence, correct, target_risk=0.05, delta=0.05, reference_confidence=reference_confidence, **labels, **sizes
    )
    assert found.start_coverage == pytest.approx(np.mean(confidence >= found.start_threshold), abs=1e-12)
    assert found.start_errors == np.sum(~correct & (confidence >= found.start_threshold))
    assert found.threshold is None or found.threshold <= found.start_threshold


@pytest.mark.parametrize("errors", [0, 1, 400])
def test_with_ties_a_threshold_takes_all_or_nothing_by_the_number_of_errors(errors: int):
    """Of 400 samples, a target of 1 % takes no error (p = 0.018); one error has p = 0.090. One percent takes 299 samples at least."""
    confidence, correct = np.full(400, 2.0), np.arange(400) >= errors
    found = threshold_with_guarantee(
        confidence, correct, target_risk=0.01, delta=0.05, reference_confidence=confidence[:9], reference_correct=correct[-9:]
    )
    assert (found.coverage, found.min_units, found.start_coverage) == (float(errors == 0), 299, 1)


@pytest.mark.parametrize(
    ("risk", "delta", "samples", "images"),
    [(0.01, 0.05, 299, 299), (0.05, 0.05, 59, 59), (0.1, 0.05, 29, 29), (0.05, 0.1, 45, 45), (0.5, 0.25, 2, 2), (0.9, 0.05, 2, 3)],
)
def test_the_least_number_of_units_is_where_the_test_begins_to_pass(risk: float, delta: float, samples: int, images: int):
    """It is ln(delta) / ln(1 - risk), rounded up, and for images a little more where the target is very high."""
    for sizes, least in ((None, samples), (2, images)):
        for units, is_feasible in ((least, True), (least - 1, False)):
            values = np.ones(units * (sizes or 1))
            of_images = {} if sizes is None else {"pixels_per_image": [sizes] * units}
            found = threshold_with_guarantee(values, values > 0, target_risk=risk, delta=delta, reference_confidence=[0.0], **of_images)
            assert (found.min_units, found.threshold is not None) == (least, is_feasible)


def test_a_target_below_one_in_n_needs_more_units_than_there_are():
    found = threshold_with_guarantee(np.ones(500), np.ones(500, bool), target_risk=1e-6, delta=0.05, reference_confidence=[1.0])
    assert (found.threshold, found.min_units) == (None, 2_995_731)


def test_the_allowed_number_of_errors_is_the_largest_that_passes():
    counts = np.arange(1, 800)[None]
    allowed = _allowed_error_counts(counts, 0.01, 0.05)[0]
    assert np.flatnonzero(np.diff(allowed)).tolist() == [297, 471, 626, 771]  # 299 samples with none, 473 with one, ...
    passing = binom.cdf(allowed, counts[0], 0.01) <= 0.05
    assert passing.all() and (allowed[:298] == -1).all() and (binom.cdf(allowed + 1, counts[0], 0.01) > 0.05).all()


@pytest.mark.parametrize("size", [None, 1, 7])
def test_without_an_error_59_units_show_a_risk_of_5_percent_and_58_do_not(size: int | None):
    """0.95^59 = 0.0485, 0.95^58 = 0.0510; of 63 units 4 are not tested, and of 62, 4."""
    for units, threshold in ((63, np.finfo(np.float64).min), (62, None)):
        values = units * (size or 1)
        sizes = None if size is None else [size] * units
        found = threshold_with_guarantee(
            np.linspace(0, 1, values), np.ones(values, bool), target_risk=0.05, delta=0.05, pixels_per_image=sizes
        )
        assert found.threshold == threshold
