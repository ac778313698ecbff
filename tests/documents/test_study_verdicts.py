"""The verdicts of studies whose resamples are not kept follow from their stored values and intervals."""

import numpy as np
import pytest

from confidnet_core.comparison.rendering import frame_to_csv
from confidnet_core.comparison.uncertainty import UNIT_COLUMNS, resampled_metrics
from confidnet_core.evaluation.intervals import two_sided_p_values
from confidnet_core.metrics import METRICS
from docs.study_files import ROOT, read_study
from docs.study_verdicts import STUDIES, method_differences, pair_of_trainings, read_evaluations, replicates_as_wide_as

AUPR = METRICS.index("aupr_error")


@pytest.mark.parametrize("study", STUDIES)
def test_the_committed_verdicts_are_those_that_the_command_writes(study: str):
    evaluations, _ = read_evaluations(study)
    found = frame_to_csv(method_differences(evaluations, read_study(study, "differences")))
    assert found == (ROOT / "reports/studies" / study / "differences.csv").read_text()


def test_two_replicates_have_the_standard_error_of_the_interval():
    replicates = replicates_as_wide_as(np.array([0.5, 0.2]), np.array([0.4, 0.1]), np.array([0.6, 0.3]))
    assert replicates.std(axis=0, ddof=1) == pytest.approx([0.2 / (2 * 1.959964)] * 2, rel=1e-5)
    assert replicates.mean(axis=0) == pytest.approx([0.5, 0.2])


def test_the_digits_study_gives_nearly_the_same_verdicts_by_its_resamples_and_by_its_intervals():
    """What the test split adds to the scatter of trainings counts twice here, so p-values are larger, if anything."""
    stored = read_study("digits", "differences")
    evaluations = read_study("digits", "comparison")[["method", "seed", "samples", "errors", *UNIT_COLUMNS, *METRICS]]
    by_resamples = stored[stored["metric"] == "aupr_error"].set_index(["method", "against"])
    larger = []
    for (method, against), pair in stored.groupby(["method", "against"]):
        ends = {"resamples_low": pair["networks_low"], "resamples_high": pair["networks_high"]}
        differences = pair_of_trainings(evaluations, str(method), str(against), pair.assign(**ends))
        p_value, p_by_resamples = two_sided_p_values(differences, includes_trainings=True)[AUPR], by_resamples.loc[(method, against), "p"]
        assert p_value == pytest.approx(p_by_resamples, abs=0.15)
        larger.append(p_value >= p_by_resamples - 0.01)
    assert np.mean(larger) > 0.9


def test_the_evaluations_of_a_segmentation_count_images():
    evaluations, replicates = read_evaluations("camvid_segnet")
    counts = next(iter(resampled_metrics(evaluations, replicates).values())).counts
    assert (counts.units, counts.rarer, counts.effective) == (233, 233, 233) and counts.samples > 9_000_000
