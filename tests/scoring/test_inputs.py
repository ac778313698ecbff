"""What a score declares that it reads: only that reruns its evaluation, and nothing else can be read."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from small import MLP, benchmark, small_digits, trained_run

from confidnet_core.config.registry import entry_names, find_entry
from confidnet_core.files import read_json, write_json
from confidnet_core.scores.confidnet import confidnet
from confidnet_core.scores.mc_dropout import mc_dropout
from confidnet_core.scores.mcp import mcp
from confidnet_core.scoring.attributes import readable_inputs
from confidnet_core.scoring.inputs import declared_inputs, save_input_digests
from confidnet_core.scoring.reads import READABLE_INPUTS
from confidnet_core.scoring.run import Run

METHODS = ("mcp", "trust_score", "confidnet_head", "confidnet", "corrected_mcp", "mc_dropout", "mc_dropout_mcp")


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained_run(tmp_path_factory.mktemp("trained"), small_digits(), benchmark(MLP), "digits")


@pytest.fixture
def stored(digits_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, dict]]:
    """METHOD -> its inputs as they stand now; the folders of a trained benchmark are below the working directory."""
    shutil.copytree(digits_run.models_folder.parents[2], tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")

    def inputs() -> dict[str, dict]:
        save_input_digests(Path("inputs"), METHODS, digits_run.benchmark_name, digits_run.seed)
        return {method: read_json(Path(f"inputs/{method}.json")) for method in METHODS}

    return inputs


def changed(before: dict[str, dict], after: dict[str, dict]) -> set[str]:
    return {method for method in METHODS if before[method] != after[method]}


def test_a_score_of_the_stored_predictions_reads_nothing_else(stored):
    assert stored()["mcp"] == stored()["trust_score"] == {}


@pytest.mark.parametrize(
    ("file", "methods"),
    [
        ("data/samples/{}/seed0/test/expected_entropy.npy", {"mc_dropout", "mc_dropout_mcp"}),
        ("models/{}/seed0/confidnet/weights.pt", {"confidnet_head"}),
        ("models/{}/seed0/finetune/weights.pt", {"confidnet"}),
        ("models/{}/seed0/corrected_mcp/model.json", {"corrected_mcp"}),
        ("models/{}/seed0/finetune/origin.json", set()),
    ],
)
def test_a_changed_file_changes_the_inputs_of_the_scores_that_read_it_alone(file: str, methods: set[str], stored, digits_run: Run):
    before, path = stored(), Path(file.format(digits_run.benchmark_name))
    if path.suffix == ".json":
        write_json(path, read_json(path) | {"another": "fact"})
    else:
        path.write_bytes(path.read_bytes() + b"\0")
    assert changed(before, stored()) == methods


def test_a_file_that_is_missing_is_named(stored, digits_run: Run):
    Path(f"models/{digits_run.benchmark_name}/seed0/finetune/weights.pt").unlink()
    with pytest.raises(ValueError, match=r"models/.*/seed0/finetune/weights\.pt does not exist; `dvc repro` makes it"):
        stored()


def test_a_word_that_names_nothing_is_refused_with_the_nearest_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mcp, "reads", ("sample",), raising=False)
    with pytest.raises(ValueError, match=r"scores/mcp\.py has reads 'sample'; did you mean samples\?"):
        declared_inputs(["mcp"])


@pytest.mark.parametrize(("score", "word"), [(mc_dropout, "samples"), (confidnet, "finetune")])
def test_a_score_that_reads_what_it_does_not_declare_is_refused(score: Callable, word: str, digits_run: Run):
    undeclared = replace(digits_run, method=score.__name__, declared_inputs=())
    with pytest.raises(ValueError, match=rf'reads {word}, but does not declare it; write {score.__name__}\.reads = \("{word}",\)'):
        score(undeclared)


@pytest.mark.parametrize("name", entry_names("scores"))
def test_every_score_works_with_what_it_declares_and_needs_all_of_it(name: str, digits_run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CONFIDNET_DEVICE", "cpu")
    score = find_entry("scores", name)
    reads = readable_inputs(score)
    assert len(score(replace(digits_run, method=name, declared_inputs=reads))) == len(digits_run.labels)
    for word in reads:
        with pytest.raises(ValueError, match=f"reads {word}, but does not declare it"):
            score(replace(digits_run, method=name, declared_inputs=tuple(set(READABLE_INPUTS) - {word})))
