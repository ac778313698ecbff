"""Differences between methods on the same resamples: their intervals, p-values, correction and verdicts in words."""

import re

import numpy as np
import pandas as pd
import pytest
from test_comparison import evaluation, parsed

from confidnet_core.comparison.differences import holm_correction, mean_bootstrap_replicates, method_differences, significance_tables
from confidnet_core.comparison.frames import comparison_frame
from confidnet_core.comparison.rendering import table_to_markdown
from confidnet_core.evaluation.intervals import metric_intervals
from confidnet_core.evaluation.result import Evaluation, evaluate
from confidnet_core.metrics import METRICS
from confidnet_core.metrics.bootstrap import bootstrap

AUROC = METRICS.index("auroc")


def scored(distances: dict[str, float], n: int = 1000, seed: int = 0) -> tuple[list[Evaluation], dict[tuple, np.ndarray]]:
    """Scores of one set of predictions, whose errors lie so many standard deviations below the successes."""
    generator = np.random.default_rng(0)
    correct, common = generator.random(n) > 0.2, generator.normal(size=n)
    evaluations, replicates = [], {}
    for method, distance in distances.items():
        confidence = common + 0.3 * generator.normal(size=n) + distance * correct
        evaluations.append(evaluate(confidence, correct, benchmark="digits", seed=seed, method=method, oracle=method == "tcp"))
        replicates["digits", seed, method] = bootstrap(confidence, correct, resample_count=400, seed=0)
    return evaluations, replicates


def compared(distances: dict[str, float], against: tuple[str, ...] = ("mcp",)) -> pd.DataFrame:
    evaluations, replicates = scored(distances)
    found = method_differences(comparison_frame(evaluations), mean_bootstrap_replicates(replicates), against, 0.95)
    return found.set_index(["method", "against", "metric"])


def test_an_interval_is_the_central_part_of_the_resamples_in_which_the_metric_is_defined():
    rows = np.tile(np.arange(101.0)[:, None], (1, len(METRICS)))
    rows[:50, AUROC], rows[:, AUROC + 1] = np.nan, np.nan
    found = metric_intervals({("digits", "mcp"): rows}, 0.9, ["benchmark", "method"]).loc["digits", "mcp"]
    assert found[["accuracy_low", "accuracy_high", "auroc_low", "auroc_high"]].tolist() == pytest.approx([5, 95, 52.5, 97.5])
    assert found[["aurc_low", "aurc_high"]].isna().all()


def test_replicates_are_averaged_over_seeds_and_undefined_where_one_is():
    rows = {("digits", seed, "mcp"): np.full((3, 11), seed, np.float32) for seed in (1, 2)} | {("other", 0, "mcp"): np.ones((3, 11))}
    rows["digits", 2, "mcp"][0, 0] = np.nan
    means = mean_bootstrap_replicates(rows)
    assert list(means) == [("digits", "mcp"), ("other", "mcp")]
    assert np.isnan(means["digits", "mcp"][0, 0]) and means["digits", "mcp"][1].tolist() == [1.5] * 11


def test_a_clear_difference_is_significant_either_way_and_equal_scores_differ_by_chance():
    found = compared({"mcp": 1.0, "good": 2.0, "bad": 0.3, "same": 1.0})
    verdicts = found["verdict"].unstack("metric").droplevel("against")
    for metric in ("aupr_error", "auroc", "aurc", "augrc", "fpr_at_95_tpr", "risk_at_80_coverage", "coverage_at_5_risk"):
        assert verdicts[metric].to_dict() == {"good": "better", "bad": "worse", "same": "no significant difference"}


def test_the_difference_is_of_the_data_and_its_interval_is_paired():
    evaluations, replicates = scored({"mcp": 1.0, "good": 1.1})
    row = (
        method_differences(comparison_frame(evaluations), mean_bootstrap_replicates(replicates), ["mcp"], 0.95)
        .set_index("metric")
        .loc["auroc"]
    )
    assert row["difference"] == pytest.approx(evaluations[1].metrics["auroc"] - evaluations[0].metrics["auroc"])
    paired = replicates["digits", 0, "good"][:, AUROC] - replicates["digits", 0, "mcp"][:, AUROC]
    assert [row["low"], row["high"]] == pytest.approx(np.quantile(paired, [0.025, 0.975]))
    alone = np.ptp(np.quantile(replicates["digits", 0, "good"][:, AUROC], [0.025, 0.975]))
    assert row["high"] - row["low"] < alone  # they share most of their noise


def test_the_p_value_counts_the_resamples_of_the_other_sign_twice():
    frame = comparison_frame([evaluation("mcp", auroc=0.8), evaluation("late", auroc=0.85)])
    paired = np.r_[np.full(95, 0.05), np.full(4, -0.01)]
    replicates = {("digits", "mcp"): np.zeros((99, 11)), ("digits", "late"): np.tile(paired[:, None], (1, 11))}
    found = method_differences(frame, replicates, ["mcp"], 0.95).set_index("metric")
    assert found["p"]["auroc"] == pytest.approx(2 * 5 / 100)
    assert found["verdict"]["auroc"] == "no significant difference"


def test_two_scores_that_are_one_have_p_of_one():
    frame, rows = comparison_frame([evaluation("mcp"), evaluation("copy")]), np.random.default_rng(0).random((50, 11))
    found = method_differences(frame, {("digits", "mcp"): rows, ("digits", "copy"): rows}, ["mcp"], 0.95)
    assert found["p"].eq(1).all() and found["verdict"].eq("no significant difference").all()


def test_each_pair_is_compared_once_and_never_with_the_oracle_or_what_is_not_there():
    found = compared({"mcp": 1.0, "entropy": 1.1, "late": 1.2, "tcp": 3.0}, against=("mcp", "entropy", "absent"))
    pairs = found.index.droplevel("metric").unique().tolist()
    assert pairs == [("entropy", "mcp"), ("late", "mcp"), ("late", "entropy")]
    assert set(found.index.get_level_values("metric")) == set(METRICS) - {"accuracy"}


def test_nothing_to_compare_with_is_an_empty_table_and_no_text():
    frame = comparison_frame([evaluation("mcp")])
    found = method_differences(frame, {("digits", "mcp"): np.zeros((10, 11))}, ["mcp"], 0.95)
    assert len(found) == 0 and "verdict" in found and significance_tables(found, frame, 0.95) == {}


def test_holms_correction_by_hand():
    """Sorted 0.01, 0.02, 0.03, 0.5: times 4, 3, 2, 1, and never below one before."""
    p = pd.Series([0.03, 0.01, np.nan, 0.5, 0.02])
    assert holm_correction(p).tolist() == pytest.approx([0.06, 0.04, np.nan, 0.5, 0.06], nan_ok=True)
    assert holm_correction(pd.Series([0.9, 0.8])).tolist() == [1, 1]


def test_holms_correction_is_within_a_benchmark_and_metric():
    found = compared({"mcp": 1.0, "a": 1.2, "b": 1.3, "c": 1.05}, against=("mcp",)).reset_index()
    for _, group in found.groupby("metric"):
        assert group["p_corrected"].tolist() == pytest.approx(holm_correction(group["p"]).tolist())


@pytest.mark.slow
def test_scores_without_a_difference_are_rarely_significant():
    """Of 200 pairs whose errors lie equally deep, about 5 % are below 0.05 on their own."""
    generator, below = np.random.default_rng(1), 0
    for trial in range(200):
        correct = generator.random(400) > 0.15
        common = generator.normal(size=400) + 1.2 * correct
        first, second = (bootstrap(common + 0.5 * generator.normal(size=400), correct, resample_count=200, seed=trial) for _ in range(2))
        frame = comparison_frame([evaluation("mcp", auroc=0.8), evaluation("other", auroc=0.9)])
        found = method_differences(frame, {("digits", "mcp"): first, ("digits", "other"): second}, ["mcp"], 0.95).set_index("metric")
        below += found["p"]["auroc"] < 0.05
    assert 1 <= below <= 22


def test_an_undefined_difference_has_no_verdict_and_is_shown_as_undefined():
    frame = comparison_frame([evaluation("mcp", auroc=None), evaluation("late")])
    rows = np.random.default_rng(0).random((50, 11))
    found = method_differences(frame, {("digits", "mcp"): rows, ("digits", "late"): rows + 1}, ["mcp"], 0.95)
    assert np.isnan(found.set_index("metric")["verdict"]["auroc"])
    (drawn,) = significance_tables(found, frame, 0.95)["digits"]
    (cells,) = parsed(table_to_markdown(drawn))
    assert cells["late"]["AUROC ↑"] == "–"  # noqa: RUF001


def test_the_verdict_stands_in_words_above_its_table_with_the_errors_it_rests_on():
    evaluations, replicates = scored({"mcp": 1.0, "entropy": 1.0, "good": 2.0, "bad": 0.2})
    frame = comparison_frame(evaluations)
    compared = method_differences(frame, mean_bootstrap_replicates(replicates), ["mcp", "entropy"], 0.95)
    (drawn,) = significance_tables(compared, frame, 0.95)["digits"]
    text = table_to_markdown(drawn)
    assert text.startswith("### Differences from MCP and Entropy\n")
    assert f"AUPR-Error, on {evaluations[0].errors} errors:" in text
    assert "- against MCP: significantly better: good; significantly worse: bad; no significant difference: Entropy\n" in text
    assert "- against Entropy: significantly better: good; significantly worse: bad\n" in text
    (cells,) = parsed(text)
    assert re.fullmatch(r"\+\d+\.\d\d ▲ \[\+.*, \+.*\]", cells["good"]["AUPR-Error ↑"])
    assert "after Holm correction for 5 comparisons" in text
