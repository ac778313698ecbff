"""The words on top: the best score, what it is better than, and what cannot be said; by hand."""

import numpy as np
import pandas as pd
import pytest

from confidnet_core.comparison.differences import method_differences
from confidnet_core.comparison.verdicts import BenchmarkVerdict, benchmark_verdicts
from confidnet_core.evaluation.intervals import metric_intervals
from confidnet_core.metrics import METRICS

AUPR = METRICS.index("aupr_error")


def verdict(
    values: dict[str, float], against: tuple[str, ...] = ("mcp",), noise: float = 0.0, seeds: int = 1, errors: int = 7
) -> BenchmarkVerdict:
    """METHOD -> AUPR-Error; all other metrics are 1/2. noise: deviation of that of the last method over the resamples."""
    rows, replicates = [], {}
    for method, value in values.items():
        for seed in range(seeds):
            facts = {"benchmark": "toy", "seed": seed, "method": method, "oracle": method == "tcp", "samples": 1200, "errors": errors}
            rows.append(facts | dict.fromkeys(METRICS, 0.5) | {"aupr_error": value + 0.01 * seed})
        replicates["toy", method] = np.full((400, len(METRICS)), 0.5)
        replicates["toy", method][:, AUPR] = value + np.random.default_rng(0).normal(0, noise, 400) * (method == list(values)[-1])
    frame = pd.DataFrame(rows)
    if not 0 < errors < 1200:
        frame["auroc"] = np.nan
    found = method_differences(frame, replicates, against, confidence_level=0.95)
    return benchmark_verdicts(frame, found, metric_intervals(replicates, 0.95, ["benchmark", "method"]))["toy"]


def test_a_significantly_better_score_is_better_by_its_points_on_so_many_errors():
    best, short, details = verdict({"mcp": 0.4, "entropy": 0.3, "margin": 0.5}, ("mcp", "entropy"))
    assert best == ("margin",)
    assert short == (
        "Margin has the highest AUPR-Error, 50.00 [50.00, 50.00], on 7 errors among 1,200 test predictions: "
        "significantly better than MCP, by +10.00 percentage points [+10.00, +10.00]; "
        "significantly better than Entropy, by +20.00 percentage points [+20.00, +20.00]."
    )
    assert "Against MCP: significantly better: Margin; significantly worse: Entropy." in details


def test_a_lead_that_could_be_chance_is_called_so():
    short = verdict({"mcp": 0.4, "margin": 0.5}, noise=0.2).summary_sentence
    assert "no significant difference from MCP, +10.00 percentage points [-" in short and "better" not in short


def test_a_lead_that_only_the_correction_for_comparisons_takes_away_is_called_so():
    short = verdict({"mcp": 0.4, **{f"other{place}": 0.4 for place in range(9)}, "margin": 0.5}, noise=0.0465).summary_sentence
    assert "no significant difference from MCP after Holm correction, +10.00 percentage points [+" in short


def test_what_others_are_compared_with_can_be_best_and_differences_are_seen_from_it():
    best, short, _ = verdict({"mcp": 0.6, "entropy": 0.5, "margin": 0.4}, ("mcp", "entropy"))
    assert best == ("mcp",)
    assert "significantly better than Entropy, by +10.00 percentage points" in short and short.endswith(
        "MCP is itself a score that all others are compared with."
    )


def test_the_oracle_is_a_bound_and_never_best():
    best, short, details = verdict({"mcp": 0.4, "margin": 0.5, "tcp": 0.9})
    assert best == ("margin",) and "TCP" not in short
    assert "TCP reads the labels: 90.00 [90.00, 90.00] is an upper bound, not a competing method." in details
    assert verdict({"tcp": 0.9}).best_methods == ()


def test_scores_with_equal_values_are_best_together():
    best, short, details = verdict({"mcp": 0.4, "entropy": 0.3, "tta": 0.5, "stack": 0.5})
    assert best == ("tta", "stack")
    assert short.startswith("TTA and Stack have the highest AUPR-Error, 50.00 [50.00, 50.00], on 7 errors")
    assert short.endswith(": significantly better than MCP, by +10.00 percentage points [+10.00, +10.00].")
    assert "is selected on this test set, so its value is slightly optimistic." in (chosen := details[-1]) and "Next is" not in chosen
    details = " ".join(verdict({"mcp": 0.3, "entropy": 0.4, "tta": 0.5, "stack": 0.5}).further_sentences)
    assert "Next is Entropy with 40.00 [40.00, 40.00]; TTA and Stack were not tested against it." in details
    short = verdict({"mcp": 0.5, "margin": 0.5}).summary_sentence
    assert short.startswith("MCP and Margin have the highest") and short.endswith(
        "MCP is itself a score that all others are compared with."
    )
    assert "Next is" not in " ".join(verdict({"mcp": 0.5, "margin": 0.5}).further_sentences)


@pytest.mark.parametrize("errors", [0, 1200])
def test_where_all_predictions_end_alike_nothing_is_best(errors: int):
    best, short, details = verdict({"mcp": np.nan if errors == 0 else 1.0, "margin": 1.0}, errors=errors)
    assert best == () and details == ()
    assert short.startswith(f"Nothing to rank: on {errors:,} errors among 1,200 test predictions.")


def test_what_was_not_tested_is_not_claimed():
    details = " ".join(verdict({"mcp": 0.4, "entropy": 0.5, "margin": 0.6}).further_sentences)
    assert "The best of 3 scores is selected on this test set" in details
    assert "Next is Entropy with 50.00 [50.00, 50.00]; Margin was not tested against it." in details
    assert "was not tested" not in " ".join(verdict({"mcp": 0.5, "margin": 0.6}).further_sentences)


def test_other_metrics_may_have_other_winners():
    assert "By the other metrics the best is MCP and Margin by FPR@95%TPR, " in " ".join(
        verdict({"mcp": 0.4, "margin": 0.5}).further_sentences
    )


def test_several_trainings_have_a_mean_and_a_spread_which_the_interval_is_not():
    _, short, details = verdict({"mcp": 0.4, "margin": 0.5}, seeds=2)
    assert "50.50 ± 0.71 [50.00, 50.00], on 7 + 7 errors among 1,200 test predictions in 2 trainings" in short
    assert details[-1].startswith("All numbers are means over 2 trainings") and "another training" in details[-1]


def test_with_nothing_to_compare_with_there_is_still_a_best():
    assert verdict({"mcp": 0.4, "margin": 0.5}, against=()).summary_sentence.endswith(
        "[50.00, 50.00], on 7 errors among 1,200 test predictions."
    )
