"""No name in params.yaml is read by the shell: `;`, `$()`, blanks and quotes stay letters of one word, which the first stage refuses."""

import shlex
from copy import deepcopy
from pathlib import Path

import pytest
from dvc.parsing.interpolate import to_str
from dvc_project import Project
from project_code import ROOT
from ruamel.yaml import YAML

NAMES = ("digits;touch made", "$(touch made)", "`touch made`", "a b", "a'b;touch made;'", 'a";touch made;"', "&touch made&", "-x", "*", "#")


@pytest.mark.parametrize("name", NAMES)
def test_dvc_writes_the_values_of_an_item_as_one_word_each(name: str):
    item = {"benchmark": name, "seed": 0, "method": name}
    assert shlex.split(to_str(item)) == ["--benchmark", name, "--seed", "0", "--method", name]


def test_no_command_holds_a_value_that_dvc_does_not_quote():
    stages = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    assert [name for name, stage in stages.items() if "${" in stage["cmd"].replace("${item}", "")] == []


@pytest.mark.slow
def test_a_benchmark_with_the_name_of_a_command_is_refused_in_one_line_and_nothing_is_run(tmp_path: Path):
    project = Project.create(tmp_path / "project")
    yaml, path = YAML(), project.folder / "params.yaml"
    params = yaml.load(path)
    name = "a'b;touch made;$(touch made) \"`touch made`"
    params["benchmarks"][name] = deepcopy(params["benchmarks"]["digits"])
    params["run"] = [name]
    yaml.dump(params, path)
    before = set(project.folder.iterdir())
    printed = project.dvc("repro", fails=True)
    (line,) = [line for line in printed.splitlines() if line.startswith("sources: ")]
    assert line.startswith("sources: params.yaml: benchmarks has the name ")
    assert line.endswith("; rename it: text of letters, digits, _ and - only")
    assert set(project.folder.iterdir()) - before <= {project.folder / "dvc.lock"} and not list(project.folder.rglob("made"))
