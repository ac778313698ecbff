"""The command line: what it shows, opens and sends, for people, for scripts and for shells; and how it refuses."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from command_lines import on_terminal, plain, process, refused, run, shown
from project_code import ROOT
from ruamel.yaml import YAML
from small_params import VALID
from tracking_servers import free_port
from tracking_stores import rows, trained

from confidnet_core.comparison.uncertainty import THESE_NETWORKS, THIS_NETWORK, with_unit_columns
from confidnet_core.metrics import METRICS
from confidnet_core.tracking.records import list_run_records


@pytest.fixture
def folder(clean: pytest.MonkeyPatch) -> Path:
    """A project with params.yaml and a comparison of two benchmarks, the second with two seeds."""
    with Path("params.yaml").open("w") as file:
        YAML(typ="safe").dump(VALID, file)
    Path("reports").mkdir()
    scored = [("small", 0, "mcp", 0.5), ("small", 0, "margin", 0.75), ("small", 0, "tcp", 1.0)]
    scored += [("other", seed, method, value) for seed in (0, 1) for method, value in (("mcp", 0.5 + seed / 10), ("margin", 0.25))]
    frame = pd.DataFrame(scored, columns=["benchmark", "seed", "method", "aupr_error"])
    frame["oracle"], frame["samples"], frame["errors"] = frame["method"] == "tcp", 100, 10
    frame = with_unit_columns(frame)
    for metric in METRICS:
        frame[metric] = frame.get(metric, 0.9)
        frame[f"{metric}_low"], frame[f"{metric}_high"] = frame[metric] - 0.1, frame[metric] + 0.1
    frame.to_csv("reports/comparison.csv", index=False)
    pairs = [("small", THIS_NETWORK, "better"), ("other", THESE_NETWORKS, "no significant difference")]
    differences = pd.DataFrame(pairs, columns=["benchmark", "question", "verdict"]).assign(
        method="margin", against="mcp", metric="aupr_error"
    )
    differences.to_csv("reports/differences.csv", index=False)
    return Path.cwd()


def test_without_a_terminal_the_comparison_is_markdown(folder: Path):
    lines = shown("show", "small", "--metrics", "aupr_error").splitlines()
    assert lines[0] == "small: 10 errors among 100, accuracy 90.00 %"
    assert [line for line in lines if line.startswith("| ")][2:] == [
        "| Margin       | **75.00** ▲ [65.00, 85.00] |",
        "| MCP          |     50.00   [40.00, 60.00] |",
        "| TCP (oracle) |   100.00   [90.00, 110.00] |",
    ]
    assert lines[8:10] == ["AUPR-Error against MCP, this trained network", "  significantly better: Margin"]


def test_with_too_few_errors_a_sentence_stands_in_place_of_verdicts_and_nothing_is_best(folder: Path):
    frame = pd.read_csv("reports/comparison.csv").assign(errors=3, units_with_errors=3, units_with_successes=97)
    frame.to_csv("reports/comparison.csv", index=False)
    found = shown("show", "small", "-m", "aupr_error")
    assert "\n\n3 errors among 100 test predictions: too few to compare scores; about 6 are needed. The error rate is 10.00 %, " in found
    assert "**" not in found and "significant" not in found and "bold" not in found and "▲ " not in found.split("↑ higher")[0]
    assert "3 + 3 errors among 100 test predictions: too few to compare scores; about 6 are needed in each training." in shown(
        "show", "other"
    )
    terminal = plain(on_terminal(80, "show", "small", "-m", "aupr_error"))
    assert "3 errors among 100 test predictions: too few" in terminal and "against MCP" not in terminal


def test_several_seeds_are_shown_as_mean_and_deviation_without_the_intervals_of_single_seeds(folder: Path):
    found = shown("show", "other", "-m", "aupr_error")
    assert "**55.00 ± 7.07** |" in found and "[" not in found and found.count("| MCP") == 1
    assert "no significant difference: Margin" in found


@pytest.mark.slow
def test_a_terminal_gets_intervals_where_they_fit_and_several_tables_where_they_must(folder: Path):
    narrow, wide, asked = plain(on_terminal(70, "show")), plain(on_terminal(120, "show")), plain(on_terminal(60, "show", "--intervals"))
    assert "[65.00, 85.00]" not in narrow and narrow.count("AUROC ↑") == narrow.count(" AURC ↓") == 2
    assert "[65.00, 85.00]" in wide and sum(line.startswith("method ") for line in wide.splitlines()) == 2
    assert "[65.00, 85.00]" in asked and asked.count("method") > 3
    for text, columns in ((narrow, 70), (wide, 120), (asked, 60)):
        assert max(map(len, text.splitlines())) <= columns and "…" not in text


def test_the_best_value_is_bold_and_the_oracle_never(folder: Path):
    found = on_terminal(80, "show", "small", "-m", "aupr_error")
    assert "\x1b[1;32m75.00" in found and "\x1b[1;32m50.00" not in found and "\x1b[1;32m100.00" not in found


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("show smal", "reports/comparison.csv has no benchmark smal, and git has no experiment of that name; did you mean small?"),
        ("show -m aupr_eror", "reports/comparison.csv has no metric aupr_eror; did you mean aupr_error?"),
        ("report", "reports/index.html does not exist; `dvc repro` makes it"),
    ],
)
def test_a_mistake_is_one_line_with_the_remedy(folder: Path, line: str, message: str):
    assert refused(*line.split()).startswith(message)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc, where no folder can be made")
def test_a_place_where_nothing_can_be_made_is_named_in_one_line(folder: Path):
    Path("answers.csv").write_text("correct,mine\n" + "1,0.5\n0,0.4\n" * 10)
    options = ("--correct", "correct", "--confidence", "mine", "--resamples", "100", "--out", "/proc/report")
    done = process("judge", "answers.csv", *options, CONFIDNET_DEBUG="")
    assert done.returncode == 1
    assert re.fullmatch(r"confidnet: /proc/\S*report\S*: No such file or directory\n", done.stderr.split("\r")[-1].lstrip())


def test_missing_and_foreign_files_are_named(folder: Path):
    Path("reports/differences.csv").write_text("benchmark,method\n")
    assert refused("show").startswith("reports/differences.csv lacks the column against: another version wrote it; `dvc repro compare`")
    Path("reports/comparison.csv").unlink()
    assert refused("show") == "reports/comparison.csv does not exist; `dvc repro` makes it"
    Path("params.yaml").write_text("benchmarks: [digits]\n")
    assert refused("list", "benchmarks").startswith("params.yaml: benchmarks is ['digits']")
    Path("params.yaml").unlink()
    assert refused("list", "methods") == "params.yaml does not exist; run this from the root of the project"


def test_an_unknown_command_and_kind_name_the_known_ones(folder: Path):
    assert "Did you mean 'show'?" in run("shwo")[2]
    code, _, err = run("list", "metods")
    assert code == 2 and "'benchmarks', 'methods', 'models', 'datasets'" in err


def test_the_report_opens_in_the_browser(folder: Path):
    browser = folder / "browser"
    browser.write_text('#!/bin/sh\necho "$1" > opened\n')
    browser.chmod(0o755)
    Path("reports/index.html").write_text("<html><!-- seconds of small --></html>")
    Path("reports/costs.csv").write_text("benchmark,method,needs,extra_passes\nsmall,mcp,nothing,0\n")
    done = process("report", BROWSER=f"{browser} %s")
    assert (done.returncode, done.stdout) == (0, "reports/index.html\n")
    assert done.stderr.startswith("without seconds: ") and "mlflow.db does not exist" in done.stderr
    assert Path("opened").read_text().strip() == (folder / "reports" / "index.html").as_uri()


def test_kept_runs_are_sent_and_each_is_named(root: Path, clean: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    assert shown("send") == "no recorded run is left: all are in their MLflow store\n"
    address = f"http://127.0.0.1:{free_port()}"
    clean.setenv("MLFLOW_TRACKING_URI", address)
    trained("digits")
    capsys.readouterr()
    code, out, err = run("send")
    (record,) = list_run_records(root)
    assert code == 1 and f"{record.folder.name}: the server is not reached" in out and "1 of 1 left in" in err
    clean.delenv("MLFLOW_TRACKING_URI")
    assert refused("send") == f"MLFLOW_TRACKING_URI is not set; give --to URI (1 recorded for {address})"
    stages = "SELECT run_uuid FROM tags WHERE key = 'role' AND value = 'stage'"
    before = len(rows(root, query=stages))
    out = shown("send", "--to", "sqlite:///mlflow.db")
    assert re.fullmatch(r"sent  confidnet/digits  train_baseline · seed 0  8 entries to run [0-9a-f]{32} \(FINISHED\)\n", out)
    assert len(rows(root, query=stages)) == before + 1 and list_run_records(root) == []


def test_a_shell_completes_commands_kinds_and_benchmarks(folder: Path):
    def completed(*words: str) -> list[str]:
        line = {"COMP_WORDS": " ".join(["confidnet", *words]), "COMP_CWORD": str(len(words)), "_CONFIDNET_COMPLETE": "bash_complete"}
        script = "from confidnet_core.__main__ import cli; cli(prog_name='confidnet')"
        environment = os.environ | {"PYTHONPATH": str(ROOT)} | line
        done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60)
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert completed("s") == ["send", "show"]
    assert completed("list", "m") == ["methods", "models"]
    assert completed("show", "sm") == ["small"]
