"""The words on top: the best score, what it is better than, and what cannot be said; by hand."""

import numpy as np
import pandas as pd
import pytest

from confidnet_core.comparison.differences import method_differences
from confidnet_core.comparison.uncertainty import interval_frame, resampled_metrics, with_unit_columns
from confidnet_core.comparison.verdicts import BenchmarkVerdict, benchmark_verdicts
from confidnet_core.metrics import METRICS

AUPR = METRICS.index("aupr_error")


def verdict(
    values: dict[str, float], against: tuple[str, ...] = ("mcp",), noise: float = 0.0, seeds: int = 1, errors: int = 70
) -> BenchmarkVerdict:
    """METHOD -> AUPR-Error; all other metrics are 1/2. noise: deviation of that of the last method over the resamples."""
    rows, replicates = [], {}
    for method, value in values.items():
        for seed in range(seeds):
            facts = {"benchmark": "toy", "seed": seed, "method": method, "oracle": method == "tcp", "samples": 1200, "errors": errors}
            rows.append(facts | dict.fromkeys(METRICS, 0.5) | {"accuracy": 1 - errors / 1200, "aupr_error": value + 0.01 * seed})
            replicates["toy", seed, method] = np.full((400, len(METRICS)), 0.5)
            noise_of_method = np.random.default_rng(0).normal(0, noise, 400) * (method == list(values)[-1])
            replicates["toy", seed, method][:, AUPR] = value + 0.01 * seed + noise_of_method
    frame = with_unit_columns(pd.DataFrame(rows))
    resampled = resampled_metrics(frame, replicates)
    found = method_differences(frame, resampled, against, confidence_level=0.95)
    return benchmark_verdicts(frame, found, interval_frame(resampled, 0.95), 0.95)["toy"]


def test_a_significantly_better_score_is_better_by_its_points_on_so_many_errors():
    best, short, details = verdict({"mcp": 0.4, "entropy": 0.3, "margin": 0.5}, ("mcp", "entropy"))
    assert best == ("margin",)
    assert short == (
        "Margin has the highest AUPR-Error, 50.00 [50.00, 50.00], on 70 errors among 1,200 test predictions of this trained network: "
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
    assert "TCP reads the labels: its 90.00 [90.00, 90.00] is not that of a competing method." in details
    assert verdict({"tcp": 0.9}).best_methods == ()


def test_scores_with_equal_values_are_best_together():
    best, short, details = verdict({"mcp": 0.4, "entropy": 0.3, "tta": 0.5, "stack": 0.5})
    assert best == ("tta", "stack")
    assert short.startswith("TTA and Stack have the highest AUPR-Error, 50.00 [50.00, 50.00], on 70 errors")
    assert short.endswith(": significantly better than MCP, by +10.00 percentage points [+10.00, +10.00].")
    assert "is selected on this test set, so its value is slightly optimistic." in (chosen := details[-2]) and "Next is" not in chosen
    details = " ".join(verdict({"mcp": 0.3, "entropy": 0.4, "tta": 0.5, "stack": 0.5}).further_sentences)
    assert "Next is Entropy with 40.00 [40.00, 40.00]; TTA and Stack were not tested against it." in details
    short = verdict({"mcp": 0.5, "margin": 0.5}).summary_sentence
    assert short.startswith("MCP and Margin have the highest") and short.endswith(
        "MCP is itself a score that all others are compared with."
    )
    assert "Next is" not in " ".join(verdict({"mcp": 0.5, "margin": 0.5}).further_sentences)


@pytest.mark.parametrize(
    ("errors", "words", "rate"),
    [
        (0, "0 errors among 1,200 test predictions: too few to compare scores; about 6 are needed.", "0.00 %, with an exact"),
        (1, "1 error among 1,200 test predictions: too few to compare scores; about 6 are needed.", "interval of 0.00 to 0.46 %."),
        (3, "3 errors among 1,200 test predictions: too few to compare scores; about 6 are needed.", "interval of 0.05 to 0.73 %."),
        (1200, "0 correct predictions among 1,200 test predictions: too few", "interval of 99.69 to 100.00 %."),
    ],
)
def test_with_too_few_errors_nothing_is_best_and_the_error_rate_has_its_bounds(errors: int, words: str, rate: str):
    best, short, details = verdict({"mcp": 0.5, "margin": 1.0}, errors=errors)
    assert best == () and short.startswith(words) and rate in details[0]
    assert "significant" not in " ".join([short, *details]) and "highest" not in short
    assert "0 + 0 " in verdict({"mcp": 0.5}, seeds=2, errors=0).summary_sentence


def test_what_was_not_tested_is_not_claimed():
    details = " ".join(verdict({"mcp": 0.4, "entropy": 0.5, "margin": 0.6}).further_sentences)
    assert "The best of 3 scores is selected on this test set" in details
    assert "Next is Entropy with 50.00 [50.00, 50.00]; Margin was not tested against it." in details
    assert "was not tested" not in " ".join(verdict({"mcp": 0.5, "margin": 0.6}).further_sentences)


def test_other_metrics_may_have_other_winners():
    assert "By the other metrics the best is MCP and Margin by FPR@95%TPR, " in " ".join(
        verdict({"mcp": 0.4, "margin": 0.5}).further_sentences
    )


def test_what_verdicts_are_about_is_said_with_one_seed_with_two_and_with_more():
    assert (
        verdict({"mcp": 0.4, "margin": 0.5})
        .further_sentences[-1]
        .startswith("Verdicts and intervals are about this trained network on new test data.")
    )
    _, short, details = verdict({"mcp": 0.4, "margin": 0.5}, seeds=2)
    assert "50.50 ± 0.71 [50.50, 50.50], on 70 + 70 errors among 1,200 test predictions in 2 trainings" in short
    assert details[-2].startswith("All numbers are means over 2 trainings; ±")
    assert "about these trained networks on new test data: 2 trainings are too few to say what another would give" in details[-1]
    _, short, details = verdict({"mcp": 0.4, "margin": 0.5}, seeds=3)
    assert "51.00 ± 1.00 [48.52, 53.48], on 70 + 70 + 70 errors" in short  # t with 2 degrees of freedom, on the logit scale
    assert "about the method trained anew, on new test data." in details[-2]
    assert details[-1] == "For these trained networks alone, against MCP: significantly better: Margin."


def test_with_nothing_to_compare_with_there_is_still_a_best():
    assert verdict({"mcp": 0.4, "margin": 0.5}, against=()).summary_sentence.endswith(
        "[50.00, 50.00], on 70 errors among 1,200 test predictions of this trained network."
    )
