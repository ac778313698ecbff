"""The command `judge`, and that it gives the figures of a study on the predictions that the study stored."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_lines import on_terminal, plain, refused, shown
from judged import prediction_table
from small_study import METHODS, small_study

from confidnet_core.comparison.rendering import frame_to_csv
from confidnet_core.config.params import load_params
from confidnet_core.data import load_dataset
from confidnet_core.metrics import METRICS

OPTIONS = ("--probabilities", "p_*", "--confidence", "mine", "--split", "split", "--scores", "mcp,entropy", "--resamples", "100")


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    prediction_table(400).to_csv("mine.csv", index=False)
    return tmp_path / "mine.csv"


def test_it_prints_scores_verdict_thresholds_and_the_path_of_the_report(table: Path):
    text = shown("judge", "mine.csv", *OPTIONS, "--risk", "0.3", "--out", "report")
    assert text.startswith("mine: ") and "has the highest AUPR-Error" in text
    assert "At most 30 % errors:" in text and text.endswith("report: report/index.html\n")
    assert json.loads(Path("report/judgement.json").read_text())["samples"] == 200


def test_json_is_all_that_is_printed_and_holds_the_same_figures_as_the_report(table: Path):
    content = json.loads(shown("judge", "mine.csv", *OPTIONS, "--json", "--out", "report"), parse_constant=pytest.fail)
    assert content == json.loads(Path("report/judgement.json").read_text())
    assert {"metrics", "samples", "errors", "significance", "thresholds"} <= content.keys()
    assert content["metrics"].keys() == {"mcp", "entropy", "mine"} and content["metrics"]["mine"].keys() == set(METRICS)
    expected = {"method", "against", "metric", "difference", "low", "high", "p", "verdict"}
    assert all(expected <= row.keys() for row in content["significance"])


def test_wrong_input_ends_in_one_line_and_writes_nothing(table: Path):
    assert refused("judge", "mine.csv", *OPTIONS, "--label", "lable", "--out", "report").startswith("mine.csv has no column lable, which")
    assert refused("judge", "mine.csv", *OPTIONS, "--risk", "five", "--out", "report").startswith("--risk is five; expected numbers")
    assert refused("judge", "mine.csv", *OPTIONS, "--out", ".").startswith(". holds other files and no judgement.json")
    assert [path.name for path in table.parent.iterdir()] == ["mine.csv"]
    assert refused("judge").startswith("there are no predictions; give CSV, Parquet or NPZ files")


def test_a_terminal_of_80_columns_is_not_overrun(table: Path):
    lines = plain(on_terminal(80, "judge", "mine.csv", *OPTIONS, "--risk", "0.3")).splitlines()
    assert max(map(len, lines)) <= 80


@pytest.mark.slow
def test_the_predictions_of_a_study_give_the_figures_of_its_report(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch):
    monkeypatch.chdir(small_study(tmp_path_factory, tmp_path / "project").folder)
    dataset = load_dataset(Path("data/prepared/digits"))
    own = [method for method in METHODS if method not in ("mcp", "entropy", "tcp")]
    parts = []
    for split in ("test", "val", "calibration"):
        logits = np.load(f"data/predictions/digits/seed0/{split}/logits.npy")
        columns = {f"z_{index}": logits[:, index] for index in range(10)}
        columns |= {method: np.load(f"data/scores/digits/seed0/{method}/{split}.npy") for method in own}
        parts.append(pd.DataFrame({"label": dataset.split(split)[1], "split": split, **columns}))
    pd.concat(parts).to_parquet("predictions.parquet")
    shown(
        *("judge", "predictions.parquet", "--logits", "z_*", "--confidence", ",".join(own), "--scores", "mcp,entropy,tcp"),
        *("--split", "split", "--name", "digits", "--against", "mcp,entropy", "--out", "report"),
        *("--resamples", str(load_params(check_entries=False).bootstrap.resamples)),
    )
    keys = ["method", "against", "metric", "risk"]
    for name in ("comparison", "differences", "calibration", "thresholds"):
        expected, judged = (pd.read_csv(f"{folder}/{name}.csv") for folder in ("reports", "report"))
        # A study knows what scores of its own mean; a column is a ranking, unless it is said to be a probability.
        unknown = [column for column in expected if column.startswith("raw_") or column == "served"]
        expected, judged = (rows.drop(columns=unknown).sort_values([key for key in keys if key in rows]) for rows in (expected, judged))
        if name == "differences":  # the order of the scores decides which of a pair is the first
            expected, judged = (rows[~rows["method"].isin(["mcp", "entropy"])] for rows in (expected, judged))
        assert frame_to_csv(judged) == frame_to_csv(expected[list(judged)])
