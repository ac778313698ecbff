"""Lists of scores, data sets, models and benchmarks: for people a line each, details on demand; for scripts and pipes all that is known."""

import json
import re
from pathlib import Path

import pytest
from command_lines import on_terminal, plain, process, shown
from ruamel.yaml import YAML
from small_params import VALID

from confidnet_core.config.registry import entry_attributes, entry_names
from confidnet_core.revision import VERSION


@pytest.fixture
def folder(clean: pytest.MonkeyPatch) -> Path:
    """A project with params.yaml."""
    with Path("params.yaml").open("w") as file:
        YAML(typ="safe").dump(VALID, file)
    return Path.cwd()


def test_every_entry_is_listed_with_the_first_line_of_its_docstring(folder: Path):
    for kind, registry_folder in (("methods", "scores"), ("models", "models"), ("datasets", "datasets")):
        found = {one["name"]: one for one in json.loads(shown("list", kind, "--json"))}
        assert sorted(found) == entry_names(registry_folder)
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


def passes(registry_folder: str) -> dict[str, int | str]:
    return {name: count for name, count in entry_attributes(registry_folder, entry_names(registry_folder), "passes").items() if count}


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
