"""Metrics by other projects' conventions: compared with hand-computed cases and, where the project uses it, with scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from confidnet_core.metrics import failure_metrics
from confidnet_core.metrics.conventions import metrics_by_project_convention

PERFECT = ([0.9, 0.8, 0.2, 0.1], [1, 1, 0, 0])


def synthetic(n: int, decimals: int | None = None, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    correct = generator.random(n) < 0.9
    confidence = generator.normal(size=n) + 1.5 * correct
    return confidence if decimals is None else confidence.round(decimals), correct


@pytest.mark.parametrize(
    ("project", "metric", "value"),
    [
        # Kept are 1, 2, 3, 4 samples with 0, 0, 1, 2 errors: the risks 0, 0, 1/3, 1/2. With half of all wrong, 1/2 + 1/2 ln 1/2 = 0.1534.
        ("published", "aurc", 1 / 24),
        ("published", "e_aurc", -0.1118),
        ("crl", "aurc", 5 / 24),
        ("crl", "e_aurc", 0.0549),
        ("fd_shifts", "aurc", 7 / 48),
        ("fd_shifts", "e_aurc", -0.00759),
        ("fd_shifts", "augrc", 1 / 8),
        ("torch_uncertainty", "aurc", 7 / 36),
        ("torch_uncertainty", "augrc", 1 / 6),
        ("published", "fpr_at_95_tpr", None),
        ("crl", "fpr_at_95_tpr", 0),
        ("fd_shifts", "fpr_at_95_tpr", 0),
        ("crl", "aupr_success", 1),
    ],
)
def test_a_perfect_ranking_by_hand(project: str, metric: str, value: float | None):
    found = metrics_by_project_convention(*PERFECT)[project][metric]
    assert found is None if value is None else found == pytest.approx(value, abs=5e-5)


@pytest.mark.parametrize(("correct", "crl", "torch_uncertainty"), [([0, 1, 1, 1], 25 / 48, 0.4861), ([1, 1, 1, 0], 1 / 16, 1 / 24)])
def test_a_constant_confidence_depends_on_the_order_in_some_projects(correct: list, crl: float, torch_uncertainty: float):
    found = metrics_by_project_convention([0.5] * 4, correct)
    assert found["crl"]["aurc"] == pytest.approx(crl)
    assert found["torch_uncertainty"]["aurc"] == pytest.approx(torch_uncertainty, abs=5e-5)
    assert found["fd_shifts"]["aurc"] == pytest.approx(0.25)
    assert found["published"]["aurc"] is None
    assert failure_metrics([0.5] * 4, correct)["aurc"] == pytest.approx(0.25)


def test_a_saturated_score_looks_excellent_by_the_published_rule():
    """Nine of ten samples, one of them an error, share the highest confidence: there are two thresholds, and full coverage is ignored."""
    confidence, correct = [1.0] * 90 + [0.5] * 5 + [0.1] * 5, [1] * 80 + [0] * 10 + [1] * 10
    found = metrics_by_project_convention(confidence, correct)
    assert found["published"]["aurc"] == pytest.approx(0.05 * (10 / 90 + 10 / 95) / 2)
    assert failure_metrics(confidence, correct)["aurc"] > 0.1


@pytest.mark.parametrize(("tpr_above", "found"), [(950, 0.3), (949, None)])
def test_the_published_fpr_is_missing_where_no_threshold_hits_its_band(tpr_above: int, found: float | None):
    right = np.r_[np.full(tpr_above, 1.0), np.zeros(1000 - tpr_above)]
    wrong = np.r_[np.full(30, 1.0), np.zeros(70)]
    confidence, correct = np.r_[right, wrong], np.r_[np.ones(1000), np.zeros(100)].astype(int)
    assert metrics_by_project_convention(confidence, correct)["published"]["fpr_at_95_tpr"] == (
        None if found is None else pytest.approx(found)
    )


@pytest.mark.parametrize("decimals", [None, 1])
@pytest.mark.parametrize("seed", range(5))
def test_rates_are_those_of_scikit_learn_read_by_each_projects_rule(decimals: int | None, seed: int):
    confidence, correct = synthetic(800, decimals, seed)
    found = metrics_by_project_convention(confidence, correct)
    fpr, tpr, _ = sklearn_metrics.roc_curve(correct, confidence)
    assert found["crl"]["fpr_at_95_tpr"] == pytest.approx(fpr[np.argmin(np.abs(tpr - 0.95))])
    fpr, tpr, _ = sklearn_metrics.roc_curve(correct, confidence, drop_intermediate=False)
    assert found["fd_shifts"]["fpr_at_95_tpr"] == pytest.approx(fpr[tpr >= 0.9495].min())
    precision, recall, _ = sklearn_metrics.precision_recall_curve(correct, confidence)
    assert found["crl"]["aupr_success"] == pytest.approx(sklearn_metrics.auc(recall, precision))


@pytest.mark.parametrize("decimals", [None, 1])
def test_the_published_scan_spelled_out(decimals: int | None):
    confidence, correct = synthetic(3000, decimals)
    low, high = confidence.min(), confidence.max()
    fpr = None
    for step in range(10_000):
        threshold = low + (high - low) / 10_000 * step
        if fpr is None and 0.9495 <= np.mean(confidence[correct] >= threshold) <= 0.9505:
            fpr = np.mean(confidence[~correct] >= threshold)
    above = [confidence > value for value in np.unique(confidence)[:-1]]
    found = metrics_by_project_convention(confidence, correct)["published"]
    assert found["fpr_at_95_tpr"] == (None if fpr is None else pytest.approx(fpr))
    area = sklearn_metrics.auc([np.mean(kept) for kept in above], [np.mean(~correct[kept]) for kept in above])
    assert found["aurc"] == pytest.approx(area)


def test_without_ties_the_mean_of_risks_is_ours_and_augrc_nearly():
    confidence, correct = synthetic(5000)
    ours, found = failure_metrics(confidence, correct), metrics_by_project_convention(confidence, correct)
    assert found["crl"]["aurc"] == pytest.approx(ours["aurc"])
    assert found["fd_shifts"]["augrc"] == pytest.approx(ours["augrc"], abs=1e-12)
    assert found["torch_uncertainty"]["augrc"] == pytest.approx(ours["augrc"], abs=1e-4)


@pytest.mark.parametrize("outcome", [0, 1])
@pytest.mark.parametrize("n", [1, 5])
def test_where_all_outcomes_are_equal_rates_are_undefined_and_risks_are_not(outcome: int, n: int):
    found = metrics_by_project_convention(np.arange(n), [outcome] * n)
    assert {found[project]["fpr_at_95_tpr"] for project in ("published", "crl", "fd_shifts")} == {None}
    assert found["fd_shifts"]["aurc"] == found["crl"]["aurc"] == 1 - outcome
    assert found["fd_shifts"]["e_aurc"] == found["crl"]["e_aurc"] == 0
    assert found["torch_uncertainty"]["aurc"] == (None if n == 1 else 1 - outcome)


def test_bad_input_is_refused_as_everywhere():
    with pytest.raises(ValueError, match="1 of 2 confidences are NaN or infinite"):
        metrics_by_project_convention([0.1, np.nan], [1, 0])
    with pytest.raises(ValueError, match="there are no samples"):
        metrics_by_project_convention([], [])
