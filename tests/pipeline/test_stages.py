"""Stages as they are started, python -m stages.NAME ARGUMENTS: a user's mistake is one clear line, exit code 1, and no output."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from ruamel.yaml import YAML
from small import small_digits
from small_params import VALID, changed
from stage_processes import run_here, start

from confidnet_core.config.params import Params
from confidnet_core.config.registry import entry_code_digest
from confidnet_core.data import save_dataset
from stages._command import run_stage


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with params.yaml and no data."""
    write(tmp_path, VALID)
    return tmp_path


def write(folder: Path, params: dict) -> None:
    with (folder / "params.yaml").open("w") as file:
        YAML(typ="safe").dump(params, file)


def refusal(folder: Path, stage: str, *arguments: str, run: Callable[..., CompletedProcess] = run_here) -> str:
    """The one line on stderr of a stage that refuses and leaves nothing behind. run: `start` for a process of its own."""
    before = sorted(folder.rglob("*"))
    done = run(folder, stage, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert sorted(folder.rglob("*")) == before
    begin, found, message = line.partition(f"{stage}: ")
    assert found and not begin
    return message


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("prepare", "expected python -m stages.prepare BENCHMARK, got no arguments"),
        ("compare small", "expected python -m stages.compare, got small"),
        ("evaluate small 0", "expected python -m stages.evaluate BENCHMARK SEED METHOD, got small 0"),
        ("predict small first", "SEED is 'first'; expected int"),
        ("prepare smal", "params.yaml: benchmarks has no smal; did you mean small?"),
        ("evaluate small 0 mpc", "params.yaml: methods has no mpc; did you mean mcp?"),
    ],
)
def test_a_wrong_command_line_is_refused_with_the_right_one(folder: Path, line: str, message: str):
    assert refusal(folder, *line.split()) == message


def test_every_stage_refuses_a_broken_params_yaml_before_it_begins(folder: Path):
    write(folder, changed(("run",), ["smal"]))
    for stage, arguments in (("sources", ["small"]), ("compare", [])):
        assert refusal(folder, stage, *arguments) == "params.yaml: run names smal, which is not under benchmarks; did you mean small?"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"run: [\n", "params.yaml is not valid YAML in UTF-8; mend it: while parsing a flow "),
        (b"\xff", "params.yaml is not valid YAML in UTF-8; mend it: unacceptable character "),
        (None, "params.yaml does not exist; run this from the root of the project"),
    ],
)
def test_a_params_yaml_that_cannot_be_read_is_refused(folder: Path, content: bytes | None, message: str):
    (folder / "params.yaml").unlink()
    if content is not None:
        (folder / "params.yaml").write_bytes(content)
    assert refusal(folder, "sources", "small").startswith(message)


@pytest.mark.parametrize(
    ("line", "missing"),
    [
        ("train_baseline small 0", "data/prepared/small/facts.json"),
        ("predict small 0", "data/prepared/small/facts.json"),
        ("bootstrap small 0 mcp", "data/prepared/small/facts.json"),
        ("compare", "data/scores/small/seed0/"),
    ],
)
def test_a_stage_whose_inputs_are_missing_names_them_with_the_remedy(folder: Path, line: str, missing: str):
    message = refusal(folder, *line.split(), run=start)
    assert message.startswith(missing) and message.endswith(" does not exist; `dvc repro` makes it")


@pytest.mark.slow
def test_a_score_whose_inputs_are_missing_is_refused_and_not_written(folder: Path):
    done = start(folder, "evaluate", "small", "0", "mcp")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "evaluate: data/prepared/small/facts.json does not exist; `dvc repro` makes it\n"
    assert not (folder / "data").exists()


def test_a_training_without_its_classifier_names_the_missing_file(folder: Path):
    save_dataset(small_digits(), folder / "data/prepared/small")
    message = refusal(folder, "train_confidnet", "small", "0")
    assert message.startswith("models/small/seed0/baseline/weights.pt does not exist; `dvc repro` makes ")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            FileNotFoundError(2, "No such file", "data/predicted.npy"),
            "data/predicted.npy does not exist; `dvc repro` makes what a stage reads",
        ),
        (ValueError("first line\n\tsecond line"), "first line second line"),
    ],
)
def test_any_refusal_is_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str):
    def main(params: Params, name: str, seed: int) -> None:
        assert (params.run, name, seed) == (("small",), "small", 3)
        raise error

    monkeypatch.chdir(folder)
    monkeypatch.delenv("CONFIDNET_DEBUG", raising=False)
    monkeypatch.setattr(sys, "argv", ["stage", "small", "3"])
    with pytest.raises(SystemExit) as caught:
        run_stage(main, benchmark=str, seed=int)
    assert caught.value.code == f"{__name__}: {message}"


def test_a_mistake_of_the_code_keeps_its_traceback(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def main(params: Params) -> None:
        params.no_such_attribute  # noqa: B018

    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["stage"])
    with pytest.raises(AttributeError, match="no_such_attribute"):
        run_stage(main)


def test_a_refusal_shows_its_origin_if_that_is_asked_for(folder: Path):
    done = start(folder, "prepare", CONFIDNET_DEBUG="1")
    assert done.returncode == 1
    assert "Traceback" in done.stderr and done.stderr.splitlines()[-1].startswith("ValueError: expected python -m stages.prepare")


def test_the_sources_of_a_benchmark_are_its_sections_and_the_digests_of_its_two_files(folder: Path):
    (folder / "data/sources/small").mkdir(parents=True)
    (folder / "data/sources/small/former.txt").write_text("of an earlier run")
    done = start(folder, "sources", "small")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    written = {path.relative_to(folder).as_posix(): path.read_text() for path in (folder / "data").rglob("*") if path.is_file()}
    assert written["data/sources/small/dataset.txt"] == entry_code_digest("datasets", "digits") + "\n"
    assert written["data/sources/small/model.txt"] == entry_code_digest("models", "mlp") + "\n"
    sections = YAML(typ="safe").load(folder / "params.yaml")["benchmarks"]["small"]
    assert written["data/sources/small/foreign.txt"] == "\n"  # no foreign images, whose code would count
    sections |= {"shifts": None, "foreign": None}
    assert {Path(name).stem for name in written if name.endswith(".json")} == {*sections, "files"}
    assert all(json.loads(written[f"data/sources/small/{name}.json"]) == content for name, content in sections.items())
    assert "data/sources/small/former.txt" not in written
