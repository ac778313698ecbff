"""A score on the test, the validation and the calibration split: what is stored, and that nothing is computed twice."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from small import trained_runs
from small_params import VALID, load, replace

from confidnet_core.config.registry import entry_names, find_entry
from confidnet_core.data import SCORED_SPLITS, labelled_mask
from confidnet_core.evaluation.result import Evaluation, saturation_warning
from confidnet_core.files import read_json, write_json
from confidnet_core.metrics import failure_metrics
from confidnet_core.scoring.run import Run
from stages import evaluate, predict

FILES = {split: f"{split}.npy" for split in SCORED_SPLITS}
every_score = pytest.mark.parametrize("name", entry_names("scores"))
both_tasks = pytest.mark.parametrize("task", ["digits", "segmentation"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Run]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONFIDNET_DEVICE", "cpu")
        yield trained_runs(tmp_path_factory)


@pytest.fixture
def runs(trained: dict[str, Run], tmp_path: Path) -> dict[str, Run]:
    """Afresh, in a folder that a test may spoil."""
    shutil.copytree(trained["digits"].models_folder.parents[2], tmp_path / "project")
    folders = {"models_folder": Path("models"), "predictions_folder": Path("data/predictions")}
    return {
        task: replace(run, **{part: tmp_path / "project" / folder / task / "seed0" for part, folder in folders.items()})
        for task, run in trained.items()
    }


@pytest.fixture
def staged(runs: dict[str, Run], root: Path, clean: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """What the stage writes of mcp and of the fitted temperature, on digits."""
    clean.setenv("CONFIDNET_DEVICE", "cpu")
    clean.chdir(tmp_path / "project")
    for method in ("mcp", "temperature"):
        start(runs["digits"], tmp_path, method)
    return Path("data/scores/digits/seed0")


def start(run: Run, folder: Path, method: str) -> None:
    params = load(folder, VALID | {"methods": {"mcp": {}, "temperature": {}}})
    evaluate.main(replace(params, benchmarks={run.benchmark_name: run.benchmark}), run.benchmark_name, run.seed, method)


def test_the_stage_stores_the_score_of_each_split(staged: Path, runs: dict[str, Run]):
    for method in ("mcp", "temperature"):
        assert sorted(path.name for path in (staged / method).iterdir()) == sorted([*FILES.values(), "fitted.pt", "metrics.json"])
        for split, file in FILES.items():
            np.testing.assert_array_equal(np.load(staged / method / file), find_entry("scores", method)(runs["digits"].on_split(split)))


def test_the_metrics_of_the_test_split_stand_at_the_top_and_those_of_the_validation_split_under_val(staged: Path, runs: dict[str, Run]):
    content = read_json(staged / "mcp/metrics.json")
    for figures, split in ((content, "test"), (content["val"], "val")):
        run, confidence = runs["digits"].on_split(split), np.load(staged / "mcp" / FILES[split])
        assert figures["metrics"] == failure_metrics(confidence, run.correct)
        assert (figures["samples"], figures["errors"]) == (len(run.labels), np.count_nonzero(~run.correct))
        read = Evaluation.read(staged / "mcp/metrics.json", split)
        assert (read.samples, read.errors, read.metrics) == (figures["samples"], figures["errors"], figures["metrics"])
        assert (read.benchmark, read.seed, read.method, read.oracle) == ("digits", 0, "mcp", False)
    assert content["metrics"] != content["val"]["metrics"] and set(content["val"]) == {"samples", "errors", "metrics"}


@pytest.mark.parametrize(("parents", "key"), [((), "val"), (("val",), "samples"), (("val", "metrics"), "auroc")])
def test_a_file_of_an_older_version_is_named_with_the_key_that_it_lacks(staged: Path, parents: tuple[str, ...], key: str):
    path = staged / "mcp/metrics.json"
    content = part = read_json(path)
    for name in parents:
        part = part[name]
    del part[key]
    write_json(path, content)
    Evaluation.read(path)
    with pytest.raises(ValueError, match=rf"metrics\.json lacks the key {'.'.join([*parents, key])}; delete it and run `dvc repro`"):
        Evaluation.read(path, "val")


@pytest.mark.parametrize("split", SCORED_SPLITS)
def test_a_score_that_is_not_finite_on_any_split_is_refused_and_nothing_is_stored(
    staged: Path, runs: dict[str, Run], tmp_path: Path, split: str
):
    path = runs["digits"].predictions_folder / split / "logits.npy"
    logits = np.load(path)
    logits[0] = np.inf  # the softmax of which is undefined
    np.save(path, logits)
    shutil.rmtree(staged)
    with pytest.raises(ValueError, match="finite"):
        start(runs["digits"], tmp_path, "mcp")
    assert not staged.exists() or not list(staged.iterdir())


def test_predictions_are_stored_of_each_split(runs: dict[str, Run], root: Path, clean: pytest.MonkeyPatch, tmp_path: Path):
    clean.setenv("CONFIDNET_DEVICE", "cpu")
    clean.chdir(tmp_path / "project")
    run = replace(runs["digits"], predictions_folder=Path("data/predictions/digits/seed0"))
    stored = {path: np.load(path) for split in SCORED_SPLITS for path in (run.predictions_folder / split).glob("*.npy")}
    assert len(stored) == 2 * len(SCORED_SPLITS)
    shutil.rmtree("data/predictions")
    params = replace(load(tmp_path, VALID), benchmarks={run.benchmark_name: run.benchmark})
    params._raw_content = {"benchmarks": {run.benchmark_name: {"model": {}}}}
    predict.main(params, run.benchmark_name, 0)
    assert {path for path in run.predictions_folder.rglob("*") if path.is_file()} == {*stored, run.predictions_folder / "metrics.json"}
    for path, values in stored.items():
        np.testing.assert_allclose(np.load(path), values, atol=1e-4)


@both_tasks
def test_a_split_has_its_own_images_labels_and_predictions_wherever_it_is_asked_for(runs: dict[str, Run], task: str):
    run = runs[task]
    for split, part in (("test", run.calibration.on_split("test")), ("val", run.calibration.validation), ("calibration", run.calibration)):
        images, labels = run.dataset.split(split)
        is_labelled = labelled_mask(labels, run.dataset.void)
        assert np.array_equal(part.images, images) and np.array_equal(part.labels, labels[is_labelled])
        assert np.array_equal(part.predicted, np.load(run.predictions_folder / split / "predicted.npy")[is_labelled])


@both_tasks
@every_score
def test_a_score_is_the_same_on_whichever_split_it_was_before(runs: dict[str, Run], task: str, name: str):
    score, run = find_entry("scores", name), runs[task]
    alone = {split: score(replace(run).on_split(split)) for split in SCORED_SPLITS}
    for split in reversed(SCORED_SPLITS):
        confidence = score(run.on_split(split))
        assert confidence.shape == run.on_split(split).correct.shape and np.isfinite(confidence).all()
        assert np.array_equal(confidence, alone[split])


@both_tasks
@every_score
def test_what_no_split_changes_is_loaded_and_fitted_once(runs: dict[str, Run], task: str, name: str):
    """After the first split there are no networks, no training images and no answers on the validation split any more."""
    score, run = find_entry("scores", name), runs[task]
    expected = score(replace(run).calibration)
    run = replace(run, dataset=replace(run.dataset, splits=dict(run.dataset.splits)))
    score(run)
    shutil.rmtree(run.models_folder)
    shutil.rmtree(run.predictions_folder / "val")
    del run.dataset.splits["train"]
    assert np.array_equal(score(run.calibration), expected)


def test_another_classifier_or_data_set_is_a_run_that_shares_nothing(runs: dict[str, Run], tmp_path: Path):
    run = runs["digits"]
    assert run.calibration.classifier is run.classifier
    assert replace(run, seed=1).classifier is not run.classifier
    with pytest.raises(ValueError, match=r"nowhere/baseline/model\.json does not exist"):
        _ = replace(run.calibration, models_folder=tmp_path / "nowhere").classifier


@pytest.mark.parametrize(("saturated", "warns"), [(5, False), (6, True), (100, True)])
def test_many_confidences_of_exactly_1_are_warned_of(saturated: int, warns: bool):
    confidence = np.concatenate([np.ones(saturated), np.linspace(0, 1, 100 - saturated, endpoint=False)])
    warning = saturation_warning(confidence, "mcp")
    assert (warning is not None) == warns
    assert warning is None or (f"mcp: {saturated} of 100 confidences are exactly 1.0" in warning and "try the score log_odds" in warning)
