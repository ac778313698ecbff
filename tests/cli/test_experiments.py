"""DVC's experiments as the command line reads them: status, changes, results and their differences; which scores matter; their order."""

import csv
import io
import json
import subprocess
import sys
from copy import deepcopy

import pytest
from dvc_project import Project
from recorded_experiments import RATE, RECORDED, end, fail, line, named, names, printed, summary
from small_study import small_study

from confidnet_core.cli.experiments import load_experiments, parse_experiments, short_param_names
from confidnet_core.cli.experiments_order import methods_with_changed_results, sort_experiments


@pytest.fixture
def shown() -> list[dict]:
    """To be changed by a test."""
    return deepcopy(RECORDED)


def test_every_kind_of_experiment_is_listed_with_its_status(shown: list[dict]):
    fail(shown, "broken")
    assert {each.name: each.status for each in parse_experiments(shown)} == {
        "workspace": "workspace",
        "main": "commit",
        "rate-0.01": "running",
        "rate-0.005": "success",
        "broken": "failed",
        "more-scores": "queued",
        "no-dropout": "queued",
        "rate-0.04": "queued",
    }


def test_results_are_those_of_an_experiments_own_end(shown: list[dict]):
    """Where a run has not ended well, DVC still has the summary.json of the commit that it started from."""
    fail(shown, "broken")
    assert summary(shown, "rate-0.01") == summary(shown, "broken") == summary(shown, "main")
    assert {each.name for each in parse_experiments(shown) if each.results_by_benchmark} == {"workspace", "main", "rate-0.005"}


def test_changes_are_those_to_the_commit_that_an_experiment_started_from():
    found = parse_experiments(RECORDED)
    assert named(found, "main").changed_params == named(found, "workspace").changed_params == {}
    assert named(found, "rate-0.005").changed_params == {RATE: 0.005}
    text = printed(found, 160)
    assert "learning_rate=0.005" in line(text, "rate-0.005")
    assert "~mc_dropout" in line(text, "no-dropout")
    assert "+doctor={}, +knn={k: 5}" in line(text, "more-scores")


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("a.b", "b"),
        ("a.b c.d", "b d"),
        ("x.first.rate x.second.rate", "first.rate second.rate"),
        ("x.first.rate y.first.rate", "x.first.rate y.first.rate"),
        ("rate x.rate", "rate x.rate"),
    ],
)
def test_a_parameter_has_the_shortest_name_that_no_other_one_ends_with(keys: str, expected: str):
    found = short_param_names([tuple(key.split(".")) for key in keys.split()])
    assert list(found.values()) == expected.split()


def test_a_difference_is_the_value_minus_that_of_the_commit(shown: list[dict]):
    summary(shown, "main")["digits"]["aupr_error"]["mcp"] = 40.0
    summary(shown, "rate-0.005")["digits"]["aupr_error"]["mcp"] = 41.25
    experiment = named(parse_experiments(shown), "rate-0.005")
    assert experiment.difference_from_commit("digits", ("aupr_error", "mcp")) == 1.25
    assert "41.25 +1.25" in " ".join(line(printed(parse_experiments(shown), 160), "rate-0.005").split())


def test_only_scores_that_moved_are_shown_and_the_best_ones_where_none_did(shown: list[dict]):
    summary(shown, "rate-0.005")["digits"] = deepcopy(summary(shown, "main")["digits"])
    assert methods_with_changed_results(parse_experiments(shown)) == ["trust_score"] == [summary(shown, "main")["digits"]["best_score"]]
    summary(shown, "rate-0.005")["digits"]["aupr_error"]["mc_dropout"] += 0.01
    assert methods_with_changed_results(parse_experiments(shown)) == ["mc_dropout"]


def test_the_best_scores_come_first_then_those_that_others_are_compared_with_then_those_that_moved_farthest(shown: list[dict]):
    before, after = summary(shown, "main")["digits"], deepcopy(summary(shown, "main")["digits"])
    summary(shown, "rate-0.005")["digits"] = after
    moves = {"corrected_mcp": -3.0, "confidnet": 2.0, "mc_dropout": 0.5, "entropy": 0.1, "mcp": 0.2, "trust_score": 0.01}
    after["aupr_error"] |= {name: before["aupr_error"][name] + move for name, move in moves.items()}
    assert methods_with_changed_results(parse_experiments(shown)) == [
        "trust_score",
        "mcp",
        "entropy",
        "corrected_mcp",
        "confidnet",
        "mc_dropout",
    ]


def test_results_are_sorted_best_first_below_their_commit_and_those_without_come_last(shown: list[dict]):
    end(shown, "rate-0.04")
    summary(shown, "rate-0.005")["digits"]["accuracy"], summary(shown, "rate-0.04")["digits"]["accuracy"] = 80.0, 70.0
    found = sort_experiments(parse_experiments(shown), "accuracy")
    assert names(found)[:4] == ["workspace", "main", "rate-0.005", "rate-0.04"]
    assert names(sort_experiments(parse_experiments(shown), "accuracy", reverse_order=True))[:4] == [
        "workspace",
        "main",
        "rate-0.04",
        "rate-0.005",
    ]
    assert {each.status for each in found[4:]} == {"running", "queued"}


def test_parameters_and_names_are_sorted_in_ascending_order():
    by_rate = names(sort_experiments(parse_experiments(RECORDED), "learning_rate"))
    assert [name for name in by_rate if name.startswith("rate")] == ["rate-0.005", "rate-0.01", "rate-0.04"]
    by_name = names(sort_experiments(parse_experiments(RECORDED), "name"))[2:]
    assert by_name == sorted(by_name)


def test_a_result_of_another_benchmark_is_sorted_by_its_full_name(shown: list[dict]):
    end(shown, "rate-0.04")
    for name, accuracy in (("main", 1.0), ("rate-0.005", 2.0), ("rate-0.04", 3.0)):
        summary(shown, name)["mnist"] = {"accuracy": accuracy, "aupr_error": {}}
    assert names(sort_experiments(parse_experiments(shown), "mnist.accuracy"))[2:4] == ["rate-0.04", "rate-0.005"]


def test_a_key_that_is_not_there_or_means_two_parameters_is_refused(shown: list[dict]):
    with pytest.raises(ValueError, match="--sort acuracy: the experiments have no such column; did you mean accuracy"):
        sort_experiments(parse_experiments(shown), "acuracy")
    params = shown[1]["experiments"][0]["revs"][0]["data"]["params"]["params.yaml"]["data"]
    params["benchmarks"]["digits"]["correction"]["learning_rate"] = 0.5
    with pytest.raises(ValueError, match=r"--sort learning_rate could be .*correction\.learning_rate.*; give more of its name"):
        sort_experiments(parse_experiments(shown), "learning_rate")
    assert sort_experiments(parse_experiments(shown), "baseline.learning_rate")


def test_a_failed_experiment_says_where_its_reason_stands(shown: list[dict]):
    fail(shown, "broken")
    assert "`dvc queue logs NAME` shows why" in printed(parse_experiments(shown), 120)


def test_what_dvc_cannot_read_is_named_below_the_table(shown: list[dict]):
    error = {"type": "YAMLFileCorruptedError", "msg": "unable to read:\n'reports/summary.json'"}
    commit = shown[1]
    experiment = next(each for each in commit["experiments"] if each["name"] == "rate-0.005")["revs"][0]
    experiment["data"]["metrics"]["reports/summary.json"] = {"error": error}
    assert "rate-0.005: unable to read: 'reports/summary.json'" in printed(parse_experiments(shown), 120)
    experiment["data"], experiment["error"] = None, error
    assert "rate-0.005: unable to read: 'reports/summary.json'" in printed(parse_experiments(shown), 120)


def test_a_run_whose_process_is_gone_is_named(shown: list[dict]):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    local = next(each for each in shown[1]["experiments"] if each["name"] == "rate-0.01")["executor"]["local"]
    local["pid"] = ended.pid
    assert f"rate-0.01: its process {ended.pid} is not there" in " ".join(printed(parse_experiments(shown), 120).split())


def test_before_the_first_commit_there_is_a_remedy():
    with pytest.raises(ValueError, match="there is no commit yet, and experiments start from one; `git add"):
        parse_experiments([])


def test_a_folder_that_is_no_project_of_dvc_is_an_error(clean: pytest.MonkeyPatch):
    with pytest.raises(ValueError, match=r"^`dvc exp show .*` failed: you are not inside of a DVC repository.*; run this from the root"):
        load_experiments()


# With real DVC.


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return small_study(tmp_path_factory, tmp_path_factory.mktemp("experiments") / "project")


def table(project: Project, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "confidnet_core", "experiments", *arguments]
    return subprocess.run(command, cwd=project.folder, env=project.environment, capture_output=True, text=True, timeout=300, check=True)


@pytest.mark.slow
def test_a_study_without_experiments_shows_its_commit_and_says_how_to_run_one(project: Project):
    done = table(project)
    assert done.stderr.startswith("no experiment started from this commit; `dvc exp run -S ")
    assert [line.split("|")[1].strip() for line in done.stdout.splitlines()[2:]] == ["workspace", "main"]


@pytest.mark.slow
def test_dvcs_experiments_are_in_the_table_also_after_another_commit(project: Project):
    project.dvc("exp", "run", "--queue", "--name", "broken", "--set-param", "benchmarks.digits.baseline.optimizer=nope")
    with project.queue_workers(1):
        project.wait_for_queue()
    project.dvc("exp", "run", "--name", "fewer", "--set-param", "methods.trust_score.samples_per_class=4")
    project.dvc("exp", "run", "--queue", "--name", "waiting", "--set-param", "seeds=[1]")
    applied = json.loads((project.folder / "reports/summary.json").read_text())["digits"]
    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(table(project, "--csv").stdout))}
    statuses = {"workspace": "workspace", "main": "commit", "fewer": "success", "waiting": "queued", "broken": "failed"}
    assert {name: row["status"] for name, row in rows.items()} == statuses
    assert float(rows["fewer"]["aupr_error.trust_score"]) == applied["aupr_error"]["trust_score"]
    assert rows["workspace"]["aupr_error.trust_score"] == rows["fewer"]["aupr_error.trust_score"]
    assert float(rows["fewer"]["aupr_error.mcp_difference"]) == 0
    assert rows["waiting"]["accuracy"] == rows["broken"]["accuracy"] == ""
    project.commit("Fewer samples for Trust Score")
    assert "| fewer" not in table(project).stdout
    later = [text.split("|")[1].strip() for text in table(project, "--all").stdout.splitlines()[2:]]
    assert later[:2] == ["workspace", "main"] and later[3:] == ["fewer", "waiting", "broken"]
