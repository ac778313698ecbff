"""Tables that are counted and not fetched: equal metrics, paired resamples, curves of counts; from files and from a database."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_lines import refused, shown

from confidnet_core import judge
from confidnet_core.judging import command
from confidnet_core.judging.judged_tables import ONLY_COUNTS, judge_table
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
    assert counted.left_out == (ONLY_COUNTS,) and (counted.samples, counted.errors) == (ROWS, int((~correct).sum()))
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
    assert content["samples"] == ROWS and content["left_out"] == [ONLY_COUNTS] and content["thresholds"] == []
    message = refused("judge", str(path), "--probabilities", "m*", "--label", "correct")
    assert "files of more than 1,000 rows, are counted by column; give the confidences as columns" in message
    assert refused("judge", str(path), "--correct", "corect", "--confidence", "mcp").endswith("has no column corect; did you mean correct?")


@pytest.mark.filterwarnings("ignore")  # of ibis and the drivers, about each other's versions
def test_a_table_of_a_database_is_judged_as_its_rows(large: pd.DataFrame, path: Path, tmp_path: Path):
    pytest.importorskip("ibis", reason="tables in databases need ibis: pip install 'confidnet-core[tables]'")
    import duckdb

    rows = large[:3000]
    with duckdb.connect(tmp_path / "store.duckdb") as connection:
        connection.sql(f"CREATE TABLE predictions AS SELECT * FROM '{path}' LIMIT 3000")
    address = f"duckdb://{tmp_path / 'store.duckdb'}"
    options = ("--table", "predictions", "--correct", "correct", "--confidence", "mcp,mine", "--resamples", "100")
    content = json.loads(shown("judge", address, *options, "--json"))
    expected = judge(rows["correct"].to_numpy(), {name: rows[name].to_numpy() for name in ("mcp", "mine")}, resamples=100)
    assert content["metrics"] == expected.to_json()["metrics"]
    assert refused("judge", address, *options[2:]) == "a database needs --table, the name of its table"
    assert refused("judge", address, "--table", "prediction", *options[2:]).startswith("there is no table prediction; did you mean")
