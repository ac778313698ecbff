"""The command line: what it lists, shows, opens and sends, for people, for scripts and for shells; and how it refuses."""

import io
import json
import os
import pty
import re
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pandas as pd
import pytest
from project_code import ROOT
from ruamel.yaml import YAML
from small_params import VALID
from tracking_servers import free_port
from tracking_stores import rows, trained

from confidnet_core.__main__ import main
from confidnet_core.config.registry import marks, names
from confidnet_core.metrics import METRICS
from confidnet_core.revision import VERSION
from confidnet_core.tracking.records import kept

WORDS = [sys.executable, "-m", "confidnet_core"]


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
    for metric in METRICS:
        frame[metric] = frame.get(metric, 0.9)
        frame[f"{metric}_low"], frame[f"{metric}_high"] = frame[metric] - 0.1, frame[metric] + 0.1
    frame.to_csv("reports/comparison.csv", index=False)
    pairs = [("small", "margin", "mcp", "aupr_error", "better"), ("other", "margin", "mcp", "aupr_error", "no significant difference")]
    pd.DataFrame(pairs, columns=["benchmark", "method", "against", "metric", "verdict"]).to_csv("reports/differences.csv", index=False)
    return Path.cwd()


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr, neither of them a terminal."""
    code, out, err = 0, io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["confidnet", *arguments])
        try:
            main()
        except SystemExit as end:
            code = 1 if isinstance(end.code, str) else end.code or 0
            err.write(end.code if isinstance(end.code, str) else "")
    return code, out.getvalue(), err.getvalue()


def shown(*arguments: str) -> str:
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    return out


def refused(*arguments: str) -> str:
    code, _, err = run(*arguments)
    assert code == 1
    (line,) = err.splitlines()
    return line.removeprefix("confidnet: ")


def process(*arguments: str, **variables: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | variables
    return subprocess.run([*WORDS, *arguments], env=environment, capture_output=True, text=True, timeout=60)


def on_terminal(columns: int, *arguments: str) -> str:
    """What a terminal of that width gets."""
    main, other = pty.openpty()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": str(columns), "TERM": "xterm"}
    process = subprocess.Popen([*WORDS, *arguments], env=environment, stdout=other, stderr=other, stdin=other)
    os.close(other)
    found = b""
    try:
        while part := os.read(main, 65536):
            found += part
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(main)
    assert process.wait(timeout=60) == 0
    return found.decode()


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_every_entry_is_listed_with_the_first_line_of_its_docstring(folder: Path):
    for kind, family in (("methods", "scores"), ("models", "models"), ("datasets", "datasets")):
        found = {one["name"]: one for one in json.loads(shown("list", kind, "--json"))}
        assert sorted(found) == names(family)
    assert found["digits"]["description"].startswith("Handwritten digits of 8x8 pixels") and found["digits"]["selected"] is None


def test_benchmarks_and_methods_say_what_params_yaml_runs(folder: Path):
    methods = json.loads(shown("list", "methods", "--json"))
    assert [one["name"] for one in methods if one["selected"]] == list(VALID["methods"])
    assert [one["name"] for one in methods if one["learned"] == "fitted"] == ["max_logit_pnorm", "stack", "temperature"]
    assert {one["name"]: one["passes"] for one in methods if one["passes"]} == passes("scores")
    (benchmark,) = json.loads(shown("list", "benchmarks", "--json"))
    data, model = VALID["benchmarks"]["small"]["data"]["name"], VALID["benchmarks"]["small"]["model"]["name"]
    assert (benchmark["name"], benchmark["selected"]) == ("small", True)
    assert benchmark["description"].startswith(data) and f", {model}" in benchmark["description"]
    assert shown("list", "benchmarks").startswith(f"* small\t{data}")


def passes(family: str) -> dict[str, int | str]:
    return {name: count for name, count in marks(family, names(family), "passes").items() if count}


def test_a_list_has_a_line_an_entry_and_details_where_they_are_asked_for(folder: Path):
    for kind in ("methods", "models", "datasets", "benchmarks"):
        lines = plain(on_terminal(80, "list", kind)).splitlines()
        assert max(map(len, lines)) <= 80 and not [line for line in lines if "…" in line]
        assert len(lines) == len(json.loads(shown("list", kind, "--json"))) + 3  # heading, rule, and the line below
    lines = plain(on_terminal(80, "list", "methods")).splitlines()
    assert any(re.match(r"\* +mcp +Maximum class probability, the baseline *$", line) for line in lines)
    details = " ".join(plain(on_terminal(80, "list", "methods", "--verbose")).split())
    assert "* mcp Maximum class probability, the baseline. Hendrycks & Gimpel 2017, arXiv:1610.02136." in details
    assert "arXiv:1805.11783. needs: training features" in details and "extra forward passes: dropout" in details


def test_a_narrow_terminal_cuts_descriptions_and_no_names(folder: Path):
    lines = plain(on_terminal(50, "list", "methods")).splitlines()
    assert max(map(len, lines)) <= 50 and any("mc_dropout_mutual_information" in line for line in lines)


def test_the_version_names_the_commit_of_the_code(folder: Path):
    assert re.fullmatch(rf"confidnet {re.escape(VERSION)}(, commit [0-9a-f]+ of [0-9-]+(, with changed files)?)?\n", shown("--version"))


def test_help_answers_without_importing_what_commands_need(folder: Path):
    done = process("--help", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0 and not re.search(r"\| +(torch|mlflow|pandas|numpy|pydantic|ruamel\.yaml)$", done.stderr, re.MULTILINE)


def test_names_are_listed_without_importing_torch_or_mlflow(folder: Path):
    done = process("list", "methods", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0 and "| confidnet_core.cli.listing\n" in done.stderr.replace("|     ", "| ")
    assert not re.search(r"\| +(torch|mlflow|pandas)$", done.stderr, re.MULTILINE)


def test_without_a_terminal_the_comparison_is_markdown(folder: Path):
    lines = shown("show", "small", "--metrics", "aupr_error").splitlines()
    assert lines[0] == "small: 10 errors among 100, accuracy 90.00 %"
    assert [line for line in lines if line.startswith("| ")][2:] == [
        "| Margin       | **75.00** ▲ [65.00, 85.00] |",
        "| MCP          |     50.00   [40.00, 60.00] |",
        "| TCP (oracle) |   100.00   [90.00, 110.00] |",
    ]
    assert lines[8:10] == ["AUPR-Error against MCP", "  significantly better: Margin"]


def test_several_seeds_are_shown_as_mean_and_deviation_without_the_intervals_of_single_seeds(folder: Path):
    found = shown("show", "other", "-m", "aupr_error")
    assert "**55.00 ± 7.07** |" in found and "[" not in found and found.count("| MCP") == 1
    assert "no significant difference: Margin" in found


@pytest.mark.slow
def test_a_terminal_gets_intervals_where_they_fit_and_several_tables_where_they_must(folder: Path):
    narrow, wide, asked = plain(on_terminal(70, "show")), plain(on_terminal(120, "show")), plain(on_terminal(60, "show", "--intervals"))
    assert "[65.00, 85.00]" not in narrow and narrow.count("AUROC ↑") == narrow.count(" AURC ↓") == 2
    assert "[65.00, 85.00]" in wide and wide.count("method") == 2
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
    (record,) = kept(root)
    assert code == 1 and f"{record.folder.name}: the server is not reached" in out and "1 of 1 left in" in err
    clean.delenv("MLFLOW_TRACKING_URI")
    assert refused("send") == f"MLFLOW_TRACKING_URI is not set; give --to URI (1 recorded for {address})"
    stages = "SELECT run_uuid FROM tags WHERE key = 'role' AND value = 'stage'"
    before = len(rows(root, query=stages))
    out = shown("send", "--to", "sqlite:///mlflow.db")
    assert re.fullmatch(r"sent  confidnet/digits  train_baseline · seed 0  8 entries to run [0-9a-f]{32} \(FINISHED\)\n", out)
    assert len(rows(root, query=stages)) == before + 1 and kept(root) == []


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
