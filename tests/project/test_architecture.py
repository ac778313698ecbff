"""How the project is built: imports run one way, a file is short and says its job, and names of entries decide nothing outside them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from project_code import REGISTRY_FOLDERS, ROOT, entries, foreign, imports, relative, tree

# A row imports only rows below it; the same map stands in the docstring of confidnet_core/__init__.py.
ROWS = [
    ["__main__"],
    ["commands"],
    ["judging"],
    ["cli"],
    ["reporting", "serving", "scores", "checkpoints"],
    ["comparison", "tables", "tracking", "scoring", "monitoring", "training", "models"],
    ["datasets", "evaluation", "networks", "splits", "revision"],
    ["data", "config"],
    ["metrics", "files", "paths", "progress", "display"],
    ["system"],
]
CORE = sorted((ROOT / "confidnet_core").rglob("*.py"))
STAGES = sorted((ROOT / "stages").glob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
TEMPLATES = sorted((ROOT / "confidnet_core").rglob("templates/*"))
SCRIPTS = [path for path in STAGES if not path.name.startswith("_")]


def module(path: Path) -> str:
    """The file or folder of confidnet_core that PATH is or lies in."""
    return path.relative_to(ROOT / "confidnet_core").parts[0].removesuffix(".py")


def wrong_import(importer: Path, imported: Path) -> str | None:
    """Why one file may not import the other; None if it may."""
    rows = {name: depth for depth, row in enumerate(ROWS) for name in row}
    if not relative(imported).startswith("confidnet_core/"):
        return f"{relative(importer)} imports {relative(imported)}, which is no part of the core"
    if module(importer) == module(imported):
        shared = any(part.startswith("_") for part in imported.parts[-2:]) or importer.name == "__init__.py"
        apart = module(importer) in (*REGISTRY_FOLDERS, "metrics")  # whose files are entries, or are listed by themselves in dvc.yaml
        return None if shared or not apart else f"{relative(importer)} imports its neighbour {relative(imported)}"
    if rows[module(importer)] >= rows[module(imported)]:
        return f"{relative(importer)} imports {relative(imported)}, which is not in a row below it"
    return None


def test_every_module_has_one_place_in_the_rows():
    placed = [name for row in ROWS for name in row]
    assert sorted(placed) == sorted({module(path) for path in CORE} - {"__init__"})


def test_the_map_in_the_packages_docstring_shows_these_rows():
    docstring = ast.get_docstring(tree(ROOT / "confidnet_core/__init__.py"))
    shown = [line.split() for line in docstring.splitlines() if line.startswith("    ")]
    assert shown == ROWS


@pytest.mark.parametrize("path", [path for path in CORE if path != ROOT / "confidnet_core/__init__.py"], ids=relative)
def test_a_module_of_the_core_imports_only_rows_below_it(path: Path):
    problems = [problem for imported in sorted(imports(path)) if (problem := wrong_import(path, imported))]
    assert not problems, "; ".join(problems)


@pytest.mark.parametrize(
    ("importer", "imported", "reason"),
    [
        ("networks/head.py", "training/losses.py", "not in a row below it"),
        ("scoring/run.py", "training/losses.py", "not in a row below it"),
        ("models/mlp.py", "models/segnet.py", "imports its neighbour"),
        ("scores/_views.py", "scores/mcp.py", "imports its neighbour"),
        ("metrics/failure.py", "metrics/selective.py", "imports its neighbour"),
        ("data.py", "../stages/_command.py", "no part of the core"),
        ("models/mlp.py", "networks/classifier.py", None),
        ("scores/tta.py", "scores/_views.py", None),
        ("metrics/__init__.py", "metrics/failure.py", None),
        ("metrics/failure.py", "metrics/_ranking/risk.py", None),
        ("training/trainings.py", "training/losses.py", None),
    ],
)
def test_the_rule_of_the_rows_tells_wrong_imports_from_right_ones(importer: str, imported: str, reason: str | None):
    found = wrong_import(ROOT / "confidnet_core" / importer, (ROOT / "confidnet_core" / imported).resolve())
    assert found is None if reason is None else reason in found


@pytest.mark.parametrize("path", STAGES, ids=relative)
def test_a_stage_imports_the_core_and_shared_files_of_the_stages(path: Path):
    assert not [relative(found) for found in imports(path) if found.parent == ROOT / "stages" and not found.name.startswith("_")]
    assert not [relative(found) for found in imports(path) if ROOT / "tests" in found.parents]


@pytest.mark.parametrize(
    ("package", "users"),
    [
        ("mlflow", {"serving", "tracking"}),
        ("click", {"__main__", "commands"}),
        ("pydantic", {"config", "datasets", "models"}),
        ("rich", {"cli", "commands", "judging"}),
        ("matplotlib", {"reporting"}),
        ("sklearn", {"datasets", "scores"}),
        ("dvc", set()),
        ("importlib", {"__init__", "__main__", "config", "networks", "revision"}),
        ("plotly", {"reporting"}),
        ("jinja2", {"comparison", "monitoring", "reporting"}),
        ("vl_convert", {"cli"}),
        ("onnxruntime", {"serving"}),
        ("duckdb", {"judging", "tables"}),
        ("ibis", {"tables"}),
    ],
)
def test_a_package_has_its_own_place(package: str, users: set[str]):
    assert {module(path) for path in CORE if package in foreign(path)} == users
    assert not [relative(path) for path in STAGES if package in foreign(path)]


@pytest.mark.parametrize("path", SCRIPTS, ids=relative)
def test_a_stage_script_is_short_and_states_command_inputs_and_outputs(path: Path):
    docstring = ast.get_docstring(tree(path))
    assert len(path.read_text().splitlines()) < 60
    assert f"python -m stages.{path.stem}" in docstring.splitlines()[0]
    assert "\nreads   " in docstring and "\nwrites  " in docstring


@pytest.mark.parametrize("path", [path for registry_folder in REGISTRY_FOLDERS for path in entries(registry_folder)], ids=relative)
def test_an_entry_has_the_function_of_its_files_name(path: Path):
    functions = [node.name for node in tree(path).body if isinstance(node, ast.FunctionDef)]
    assert path.stem in functions


@pytest.mark.parametrize("path", [*CORE, *STAGES, *TESTS], ids=relative)
def test_a_file_says_its_job_in_a_docstring_and_has_at_most_250_lines(path: Path):
    docstring = ast.get_docstring(tree(path))
    assert docstring and len(docstring.splitlines()[0]) > 20
    assert len(path.read_text().splitlines()) <= 250


@pytest.mark.parametrize("path", TEMPLATES, ids=relative)
def test_a_template_is_as_short_and_as_narrow(path: Path):
    lines = path.read_text().splitlines()
    assert len(lines) <= 250 and max(map(len, lines)) <= 140


@pytest.mark.parametrize("path", [*CORE, *STAGES], ids=relative)
def test_no_function_has_more_than_60_lines(path: Path):
    functions = [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef)]
    assert not [node.name for node in functions if node.end_lineno - node.lineno >= 60]


def dispatches(code: ast.AST, known: set[str]) -> Iterator[int]:
    """Lines that decide by the name of an entry: a comparison with it, a case of it, or a table with it as a key."""
    for node in ast.walk(code):
        if isinstance(node, ast.Compare):
            sides = [part for side in (node.left, *node.comparators) for part in ast.walk(side)]
        elif isinstance(node, ast.MatchValue):
            sides = [node.value]
        elif isinstance(node, ast.Dict):
            sides = [key for key in node.keys if key]
        else:
            continue
        if any(isinstance(side, ast.Constant) and isinstance(side.value, str) and side.value in known for side in sides):
            yield node.lineno if hasattr(node, "lineno") else sides[0].lineno


@pytest.mark.parametrize("path", [*CORE, *STAGES], ids=relative)
def test_nothing_is_decided_by_the_name_of_a_score_data_set_or_model(path: Path):
    known = {entry.stem for registry_folder in REGISTRY_FOLDERS for entry in entries(registry_folder)}
    assert not list(dispatches(tree(path), known))


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("if method == 'mcp': pass", True),
        ("if 'mcp' != method: pass", True),
        ("if method in ('mcp', 'tcp'): pass", True),
        ("match method:\n case 'mcp': pass", True),
        ("{'mcp': len}[method]()", True),
        ("if method == 'other': pass", False),
        ("print('mcp')", False),
        ("find_entry('scores', 'mcp')", False),
    ],
)
def test_a_decision_by_name_is_seen_however_it_is_written(code: str, found: bool):
    assert bool(list(dispatches(ast.parse(code), {"mcp", "tcp"}))) == found
