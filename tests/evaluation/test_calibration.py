"""Calibrators: the identity, a sigmoid, or a fit to validation samples; always monotone and never more confident than the data."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from confidnet_core.evaluation.calibrators import MAX_FIT_SAMPLES, MIN_SAMPLES_PER_OUTCOME, fit_calibrator
from confidnet_core.evaluation.result import SCORE_SCALES
from confidnet_core.metrics.calibration import calibration_metrics


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


def test_a_probability_is_left_as_it_is():
    confidence = np.array([0.0, 0.3, 1.0], np.float32)
    calibrator = fit_calibrator(confidence, np.array([True, False, False]), "probability")
    assert calibrator.description == "as it is"
    np.testing.assert_array_equal(calibrator(confidence), confidence.astype(np.float64))


def test_log_odds_become_their_probability():
    probability = np.array([1e-12, 0.25, 0.5, 0.9, 1 - 1e-12])
    log_odds = np.log(probability / (1 - probability))
    calibrator = fit_calibrator(log_odds, np.array([True] * 5), "log_odds")
    assert calibrator.description == "sigmoid"
    np.testing.assert_allclose(calibrator(log_odds), probability, rtol=1e-9)
    np.testing.assert_array_equal(calibrator([-1e4, 1e4]), [0, 1])


def test_a_rank_is_learned_by_isotonic_regression_which_is_that_of_scikit_learn_with_two_samples_more_at_both_ends():
    confidence, correct = synthetic(500)
    calibrator = fit_calibrator(confidence, correct, "rank")
    assert calibrator.description == "isotonic on 500 validation samples"
    low, high = confidence.min(), confidence.max()
    reference = IsotonicRegression(out_of_bounds="clip")
    reference.fit(np.concatenate([confidence, [low, low, high, high]]), np.concatenate([correct, [0, 1, 0, 1]]))
    grid = np.linspace(low - 1, high + 1, 1000)
    np.testing.assert_allclose(calibrator(grid), reference.predict(grid), atol=1e-15)


def test_the_first_and_the_last_step_follow_the_rule_of_succession():
    confidence = np.arange(100.0)
    correct = np.ones(100, bool)
    correct[:30] = correct[60] = False  # 30 wrong, 30 right, one wrong, 39 right
    probability = fit_calibrator(confidence, correct, "rank")(confidence)
    np.testing.assert_allclose(probability[:30], 1 / 32)
    np.testing.assert_allclose(probability[30:61], 30 / 31)
    np.testing.assert_allclose(probability[61:], 40 / 41)


def test_one_right_sample_at_the_top_does_not_lower_those_below_it():
    confidence = np.arange(101.0)
    correct = np.r_[np.zeros(30, bool), np.ones(69, bool), False, True]
    probability = fit_calibrator(confidence, correct, "rank")(confidence)
    np.testing.assert_allclose(probability[30:], 71 / 73)  # 2 / 3 for the last would be below 69 / 70


@pytest.mark.parametrize(("errors", "method"), [(MIN_SAMPLES_PER_OUTCOME - 1, "Platt"), (MIN_SAMPLES_PER_OUTCOME, "isotonic")])
@pytest.mark.parametrize("of_errors", [True, False])
def test_few_errors_or_few_successes_give_a_sigmoid(errors: int, method: str, of_errors: bool):
    confidence, correct = with_errors(errors)
    calibrator = fit_calibrator(*((confidence, correct) if of_errors else (-confidence, ~correct)), "rank")
    assert calibrator.description == f"{method} on 400 validation samples"


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_platt_scaling_is_a_logistic_regression_towards_platts_targets(scale: float):
    confidence, correct = with_errors(10)
    right, wrong = 391 / 392, 1 / 12
    target = np.where(correct, right, wrong)
    reference = LogisticRegression(C=np.inf, tol=1e-10)
    reference.fit(np.tile(confidence, 2)[:, None], np.repeat([1, 0], 400), sample_weight=np.concatenate([target, 1 - target]))
    grid = np.linspace(-5, 5, 100)
    probability = fit_calibrator(scale * (confidence + 7), correct, "rank")(scale * (grid + 7))
    np.testing.assert_allclose(probability, reference.predict_proba(grid[:, None])[:, 1], atol=1e-4)


def test_platt_scaling_of_outcomes_that_the_score_separates_is_finite():
    correct = np.arange(50) >= 5
    probability = fit_calibrator(7.0 * correct, correct, "rank")([0, 7])
    np.testing.assert_allclose(probability, [1 / 7, 46 / 47], atol=1e-4)  # Platt's targets


def test_a_score_that_ranks_the_wrong_way_round_is_worth_a_constant():
    for errors in (5, 100):
        confidence, correct = with_errors(errors)
        probability = fit_calibrator(-confidence, correct, "rank")(np.linspace(-3, 3, 50))
        assert np.ptp(probability) < 0.1 and probability.mean() == pytest.approx(correct.mean(), abs=0.02)


@pytest.mark.parametrize(("right", "n", "expected"), [(8, 8, 9 / 10), (0, 8, 1 / 10), (1, 1, 2 / 3), (0, 1, 1 / 3)])
def test_a_single_outcome_has_the_probability_of_the_rule_of_succession(right: int, n: int, expected: float):
    calibrator = fit_calibrator(np.arange(n), np.arange(n) < right, "rank")
    assert calibrator.description == f"constant on {n:,} validation samples"
    np.testing.assert_array_equal(calibrator([-5, 0, 99]), [expected] * 3)


def test_a_single_confidence_has_the_share_of_the_right():
    calibrator = fit_calibrator(np.full(98, 3.0), np.arange(98) < 49, "rank")
    np.testing.assert_array_equal(calibrator([3, 4]), [0.5, 0.5])


@pytest.mark.parametrize("errors", [0, 3, 100])
def test_it_never_falls_and_lies_strictly_between_0_and_1(errors: int):
    confidence, correct = with_errors(errors)
    calibrator = fit_calibrator(confidence, correct, "rank")
    probability = calibrator(np.sort(np.concatenate([np.random.default_rng(2).normal(size=10_000), confidence])))
    assert (np.diff(probability) >= 0).all() and probability.min() > 0 and probability.max() < 1
    assert (errors == 0) == (np.ptp(probability) == 0)


@pytest.mark.parametrize("error_rate", [0.01, 0.2, 0.6])
def test_a_fit_on_validation_samples_calibrates_test_samples(error_rate: float):
    val, test = synthetic(1000, error_rate, seed=1), synthetic(50_000, error_rate, seed=2)
    calibrated = calibration_metrics(fit_calibrator(*val, "rank")(test[0]), test[1])
    squeezed = calibration_metrics(expit(test[0]), test[1])  # what a sigmoid makes of a score that is no log-odds
    constant = calibration_metrics(np.full(50_000, val[1].mean()), test[1])
    assert calibrated["ece"] < 0.05 and calibrated["ece"] < squeezed["ece"] / 5
    assert calibrated["brier"] < constant["brier"] and calibrated["nll"] < constant["nll"]


def test_a_wrong_prediction_surer_than_all_of_the_fit_costs_no_more_than_the_fit_can_know():
    confidence, correct = np.arange(200.0), np.arange(200) >= 50
    probability = fit_calibrator(confidence, correct, "rank")([1e9])
    assert calibration_metrics(probability, [False])["nll"] == pytest.approx(np.log(152))


def test_many_samples_are_thinned_evenly():
    n = 3 * MAX_FIT_SAMPLES + 5
    confidence = np.arange(n, dtype=np.float32)  # sorted: a part from either end would have one outcome
    calibrator = fit_calibrator(confidence, confidence >= n / 2, "rank")
    assert calibrator.description == f"isotonic on {MAX_FIT_SAMPLES:,} validation samples"
    np.testing.assert_allclose(calibrator([0, n / 2 - 9, n / 2 + 9, n]), [0, 0, 1, 1], atol=1e-5)


def test_mapping_in_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    confidence, correct = synthetic(300)
    calibrator = fit_calibrator(confidence, correct, "rank")
    whole = calibrator(confidence)
    monkeypatch.setattr("confidnet_core.evaluation.calibrators._BLOCK_SIZE", 7)
    np.testing.assert_array_equal(calibrator(confidence), whole)
    assert calibrator([]).shape == (0,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": "logit"}, "scale is 'logit'; expected one of probability, log_odds, rank"),
        ({"confidence": [0.1, 1.5]}, r"reach from 0.1 to 1.5, which are no probabilities; expected \[0, 1\], or log_odds or rank"),
        ({"confidence": [0.1, np.nan]}, "1 of 2 confidences are NaN or infinite, the first at index 1"),
        ({"confidence": [[0.1, 0.2]]}, r"confidence is float64 \(1, 2\); expected one real number a sample"),
        ({"confidence": [True, False]}, "confidence is bool"),
        ({"correct": [True]}, r"2 confidences and bool \(1,\) as correct; expected one bool for each"),
        ({"correct": [1, 0]}, "int64"),
        ({"confidence": np.empty(0), "correct": np.empty(0, bool)}, "0 confidences .* at least one"),
    ],
)
def test_what_cannot_be_fitted_is_refused(changes: dict, message: str):
    with pytest.raises(ValueError, match=message):
        fit_calibrator(**{"confidence": [0.1, 0.2], "correct": [True, False], "scale": "probability"} | changes)


@pytest.mark.parametrize("scale", SCORE_SCALES)
def test_a_confidence_that_is_not_finite_has_no_probability(scale: str):
    calibrator = fit_calibrator([0.1, 0.2], np.array([True, False]), scale)
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="1 of 2 confidences are NaN or infinite, the first at index 1"):
            calibrator([0.5, bad])
