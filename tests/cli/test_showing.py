"""Tables for papers, and experiments side by side, from the command line: what git has of other revisions, and how it refuses."""

import io
import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from command_lines import on_terminal, plain, refused, shown
from latex_syntax import checked_latex
from test_command_line import folder

from confidnet_core.cli.revisions import commit_by_experiment

__all__ = ["folder"]  # the fixture


def git(*arguments: str) -> str:
    identity = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")
    return subprocess.run(["git", *identity, *arguments], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def history(folder: Path) -> Path:
    """A commit of the reports, and an experiment as DVC keeps it, in which margin is better and a score is new."""
    git("init", "--quiet", "--initial-branch", "main")
    git("add", "reports")
    git("commit", "--quiet", "-m", "Start")
    start = git("rev-parse", "HEAD")
    frame = pd.read_csv("reports/comparison.csv")
    better = frame.assign(aupr_error=frame["aupr_error"].where(frame["method"] != "margin", 0.8125))
    new = frame[(frame["benchmark"] == "small") & (frame["method"] == "mcp")].assign(method="entropy")
    pd.concat([better, new]).to_csv("reports/comparison.csv", index=False)
    git("commit", "--quiet", "-am", "Experiment")
    git("update-ref", f"refs/exps/{start[:2]}/{start[2:]}/lucky-moth", "HEAD")
    git("reset", "--quiet", "--hard", start)
    return folder


def test_latex_of_several_benchmarks_is_a_float_each(folder: Path):
    first, second = shown("show", "--format", "latex", "-m", "all").split("\n\n")
    assert r"\caption{small: 10 errors among 100, accuracy 90.00 \%." in checked_latex(first) and r"\label{tab:other}" in checked_latex(
        second
    )
    assert r"Margin & \textbf{" in first and r"TCP (oracle) &" in first


def test_csv_json_and_markdown_are_for_scripts_and_files(folder: Path):
    frame = pd.read_csv(io.StringIO(shown("show", "-f", "csv", "-m", "aupr_error")))
    assert frame[["benchmark", "method", "aupr_error"]].values.tolist()[:2] == [["small", "margin", 0.75], ["small", "mcp", 0.5]]
    assert frame["aupr_error_low"].notna().tolist() == [True, True, True, False, False]
    content = json.loads(shown("show", "small", "-f", "json", "--no-intervals"))
    assert list(content) == ["small"] and "low" not in content["small"]["rows"][0]["cells"]["auroc"]
    assert shown("show", "-f", "md", "-m", "auroc").startswith("## small: 10 errors among 100, accuracy 90.00 %\n\n| method")


def test_another_metric_orders_the_scores_and_seeds_can_be_chosen(folder: Path):
    assert shown("show", "other", "-m", "aupr_error").index("| MCP") < shown("show", "other", "-m", "aupr_error").index("| Margin")
    found = shown("show", "other", "--seeds", "0", "-m", "aupr_error")
    assert "**50.00** [40.00, 60.00]" in found and "against" not in found
    assert refused("show", "--seeds", "0,x") == "--seeds is 0,x; expected whole numbers with commas between them, such as 0,1"
    assert refused("show", "--seeds", "7").startswith("reports/comparison.csv has no seed 7; known: 0, 1")
    assert refused("show", "--sort", "auroq").startswith("reports/comparison.csv has no metric auroq; did you mean auroc")


def test_experiments_stand_side_by_side_with_their_difference_from_the_first(history: Path):
    lines = shown("show", "main", "lucky-moth", "small").splitlines()
    assert [line for line in lines if line.startswith("| ")] == [
        "| method       |      main |        lucky-moth |",
        "| ------------ | --------: | ----------------: |",
        "| Margin       | **75.00** | **81.25** (+6.25) |",
        "| MCP          |     50.00 |     50.00 (+0.00) |",
        "| Entropy      |         – |             50.00 |",  # noqa: RUF001
        "| TCP (oracle) |    100.00 |    100.00 (+0.00) |",
    ]
    assert "lucky-moth: 10 errors among 100, accuracy 90.00 %" in lines
    assert list(commit_by_experiment()) == ["lucky-moth"]


def test_an_experiment_with_too_few_errors_stands_beside_the_others_without_a_best_score(history: Path):
    frame = pd.read_csv("reports/comparison.csv").assign(errors=3, units_with_errors=3, units_with_successes=97)
    frame.to_csv("reports/comparison.csv", index=False)
    git("commit", "--quiet", "-am", "Few errors")
    lines = shown("show", "lucky-moth", "HEAD", "small").splitlines()
    assert "HEAD: 3 errors among 100 test predictions: too few to compare scores; about 6 are needed" in lines
    (margin,) = (line for line in lines if line.startswith("| Margin"))
    assert "**81.25**" in margin and "75.00" in margin and "**75.00" not in margin


def test_side_by_side_can_be_latex_and_csv(history: Path):
    checked_latex(shown("show", "main", "lucky-moth", "small", "-f", "latex"))
    frame = pd.read_csv(io.StringIO(shown("show", "main", "lucky-moth", "-f", "csv")))
    assert frame.set_index(["benchmark", "method"]).loc[("small", "margin"), ["main", "lucky-moth"]].tolist() == [0.75, 0.8125]


def test_what_git_does_not_have_is_named(history: Path):
    message = "reports/comparison.csv has no benchmark lucky-mot, and git has no experiment of that name; did you mean lucky-moth?"
    assert refused("show", "lucky-mot") == message
    git("rm", "-r", "--quiet", "reports")
    git("commit", "--quiet", "-m", "Nothing")
    assert refused("show", "main").startswith("main has no reports/comparison.csv in git; it did not finish")


@pytest.mark.slow
def test_side_by_side_fits_a_terminal(history: Path):
    text = plain(on_terminal(60, "show", "main", "lucky-moth", "main~0"))
    assert max(map(len, text.splitlines())) <= 60 and "81.25 (+6.25)" in text
