"""The table of experiments: as wide as the terminal and never without a result, Markdown in a pipe, and CSV with everything."""

import csv
import io
from copy import deepcopy

import pytest
from recorded_experiments import RATE, RECORDED, line, names, printed, summary

from confidnet_core.cli.experiments import parse_experiments
from confidnet_core.cli.experiments_order import evaluated_methods, methods_with_changed_results


@pytest.fixture
def shown() -> list[dict]:
    """To be changed by a test."""
    return deepcopy(RECORDED)


def test_an_undefined_value_is_a_dash_and_an_absent_one_is_blank(shown: list[dict]):
    scores = summary(shown, "rate-0.005")["digits"]["aupr_error"]
    scores["mcp"] = None
    del scores["entropy"]
    rows = list(csv.DictReader(io.StringIO(printed(parse_experiments(shown), form="csv"))))
    (row,) = [row for row in rows if row["name"] == "rate-0.005"]
    assert (row["aupr_error.mcp"], row["aupr_error.mcp_difference"], row["aupr_error.entropy"]) == ("", "", "")
    assert line(printed(parse_experiments(shown), 160, scores="mcp"), "rate-0.005").rstrip().endswith(" –")  # noqa: RUF001
    assert (
        line(printed(parse_experiments(shown), 160, scores="entropy"), "rate-0.005").split()[-1].startswith(("-", "+"))
    )  # of the accuracy
    assert "–" in printed(parse_experiments(shown), form="md")  # noqa: RUF001


def test_an_experiment_with_too_few_errors_for_a_best_score_is_never_bold(shown: list[dict]):
    def bold(name: str) -> bool:
        heading, *lines = [text.split("|") for text in printed(parse_experiments(shown), form="md").splitlines() if text.startswith("|")]
        (cells,) = [cells for cells in lines if name in cells[1]]
        return "**" in cells[[title.strip() for title in heading].index("trust_score")]

    few = summary(shown, "rate-0.005")["digits"]
    few["aupr_error"]["trust_score"] = 100.0
    assert bold("rate-0.005") and not bold("main")
    few["best_score"] = few["best"] = None
    assert not bold("rate-0.005") and not bold("main")  # all others are alike
    few["aupr_error"]["trust_score"], few["best_score"] = 1.0, "trust_score"
    assert bold("main")


def test_several_benchmarks_have_a_row_each_below_their_experiment(shown: list[dict]):
    summary(shown, "main")["mnist"] = deepcopy(summary(shown, "main")["digits"]) | {"accuracy": 98.0}
    summary(shown, "rate-0.005")["mnist"] = deepcopy(summary(shown, "rate-0.005")["digits"]) | {"accuracy": 98.5}
    del summary(shown, "rate-0.005")["digits"]
    found = parse_experiments(shown)
    for width in (80, 120, 160):
        lines = [text.split()[:3] for text in printed(found, width).splitlines()]
        at = next(place for place, words in enumerate(lines) if words[:1] == ["rate-0.005"])
        assert lines[at][:2] == ["rate-0.005", "success"]
        assert lines[at + 1] == ["mnist", "98.50", "+0.50"]
    assert sum(row["benchmark"] == "mnist" for row in csv.DictReader(io.StringIO(printed(found, form="csv")))) == 2


def test_a_benchmark_that_the_commit_did_not_run_is_shown_without_differences(shown: list[dict]):
    content = summary(shown, "rate-0.005")
    content["mnist"] = content.pop("digits")
    text = printed(parse_experiments(shown), 120)
    row = line(text, "mnist")
    assert "+" not in row and f"{content['mnist']['accuracy']:.2f}" in row and len(row.split()) > 2


def test_at_any_width_there_are_results_and_what_is_left_out_is_named():
    found, hidden = parse_experiments(RECORDED), []
    for width in (80, 100, 120, 160):
        text = printed(found, width)
        assert max(map(len, text.splitlines())) <= width
        heading = next(line for line in text.splitlines() if line.startswith("experiment"))
        assert "accuracy" in heading and methods_with_changed_results(found)[0] in heading
        *_, last = text.partition("Not shown at this width:") if "Not shown" in text else ("",)
        hidden.append([name for name in evaluated_methods(found) if f" {name}" in " ".join(last.split())])
        shown = len(line(text, "rate-0.005").split()) - 3  # name, status, change; then values and differences
        assert shown >= 4
    assert [len(names) for names in hidden] == sorted((len(names) for names in hidden), reverse=True)
    assert len(hidden[0]) > len(hidden[-1])


def test_long_names_and_many_changes_are_folded_and_no_result_is_lost(shown: list[dict]):
    commit = shown[1]
    experiment = next(each for each in commit["experiments"] if each["name"] == "rate-0.005")
    experiment["name"] = experiment["revs"][0]["name"] = "a-name-that-says-what-was-tried-and-why-at-some-length"
    params = experiment["revs"][0]["data"]["params"]["params.yaml"]["data"]
    params |= {
        "seeds": list(range(20)),
        "thresholds": {"risks": [0.01, 0.02, 0.03], "serve": 0.02, "delta": 0.1},
        "run": ["digits", "mnist_convnet"],
    }
    text = printed(parse_experiments(shown), 80)
    assert max(map(len, text.splitlines())) <= 80 and "…" not in text
    assert f"{summary(shown, experiment['name'])['digits']['accuracy']:.2f}" in text
    assert all(change in text for change in ("run=[digits", "seeds=[0,1,2", "risks=[0.01,0.02,0.03] ", "delta=0.1"))


def test_scores_can_be_chosen():
    found = parse_experiments(RECORDED)
    heading = printed(found, 120, scores="mc_dropout,mcp").splitlines()[0]
    assert heading.split() == ["experiment", "status", "changed", "accuracy", "mc_dropout", "mcp"]
    with pytest.raises(ValueError, match="no experiment has the score mc_droput; did you mean mc_dropout"):
        printed(found, 120, scores="mc_droput")


def test_without_a_terminal_it_is_markdown_with_all_scores():
    found = parse_experiments(RECORDED)
    lines = printed(found).splitlines()
    assert [cell.strip() for cell in lines[0].strip("|").split("|")] == [
        "experiment",
        "status",
        "changed",
        "accuracy",
        *methods_with_changed_results(found),
    ]
    assert len({len(line) for line in lines}) == 1 and set(lines[1]) == set("|-: ")
    assert "`~mc_dropout`" in line(printed(found).replace("| ", ""), "no-dropout")


def test_csv_has_all_scores_differences_and_changed_parameters_by_their_full_names():
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(printed(parse_experiments(RECORDED), form="csv")))}
    assert set(rows) == set(names(parse_experiments(RECORDED)))
    row, commit = rows["rate-0.005"], rows["main"]
    assert (row[".".join(RATE)], commit[".".join(RATE)]) == ("0.005", "0.02")
    for score in evaluated_methods(parse_experiments(RECORDED)):
        difference = float(row[f"aupr_error.{score}"]) - float(commit[f"aupr_error.{score}"])
        assert float(row[f"aupr_error.{score}_difference"]) == pytest.approx(difference, abs=1e-9)
    assert (rows["more-scores"]["methods.doctor"], rows["no-dropout"]["methods.mc_dropout"], row["methods.mc_dropout"]) == ("{}", "", "{}")
