"""Every command that README and docs show exists: it is parsed by the program itself, or run dry; examples in Python are run."""

import ast
import re
import shutil
import subprocess
from importlib import import_module
from pathlib import Path

import click
import pytest
import torch
import yaml
from documents import SHELL, code_blocks, commands, documents
from dvc.cli import DvcParserError
from dvc.cli.parser import get_main_parser
from dvc.utils.hydra import apply_overrides, get_hydra_sweeps
from project_code import ROOT, relative, tree

from confidnet_core.__main__ import cli
from confidnet_core.config.params import load_params
from confidnet_core.scoring.run import Run

OTHERS = ("git", "pip", "docker", "ruff", "pre-commit", *SHELL)  # whose commands are not checked
PLACEHOLDER = re.compile(r"[A-Z][A-Z0-9]*")


def problem(words: list[str], tmp_path: Path) -> str | None:
    """Why a command would not work; None if it would."""
    program, arguments = words[0], words[1:]
    if program == "dvc":
        return dvc_problem(arguments, tmp_path)
    if program == "make":
        return make_problem(arguments)
    if program == "python":
        return python_problem(arguments)
    if program == "confidnet":
        return click_problem(cli, arguments)
    if program == "mlflow":
        if arguments[0] == "models":  # mlflow.cli imports all of MLflow
            return click_problem(import_module("mlflow.models.cli").commands, arguments[1:])
        return f"mlflow {arguments[0]} is not checked by this test"
    return None if program in OTHERS else f"{program} is no program that this test knows"


def dvc_problem(arguments: list[str], tmp_path: Path) -> str | None:
    parser = get_main_parser()
    try:
        parsed = parser.parse_args(arguments)
    except DvcParserError:
        if any(word.startswith("-") for word in arguments):
            return "dvc does not take these arguments"
        with pytest.raises(SystemExit) as ended:  # the beginning of a command, as `dvc plots`, has a help
            parser.parse_args([*arguments, "-h"])
        return None if ended.value.code == 0 else "dvc has no such command"
    if overrides := [each for each in getattr(parsed, "set_param", None) or () if each != "..."]:
        return override_problem(overrides, tmp_path)
    targets = getattr(parsed, "targets", None) or [] if arguments[0] in ("repro", "commit") else []
    return next((reason for target in targets if (reason := target_problem(target))), None)


def override_problem(overrides: list[str], tmp_path: Path) -> str | None:
    """-S on a copy of params.yaml, which must then be valid."""
    path = tmp_path / "params.yaml"
    for sweep in get_hydra_sweeps({str(path): overrides}):
        shutil.copy(ROOT / "params.yaml", path)
        try:
            apply_overrides(path, sweep[str(path)])
            load_params(path)
        except Exception as error:  # Hydra's, for a key that params.yaml does not have; ValueError for a value
            return f"{error} {error.__cause__ or ''}"
    return None


def target_problem(target: str) -> str | None:
    stage, _, items = target.partition("@")
    if stage not in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]:
        return f"{stage} is no stage of dvc.yaml"
    benchmarks = yaml.safe_load((ROOT / "params.yaml").read_text())["benchmarks"]
    known = not items or PLACEHOLDER.match(items) or any(re.fullmatch(rf"{name}(-.+)?", items) for name in benchmarks)
    return None if known else f"{items} names no benchmark"


def make_problem(arguments: list[str]) -> str | None:
    targets = [PLACEHOLDER.sub("metrics", argument) for argument in arguments]
    done = subprocess.run(["make", "--dry-run", *targets], cwd=ROOT, capture_output=True, text=True)
    return done.stderr or None


def python_problem(arguments: list[str]) -> str | None:
    if arguments[0] != "-m":
        return None if (ROOT / arguments[0]).is_file() else f"{arguments[0]} does not exist"
    package, _, name = arguments[1].partition(".")
    if package == "confidnet_core":
        return click_problem(cli, arguments[2:])
    if package == "pytest":
        return next((f"{part} does not exist" for part in arguments[2:] if part.startswith("tests/") and not (ROOT / part).exists()), None)
    path = ROOT / package / f"{name}.py"
    if not path.is_file():
        return f"{relative(path)} does not exist"
    usage = ast.get_docstring(tree(path)).splitlines()[0].partition(f"python -m {arguments[1]}")[2].split()
    expected = len([word for word in usage if PLACEHOLDER.fullmatch(word)])
    given = len(arguments) - 2
    return None if package != "stages" or given in (0, expected) else f"takes {expected} arguments, got {given}"


def click_problem(command: click.Command, arguments: list[str], parent: click.Context | None = None) -> str | None:
    if isinstance(command, click.Group) and arguments and not arguments[0].startswith("-"):
        context = click.Context(command, parent=parent, info_name=command.name, **command.context_settings)
        inner = command.get_command(context, arguments[0])
        return click_problem(inner, arguments[1:], context) if inner else f"{arguments[0]} is no command"
    if not arguments:
        return None
    try:
        command.make_context(command.name, list(arguments), parent=parent)
    except click.exceptions.Exit:  # of --help and --version
        return None
    except click.ClickException as error:
        return error.format_message()
    return None


@pytest.mark.parametrize("path", documents(), ids=relative)
def test_every_command_shown_exists(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    found = {" ".join(words): reason for words in commands(path) if (reason := problem(words, tmp_path))}
    assert not found


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("dvc exp run -S benchmarks.digits.mc_dropout.passes=100", None),
        ("dvc exp run -S +methods.doctor={}", None),
        ("dvc exp run -S benchmarks.digits.mc_dropout.passses=100", "passses"),
        ("dvc exp run -S run=[digit]", "digit"),
        ("dvc exp run --tmp", "does not take"),
        ("dvc plots", None),
        ("dvc repro prepar@digits", "prepar is no stage"),
        ("dvc repro prepare@digit", "names no benchmark"),
        ("make repro", None),
        ("make report", "No rule"),
        ("python -m stages.evaluate digits 0 mcp", None),
        ("python -m stages.evaluate digits 0", "takes 3 arguments, got 2"),
        ("python -m stages.evaluation", "does not exist"),
        ("python -m confidnet_core show digits -m auroc", None),
        ("confidnet show --metric auroc", "--metric"),
        ("mlflow models serve -m models:/confidnet-digits@champion --env-manager local", None),
        ("mlflow models server", "server is no command"),
    ],
)
def test_a_wrong_command_is_noticed(line: str, reason: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)
    found = problem(line.split(), tmp_path)
    assert found is None if reason is None else reason in (found or "")


def examples() -> list[str]:
    return [block for path in documents() for block in code_blocks(path, "python")]


def test_what_python_examples_import_from_the_core_exists():
    for block in examples():
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("confidnet_core"):
                assert all(hasattr(import_module(node.module), alias.name) for alias in node.names)


def defined(name: str) -> object:
    block = next(block for block in examples() if f"def {name}(" in block)
    names: dict[str, object] = {}
    exec(compile(block, name, "exec"), names)
    return names[name]


def test_the_data_set_of_the_docs_is_a_whole_one():
    dataset = defined("stripes")(size=8)
    assert dataset.image_shape == (1, 8, 8)
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 300, "val": 100, "test": 200}


def test_the_model_of_the_docs_gives_features_and_logits():
    network = defined("two_layers")(classes=3, image_shape=(1, 8, 8), hidden=20)
    features = network.encode(torch.zeros(2, 1, 8, 8))
    assert features.shape == (2, network.feature_channels) == (2, 20)
    assert network.classify(features).shape == (2, 3)


def test_what_a_score_may_use_according_to_the_docs_a_run_has():
    named = re.findall(r"`run\.(\w+)", (ROOT / "docs/own-score.md").read_text())
    assert named and not [name for name in named if not hasattr(Run, name)]
