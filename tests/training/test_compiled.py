"""`compile: true`: the same weights up to rounding, under the same names, in one process and in two, also after an interruption."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from dvc_project import Project
from project_code import ROOT
from stage_processes import start

pytestmark = pytest.mark.slow
LAUNCHERS = {1: [], 2: ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """What a single process and both of a group have trained, by their names such as 2_rank1. They share what was compiled."""
    folder = tmp_path_factory.mktemp("compiled")
    environment = {
        **{"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", "CONFIDNET_DEVICE": "cpu"},
        **{"PYTHONPATH": f"{ROOT}:{ROOT / 'tests/helpers'}", "TORCHINDUCTOR_CACHE_DIR": str(folder / "cache")},
    }
    for launcher in LAUNCHERS.values():
        command = [sys.executable, *launcher, "-m", "compiled_trainings", str(folder)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
        assert done.returncode == 0, done.stderr
    return {path.stem: torch.load(path) for path in folder.glob("*.pt")}


def test_only_what_is_to_be_compiled_is_compiled(trained: dict[str, dict]):
    assert sorted(trained) == ["1_rank0", "2_rank0", "2_rank1"]
    for results in trained.values():
        assert results["graphs"]["plain"] == 0
        assert results["graphs"]["compiled"] > 0


@pytest.mark.parametrize("network", ["classifier", "head", "tuned", "corrected"])
@pytest.mark.parametrize("process", ["1_rank0", "2_rank0", "2_rank1"])
def test_compiled_networks_have_the_names_and_weights_of_uncompiled_ones(trained: dict[str, dict], process: str, network: str):
    plain, compiled = ({k: v for k, v in trained[process][name].items() if k.startswith(network)} for name in ("plain", "compiled"))
    assert plain.keys() == compiled.keys() and plain
    for key, value in plain.items():
        scale = max(1e-3, value.double().abs().max().item())
        relative = 1e-7 if network == "classifier" else 1e-5  # in float64, and in float32
        torch.testing.assert_close(compiled[key].double(), value.double(), rtol=0, atol=relative * scale, msg=key)


def test_a_compiled_training_that_is_interrupted_ends_bit_for_bit_as_another_one(trained: dict[str, dict]):
    results = trained["1_rank0"]
    assert results["resumed"]
    assert all(torch.equal(value, results["compiled"][key]) for key, value in results["resumed"].items())


def test_without_a_compiler_a_stage_ends_with_one_line_and_the_remedy(tmp_path: Path):
    Project.create(tmp_path / "project", **{"benchmarks.digits.baseline.compile": True})
    assert start(tmp_path / "project", "prepare", "digits").returncode == 0
    variables = {"CXX": "no-such-compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    done = start(tmp_path / "project", "train_baseline", "digits", "0", **variables)
    lines = [line for line in done.stderr.splitlines() if "No CUDA runtime is found" not in line]  # PyTorch for CUDA, on a machine without
    assert (done.returncode, len(lines)) == (1, 1), done.stderr
    assert lines[0].startswith("train_baseline: compile is true, and torch.compile fails: ")
    assert "no-such-compiler" in lines[0] and lines[0].endswith("; install what is missing, for CPUs g++, or set compile: false")
