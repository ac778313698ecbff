"""`judge` on arrays: the figures are those of the metrics and of the comparison, for any number of errors, and wrong input is named."""

import json
from pathlib import Path

import numpy as np
import pytest
from judged import scored

from confidnet_core import ScoredPredictions, judge
from confidnet_core.evaluation.intervals import MIN_RARER_UNITS
from confidnet_core.metrics import failure_metrics
from confidnet_core.metrics.bootstrap import bootstrap
from confidnet_core.metrics.guarantee import threshold_with_guarantee

QUICK = {"resamples": 200, "risks": (0.1,)}
VERDICTS = {"better", "worse", "no significant difference", "too few errors", "too few units"}


def strict_json(judgement) -> dict:
    return json.loads(json.dumps(judgement.to_json(), allow_nan=False))


def test_metrics_are_those_of_failure_metrics_and_the_better_score_is_found():
    correct, confidences = scored(1500)
    judgement = judge(correct, confidences, **QUICK)
    assert (judgement.samples, judgement.errors) == (1500, int((~correct).sum()))
    for name, confidence in confidences.items():
        assert judgement.to_json()["metrics"][name] == failure_metrics(confidence, correct)
    (row,) = judgement.significance.query("metric == 'aupr_error'").to_dict("records")
    assert (row["method"], row["against"], row["verdict"]) == ("mine", "mcp", "better")
    assert judgement.verdict.startswith("mine has the highest AUPR-Error")


def test_intervals_hold_the_value_and_come_from_the_resamples_of_the_seed():
    correct, confidences = scored(400)
    table = judge(correct, confidences, seed=3, **QUICK).table
    assert (table["auroc_low"] < table["auroc"]).all() and (table["auroc"] < table["auroc_high"]).all()
    assert table.equals(judge(correct, confidences, seed=3, **QUICK).table)
    assert not table.equals(judge(correct, confidences, seed=4, **QUICK).table)


def test_validation_gives_calibration_and_calibration_data_give_thresholds():
    correct, confidences = scored(600)
    validation, calibration = scored(300, seed=1), scored(300, seed=2)
    judgement = judge(correct, confidences, validation=validation, calibration=ScoredPredictions(*calibration), **QUICK)
    assert not judgement.left_out and set(judgement.calibration["method"]) == {"mcp", "mine"}
    expected = threshold_with_guarantee(
        calibration[1]["mine"],
        calibration[0],
        target_risk=0.1,
        delta=0.05,
        reference_confidence=validation[1]["mine"],
        reference_correct=validation[0],
    )
    (threshold,) = judgement.thresholds.query("method == 'mine'").to_dict("records")
    assert (threshold["threshold"], threshold["bound"]) == (expected.threshold, expected.bound)
    accepted = confidences["mine"] >= expected.threshold
    assert threshold["test_errors"] == np.count_nonzero(accepted & ~correct)


def test_what_needs_data_that_are_not_there_is_left_out_in_words_and_thresholds_stand_without_validation():
    correct, confidences = scored(300)
    judgement = judge(correct, confidences, **QUICK)
    assert judgement.calibration.empty and judgement.thresholds.empty and len(judgement.left_out) == 2
    judgement = judge(correct, confidences, calibration=scored(300, seed=2), **QUICK)
    assert len(judgement.thresholds) == 2 and ["Calibration" in sentence for sentence in judgement.left_out] == [True]


@pytest.mark.parametrize("errors", [0, 1, 3, MIN_RARER_UNITS - 1])
@pytest.mark.parametrize("inverted", [False, True])
def test_with_too_few_errors_or_correct_predictions_nothing_is_compared(errors: int, inverted: bool):
    correct = np.arange(60) >= errors
    rng = np.random.default_rng(0)
    judgement = judge(correct ^ inverted, {"mcp": rng.random(60), "mine": rng.random(60)}, **QUICK)
    content = strict_json(judgement)
    expected = "too few units" if inverted else "too few errors"
    assert {row["verdict"] for row in content["significance"]} == {expected}
    assert {row["low"] for row in content["significance"]} | {row["p"] for row in content["significance"]} == {None}
    assert (content["metrics"]["mine"]["auroc"] is None) == (errors == 0)


def test_one_prediction_is_judged_without_a_comparison():
    content = strict_json(judge([True], {"mcp": [0.9], "mine": [0.8]}, **QUICK))
    assert (content["samples"], content["errors"], content["metrics"]["mcp"]["aurc"]) == (1, 0, 0.0)
    assert {row["verdict"] for row in content["significance"]} == {"too few units"}


def test_predictions_of_one_unit_are_resampled_together_whatever_their_order():
    correct, confidences = scored(600)
    units = np.repeat(np.arange(60), 10)
    judgement = judge(correct, confidences, units=units, **QUICK)
    expected = bootstrap(confidences["mine"], correct, resample_count=200, seed=0, pixels_per_image=np.full(60, 10))
    assert np.array_equal(judgement.results.replicates["mine"], expected.astype(np.float32))
    mixed = np.argsort(np.tile(np.arange(10), 60), kind="stable")
    again = judge(correct[mixed], {name: values[mixed] for name, values in confidences.items()}, units=units[mixed].astype(str), **QUICK)
    assert again.table.equals(judgement.table)
    assert judgement.to_json()["units"] == 60


def test_units_are_called_by_their_name():
    (correct, confidences), units = scored(400), np.repeat(np.arange(80), 5)
    calibration = (*scored(200, seed=1), units[:200] + 1000)
    named = judge(correct, confidences, units=units, unit_name="patient", calibration=calibration, risks=(0.01,), resamples=200)
    assert named.thresholds["reason"][0].startswith("the calibration split has 40 patients, and at least 299")
    text = str(named) + named.comparison.markdown(named.comparison.main_tables(), {}, named.comparison.further_table_groups())
    assert "40 patients with 200 predictions" in text and "every patient weighs the same" in text
    assert "image" not in text and "pixel" not in text
    few = {name: values[:20] for name, values in confidences.items()}
    assert "4 test patients: too few to compare" in str(judge(correct[:20], few, units=units[:20], unit_name="patients", **QUICK))
    assert "4 test images: too few to compare" in str(judge(correct[:20], few, units=units[:20], unit_name=None, **QUICK))


def test_units_of_one_prediction_each_are_samples():
    correct, confidences = scored(200)
    assert judge(correct, confidences, units=np.arange(200), **QUICK).table.equals(judge(correct, confidences, **QUICK).table)


def test_the_first_score_is_the_reference_where_neither_mcp_nor_entropy_is_given():
    correct, confidences = scored(200)
    names = {"a": confidences["mine"], "b": confidences["mcp"]}
    assert set(judge(correct, names, **QUICK).significance["against"]) == {"a"}
    assert set(judge(correct, names, against=("b",), **QUICK).significance["against"]) == {"b"}


def test_an_oracle_is_shown_and_never_the_best():
    correct, confidences = scored(300)
    judgement = judge(correct, {**confidences, "truth": correct.astype(float)}, oracles=("truth",), **QUICK)
    assert "truth" not in set(judgement.significance["method"]) and judgement.verdict.startswith("mine")
    assert judgement.to_json()["metrics"]["truth"]["auroc"] == 1


def test_a_scale_gives_the_calibration_of_the_score_as_it_is():
    correct, confidences = scored(300)
    probability = {"mine": 1 / (1 + np.exp(-confidences["mine"]))}
    validation = scored(200, seed=1)[0], {"mine": np.linspace(0, 1, 200)}
    assert judge(correct, probability, validation=validation, **QUICK).calibration["raw_ece"].isna().all()
    judged = judge(correct, probability, validation=validation, scales={"mine": "probability"}, **QUICK)
    assert judged.calibration["raw_ece"].notna().all()


def test_a_report_is_written_as_a_whole_and_replaces_only_an_earlier_one(tmp_path: Path):
    correct, confidences = scored(200)
    judgement = judge(correct, confidences, calibration=scored(100, seed=1), **QUICK)
    page = judgement.save(tmp_path / "report")
    assert page == tmp_path / "report/index.html" and "predictions" in page.read_text()
    written = {path.name for path in page.parent.iterdir()}
    tables = {"comparison.csv", "comparison.md", "comparison.tex", "differences.csv", "thresholds.csv"}
    assert written == {"index.html", "judgement.json", "curves", "curves.png"} | tables
    assert json.loads((tmp_path / "report/judgement.json").read_text()) == strict_json(judgement)
    judge(correct, confidences, **QUICK).save(tmp_path / "report")
    assert not (tmp_path / "report/thresholds.csv").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("precious")
    with pytest.raises(ValueError, match=r"holds other files and no judgement\.json"):
        judgement.save(tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_the_page_leaves_out_what_predictions_do_not_have(tmp_path: Path):
    correct, confidences = scored(200)
    text = judge(correct, confidences, **QUICK).save(tmp_path / "report").read_text()
    assert not [part for part in ("Trainings", "Failures", "Data and recipes", "Seconds are not") if part in text]
    assert "A confidence that was given with the predictions." in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"confidences": {}}, "expected at least one score"),
        ({"confidences": {"mine": [0.1, np.nan, 0.3]}}, r"^mine: 1 of 3 confidences are NaN or infinite, the first at index 1"),
        ({"confidences": {"mine": [0.1, 0.2]}}, r"mine has shape \(2,\) and correct \(3,\)"),
        ({"confidences": {"mine": ["a", "b", "c"]}}, "expected real numbers"),
        ({"confidences": {3: [1, 2, 3]}}, "a score has the name 3; expected text"),
        ({"correct": [1, 2, 0]}, "correct"),
        ({"correct": [], "confidences": {"mine": []}}, "there are no samples"),
        ({"units": ["a", "b"]}, r"units have shape \(2,\)"),
        ({"units": ["a", None, "b"]}, "the unit at index 1 is missing"),
        ({"validation": "all"}, r"validation: expected \(correct, confidences\)"),
        ({"validation": ([True], {"other": [1.0]})}, "validation lacks the confidence mine"),
        ({"calibration": ([True], {"mine": [np.inf]})}, "^calibration: mine: 1 of 1 confidences"),
        ({"calibration": ([True], {"mine": [1.0]}, ["a"])}, "only one of the test split and calibration has units"),
        ({"units": list("abc"), "calibration": ([True], {"mine": [1.0]}, ["c"])}, "the unit 'c' is in the split test and in calibration"),
        ({"against": ("mien",)}, "against names mien, which is not among the confidences; did you mean mine"),
        ({"oracles": ("tcp",)}, "oracles names tcp"),
        ({"scales": {"mine": "percent"}}, "scales has 'percent'; expected one of probability, log_odds, rank"),
        ({"risks": (1.5,)}, r"risk is 1\.5; expected a number between 0 and 1"),
        ({"risks": ()}, "expected different error rates, at least one"),
        ({"risks": (0.1, 0.1)}, "expected different error rates"),
        ({"delta": 0}, "delta is 0"),
        ({"level": 95}, "level is 95"),
        ({"resamples": 99}, "resamples is 99; expected 100 to 1,000,000"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_wrong_input_is_named(change: dict, message: str):
    arguments = {"correct": [True, False, True], "confidences": {"mine": [0.9, 0.2, 0.4]}, **change}
    with pytest.raises(ValueError, match=message):
        judge(**arguments)
