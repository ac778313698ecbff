"""Packed models that tests of serving share: a small classifier of digits with MCP, and a small segmentation."""

from pathlib import Path

import pytest
from made_once import copy_of
from served import answer, packed, params_of, score
from small import benchmark, segmentation_benchmark, small_digits, small_segmentation, trained_run


@pytest.fixture(scope="session")
def project_of_packed_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the outputs of the stages for the benchmarks digits and segmentation, and packed/BENCHMARK/SCORE."""
    return copy_of(tmp_path_factory, "packed_models", _pack_models, tmp_path_factory.mktemp("packed_models"))


def _pack_models(root: Path) -> None:
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONFIDNET_DEVICE", "cpu")
        patch.chdir(root)
        runs = [
            trained_run(root, small_digits(), benchmark(), "digits"),
            trained_run(root, small_segmentation(), segmentation_benchmark(), "segmentation"),
        ]
        methods = ("mcp", "confidnet")
        for run in runs:
            answer(run)
            score(run, methods, root)
        params = params_of(runs, methods, root)
        for run in runs:
            for method in methods:
                packed(run, method, params, root / "packed" / run.benchmark_name / method)


@pytest.fixture
def packed_folder(project_of_packed_models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the model of digits with MCP."""
    monkeypatch.setenv("CONFIDNET_DEVICE", "cpu")
    return project_of_packed_models / "packed/digits/mcp"
