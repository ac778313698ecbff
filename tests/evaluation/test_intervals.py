"""Intervals and p-values of metrics: few errors, values at 0 and 1, images, and several trainings."""

import numpy as np
import pytest
from scipy import stats

from confidnet_core.evaluation.intervals import (
    METRICS_WITHOUT_INTERVAL,
    MIN_RARER_UNITS,
    ResampledMetrics,
    UnitCounts,
    confidence_interval,
    count_units,
    difference_interval,
    exact_binomial_interval,
    standard_errors,
    two_sided_p_values,
)
from confidnet_core.metrics import METRICS, failure_metrics
from confidnet_core.metrics.bootstrap import bootstrap

ACCURACY, AUROC, AUPR, FPR, AURC, E_AURC = (
    METRICS.index(metric) for metric in ("accuracy", "auroc", "aupr_error", "fpr_at_95_tpr", "aurc", "e_aurc")
)


def resampled(confidence: np.ndarray, correct: np.ndarray, pixels_per_image: np.ndarray | None = None) -> ResampledMetrics:
    values = np.array([list(failure_metrics(confidence, correct).values())], float)
    replicates = bootstrap(confidence, correct, resample_count=400, seed=0, pixels_per_image=pixels_per_image)
    return ResampledMetrics(values, replicates[None].astype(np.float32), count_units(correct, pixels_per_image))


def scores(n: int, errors: int, seed: int = 0, separation: float = 1.8) -> tuple[np.ndarray, np.ndarray]:
    correct = np.arange(n) >= errors
    return separation * correct + np.random.default_rng(seed).normal(size=n), correct


def of_trainings(seed_values: list[float], replicates: np.ndarray, rarer: int = 50) -> ResampledMetrics:
    """The same values and replicates (seeds, resamples) for all metrics."""
    values = np.repeat(np.array(seed_values)[:, None], len(METRICS), axis=1)
    return ResampledMetrics(
        values, np.repeat(replicates[..., None], len(METRICS), axis=2), UnitCounts(1000, rarer, 1000, rarer, 1000 - rarer, float(rarer))
    )


def test_units_are_samples_or_images_with_an_error_and_with_a_correct_prediction():
    correct = np.array([True, False, True, True, True, False])
    assert count_units(correct) == UnitCounts(6, 2, 6, 2, 4, 2.0)
    assert count_units(correct, np.array([3, 0, 2, 1])) == UnitCounts(6, 2, 3, 2, 2, 2.0)
    assert count_units(correct, np.array([3, 3])) == UnitCounts(6, 2, 2, 2, 2, 2.0)
    assert count_units(correct).rarer == 2


def test_images_with_unequal_numbers_of_errors_count_as_fewer_equal_ones():
    correct = np.ones(400, bool)
    correct[[0, 100, 200, 201, 202, 203, 204, 205]] = False  # 1, 1, 6 and 0 errors in four images
    assert count_units(correct, np.full(4, 100)) == UnitCounts(400, 8, 4, 3, 4, 8**2 / (1 + 1 + 36))
    nothing = count_units(np.ones(4, bool), np.array([2, 2]))
    assert (nothing.with_errors, nothing.effective) == (0, 0)


@pytest.mark.parametrize("errors", [1, 3, MIN_RARER_UNITS - 1, 200 - 3, 199])
def test_with_too_few_errors_or_correct_predictions_only_the_accuracy_has_an_interval_which_is_exact(errors: int):
    metrics = resampled(*scores(200, errors))
    lows, highs = confidence_interval(metrics, 0.95, includes_trainings=False)
    expected = stats.binomtest(200 - errors, 200).proportion_ci(0.95, method="exact")
    assert (lows[ACCURACY], highs[ACCURACY]) == pytest.approx(expected)
    assert np.isnan(np.delete([lows, highs], ACCURACY, axis=1)).all()
    assert np.isnan(two_sided_p_values(metrics - resampled(*scores(200, errors, seed=1)), includes_trainings=False)).all()
    assert set(standard_errors(metrics.replicates[0], metrics.counts).values()) == {None}


@pytest.mark.parametrize("errors", [0, 20])
def test_without_errors_or_without_correct_predictions_the_error_rate_has_its_exact_bound(errors: int):
    metrics = resampled(*scores(20, errors))
    low, high = (ends[ACCURACY] for ends in confidence_interval(metrics, 0.95, includes_trainings=False))
    assert [low, high] == pytest.approx([1 - 0.1684335, 1] if errors == 0 else [0, 0.1684335])


def test_from_six_errors_on_there_are_intervals_within_zero_and_one_but_none_of_a_coverage_at_a_risk():
    lows, highs = confidence_interval(resampled(*scores(200, MIN_RARER_UNITS)), 0.95, includes_trainings=False)
    for metric, low, high in zip(METRICS, lows, highs, strict=True):
        if metric in METRICS_WITHOUT_INTERVAL:
            assert np.isnan([low, high]).all()
        elif metric != "risk_at_80_coverage":  # most resamples have none
            assert 0 <= low < high <= 1


def test_an_interval_is_students_t_on_the_logit_scale():
    confidence, correct = scores(1000, 80)
    metrics = resampled(confidence, correct)
    low, high = (ends[AUROC] for ends in confidence_interval(metrics, 0.9, includes_trainings=False))

    def logit(fraction):
        return np.log(fraction / (1 - fraction))

    deviation = logit(metrics.replicates[0, :, AUROC].astype(float)).std(ddof=1) * 80 / 79
    centre = logit(metrics.values[0, AUROC])
    assert [logit(low), logit(high)] == pytest.approx([centre + sign * stats.t(79).ppf(0.95) * deviation for sign in (-1, 1)])


def test_a_perfect_score_of_eight_errors_is_not_perfect_for_certain():
    confidence, correct = np.arange(100.0), np.arange(100) >= 8
    lows, highs = confidence_interval(resampled(confidence, correct), 0.95, includes_trainings=False)
    assert [lows[AUROC], highs[AUROC]] == pytest.approx([0.025 ** (1 / 8), 1])
    assert [lows[AUPR], highs[AUPR]] == pytest.approx([0.025 ** (1 / 8), 1])
    assert [lows[FPR], highs[FPR]] == pytest.approx([0, 1 - 0.025 ** (1 / 8)])
    assert np.isnan(lows[E_AURC]) and 0 < lows[AURC] < highs[AURC]  # nothing is known of the first, and the second is not 0


def test_images_give_wider_intervals_than_their_pixels_would_and_count_by_those_with_an_error():
    generator = np.random.default_rng(0)
    correct = generator.random(1000) > np.linspace(0.05, 0.6, 10).repeat(100)  # images differ in their error rate
    confidence = correct + generator.normal(size=1000)
    images, pixels = (
        confidence_interval(resampled(confidence, correct, sizes), 0.95, includes_trainings=False) for sizes in (np.full(10, 100), None)
    )
    assert images[1][AURC] - images[0][AURC] > 1.5 * (pixels[1][AURC] - pixels[0][AURC])
    correct[:-500] = True  # errors in five of the ten images
    assert np.isnan(confidence_interval(resampled(confidence, correct, np.full(10, 100)), 0.95, includes_trainings=False)[0][AUROC])


def test_a_segmentation_with_hardly_any_error_pixels_has_no_interval_however_many_images_have_one():
    for errors_per_image, has_interval in ((1, False), (2, True)):  # of 100 pixels, in 9 of 10 images
        correct = np.ones((30, 100), bool)
        correct[:27, :errors_per_image] = False
        confidence = np.random.default_rng(0).normal(size=3000) + correct.ravel()
        lows, _ = confidence_interval(resampled(confidence, correct.ravel(), np.full(30, 100)), 0.95, includes_trainings=False)
        assert np.isnan(lows[AUPR]) != has_interval and not np.isnan(lows[ACCURACY])


def test_an_exact_binomial_interval_is_that_of_scipy_and_takes_fractions_of_a_trial():
    for successes in (0, 3, 10):
        expected = stats.binomtest(successes, 10).proportion_ci(0.9, method="exact")
        assert exact_binomial_interval(successes / 10, 10, 0.9) == pytest.approx(expected)
    assert exact_binomial_interval(0.2, 10, 0.9) < exact_binomial_interval(0.25, 10, 0.9) < exact_binomial_interval(0.3, 10, 0.9)


def test_a_p_value_is_students_t_and_belongs_to_the_interval():
    differences = of_trainings([0.05], np.random.default_rng(0).normal(0.05, 0.02, (1, 2000)))
    (p_value, *_), deviation = two_sided_p_values(differences, includes_trainings=False), differences.replicates[0, :, 0].std(ddof=1)
    assert p_value == pytest.approx(2 * stats.t(49).sf(0.05 / (deviation * 50 / 49)))
    low, high = (ends[0] for ends in difference_interval(differences, 1 - p_value, includes_trainings=False))
    assert [low, high] == pytest.approx([0, 0.1], abs=1e-9)


def test_equal_scores_have_p_of_one_and_a_difference_without_any_variance_that_of_a_sign_test():
    assert two_sided_p_values(of_trainings([0.0], np.zeros((1, 50))), includes_trainings=False)[AUROC] == 1
    certain = of_trainings([0.2], np.full((1, 50), 0.2), rarer=8)
    assert two_sided_p_values(certain, includes_trainings=False)[AUROC] == 2 * 0.5**8
    undefined = of_trainings([np.nan], np.full((1, 50), np.nan))
    assert np.isnan(two_sided_p_values(undefined, includes_trainings=False)).all()


def test_the_scatter_of_trainings_widens_the_interval_of_the_method_trained_anew_alone():
    on_resamples = np.random.default_rng(0).normal(0, 0.01, (1, 1000))
    alike, apart = (
        of_trainings(values, np.array(values)[:, None] + on_resamples) for values in ([0.05] * 5, [-0.012, 0.155, -0.149, 0.2, 0.056])
    )
    for differences in (alike, apart):
        of_networks = two_sided_p_values(differences, includes_trainings=False)[AUROC]
        assert of_networks == pytest.approx(two_sided_p_values(alike, includes_trainings=False)[AUROC]) and of_networks < 0.001
    assert two_sided_p_values(alike, includes_trainings=True)[AUROC] < 0.01
    p_anew = two_sided_p_values(apart, includes_trainings=True)[AUROC]
    # The test split adds the same to all five, so the scatter is that of the trainings: nearly a t-test over them.
    assert p_anew == pytest.approx(stats.ttest_1samp(apart.values[:, AUROC], 0).pvalue, abs=0.02) and p_anew > 0.3


def test_scatter_that_the_test_split_explains_is_not_counted_twice():
    generator = np.random.default_rng(0)
    replicates = generator.normal(0, 0.03, (5, 2000))  # each training has its own errors
    values = [-0.03, 0.03, 0.0, 0.02, -0.02]
    anew, networks = (
        np.ptp([ends[AUROC] for ends in difference_interval(of_trainings(values, replicates), 0.95, includes_trainings=includes)])
        for includes in (True, False)
    )
    # The same standard error; only how few trainings show that there is no more to it makes the interval wider.
    assert anew == pytest.approx(networks * stats.t(4).ppf(0.975) / stats.t(49).ppf(0.975), rel=0.01)


def test_the_interval_of_a_mean_over_trainings_includes_their_scatter_on_the_logit_scale():
    on_resamples = np.random.default_rng(0).normal(0, 0.01, (1, 1000))
    values = [0.7, 0.8, 0.9]
    metrics = of_trainings(values, np.array(values)[:, None] + on_resamples)
    networks, anew = (confidence_interval(metrics, 0.95, includes_trainings=includes) for includes in (False, True))
    assert networks[0][AUROC] == pytest.approx(0.78, abs=0.005) and networks[1][AUROC] == pytest.approx(0.82, abs=0.005)
    assert 0.4 < anew[0][AUROC] < 0.6 and 0.9 < anew[1][AUROC] < 0.96  # t with 2 degrees of freedom


def test_a_standard_error_is_the_standard_deviation_of_the_defined_replicates():
    replicates = np.full((4, len(METRICS)), np.nan)
    replicates[:, 0] = [0.1, 0.2, 0.4, np.nan]
    replicates[:1, 1] = 0.5
    found = list(standard_errors(replicates, UnitCounts(100, 50, 100, 50, 50, 50.0)).values())
    assert found[0] == pytest.approx(np.std([0.1, 0.2, 0.4], ddof=1))
    assert set(found[1:]) == {None}  # one replicate has no deviation, and none has none either
