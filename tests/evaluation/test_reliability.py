"""The reliability of a score's probabilities: one rule for all scores, learned on validation data, and the raw score beside it."""

import numpy as np
import pytest

from confidnet_core.evaluation.at_threshold import ScoredSplit
from confidnet_core.evaluation.calibrators import fit_calibrator
from confidnet_core.evaluation.thresholds import reliability
from confidnet_core.metrics.calibration import bootstrap_calibration, calibration_metrics

RESAMPLING = {"resample_count": 100, "seed": 3}


def scored(seed: int, samples: int = 600) -> ScoredSplit:
    """Return a split whose predictions are correct with the probability that is their confidence."""
    rng = np.random.default_rng(seed)
    confidence = rng.random(samples) ** 0.3
    return ScoredSplit(confidence, rng.random(samples) < confidence)


def logit(scored: ScoredSplit) -> ScoredSplit:
    return ScoredSplit(np.log(scored.confidence / (1 - scored.confidence)), scored.correct)


def test_all_scores_are_calibrated_by_one_rule_whatever_they_mean():
    val, test = scored(0), scored(1)
    found = [
        reliability(val, test, "probability", **RESAMPLING),
        reliability(logit(val), logit(test), "log_odds", **RESAMPLING),
        reliability(val, test, "rank", **RESAMPLING),
    ]
    assert {one.calibrator_description for one in found} == {"isotonic and Platt on 600 validation samples"}
    assert found[0].metrics == found[2].metrics == pytest.approx(found[1].metrics, abs=1e-3)  # lines between knots are other curves
    probability = fit_calibrator(val.confidence, val.correct)(test.confidence)
    assert found[0].metrics == calibration_metrics(probability, test.correct)
    assert np.array_equal(found[0].metric_replicates, bootstrap_calibration(probability, test.correct, resample_count=100, seed=3))


def test_the_raw_score_is_measured_too_where_it_means_a_probability():
    val, test = scored(0), scored(1)
    expected = calibration_metrics(test.confidence, test.correct)
    assert reliability(val, test, "probability", **RESAMPLING).raw_metrics == expected
    assert reliability(logit(val), logit(test), "log_odds", **RESAMPLING).raw_metrics == pytest.approx(expected)
    assert reliability(val, test, "rank", **RESAMPLING).raw_metrics is None


def test_replicates_of_segmentation_are_of_whole_images():
    """Check the Brier score of the images that each resample draws, one with no pixel among them."""
    sizes, whole = np.array([400, 0, 150, 50]), scored(1)
    test = ScoredSplit(whole.confidence, whole.correct & (np.arange(600) > 300), sizes)
    measured = reliability(scored(0), test, "probability", **RESAMPLING)
    probability = fit_calibrator(scored(0).confidence, scored(0).correct)(test.confidence)
    squares = np.split((probability - test.correct) ** 2, np.cumsum(sizes)[:-1])
    drawn = np.random.default_rng(3).integers(4, size=(100, 4))
    expected = [np.concatenate([squares[image] for image in row]).mean() for row in drawn]
    assert measured.metric_replicates[:, 2] == pytest.approx(expected)


def test_probabilities_are_learned_on_validation_data_alone():
    val, test = scored(0, samples=5000), scored(1)
    far_off = ScoredSplit(val.confidence**20, val.correct), ScoredSplit(test.confidence**20, test.correct)
    measured = reliability(*far_off, "rank", **RESAMPLING)
    assert measured.calibrator_description == "isotonic and Platt on 5,000 validation samples"
    assert measured.metrics["ece"] < 0.06 < 0.3 < calibration_metrics(far_off[1].confidence, test.correct)["ece"]
    turned = reliability(far_off[0], ScoredSplit(far_off[1].confidence, ~test.correct), "rank", **RESAMPLING)
    assert turned.reliability_bins[["probability", "count"]].equals(measured.reliability_bins[["probability", "count"]])
    assert np.allclose(turned.reliability_bins["accuracy"], 1 - measured.reliability_bins["accuracy"])


def test_the_curve_has_the_bins_that_hold_something():
    test = ScoredSplit(np.array([0.1, 0.12, 0.99]), np.array([False, True, True]))
    curve = reliability(scored(0), test, "probability", **RESAMPLING).reliability_bins
    probability = fit_calibrator(scored(0).confidence, scored(0).correct)(test.confidence)
    means = [pytest.approx(probability[:2].mean()), probability[2]]
    assert curve.to_dict("list") == {"probability": means, "accuracy": [0.5, 1], "count": [2, 1]}
