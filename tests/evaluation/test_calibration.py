"""Calibrators keep the order of any score, do not depend on its scale, and give probabilities that hold on other samples."""

import numpy as np
import pytest
from scipy.special import expit, ndtri
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from confidnet_core.evaluation import calibrators
from confidnet_core.evaluation.calibrators import MAX_FIT_SAMPLES, MIN_SLOPE, fit_calibrator
from confidnet_core.metrics import failure_metrics
from confidnet_core.metrics.calibration import calibration_metrics

LARGEST = np.finfo(np.float64).max


def synthetic(n: int, error_rate: float = 0.2, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores far from probabilities: skewed, negative, of any size."""
    generator = np.random.default_rng(seed)
    correct = generator.random(n) >= error_rate
    return -np.exp(generator.normal(size=n) + 3 - 1.5 * correct), correct


def with_errors(errors: int, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """A good score with so many errors."""
    confidence, correct = np.random.default_rng(1).normal(size=n), np.ones(n, bool)
    correct[np.argsort(confidence)[: 3 * errors : 3]] = False
    return confidence, correct


def assert_same_order(probability: np.ndarray, confidence: np.ndarray) -> None:
    """Equal where the confidences are, and otherwise in their order, inside (0, 1)."""
    assert probability.min() > 0 and probability.max() < 1
    np.testing.assert_array_equal(np.unique(probability, return_inverse=True)[1], np.unique(confidence, return_inverse=True)[1])


KINDS = {
    "a normal score": lambda z: z,
    "a probability": lambda z: expit(2 * z),
    "a float32 probability with ties at 1": lambda z: expit(9 * z.astype(np.float32)),
    "log-odds": lambda z: 20 * z,
    "an entropy": lambda z: -np.exp(-10 * z),
    "14 values": lambda z: np.round(2 * z).clip(-6, 7),
    "distances with duplicates": lambda z: np.where(np.abs(z - 1) < 0.05, 1e12, np.exp(z)),
    "infinite log-odds": lambda z: np.where(z > 2, LARGEST, np.where(z < -2, -LARGEST, z)),
    "every size that float64 has": lambda z: np.sign(z) * np.exp(200 * np.abs(z).clip(max=3.5)) * 1e-150,
    "subnormal numbers": lambda z: np.round(1000 * z) * 5e-324,
    "one that ranks the wrong way round": lambda z: -z,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("errors", ["none", "one", "some", "half", "all"])
def test_probabilities_have_the_order_of_the_score(kind: str, errors: str):
    generator = np.random.default_rng(0)
    z = generator.normal(size=1000)
    correct = {
        "none": np.ones(1000, bool),
        "one": np.arange(1000) > 0,
        "some": z + generator.normal(size=1000) > -1.5,
        "half": z > 0,
        "all": np.zeros(1000, bool),
    }[errors]
    test_confidence = KINDS[kind](generator.normal(size=5000) * 1.2)
    for size in (1, 2, 30, 1000):
        probability = fit_calibrator(KINDS[kind](z[:size]), correct[:size])(test_confidence)
        assert_same_order(probability, test_confidence)
    is_correct = generator.random(5000) < probability
    before, after = failure_metrics(test_confidence, is_correct), failure_metrics(probability, is_correct)
    assert after == before


def test_confidences_beyond_all_of_the_fit_keep_their_order():
    confidence, correct = with_errors(30)
    for scale in (1e-300, 1.0, 1e300):
        far = np.array([-1e8, -1e7, -1e3, -5, -4, 4, 5, 1e3, 1e7, 1e8]) * scale
        assert_same_order(fit_calibrator(confidence * scale, correct)(far), far)
    edge = np.array([-LARGEST, -LARGEST / 2, 0, LARGEST / 2, LARGEST])
    assert_same_order(fit_calibrator(confidence, correct)(edge), edge)


def test_neighbouring_floats_are_never_turned_round():
    confidence, correct = synthetic(2000)
    middle = np.sort(confidence)[1000]
    neighbours = middle + np.arange(-5000, 5000) * np.spacing(abs(middle))
    for fit in (confidence, np.append(confidence[:-1], 1e12)):
        assert (np.diff(fit_calibrator(fit, correct)(neighbours)) >= 0).all()
        single = np.unique(neighbours.astype(np.float32) + np.arange(-500, 500, dtype=np.float32).repeat(10) * 1e-6)
        assert_same_order(fit_calibrator(fit, correct)(single), single)


@pytest.mark.parametrize("scale", [1e-300, 1e-16, 1e-14, 3.0, 1e300])
def test_a_factor_of_the_score_changes_nothing(scale: float):
    confidence, correct = synthetic(500)
    other = synthetic(3000, seed=1)[0]
    expected = fit_calibrator(confidence, correct)(other)
    np.testing.assert_allclose(fit_calibrator(scale * confidence, correct)(scale * other), expected, rtol=1e-12)


def test_any_increasing_function_of_the_score_changes_nothing_where_the_fit_has_a_value():
    confidence, correct = synthetic(500)
    expected = fit_calibrator(confidence, correct)(confidence)
    for changed in (np.exp(confidence), confidence**3, np.where(confidence == confidence.max(), 1e12, confidence)):
        np.testing.assert_array_equal(fit_calibrator(changed, correct)(changed), expected)


@pytest.mark.parametrize("outlier", [1e12, LARGEST])
def test_an_outlier_flattens_nothing_below_it(outlier: float):
    confidence, correct = with_errors(50)
    top = np.sort(confidence)[-1]
    probability = fit_calibrator(np.append(confidence, outlier), np.append(correct, True))(np.array([top, top + 1, top + 9, 1e6, outlier]))
    assert (np.diff(probability) > 1e-6 * (probability[-1] - probability[0])).all()


def test_it_is_isotonic_regression_with_many_errors():
    """The plateaus are those of scikit-learn: at their centres the values agree, but for what Platt's part and the slope add."""
    confidence, correct = synthetic(20_000, 0.5)
    plateaus = IsotonicRegression().fit_transform(confidence, correct)
    order = np.argsort(confidence)
    starts = np.flatnonzero(np.diff(plateaus[order], prepend=-1))
    sizes = np.diff(np.append(starts, 20_000))
    large = slice(1, -1)  # the first and the last count two samples more
    centres = order[(starts + sizes // 2)[large]]
    difference = fit_calibrator(confidence, correct)(confidence[centres]) - plateaus[centres]
    assert np.abs(difference[sizes[large] > 200]).max() < 0.005


def test_it_is_platts_sigmoid_of_the_normal_score_with_no_error():
    correct = np.array([True] * 50)
    np.testing.assert_allclose(fit_calibrator(np.arange(50), correct)([24, 25]), 51 / 52, atol=1e-5)


def test_platts_part_is_a_logistic_regression_towards_his_targets():
    confidence, correct = with_errors(10)
    ranks = (np.argsort(np.argsort(confidence)) + 0.5) / 400
    z = ndtri(ranks)
    target = np.where(correct, 391 / 392, 1 / 12)
    reference = LogisticRegression(C=np.inf, tol=1e-10)
    reference.fit(np.tile(z, 2)[:, None], np.repeat([1, 0], 400), sample_weight=np.concatenate([target, 1 - target]))
    slope, offset = calibrators._fit_platt_sigmoid(np.sort(z), np.ones(400, int), correct[np.argsort(confidence)].astype(int))
    np.testing.assert_allclose([slope, offset], [reference.coef_[0, 0], reference.intercept_[0]], rtol=1e-3)


def test_the_two_fits_are_weighed_by_the_number_of_errors():
    """A score of one value for each outcome: isotonic regression and Platt's sigmoid both give what the rule of succession does."""
    confidence, correct = np.repeat([0.0, 1.0], 1000), np.repeat([False, True], 1000)
    probability = fit_calibrator(confidence, correct)([0, 1])
    np.testing.assert_allclose(probability, [1 / 1002, 1001 / 1002], rtol=0.02)


@pytest.mark.parametrize("errors", [5, 100])
def test_a_score_that_ranks_the_wrong_way_round_is_worth_hardly_more_than_a_constant(errors: int):
    confidence, correct = with_errors(errors)
    probability = fit_calibrator(-confidence, correct)(np.linspace(-3, 3, 50))
    assert 0 < np.ptp(probability) < 0.1 and probability.mean() == pytest.approx(correct.mean(), abs=0.02)


@pytest.mark.parametrize(("right", "n", "expected"), [(8, 8, 9 / 10), (0, 8, 1 / 10), (1, 1, 2 / 3), (0, 1, 1 / 3)])
def test_a_single_outcome_has_about_the_probability_of_the_rule_of_succession(right: int, n: int, expected: float):
    probability = fit_calibrator(np.arange(n), np.arange(n) < right)([-5, 0, 3, 99])
    np.testing.assert_allclose(probability, expected, atol=0.01)


@pytest.mark.parametrize("value", [-7.0, 0.0, 3.0])
def test_a_single_confidence_has_the_share_of_the_right(value: float):
    calibrator = fit_calibrator(np.full(98, value), np.arange(98) < 49)
    np.testing.assert_allclose(calibrator([value]), 0.5)
    np.testing.assert_allclose(calibrator([value - 1, value + 1]), 0.5, atol=MIN_SLOPE)


@pytest.mark.parametrize("error_rate", [0.01, 0.2, 0.6])
def test_a_fit_on_validation_samples_calibrates_test_samples(error_rate: float):
    val, test = synthetic(1000, error_rate, seed=1), synthetic(50_000, error_rate, seed=2)
    calibrated = calibration_metrics(fit_calibrator(*val)(test[0]), test[1])
    squeezed = calibration_metrics(expit(test[0]), test[1])  # what a sigmoid makes of a score that is no log-odds
    constant = calibration_metrics(np.full(50_000, val[1].mean()), test[1])
    assert calibrated["ece"] < 0.05 and calibrated["ece"] < squeezed["ece"] / 5
    assert calibrated["brier"] < constant["brier"] and calibrated["nll"] < constant["nll"]


@pytest.mark.parametrize("error_rate", [0.02, 0.2])
def test_it_loses_less_than_isotonic_regression_does(error_rate: float):
    losses = []
    for seed in range(20):
        (confidence, correct), test = synthetic(300, error_rate, seed), synthetic(20_000, error_rate, 100 + seed)
        ends = np.repeat([confidence.min(), confidence.max()], 2)
        isotonic = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        isotonic.fit(np.append(confidence, ends), np.append(correct, [1, 0, 1, 0]))
        found = [calibration_metrics(fit(test[0]), test[1]) for fit in (fit_calibrator(confidence, correct), isotonic.predict)]
        losses.append([[one["nll"], one["brier"]] for one in found])
    ours, theirs = np.mean(losses, axis=0)
    assert (ours < 0.99 * theirs).all()


@pytest.mark.parametrize("error_rate", [0.02, 0.1, 0.5])
def test_outcomes_that_the_score_separates_keep_their_probabilities_up_to_the_edge(error_rate: float):
    """From centre to centre of two plateaus, a line would make errors of most correct predictions of the larger one."""
    confidence = np.arange(5000.0)
    correct = confidence >= 5000 * error_rate
    found = calibration_metrics(fit_calibrator(confidence, correct)(confidence), correct)
    assert found["nll"] < 0.02 and found["brier"] < 0.002


def test_a_wrong_prediction_surer_than_all_of_the_fit_costs_no_more_than_the_fit_can_know():
    confidence, correct = np.arange(200.0), np.random.default_rng(0).random(200) < np.linspace(0.4, 1, 200)
    probability = fit_calibrator(confidence, correct)([1e9])
    assert calibration_metrics(probability, [False])["nll"] < np.log(200)


def test_many_samples_are_thinned_evenly():
    n = 3 * MAX_FIT_SAMPLES + 5
    confidence = np.arange(n, dtype=np.float32)  # sorted: a part from either end would have one outcome
    calibrator = fit_calibrator(confidence, confidence >= n / 2)
    assert calibrator.description == f"isotonic and Platt on {MAX_FIT_SAMPLES:,} validation samples"
    np.testing.assert_allclose(calibrator([0, 0.2 * n, 0.8 * n, n]), [0, 0, 1, 1], atol=1e-3)
    tail = np.unique(np.linspace(0.9 * n, n, 100_000).astype(np.float32))
    assert_same_order(calibrator(tail), tail)


def test_mapping_in_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    calibrator = fit_calibrator(*synthetic(300))
    confidence = synthetic(1000, seed=1)[0]
    whole = calibrator(confidence)
    monkeypatch.setattr("confidnet_core.evaluation.calibrators._BLOCK_SIZE", 7)
    np.testing.assert_array_equal(calibrator(confidence), whole)
    assert calibrator([]).shape == (0,)
