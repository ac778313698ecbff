"""What a score means without a calibrator, and confidences and outcomes that calibrators refuse."""

import numpy as np
import pytest
from scipy.special import logit

from confidnet_core.evaluation.calibrators import fit_calibrator, raw_probability

LARGEST = np.finfo(np.float64).max


def test_a_score_has_the_probability_that_it_means_or_none():
    probability = np.array([1e-12, 0.25, 0.5, 0.9, 1 - 1e-12])
    np.testing.assert_array_equal(raw_probability(probability.astype(np.float32), "probability"), probability.astype(np.float32))
    np.testing.assert_allclose(raw_probability(logit(probability), "log_odds"), probability, rtol=1e-9)
    np.testing.assert_array_equal(raw_probability(np.array([-LARGEST, LARGEST]), "log_odds"), [0, 1])
    assert raw_probability(probability, "rank") is None


@pytest.mark.parametrize(
    ("confidence", "scale", "message"),
    [
        ([0.1, 0.2], "logit", "scale is 'logit'; expected one of probability, log_odds, rank"),
        ([0.1, 1.5], "probability", r"reach from 0.1 to 1.5, which are no probabilities; expected \[0, 1\].*log_odds or rank"),
    ],
)
def test_what_is_no_probability_is_refused(confidence: list, scale: str, message: str):
    with pytest.raises(ValueError, match=message):
        raw_probability(np.array(confidence), scale)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
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
        fit_calibrator(**{"confidence": [0.1, 0.2], "correct": [True, False]} | changes)


def test_a_confidence_that_is_not_finite_has_no_probability():
    calibrator = fit_calibrator([0.1, 0.2], np.array([True, False]))
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match="1 of 2 confidences are NaN or infinite, the first at index 1"):
            calibrator([0.5, bad])
