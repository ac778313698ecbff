"""`confidnet watch` as its users run it: what it says of new answers, its exit codes, its page, and what it refuses."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_lines import refused, run
from watched import THRESHOLD, draw, model, write_days

from confidnet_core.files import read_json, write_json
from confidnet_core.monitoring.reference import MAX_REFERENCE_SAMPLES, load_reference, save_reference
from confidnet_core.monitoring.watching import watch_model


@pytest.fixture
def packed(tmp_path: Path) -> str:
    return str(model(tmp_path / "model"))


def watched(*arguments: str, code: int) -> str:
    found, out, err = run("watch", *arguments)
    assert (found, err) == (code, "")
    return " ".join(out.split())


def test_answers_like_the_calibration_data_raise_no_alarm_and_nobody_knows_their_error_rate(packed, tmp_path):
    write_days(tmp_path, 8)
    out = watched(packed, str(tmp_path / "day-*.csv"), code=0)
    assert "800 answers (day-00.csv to day-07.csv, 8 periods), compared with 500 calibration samples" in out
    assert "Drift: none found. (A false alarm, ever, has a probability of at most 5.0 %.)" in out
    assert "nobody knows the error rate" in out and "like those of the calibration data" in out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"shift": 1.5}, "confidences: other than those of the calibration data"),
        ({"shift": -4.0}, r"coverage: 8\d\.\d % expected \(\d+\.\d to \d+\.\d\), 3\d\.\d % seen"),
        ({"classes": 2}, r"share of owl: 3\d\.\d % in the calibration data, 0\.0 % seen"),
    ],
)
def test_a_change_is_found_with_the_words_that_it_need_not_be_harm(packed, tmp_path, change, said):
    out = watched(packed, *write_days(tmp_path, 6, **change), code=3)
    assert re.search(said, out) and "found after day-0" in out
    assert "It does not say that more answers are wrong" in out


def test_a_change_that_comes_late_is_found_when_it_comes(packed, tmp_path):
    paths = write_days(tmp_path, 10)
    for path in paths[6:]:
        answers = pd.read_csv(path).assign(confidence=lambda frame: frame["confidence"] / 3)
        answers.drop(columns="accepted").to_csv(path, index=False)
    findings = json.loads(run("watch", packed, *paths, "--json")[1])
    after = {question["kind"]: question["alarm_after"] for question in findings["drift"]["questions"] if not question["class"]}
    assert after["confidences"] in ("day-06.csv", "day-07.csv") and after["coverage"] in ("day-06.csv", "day-07.csv")


@pytest.mark.parametrize(("risk", "verdict", "code"), [(0.0, "kept", 0), (0.05, "open", 0), (0.3, "broken", 4)])
def test_labels_say_whether_the_guarantee_is_kept(packed, tmp_path, risk, verdict, code):
    paths = write_days(tmp_path, 8, labelled=0.3, risk=risk)
    out = watched(packed, *paths, "--labels", str(tmp_path / "labels.csv"), code=code)
    assert f"Guarantee: {verdict}. " in out and "rejected answers with labels" in out
    assert "nobody knows" not in out


@pytest.mark.parametrize("labelled", [0, 20])
def test_labels_of_rejected_answers_alone_leave_the_guarantee_open(packed, tmp_path, labelled):
    day = draw(200, 0)
    day.drop(columns="true").to_csv(tmp_path / "day.csv", index=False)
    rejected = day[day["confidence"] < THRESHOLD].rename(columns={"true": "label"})
    assert len(rejected) >= labelled
    rejected[["file", "label"]].head(labelled).to_csv(tmp_path / "labels.csv", index=False)
    words = ["watch", packed, str(tmp_path / "day.csv"), "--labels", str(tmp_path / "labels.csv"), "--page", str(tmp_path / "watch.html")]
    assert "Guarantee: open. " in watched(*words[1:], code=0)
    guarantee = json.loads(run(*words[:5], "--json")[1])["guarantee"]
    assert (guarantee["labelled"], guarantee["accepted"]) == (labelled, 0)


def test_the_json_is_strict_and_has_the_figures_of_each_period(packed, tmp_path):
    paths = write_days(tmp_path, 3, labelled=0.5)
    labels = str(tmp_path / "labels.csv")
    code, out, _ = run("watch", packed, *paths, "--labels", labels, "--json")
    findings = json.loads(out, parse_constant=lambda name: pytest.fail(name))
    days = [pd.read_csv(path) for path in paths]
    assert [period["accepted"] for period in findings["periods"]] == [int(day["accepted"].sum()) for day in days]
    assert [period["labelled_accepted"] for period in findings["periods"]] == [int(day["accepted"].head(50).sum()) for day in days]
    assert findings["exit_code"] == code == 0 and findings["guarantee"]["labelled"] == 150
    assert findings["model"]["expected_coverage"] == pytest.approx((draw(500, 1000)["confidence"] >= THRESHOLD).mean())
    assert len(findings["drift"]["questions"]) == 2 + 2 * 3


def test_asked_every_day_the_earlier_days_stay_as_they_were(packed, tmp_path):
    paths = write_days(tmp_path, 5, shift=0.3)
    today, yesterday = (json.loads(run("watch", packed, *paths[:days], "--json")[1]) for days in (5, 4))
    largest = [[question["largest_evidence"] for question in found["drift"]["questions"]] for found in (yesterday, today)]
    assert all(before <= after for before, after in zip(*largest, strict=True))


def test_periods_can_be_the_values_of_a_column_and_a_file_parquet(packed, tmp_path):
    days = pd.concat([draw(50, seed=day).assign(date=f"2026-03-0{day + 1}") for day in range(3)])
    days.sample(frac=1, random_state=0).drop(columns=["true", "class_index"]).to_parquet(tmp_path / "all.parquet")
    findings = json.loads(run("watch", packed, str(tmp_path / "all.parquet"), "--period", "date", "--json")[1])
    assert [(period["name"], period["answers"]) for period in findings["periods"]] == [(f"2026-03-0{day}", 50) for day in (1, 2, 3)]


def test_another_target_risk_and_a_model_without_a_threshold(packed, tmp_path):
    day = draw(100, 0).drop(columns=["true", "accepted"])
    day.to_csv(tmp_path / "day.csv", index=False)
    assert json.loads(run("watch", packed, str(tmp_path / "day.csv"), "--risk", "0.2", "--json")[1])["periods"][0]["accepted"] == 100
    assert "thresholds for 0.05, 0.2" in refused("watch", packed, str(tmp_path / "day.csv"), "--risk", "0.3")
    none = str(model(tmp_path / "none", threshold=None))
    assert "nothing is accepted at this target risk, since 59 are needed" in watched(none, str(tmp_path / "day.csv"), code=0)
    day[["file", "label"]].to_csv(tmp_path / "labels.csv", index=False)
    refusal = refused("watch", none, str(tmp_path / "day.csv"), "--labels", str(tmp_path / "labels.csv"))
    assert refusal == "--labels: the model has no guarantee for a target risk of 0.05, since 59 are needed"


def test_the_page_shows_every_chart_and_needs_no_network(packed, tmp_path):
    paths = write_days(tmp_path, 4, labelled=0.4, shift=2.0)
    watched(packed, *paths, "--labels", str(tmp_path / "labels.csv"), "--page", str(tmp_path / "out/watch.html"), code=3)
    page = (tmp_path / "out/watch.html").read_text()
    titles = ("Coverage", "Evidence of drift", "Error rate among accepted answers", "Evidence against the guarantee", "Classes")
    assert [page.count(f"<h2>{title}</h2>") for title in titles] == [1] * 5
    assert not re.search(r"https?://|<script|nan|inf\b", page)
    assert page.count("<circle") == 8 and "Drift found, first after day-0" in page


@pytest.mark.parametrize("count", [0, 1])
def test_one_answer_or_a_day_without_answers_is_no_fault(packed, tmp_path, count):
    frames = draw(1, 0), draw(count, 1)
    for name, frame in zip("ab", frames, strict=True):
        frame.drop(columns="true").to_csv(tmp_path / f"{name}.csv", index=False)
    watched(packed, str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), "--page", str(tmp_path / "watch.html"), code=0)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda frame: frame.drop(columns="confidence"), "has no column confidence; it has file, label, class_index, accepted"),
        (lambda frame: frame.drop(columns=["label", "class_index"]), "has no column label or class_index"),
        (lambda frame: frame.rename(columns={"file": "a\nb"}), "has no column file; it has a\\nb, label, class_index"),
        (lambda frame: frame.assign(confidence=frame["confidence"].mask(frame.index == 3)), "row 5: confidence is nan; expected a finite"),
        (lambda frame: frame.assign(label="cow"), "row 2: label is cow; expected one of the model's classes (cat, dog, owl)"),
        (lambda frame: frame.drop(columns="label").assign(class_index=3), "row 2: class_index is 3; expected a whole number from 0 to 2"),
        (lambda frame: frame.assign(accepted=True), "give --risk as the answers were given, or their model"),
        (lambda frame: frame.assign(accepted="maybe"), "row 2: accepted is maybe; expected true or false"),
        (lambda frame: frame.head(0), "holds no answers; expected a row for each image"),
    ],
)
def test_wrong_answers_are_refused_with_file_column_and_row(packed, tmp_path, edit, message):
    edit(draw(40, 0).drop(columns="true")).to_csv(tmp_path / "day.csv", index=False)
    refusal = refused("watch", packed, str(tmp_path / "day.csv"))
    assert message in refusal and "day.csv" in refusal


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"file": ["0-1.png", "x.png"], "label": ["cat", "cat"]}, "labels.csv row 3: x.png has no answer"),
        ({"file": ["0-1.png"] * 2, "label": ["cat", "dog"]}, "labels.csv row 3: 0-1.png was labelled before"),
        ({"file": ["0-1.png"], "label": ["cow"]}, "labels.csv row 2: label is cow"),
        ({"name": ["0-1.png"], "label": ["cat"]}, "labels.csv has no column file"),
    ],
)
def test_wrong_labels_are_refused(packed, tmp_path, rows, message):
    paths = write_days(tmp_path, 1)
    pd.DataFrame(rows).to_csv(tmp_path / "labels.csv", index=False)
    assert message in refused("watch", packed, *paths, "--labels", str(tmp_path / "labels.csv"))


def test_a_label_of_an_image_that_was_answered_twice_is_refused_and_of_others_taken(packed, tmp_path):
    for name in "ab":
        draw(5, 0).assign(file=["same.png", *(f"{name}{at}.png" for at in range(4))]).drop(columns="true").to_csv(tmp_path / f"{name}.csv")
    answers, labels = [str(tmp_path / "a.csv"), str(tmp_path / "b.csv")], tmp_path / "labels.csv"
    labels.write_text("file,class_index\nb0.png,1\nsame.png,1\n")
    assert "labels.csv row 3: same.png is the name of several answers" in refused("watch", packed, *answers, "--labels", str(labels))
    labels.write_text("file,class_index\nb3.png,1\na0.png,1\n")
    assert json.loads(run("watch", packed, *answers, "--labels", str(labels), "--json")[1])["guarantee"]["labelled"] == 2


def test_what_cannot_be_watched_is_refused_with_the_way_out(packed, tmp_path):
    day = write_days(tmp_path, 1)[0]
    assert "names no file" in refused("watch", packed, str(tmp_path / "none-*.csv"))
    assert "is given twice" in refused("watch", packed, day, day)
    assert "expected a probability between 0 and 1" in refused("watch", packed, day, "--false-alarms", "5")
    (tmp_path / "broken.csv").write_bytes(b"\xff\xfe\x00")
    assert "broken.csv cannot be read" in refused("watch", packed, str(tmp_path / "broken.csv"))
    assert "segmentation" in refused("watch", str(model(tmp_path / "maps", segmentation=True)), day)
    assert "holds no model; expected a folder" in refused("watch", str(tmp_path), day)
    (Path(packed) / "reference.npz").unlink()
    assert "`confidnet register pets --champion` registers it anew" in refused("watch", packed, day)


def test_a_model_carries_at_most_ten_thousand_samples_spread_over_the_data(tmp_path):
    count = 2 * MAX_REFERENCE_SAMPLES + 1
    write_json(tmp_path / "model.json", {"segmentation": False})
    write_json(tmp_path / "threshold.json", {"thresholds": []})
    confidence = np.random.default_rng(0).permutation(count).astype(np.float32)
    save_reference(tmp_path, confidence, (confidence % 3).astype(np.uint8), confidence % 2 == 0)
    reference = load_reference(tmp_path)
    assert len(reference.confidence) == MAX_REFERENCE_SAMPLES and (np.diff(reference.confidence) > 0).all()
    np.testing.assert_array_equal(reference.class_index, reference.confidence % 3)
    np.testing.assert_array_equal(reference.correct, reference.confidence % 2 == 0)
    assert abs(reference.confidence.mean() / count - 0.5) < 0.02
    assert read_json(tmp_path / "model.json") == {"segmentation": False}


def test_labels_may_spell_a_file_or_a_class_in_another_unicode_form(tmp_path: Path):
    folder = model(tmp_path / "model", samples=60)
    facts = read_json(folder / "model.json")
    write_json(folder / "model.json", {**facts, "classes": ["caf\u00e9", "dog", "owl"]})
    answers = draw(9, seed=3).replace("cat", "cafe\u0301").assign(file=[f"e\u0301{at}.png" for at in range(9)])
    answers.drop(columns="true").to_csv(tmp_path / "answers.csv", index=False)
    labels = answers[["file", "true"]].rename(columns={"true": "label"})
    labels.map(lambda text: text.replace("e\u0301", "\u00e9")).to_csv(tmp_path / "labels.csv", index=False)
    watch = watch_model(folder, [str(tmp_path / "answers.csv")], [str(tmp_path / "labels.csv")])
    assert watch.guarantee is not None
