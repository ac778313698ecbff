"""Differences between methods on the same resamples: their intervals, p-values, correction and verdicts in words."""

import re

import numpy as np
import pandas as pd
import pytest
from test_comparison import evaluation, parsed

from confidnet_core.comparison.differences import DIFFERENCE_COLUMNS, holm_correction, method_differences, significance_tables
from confidnet_core.comparison.frames import comparison_frame
from confidnet_core.comparison.rendering import table_to_markdown
from confidnet_core.comparison.uncertainty import insufficiency, interval_frame, resampled_metrics
from confidnet_core.evaluation.intervals import UnitCounts, difference_interval, two_sided_p_values
from confidnet_core.evaluation.result import evaluate
from confidnet_core.metrics import METRICS
from confidnet_core.metrics.bootstrap import bootstrap

AUROC = METRICS.index("auroc")


def scored(
    distances: dict[str, float], n: int = 1000, seeds: int = 1, error_rate: float = 0.2, scatter: float = 0.0
) -> tuple[pd.DataFrame, dict[tuple, np.ndarray]]:
    """Scores of one set of predictions, whose errors lie so many standard deviations below the successes, in each of several trainings.

    scatter: by how much the distances differ from training to training, up and down in turn
    """
    generator = np.random.default_rng(0)
    correct, common = np.arange(n) >= round(error_rate * n), generator.normal(size=n)
    evaluations, replicates = [], {}
    for seed in range(seeds):
        for method, distance in distances.items():
            confidence = common + 0.3 * generator.normal(size=n) + (distance + scatter * (-1) ** seed * (method != "mcp")) * correct
            evaluations.append(evaluate(confidence, correct, benchmark="digits", seed=seed, method=method, oracle=method == "tcp"))
            replicates["digits", seed, method] = bootstrap(confidence, correct, resample_count=400, seed=0)
    return comparison_frame(evaluations), replicates


def compared(distances: dict[str, float], against: tuple[str, ...] = ("mcp",), **settings) -> pd.DataFrame:
    frame, replicates = scored(distances, **settings)
    found = method_differences(frame, resampled_metrics(frame, replicates), against, 0.95)
    return found.set_index(["method", "against", "metric"])


def by_hand(values: dict[str, float | None], rows: dict[str, np.ndarray]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The evaluations of scores with this AUROC and these replicates (resamples, metrics), and their differences from MCP."""
    frame = comparison_frame([evaluation(method, auroc=value) for method, value in values.items()])
    replicates = {("digits", 0, method): method_rows for method, method_rows in rows.items()}
    return frame, method_differences(frame, resampled_metrics(frame, replicates), ["mcp"], 0.95)


def test_a_clear_difference_is_significant_either_way_and_equal_scores_differ_by_chance():
    found = compared({"mcp": 1.0, "good": 2.0, "bad": 0.3, "same": 1.0})
    verdicts = found["verdict"].unstack("metric").droplevel("against")
    for metric in ("aupr_error", "auroc", "aurc", "augrc", "fpr_at_95_tpr", "risk_at_80_coverage"):
        assert verdicts[metric].to_dict() == {"good": "better", "bad": "worse", "same": "no significant difference"}


def test_a_coverage_at_a_risk_is_compared_without_a_verdict():
    found = compared({"mcp": 1.0, "good": 2.0}).loc["good", "mcp"]
    assert found.loc["coverage_at_5_risk", "difference"] > 0
    assert found.loc[["coverage_at_1_risk", "coverage_at_5_risk"], ["low", "high", "p", "p_corrected", "verdict"]].isna().all(axis=None)


def test_the_difference_is_of_the_data_and_its_interval_is_paired():
    frame, replicates = scored({"mcp": 1.0, "good": 1.1})
    resampled = resampled_metrics(frame, replicates)
    row = method_differences(frame, resampled, ["mcp"], 0.95).set_index("metric").loc["auroc"]
    good, mcp = frame.set_index("method")["auroc"][["good", "mcp"]]
    assert row["difference"] == pytest.approx(good - mcp)
    differences = resampled["digits", "good"] - resampled["digits", "mcp"]
    low, high = (ends[AUROC] for ends in difference_interval(differences, 0.95, includes_trainings=False))
    assert [row["low"], row["high"]] == [low, high]
    assert row["p"] == two_sided_p_values(differences, includes_trainings=False)[AUROC]
    alone = interval_frame(resampled, 0.95).loc[("digits", "good")]
    assert high - low < alone["auroc_high"] - alone["auroc_low"]  # they share most of their noise


def test_two_scores_that_are_one_have_p_of_one():
    rows = np.random.default_rng(0).random((50, 11))
    found = by_hand({"mcp": 0.5, "copy": 0.5}, {"mcp": rows, "copy": rows})[1].dropna(subset="p")
    assert len(found) == 8 and found["p"].eq(1).all() and found["verdict"].eq("no significant difference").all()


@pytest.mark.parametrize(
    ("error_rate", "verdict", "words"),
    [
        (0.0, "too few errors", "0 errors among 40 test predictions: too few to compare scores; about 6 are needed."),
        (0.025, "too few errors", "1 error among 40 test predictions: too few to compare scores; about 6 are needed."),
        (0.125, "too few errors", "5 errors among 40 test predictions: too few to compare scores; about 6 are needed."),
        (1.0, "too few correct predictions", "0 correct predictions among 40 test predictions: too few to compare scores"),
    ],
)
def test_with_too_little_data_there_is_a_sentence_in_place_of_a_verdict(error_rate: float, verdict: str, words: str):
    frame, replicates = scored({"mcp": 1.0, "good": 3.0}, n=40, error_rate=error_rate)
    found = method_differences(frame, resampled_metrics(frame, replicates), ["mcp"], 0.95)
    assert set(found["verdict"].dropna()) == set(found["networks_verdict"].dropna()) == {verdict}
    assert found[["low", "high", "p", "p_corrected"]].isna().all(axis=None)
    (drawn,) = significance_tables(found, frame, 0.95)["digits"]
    assert drawn.rows == () and table_to_markdown(drawn).startswith(f"### Differences from MCP\n\n{words}")


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ((6000, 2000, 5, 5, 5), "5 test images: too few to compare scores; at least 6 are needed"),
        ((6000, 2000, 20, 3, 20), "errors in 3 of 20 test images: too few to compare scores; about 6 are needed"),
        ((6000, 4000, 20, 20, 4), "correct predictions in 4 of 20 test images: too few to compare scores; about 6 are needed"),
        ((6000, 25, 20, 20, 20), "0.42 % of the pixels of 20 test images are errors: too few to compare scores; about 1 % are needed"),
        ((6000, 60, 20, 20, 20), None),
    ],
)
def test_images_are_counted_where_pixels_err_together(counts: tuple[int, ...], words: str | None):
    samples, errors, *units = counts
    unit_counts = UnitCounts(samples, errors, *units, effective=float(min(units)))
    frame = comparison_frame([evaluation("mcp", samples=samples, errors=errors)], {("digits", 0): unit_counts})
    reason = insufficiency(frame)
    assert (reason and reason.sentence) == words


def test_with_one_seed_and_with_two_verdicts_are_about_the_trained_networks():
    for seeds, asked in ((1, "this trained network"), (2, "these trained networks")):
        found = compared({"mcp": 1.0, "good": 2.0}, seeds=seeds)
        assert set(found["question"]) == {asked}
        for column in ("low", "high", "p", "p_corrected", "verdict"):
            pd.testing.assert_series_equal(found[column], found[f"networks_{column}"], check_names=False)


def test_from_three_trainings_on_verdicts_are_about_the_method_trained_anew_beside_those_of_the_networks():
    alike, apart = (compared({"mcp": 1.0, "good": 1.4}, seeds=5, scatter=scatter).loc[("good", "mcp", "auroc")] for scatter in (0.0, 0.6))
    assert alike["question"] == apart["question"] == "the method trained anew"
    assert alike["verdict"] == alike["networks_verdict"] == apart["networks_verdict"] == "better"
    assert apart["verdict"] == "no significant difference" and apart["low"] < 0 < apart["networks_low"]


def test_both_questions_have_a_table_that_names_them():
    frame, replicates = scored({"mcp": 1.0, "good": 1.4}, seeds=5, scatter=0.6)
    anew, networks = significance_tables(method_differences(frame, resampled_metrics(frame, replicates), ["mcp"], 0.95), frame, 0.95)[
        "digits"
    ]
    assert "AUPR-Error of the method trained anew, on 200 + 200" in anew.notes[0]
    assert "intervals for the method trained anew, on new test data" in " ".join(anew.legend)
    assert networks.title == "The same for these trained networks alone"
    assert "- against MCP: significantly better: good" in networks.notes[1]
    assert "- against MCP: no significant difference: good" in anew.notes[1]


def test_each_pair_is_compared_once_and_never_with_the_oracle_or_what_is_not_there():
    found = compared({"mcp": 1.0, "entropy": 1.1, "late": 1.2, "tcp": 3.0}, against=("mcp", "entropy", "absent"))
    pairs = found.index.droplevel("metric").unique().tolist()
    assert pairs == [("entropy", "mcp"), ("late", "mcp"), ("late", "entropy")]
    assert set(found.index.get_level_values("metric")) == set(METRICS) - {"accuracy"}


def test_nothing_to_compare_with_is_an_empty_table_and_no_text():
    frame, found = by_hand({"mcp": 0.5}, {"mcp": np.zeros((10, 11))})
    assert len(found) == 0 and list(found) == DIFFERENCE_COLUMNS and significance_tables(found, frame, 0.95) == {}


def test_holms_correction_by_hand():
    """Sorted 0.01, 0.02, 0.03, 0.5: times 4, 3, 2, 1, and never below one before."""
    p = pd.Series([0.03, 0.01, np.nan, 0.5, 0.02])
    assert holm_correction(p).tolist() == pytest.approx([0.06, 0.04, np.nan, 0.5, 0.06], nan_ok=True)
    assert holm_correction(pd.Series([0.9, 0.8])).tolist() == [1, 1]


def test_holms_correction_is_within_a_benchmark_and_metric():
    found = compared({"mcp": 1.0, "a": 1.2, "b": 1.3, "c": 1.05}, against=("mcp",)).reset_index()
    for _, group in found.groupby("metric"):
        assert group["p_corrected"].tolist() == pytest.approx(holm_correction(group["p"]).tolist(), nan_ok=True)


def test_an_undefined_difference_has_no_verdict_and_is_shown_as_undefined():
    rows = np.random.default_rng(0).random((50, 11))
    frame, found = by_hand({"mcp": None, "late": 0.5}, {"mcp": rows, "late": rows + 1})
    assert np.isnan(found.set_index("metric")["verdict"]["auroc"])
    (drawn,) = significance_tables(found, frame, 0.95)["digits"]
    (cells,) = parsed(table_to_markdown(drawn))
    assert cells["late"]["AUROC ↑"] == "–"  # noqa: RUF001


def test_the_verdict_stands_in_words_above_its_table_with_the_errors_it_rests_on():
    frame, replicates = scored({"mcp": 1.0, "entropy": 1.0, "good": 2.0, "bad": 0.2})
    compared = method_differences(frame, resampled_metrics(frame, replicates), ["mcp", "entropy"], 0.95)
    (drawn,) = significance_tables(compared, frame, 0.95)["digits"]
    text = table_to_markdown(drawn)
    assert text.startswith("### Differences from MCP and Entropy\n")
    assert f"AUPR-Error of this trained network, on {frame['errors'][0]} errors:" in text
    assert "- against MCP: significantly better: good; significantly worse: bad; no significant difference: Entropy\n" in text
    assert "- against Entropy: significantly better: good; significantly worse: bad\n" in text
    (cells,) = parsed(text)
    assert re.fullmatch(r"\+\d+\.\d\d ▲ \[\+.*, \+.*\]", cells["good"]["AUPR-Error ↑"])
    assert "after Holm correction for 5 comparisons" in text
