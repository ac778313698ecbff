"""dvc.yaml against the code: a stage depends on exactly what it computes with, so that results are never stale and never redone in vain."""

import re
from copy import deepcopy
from pathlib import Path

import project_code
import pytest
from dvc_checks import MATRIX, Stage, code_dependencies, complaints, parameters, paths, section_files
from project_code import REPORTING, ROOT, VALIDATION, entries, looked_up_folders, reached, relative
from ruamel.yaml import YAML

STAGES: dict[str, Stage] = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
PARAMS = YAML(typ="safe").load(ROOT / "params.yaml")
EVERY = pytest.mark.parametrize("name", STAGES)


def test_every_stage_has_its_script_and_every_script_its_stage():
    by_hand = {"import_checkpoint", "conventions"}  # one writes what a training stage would, one only prints
    assert {path.stem for path in (ROOT / "stages").glob("[!_]*.py")} - by_hand == set(STAGES)


@EVERY
def test_a_stage_says_exactly_what_its_code_reads_writes_and_is_called_with(name: str):
    assert complaints(name, STAGES) == []


@EVERY
def test_nothing_is_listed_twice(name: str):
    for listed in (paths(STAGES[name], "deps"), paths(STAGES[name], "outs", "metrics", "plots"), STAGES[name].get("params", [])):
        assert len(listed) == len(set(listed))


@EVERY
def test_every_file_that_is_named_exists(name: str):
    for dependency in paths(STAGES[name], "deps"):
        if dependency.startswith(("stages/", "confidnet_core")) and "${" not in dependency:
            assert (ROOT / dependency).exists(), dependency


@EVERY
def test_every_parameter_that_is_named_stands_in_params_yaml(name: str):
    for entry in STAGES[name].get("params", []):
        for benchmark in PARAMS["benchmarks"]:
            for method in PARAMS["methods"]:
                place = PARAMS
                for key in entry.replace("${item.benchmark}", benchmark).replace("${item.method}", method).split("."):
                    assert key in place, entry
                    place = place[key]


def test_a_matrix_runs_over_what_params_yaml_selects():
    assert all(value.strip("${}") in PARAMS for value in MATRIX.values())


@EVERY
def test_a_line_that_is_taken_away_is_missed(name: str):
    parts = ("deps", "params", "outs", "metrics", "plots")
    lines = [(part, index) for part in parts for index in range(len(STAGES[name].get(part, [])))]
    assert len(lines) > 7
    for part, index in lines:
        changed = deepcopy(STAGES)
        line = changed[name][part].pop(index)
        entry = next(iter(line)) if isinstance(line, dict) else line
        listed = "outs" if part in ("metrics", "plots") else part
        assert f"{name}: {listed} lacks {entry.removesuffix('.name')}" in complaints(name, changed)


@EVERY
@pytest.mark.parametrize(
    "line", ["confidnet_core/tracking/store.py", "confidnet_core/scores/mcp.py", "data/ensembles/${item.benchmark}", "dvc.yaml"]
)
def test_a_dependency_too_many_is_seen(name: str, line: str):
    changed = deepcopy(STAGES)
    changed[name]["deps"].append(line)
    assert complaints(name, changed) == [f"{name}: deps needs no {line}"]


@EVERY
def test_a_parameter_too_many_and_another_command_are_seen(name: str):
    changed = deepcopy(STAGES)
    changed[name].setdefault("params", []).append("dataset")
    changed[name]["cmd"] += " 0"
    found = complaints(name, changed)
    assert f"{name}: params needs no dataset" in found
    assert f"{name}: cmd needs no {changed[name]['cmd']}" in found


@EVERY
def test_what_only_reports_is_no_dependency(name: str):
    assert not REPORTING & set(paths(STAGES[name], "deps"))
    assert ("confidnet_core/reporting" in paths(STAGES[name], "deps")) == (name == "compare")


def test_what_the_entries_of_a_registry_folder_need_is_needed_by_the_stages_that_call_them():
    needed = {relative(path) for entry in entries("scores") for path in reached(entry, without=REPORTING)} - {
        relative(entry) for entry in entries("scores")
    }
    assert {"confidnet_core/networks/probabilities.py", "confidnet_core/scoring/run.py"} <= needed
    listed = [ROOT / dependency for dependency in code_dependencies("evaluate")]
    assert [name for name in sorted(needed) if not any((ROOT / name).is_relative_to(dependency) for dependency in listed)] == []
    assert "confidnet_core/scores/${item.method}.py" in code_dependencies("evaluate")
    assert "data/sources/${item.benchmark}/dataset.txt" in code_dependencies("prepare")
    for name in ("train_baseline", "train_confidnet", "finetune", "predict", "evaluate"):
        assert "data/sources/${item.benchmark}/model.txt" in code_dependencies(name)
    assert {"confidnet_core/datasets", "confidnet_core/models"} <= code_dependencies("sources")


def test_the_sections_that_a_stage_reads_are_found_in_its_code():
    assert section_files("finetune") == {f"data/sources/${{item.benchmark}}/{section}.json" for section in ("model", "finetune")}
    assert parameters("finetune") == set()
    shared = {"run", "seeds", "methods", "calibration_split", "bootstrap", "thresholds", "against", "benchmarks"}
    assert parameters("compare") == shared


def test_every_look_up_of_a_registry_folder_that_a_run_decides_is_a_known_validation():
    calling = {path for path in (ROOT / "confidnet_core").rglob("*.py") if re.search(r"find_entry\([a-z_]+,", path.read_text())}
    assert {relative(path) for path in calling} == VALIDATION


# The walk itself, on small projects.


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """package/__init__.py has code, plain/__init__.py has none."""
    monkeypatch.setattr(project_code, "ROOT", tmp_path)
    for name, text in {
        "package/__init__.py": '"""Docstring."""\n\nANSWER = 42\n',
        "package/first.py": "",
        "package/second.py": "import package.first\n",
        "plain/__init__.py": '"""Docstring."""\n',
        "plain/third.py": "def work():\n    from package import second\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("line", "files"),
    [
        ("import os, numpy.linalg", set()),
        ("import plain", set()),
        ("import package", {"package/__init__.py"}),
        ("import package.first as other", {"package/__init__.py", "package/first.py"}),
        ("from package import ANSWER", {"package/__init__.py"}),
        ("from package import first", {"package/__init__.py", "package/first.py"}),
        ("from package.first import something", {"package/__init__.py", "package/first.py"}),
        ("if True:\n    import package.second", {"package/__init__.py", "package/first.py", "package/second.py"}),
        ("from plain.third import work", {"plain/third.py", "package/__init__.py", "package/first.py", "package/second.py"}),
    ],
)
def test_an_import_leads_to_the_files_that_python_would_run(project: Path, line: str, files: set[str]):
    script = project / "script.py"
    script.write_text(line)
    assert {relative_to(path, project) for path in reached(script)} == {"script.py"} | files


def test_what_only_reporting_code_leads_to_is_not_reached(project: Path):
    script = project / "script.py"
    script.write_text("import plain.third\nimport package\n")
    assert {relative_to(path, project) for path in reached(script, without={"plain/third.py"})} == {"script.py", "package/__init__.py"}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("find_entry('models', name)", {"models"}),
        ("registry.find_entry('scores', name)", {"scores"}),
        ("text.find_entry('models')", set()),
        ("entry_names('models')", set()),
    ],
)
def test_registry_folders_are_read_from_calls_of_the_registry(project: Path, line: str, found: set[str]):
    (project / "script.py").write_text(line)
    assert looked_up_folders(project / "script.py") == found


@pytest.mark.parametrize("line", ["find_entry(registry_folder, name)", "find_entry(registry_folder='models', name='mlp')"])
def test_a_registry_folder_that_cannot_be_read_is_an_error(project: Path, line: str):
    (project / "script.py").write_text(line)
    with pytest.raises(ValueError, match=r"line 1: find_entry\(\) needs its registry folder as a literal"):
        looked_up_folders(project / "script.py")


def test_a_relative_import_is_an_error(project: Path):
    (project / "package/fourth.py").write_text("from . import first\n")
    with pytest.raises(ValueError, match="line 1 imports relative to itself"):
        reached(project / "package/fourth.py")


def relative_to(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
