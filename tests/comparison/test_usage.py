"""Calibration, and thresholds with a guarantee, as tables: their numbers by hand."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn_tables import drawn, table_of

from confidnet_core.comparison.risk_guarantees import risk_guarantee_frame, risk_guarantee_tables
from confidnet_core.comparison.sections import calibration_frame, calibration_tables
from confidnet_core.comparison.tables import UNDEFINED_SIGN
from confidnet_core.config.params import Thresholds
from confidnet_core.evaluation.at_threshold import ScoredSplit
from confidnet_core.evaluation.result import evaluate, save_evaluation
from confidnet_core.evaluation.stored import StoredResults
from confidnet_core.evaluation.thresholds import guaranteed_thresholds, reliability, save_thresholds
from confidnet_core.metrics.calibration import CALIBRATION_METRICS, calibration_metrics


def scored(seed: int, samples: int) -> ScoredSplit:
    rng = np.random.default_rng(seed)
    confidence = rng.random(samples) ** 0.2
    return ScoredSplit(confidence, rng.random(samples) < confidence)


@pytest.fixture
def all_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[StoredResults]:
    """Two seeds of two methods and an oracle, as the stages store them."""
    monkeypatch.chdir(tmp_path)
    for seed in (0, 1):
        val, calibration, test = (scored(5 * seed + start, 400) for start in (10, 20, 30))
        for method, oracle, scale in (("mcp", False, "probability"), ("margin", False, "rank"), ("tcp", True, "rank")):
            facts = {"benchmark": "toy", "seed": seed, "method": method, "oracle": oracle, "scale": scale}
            one = evaluate(test.confidence, test.correct, **facts)
            save_evaluation(Path(f"data/scores/toy/seed{seed}/{method}"), {"test": test.confidence}, one, one, {})
            found = reliability(val, test, scale, resample_count=100, seed=0)
            guaranteed = guaranteed_thresholds(val, calibration, test, Thresholds(risks=(0.001, 0.3), serve=0.3, delta=0.1))
            save_thresholds(Path(f"data/thresholds/toy/seed{seed}/{method}"), found, guaranteed)
    return [StoredResults("toy", seed, ("mcp", "margin", "tcp")) for seed in (0, 1)]


def test_probabilities_have_a_row_a_seed_and_method_but_the_oracle_with_quantiles_as_intervals(all_stored: list[StoredResults]):
    found = calibration_frame(all_stored, confidence_level=0.8)
    assert found[["seed", "method", "how"]].to_numpy().tolist() == [
        [seed, method, "isotonic and Platt on 400 validation samples"] for seed in (0, 1) for method in ("mcp", "margin")
    ]
    replicates = np.load("data/thresholds/toy/seed1/margin/replicates.npy")
    ends = found.iloc[3][["brier_low", "brier_high"]].tolist()
    assert ends == pytest.approx(np.quantile(replicates[:, 2], [0.1, 0.9]).tolist())


def test_a_calibration_error_has_no_interval_and_a_mere_ranking_no_raw_one(all_stored: list[StoredResults]):
    found = calibration_frame(all_stored, confidence_level=0.8)
    with_interval = {name.removesuffix("_low") for name in found if name.endswith("_low")}
    assert with_interval == {name.removesuffix("_high") for name in found if name.endswith("_high")} == {"brier", "nll"}
    raw = found[[f"raw_{metric}" for metric in CALIBRATION_METRICS]]
    assert raw[found["method"] == "margin"].isna().all(axis=None)
    test = scored(30, 400)
    assert raw.iloc[0].tolist() == pytest.approx(list(calibration_metrics(test.confidence, test.correct).values()))


def test_the_table_of_probabilities_means_over_seeds_and_says_where_they_come_from(all_stored: list[StoredResults]):
    found = calibration_frame(all_stored, confidence_level=0.8)
    header, mcp, margin = table_of(drawn(calibration_tables(found)["toy"]))
    assert header == ["method", "ECE ↓", "adaptive ECE ↓", "Brier ↓", "NLL ↓", "raw ECE ↓", "raw NLL ↓"]
    assert "sigmoid of the ranks (isotonic and Platt on 400 validation samples)." in drawn(calibration_tables(found)["toy"])
    of_mcp = found[found["method"] == "mcp"]
    shown = [100 * of_mcp[name].mean() for name in ("brier", "brier_low", "brier_high")]
    assert mcp[3] == f"{shown[0]:.2f} [{shown[1]:.2f}, {shown[2]:.2f}]"
    assert mcp[1] == f"{100 * of_mcp['ece'].mean():.2f}"
    assert mcp[5:] == [f"{100 * of_mcp[name].mean():.2f}" for name in ("raw_ece", "raw_nll")] and margin[5:] == [UNDEFINED_SIGN] * 2
    without = calibration_frame(all_stored, 0.8, benchmarks_without_intervals={"toy"})
    assert without[["brier_low", "nll_high"]].isna().all(axis=None) and without["brier"].equals(found["brier"])


def test_seeds_with_other_validation_samples_are_all_named_and_the_legend_says_that_these_are_means():
    rows = [
        ("toy", 0, "mcp", "isotonic and Platt on 8 validation samples", 0.1),
        ("toy", 1, "mcp", "isotonic and Platt on 9 validation samples", 0.3),
        ("other", 0, "mcp", "isotonic and Platt on 7 validation samples", 0.2),
    ]
    keys = pd.DataFrame(rows, columns=["benchmark", "seed", "method", "how", "value"])
    names = [f"{prefix}{metric}" for prefix in ("", "raw_") for metric in CALIBRATION_METRICS]
    frame = keys[["benchmark", "seed", "method", "how"]].join(pd.DataFrame(dict.fromkeys(names, keys["value"])))
    found = {name: drawn(tables) for name, tables in calibration_tables(frame).items()}
    assert table_of(found["toy"])[1] == table_of(found["other"])[1] == ["MCP", *["20.00"] * 6]
    assert "(isotonic and Platt on 8 validation samples, isotonic and Platt on 9 validation samples)" in found["toy"]
    assert "Means over seeds" in found["toy"] and "seeds" not in found["other"]


def test_guarantees_have_a_row_a_target_with_what_became_of_it(all_stored: list[StoredResults]):
    found = risk_guarantee_frame(all_stored)
    assert found[["seed", "method", "risk"]].to_numpy().tolist() == [
        [seed, method, risk] for seed in (0, 1) for method in ("mcp", "margin") for risk in (0.001, 0.3)
    ]
    assert found[found["risk"] == 0.001]["threshold"].isna().all() and found[found["risk"] == 0.3]["threshold"].notna().all()
    assert {"coverage", "bound", "test_coverage", "test_risk", "test_p"} < set(found)


def guarantee(
    method: str, threshold: float | None, *numbers: float | None, p: float | None = 0.5, seed: int = 0, risk: float = 0.05, **facts: int
) -> dict:
    """numbers: coverage, test coverage, test risk; p: that the test risk is so high by chance. facts: samples, errors, units, min_units."""
    coverage, test_coverage, test_risk = numbers or (0.0, 0.0, None)
    of_test = {"test_coverage": test_coverage, "test_risk": test_risk, "test_p": None if test_risk is None else p}
    of_test |= {"test_accepted": 655, "test_errors": None if test_risk is None else round(655 * test_risk)}
    exceeded = "exceeded" if p is not None and p < 0.05 else "compatible"
    of_test["test_verdict"] = None if test_risk is None else "met" if test_risk <= risk else exceeded
    keys = {"benchmark": "toy", "seed": seed, "method": method, "risk": risk, "delta": 0.1, "threshold": threshold, "coverage": coverage}
    return keys | of_test | {"samples": 400, "errors": 16, "units": 400, "min_units": round(2.95 / risk)} | facts


def tabled(*rows: dict) -> tuple[list[list[str]], str]:
    """The rows of the tables, and the legend."""
    text = drawn(risk_guarantee_tables(pd.DataFrame(rows))["toy"])
    return table_of(text)[1:], text.split("\n\n")[-1]


def test_the_table_of_guarantees_of_what_the_stages_stored(all_stored: list[StoredResults]):
    found = risk_guarantee_frame(all_stored)
    text = drawn(risk_guarantee_tables(found)["toy"])
    assert (
        "At most 0.1 % errors: no threshold satisfies the guarantee for any method; the calibration split has 400 samples, and" in text
        and "At most 30 % errors:\n" in text
    )
    header, mcp, margin = table_of(text)
    assert header == ["method", "threshold", "coverage", "test coverage", "test risk", "target on test"]
    assert margin[0] == "Margin"
    of_mcp = found[(found["method"] == "mcp") & (found["risk"] == 0.3)]
    numbers = [f"{100 * of_mcp[name].astype(float).mean():.2f}" for name in ("coverage", "test_coverage", "test_risk")]
    assert mcp[:-1] == ["MCP", "2 of 2", *numbers]
    assert sum(int(number) for number in re.findall(r"(\d) (?:met|compatible|exceeded)", mcp[-1])) == 2


def test_one_seed_shows_its_threshold_and_whether_chance_explains_a_risk_above_the_target():
    rows, legend = tabled(
        guarantee("kept", 0.12345678, 0.8, 0.75, 0.04, p=0.9),
        guarantee("chance", -1.5, 0.9, 0.85, 0.0519, p=0.4432),
        guarantee("more", -1.5, 0.9, 0.85, 0.06, p=0.0123),
        guarantee("no p", -1.5, 0.9, 0.85, 0.06, p=None),
        guarantee("nothing", None),
        guarantee("empty", 3, 0.5, 0.0, None),
        guarantee("float32", float(np.finfo(np.float32).min), 1.0, 1.0, 0.05),
        guarantee("float64", float(np.finfo(np.float64).min), 1.0, 1.0, 0.05),
    )
    assert rows == [
        ["kept", "0.123457", "80.00", "75.00", "4.00", "met (26 of 655)"],
        ["chance", "-1.5", "90.00", "85.00", "5.19", "compatible (34 of 655, p = 0.44)"],
        ["more", "-1.5", "90.00", "85.00", "6.00", "exceeded (39 of 655, p = 0.012)"],
        ["no p", "-1.5", "90.00", "85.00", "6.00", "compatible (39 of 655)"],
        ["nothing", "none", *[UNDEFINED_SIGN] * 4],
        ["empty", "3", "50.00", "0.00", *[UNDEFINED_SIGN] * 2],
        ["float32", "all", "100.00", "100.00", "5.00", "met (33 of 655)"],
        ["float64", "all", "100.00", "100.00", "5.00", "met (33 of 655)"],
    ]
    assert "With probability 0.9," in legend and "for each method and target" in legend
    assert "has 400 samples, of which 16 are predicted incorrectly" in legend
    assert "image" not in legend and "seed" not in legend


def test_of_several_seeds_the_numbers_are_means_over_those_with_a_threshold():
    rows, legend = tabled(
        *(guarantee("all", 0.1 * seed, 0.6 + 0.1 * seed, 0.5 + 0.1 * seed, 0.04 + 0.01 * seed, seed=seed) for seed in (0, 1, 2)),
        guarantee("some", 0.5, 0.8, 0.7, 0.02),
        guarantee("some", None, seed=1),
        guarantee("some", 0.9, 0.4, 0.0, None, seed=2),
        *(guarantee("none", None, seed=seed) for seed in (0, 1, 2)),
        *(guarantee("empty", 0.9, 0.4, 0.0, None, seed=seed) for seed in (0, 1, 2)),
    )
    assert rows == [
        ["all", "3 of 3", "70.00", "60.00", "5.00", "2 met, 1 compatible"],
        ["some", "2 of 3", "60.00", "35.00", "2.00", "1 met"],
        ["none", "none", *[UNDEFINED_SIGN] * 4],
        ["empty", "3 of 3", "40.00", "0.00", *[UNDEFINED_SIGN] * 2],
    ]
    assert "for each method, seed and target" in legend and "means over these" in legend


def test_each_target_has_a_table_of_its_own_from_low_to_high():
    rows = [guarantee("mcp", 0.5, 0.8, 0.7, 0.02, risk=risk) for risk in (0.1, 0.01)] + [guarantee("mcp", None, risk=0.001)]
    text = drawn(risk_guarantee_tables(pd.DataFrame(rows))["toy"])
    assert [line for line in text.splitlines() if line.startswith("At most")] == [
        "At most 0.1 % errors: no threshold satisfies the guarantee for any method; the calibration split has 400 samples, "
        "and at least 2,950 of them accepted without an error are needed.",
        "At most 1 % errors:",
        "At most 10 % errors:",
    ]
    outcomes = ["target on test", "compatible (13 of 655, p = 0.5)", "target on test", "met (13 of 655)"]
    assert [row[-1] for row in table_of(text)] == outcomes


def test_where_units_suffice_it_says_that_no_method_proves_the_target_with_what_it_accepts_first():
    text = drawn(risk_guarantee_tables(pd.DataFrame([guarantee("mcp", None, units=40, samples=4000, min_units=29)]))["toy"])
    assert "the calibration split has 40 images, and at least 29 of them accepted without an error are needed, or more with few" in text
    assert "It takes at least 29 images for 5 % accepted without an error." in text


def test_where_seeds_differ_in_errors_the_legend_says_from_where_to_where():
    facts = [(0, {"errors": 30}), (1, {"errors": 12}), (2, {"errors": 20})]
    _, legend = tabled(*(guarantee("mcp", 0.5, 0.8, 0.7, 0.02, seed=seed, **errors) for seed, errors in facts))
    assert "has 400 samples, of which 12 to 30 are predicted incorrectly" in legend


def test_of_segmentation_the_legend_counts_images_and_pixels():
    _, legend = tabled(guarantee("mcp", 0.5, 0.8, 0.7, 0.02, units=33, samples=5000, errors=700))
    assert "has 33 images with 5,000 labelled pixels, of which 700 are predicted incorrectly" in legend
    assert "every image weighs the same" in legend


def test_the_oracle_alone_has_no_table(all_stored: list[StoredResults]):
    alone = [replace(stored, methods=("tcp",)) for stored in all_stored]
    assert calibration_tables(calibration_frame(alone, confidence_level=0.8)) == risk_guarantee_tables(risk_guarantee_frame(alone)) == {}
