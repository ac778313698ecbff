"""Tests of whether a target risk is exceeded, against SciPy's, and by how often they reject a target that is met."""

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_1samp

from confidnet_core.evaluation.at_threshold import images_excess_p_value, samples_excess_p_value


@pytest.mark.parametrize(("accepted", "errors"), [(1, 0), (1, 1), (7, 0), (7, 2), (655, 34), (100_000, 5_100)])
@pytest.mark.parametrize("target", [0.01, 0.05, 0.5])
def test_of_samples_it_is_the_exact_binomial_test(accepted: int, errors: int, target: float):
    expected = binomtest(errors, accepted, target, alternative="greater").pvalue
    assert samples_excess_p_value(accepted, errors, target) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_34_errors_among_655_are_compatible_with_5_percent():
    assert samples_excess_p_value(655, 34, 0.05) == pytest.approx(0.44, abs=0.01)


def test_of_images_it_is_the_t_test_of_what_is_wrong_less_the_targets_part_of_what_is_accepted():
    random = np.random.default_rng(0)
    accepted = random.random(20)
    wrong = accepted * random.random(20) * 0.2
    expected = ttest_1samp(wrong - 0.08 * accepted, 0, alternative="greater").pvalue
    assert images_excess_p_value(accepted, wrong, 0.08) == pytest.approx(expected, rel=1e-9)


def test_images_that_are_all_alike_decide_and_one_image_does_not():
    alike = np.full(5, 0.5)
    assert (images_excess_p_value(alike, alike, 0.1), images_excess_p_value(alike, 0.1 * alike, 0.1)) == (0, 1)
    assert images_excess_p_value(alike[:1], alike[:1], 0.1) is None


def test_a_target_that_is_just_met_is_rejected_in_at_most_5_of_100_test_splits():
    random = np.random.default_rng(1)
    rejected = [samples_excess_p_value(400, int(random.binomial(400, 0.05)), 0.05) < 0.05 for _ in range(4000)]
    assert 0.02 < np.mean(rejected) <= 0.055
