"""Tables that are counted and not fetched: equal metrics, paired resamples, curves of counts; from files and from a database."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_lines import refused, shown

from confidnet_core import ScoredPredictions, judge
from confidnet_core.judging import command, table_splits
from confidnet_core.judging.judged_tables import judge_table
from confidnet_core.judging.judgement import NEEDS_CALIBRATION, NEEDS_VALIDATION
from confidnet_core.metrics import failure_metrics
from confidnet_core.tables.columns import Columns
from confidnet_core.tables.files import FileTable

ROWS = 120_000  # above what is fetched


@pytest.fixture(scope="module")
def large() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    quality = rng.normal(size=ROWS).astype(np.float32)
    table = pd.DataFrame({"correct": rng.random(ROWS) < 1 / (1 + np.exp(-2.5 - quality)), "mine": quality})
    table["mcp"] = (quality + rng.normal(size=ROWS).astype(np.float32)).round(1)
    return table


@pytest.fixture(scope="module")
def path(large: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "large.parquet"
    large.to_parquet(path)
    return path


def test_a_counted_table_has_exact_metrics_and_the_verdicts_of_its_rows(large: pd.DataFrame, path: Path, tmp_path: Path):
    with FileTable(path) as table:
        counted = judge_table(table, Columns(("mcp", "mine"), "correct"), resamples=300, name="large")
    content = counted.to_json()
    correct = large["correct"].to_numpy()
    for name in ("mcp", "mine"):
        assert content["metrics"][name] == failure_metrics(large[name].to_numpy(), correct)
    fetched = judge(correct, {name: large[name].to_numpy() for name in ("mcp", "mine")}, resamples=300)
    assert list(counted.significance["verdict"]) == list(fetched.significance["verdict"])
    width, expected = ((frame.table["auroc_high"] - frame.table["auroc_low"]) for frame in (counted, fetched))
    assert np.allclose(width, expected, rtol=0.3)
    assert counted.left_out == (NEEDS_VALIDATION, NEEDS_CALIBRATION) and (counted.samples, counted.errors) == (ROWS, int((~correct).sum()))
    counted.save(tmp_path / "report")
    curve = pd.read_csv(tmp_path / "report/curves/risk_coverage.csv").query("method == 'mine'")
    most_confident = correct[np.argsort(-large["mine"].to_numpy(), kind="stable")]
    exact = [(~most_confident[: round(coverage * ROWS)]).mean() for coverage in curve["coverage"]]
    assert np.allclose(curve["risk"], exact, atol=2e-3)
    histogram = pd.read_csv(tmp_path / "report/curves/outcomes.csv").query("method == 'mcp'")
    assert histogram.groupby("outcome")["count"].sum().to_dict() == {"correct": int(correct.sum()), "error": int((~correct).sum())}


def test_the_command_counts_files_of_many_rows(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(command, "MAX_ROWS_IN_MEMORY", 1000)
    content = json.loads(shown("judge", str(path), "--correct", "correct", "--confidence", "mcp,mine", "--resamples", "100", "--json"))
    assert content["samples"] == ROWS and content["left_out"] == [NEEDS_VALIDATION, NEEDS_CALIBRATION] and content["thresholds"] == []
    message = refused("judge", str(path), "--probabilities", "m*", "--label", "correct")
    assert "files of more than 1,000 rows, are counted by column; give the confidences as columns" in message
    assert refused("judge", str(path), "--correct", "corect", "--confidence", "mcp").endswith("has no column corect; did you mean correct?")


@pytest.fixture(scope="module")
def split_path(large: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows of `large` as test rows, among others of all splits, in two files; every 20 test rows are of one patient."""
    others = large[:16_000].assign(
        split=np.repeat(["val", " Calibration", "train"], [6000, 7000, 3000]), patient=10**6 + np.arange(16_000) // 5
    )
    test = large.assign(split="test", patient=np.arange(ROWS) // 20)
    folder = tmp_path_factory.mktemp("splits")
    pd.concat([others[:9000], test[:50_000]]).to_parquet(folder / "part-1.parquet")
    pd.concat([test[50_000:], others[9000:]]).to_parquet(folder / "part-2.parquet")
    return folder


def judge_files(folder: Path, unit: str | None = None, **options):
    with FileTable(folder / "*.parquet") as table:
        return judge_table(table, Columns(("mcp", "mine"), "correct", unit=unit), split="split", resamples=100, **options)


def test_calibration_and_thresholds_of_a_counted_table_are_those_of_its_rows(large: pd.DataFrame, split_path: Path):
    def rows(start: int, end: int):
        part = large[start:end]
        return part["correct"].to_numpy(), {name: part[name].to_numpy() for name in ("mcp", "mine")}

    counted = judge_files(split_path)
    fetched = judge(*rows(0, ROWS), validation=rows(0, 6000), calibration=rows(6000, 13_000), resamples=100)
    assert counted.to_json()["thresholds"] == fetched.to_json()["thresholds"]
    pd.testing.assert_frame_equal(counted.calibration, fetched.calibration)
    assert counted.to_json()["metrics"] == fetched.to_json()["metrics"]
    assert counted.left_out == ("3,000 rows whose split is train are not used.",)
    assert counted.facts["rows"] == "test 120,000, val 6,000, calibration 7,000"


def test_of_very_many_rows_random_ones_give_calibration_and_thresholds(split_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(table_splits, "MAX_SAMPLED_ROWS", 5000)
    sampled = judge_files(split_path, "patient", risks=(0.15,))
    (_, sentence) = sampled.left_out
    assert re.search(r"random samples: [45],\d{3} of 120,000 test rows, [45],\d{3} of 6,000 val rows, [45],\d{3} of 7,000 cal", sentence)
    assert sampled.samples == ROWS and sampled.comparison.risk_guarantee_rows["unit"].unique().tolist() == ["patient"]
    (threshold,) = (row for row in sampled.to_json()["thresholds"] if row["method"] == "mine")
    assert threshold["units"] == pytest.approx(1000, abs=60) and threshold["test"]["accepted"] > 3000


def test_the_rows_drawn_are_those_of_the_seed_and_whole_units(split_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(table_splits, "MAX_SAMPLED_ROWS", 30_000)
    with FileTable(split_path / "*.parquet") as table:
        test = table.restricted("split", ["test"], "test")

        def drawn(seed: int, unit: str | None = None) -> ScoredPredictions:
            predictions, row_count = table_splits.sampled_split(test, Columns(("mine",), "correct", unit=unit), "test", seed)
            assert row_count == ROWS and len(predictions.correct) == pytest.approx(30_000, rel=0.1)
            return predictions

        first, again, other, by_patient = drawn(0), drawn(0), drawn(1), drawn(0, "patient")
    assert np.array_equal(first.confidences["mine"], again.confidences["mine"])
    assert len(np.intersect1d(first.confidences["mine"], other.confidences["mine"])) == pytest.approx(30_000 / 4, rel=0.1)
    assert set(np.unique(by_patient.units, return_counts=True)[1]) == {20}


def test_splits_of_a_counted_table_are_checked(large: pd.DataFrame, split_path: Path, tmp_path: Path):
    def reason(table: pd.DataFrame, unit: str | None = None) -> str:
        table.to_parquet(tmp_path / "wrong.parquet")
        with pytest.raises(ValueError) as caught, FileTable(tmp_path / "wrong.parquet") as opened:
            judge_table(opened, Columns(("mine",), "correct", unit=unit), split="split", resamples=100)
        return str(caught.value).replace(f"{tmp_path}/", "")

    few = large[:100].assign(split=["test"] * 60 + ["val"] * 40, patient=np.arange(100) // 3)
    assert reason(few.assign(patient=np.arange(100) // 7), "patient").startswith(
        "the unit '8' is in the split test and in val; predictions"
    )
    assert reason(few.assign(split="val")).endswith("the column split has no row test, which all metrics are of; it has val")
    assert reason(few.replace({"split": {"val": "vall"}})).endswith("the column split is 'vall' in 40 rows; did you mean val?")
    assert reason(few.replace({"split": {"val": None}})).endswith("the column split is empty in 40 rows; expected test, val or calibration")
    assert reason(few.drop(columns="split")).endswith("has no column split; known: correct, mine, mcp, patient")
    few.loc[77, "mine"] = np.nan
    assert "(val): of 40 confidences 1 are empty (NULL)" in reason(few) and "the first in row 78" in reason(few)


@pytest.mark.filterwarnings("ignore")  # of ibis and the drivers, about each other's versions
def test_a_table_of_a_database_is_judged_as_its_rows(large: pd.DataFrame, path: Path, split_path: Path, tmp_path: Path):
    pytest.importorskip("ibis", reason="tables in databases need ibis: pip install 'confidnet-core[tables]'")
    import duckdb

    rows = large[:3000]
    with duckdb.connect(tmp_path / "store.duckdb") as connection:
        connection.sql(f"CREATE TABLE predictions AS SELECT * FROM '{path}' LIMIT 3000")
        connection.sql(f"CREATE TABLE all_rows AS SELECT *, row_number() OVER () AS id FROM '{split_path}/*.parquet'")
    address = f"duckdb://{tmp_path / 'store.duckdb'}"
    options = ("--table", "predictions", "--correct", "correct", "--confidence", "mcp,mine", "--resamples", "100")
    content = json.loads(shown("judge", address, *options, "--json"))
    expected = judge(rows["correct"].to_numpy(), {name: rows[name].to_numpy() for name in ("mcp", "mine")}, resamples=100)
    assert content["metrics"] == expected.to_json()["metrics"]
    assert refused("judge", address, *options[2:]) == "a database needs --table, the name of its table"
    assert refused("judge", address, "--table", "prediction", *options[2:]).startswith("there is no table prediction; did you mean")
    split_options = ("--split", "split", "--row-key", "id", "--risk", "0.05")
    of_splits = json.loads(shown("judge", address, "--table", "all_rows", *options[2:], *split_options, "--json"))
    assert of_splits["thresholds"] == judge_files(split_path, risks=(0.05,)).to_json()["thresholds"]
