"""A model as one graph: equal to the served model for every score that can be traced, and refused by name for every other."""

import shutil
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from command_lines import refused
from served import RISKS, answer, params_of, score, stored_of
from small import benchmark, small_segmentation, trained_run
from test_serving import SERVED, both_tasks, params, runs, trained

from confidnet_core.config.choices import RegistryEntryChoice
from confidnet_core.config.registry import literal_attribute
from confidnet_core.evaluation.calibrators import fit_calibrator
from confidnet_core.files import read_json
from confidnet_core.serving import exporting, traceable
from confidnet_core.serving.exporting import ScoreNotExportableError, export_model, exportable_scores
from confidnet_core.serving.packing import copy_networks_to_candidate, pack_model_with_score
from confidnet_core.serving.selective_classifier import SelectiveClassifier

__all__ = ["params", "runs", "trained"]  # fixtures
pytestmark = [
    pytest.mark.filterwarnings("ignore:nothing is accepted"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:onnx"),
]
NEIGHBOURS = {"stack", "knn", "trust_score"}  # they look up training images in steps that depend on the distances


def packed(runs, params, task: str, method: str, folder: Path) -> Path:
    candidate = pack_model_with_score(stored_of(runs[task], method), method, params, folder / method)
    copy_networks_to_candidate(candidate)
    return candidate.model_folder


def assert_equal_answers(outputs: list[np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """All images must agree, and 99 % of pixels: where max-pooling ties, rounding decides, on each kind of processor otherwise."""
    class_index, confidence, accepted, probability = outputs
    agrees = class_index == expected["class_index"]
    agrees &= np.isclose(confidence, expected["confidence"], rtol=1e-4, atol=1e-4)
    agrees &= np.isclose(probability, expected["probability"], rtol=0, atol=1e-3)
    assert agrees.mean() >= (1 if class_index.ndim == 1 else 0.99), f"{np.count_nonzero(~agrees)} of {agrees.size} differ"
    assert (accepted == expected["accepted"]).mean() > 0.99


def run_torch(path: Path, images: np.ndarray) -> list[np.ndarray]:
    with torch.no_grad():
        return [output.numpy() for output in torch.export.load(path).module()(torch.from_numpy(images))]


def run_onnx(path: Path, images: np.ndarray) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"images": images})


@both_tasks
@pytest.mark.parametrize("method", sorted(set(SERVED) - NEIGHBOURS))
def test_as_one_network_every_score_answers_as_the_model_does(runs, params, task, method, tmp_path):
    images, model = np.array(runs[task].images[:20]), SelectiveClassifier.load(packed(runs, params, task, method, tmp_path))
    with torch.no_grad():
        outputs = [output.numpy() for output in traceable.SelectiveNetwork(model, RISKS[1])(torch.from_numpy(images))]
    assert_equal_answers(outputs, model.predict(images, {"risk": RISKS[1]}))


@pytest.mark.slow
@pytest.mark.parametrize(("task", "method"), [("digits", "confidnet"), ("digits", "tta"), ("segmentation", "mcp")])
def test_a_graph_answers_as_the_model_does_in_batches_of_any_size(runs, params, task, method, tmp_path):
    folder, images, path = packed(runs, params, task, method, tmp_path), np.array(runs[task].images[:20]), tmp_path / "model.pt2"
    assert "equal to the model in batches of 1, 2, 5 and 16" in export_model(folder, path, RISKS[1])
    model = SelectiveClassifier.load(folder)
    for batch in (images[:1], images):
        assert_equal_answers(run_torch(path, batch), model.predict(batch, {"risk": RISKS[1]}))


@pytest.mark.slow
def test_onnx_answers_so_too_and_carries_what_its_user_needs(runs, params, tmp_path):
    folder, images, path = packed(runs, params, "digits", "corrected_mcp", tmp_path), np.array(runs["digits"].images), tmp_path / "m.onnx"
    export_model(folder, path)
    expected = SelectiveClassifier.load(folder).predict(images)
    for batch in (images[:1], images):
        outputs = run_onnx(path, batch)
        assert_equal_answers(outputs, {name: values[: len(batch)] for name, values in expected.items()})
        assert [output.dtype for output in outputs] == [np.int64, np.float64, bool, np.float64]
    facts = onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map
    assert facts["method"] == '"corrected_mcp"' and facts["risk"] == "0.9" and facts["classes"].startswith('["0", "1"')


@pytest.mark.slow
def test_an_attached_segmentation_network_whose_maps_are_resized_is_a_graph_in_both_formats(tmp_path, monkeypatch):
    monkeypatch.setenv("CONFIDNET_DEVICE", "cpu")
    monkeypatch.chdir(tmp_path)
    choice = RegistryEntryChoice("module", {"build": "own_networks:maps", "arguments": {"classes": 3}})
    run = trained_run(tmp_path, small_segmentation(), benchmark(choice, epochs=1, batch_size=2), "segmentation")
    answer(run)
    score(run, ["mcp"], tmp_path)
    folder = packed({"attached": run}, params_of([run], ["mcp"], tmp_path), "attached", "mcp", tmp_path / "packed")
    images = np.array(run.images)
    expected = SelectiveClassifier.load(folder).predict(images)
    for name, run_graph in (("model.pt2", run_torch), ("model.onnx", run_onnx)):
        export_model(folder, tmp_path / name)
        assert_equal_answers(run_graph(tmp_path / name, images), expected)


@pytest.mark.slow
@pytest.mark.parametrize("method", sorted(NEIGHBOURS))
def test_a_score_that_cannot_be_a_graph_is_refused_by_name_with_those_that_can(runs, params, method, tmp_path, capfd):
    folder = packed(runs, params, "digits", method, tmp_path)
    with pytest.raises(ScoreNotExportableError, match=rf"the score {method} cannot be exported: .* another score.* mcp"):
        export_model(folder, tmp_path / "model.pt2")
    assert not (tmp_path / "model.pt2").exists() and capfd.readouterr().err.count("\n") < 3


def test_scores_that_are_recommended_need_neither_fits_nor_passes():
    assert {"mcp", "entropy", "energy"} <= set(exportable_scores()) <= set(SERVED) - NEIGHBOURS
    assert not [name for name in exportable_scores() if literal_attribute("scores", name, "learned")]


@pytest.mark.slow
def test_a_graph_that_differs_is_not_written(runs, params, tmp_path, monkeypatch):
    folder, path = packed(runs, params, "digits", "mcp", tmp_path), tmp_path / "model.pt2"
    path.write_text("of before")
    calibrate = traceable.TraceableCalibrator.forward
    monkeypatch.setattr(traceable.TraceableCalibrator, "forward", lambda self, confidence: calibrate(self, confidence) / 2)
    with pytest.raises(ValueError, match=r"does not agree with the model: probability differs for .* nothing was written"):
        export_model(folder, path)
    assert path.read_text() == "of before" and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(("different", "fraction", "is_kept"), [(0, 1.0, True), (1, 1.0, False), (10, 0.99, True), (11, 0.99, False)])
def test_a_graph_may_differ_in_a_hundredth_of_the_pixels_and_in_no_image(different, fraction, is_kept):
    expected = {"class_index": np.zeros(1000, int), "confidence": np.linspace(-1, 1, 1000), "accepted": np.ones(1000, bool)}
    outputs = {**expected, "confidence": expected["confidence"] + np.where(np.arange(1000) < different, 0.5, 1e-6)}
    if is_kept:
        assert exporting._check_parity(outputs, expected, 2.0, fraction) == (pytest.approx(1e-6), different)
    else:
        with pytest.raises(ValueError, match=f"confidence differs for {different} of 1,000 predictions"):
            exporting._check_parity(outputs, expected, 2.0, fraction)


@pytest.mark.slow
def test_a_calibrator_with_too_many_knots_is_left_out_and_said(runs, params, tmp_path, monkeypatch):
    monkeypatch.setattr(traceable, "MAX_KNOTS", 3)
    folder = packed(runs, params, "segmentation", "mcp", tmp_path)  # two images give no threshold, so that nothing is accepted
    assert "without probability" in export_model(folder, tmp_path / "model.pt2")
    outputs = run_torch(tmp_path / "model.pt2", np.array(runs["segmentation"].images))
    assert len(outputs) == 3 and not outputs[2].any()


@pytest.mark.parametrize("sizes", [(1, 1), (30, 3), (500, 400)])
def test_the_calibrator_of_a_graph_is_the_models(sizes):
    generator, (count, distinct) = np.random.default_rng(0), sizes
    confidence = generator.choice(generator.normal(size=distinct) * 10.0 ** generator.integers(-6, 6, distinct), count)
    calibrator = fit_calibrator(confidence, generator.random(count) < 0.8)
    asked = np.concatenate([calibrator.confidence_knots, generator.normal(size=200) * 1e3, [-1e30, 1e30, 0.0, 1e-300]])
    found = traceable.TraceableCalibrator(calibrator)(torch.from_numpy(asked)).numpy()
    np.testing.assert_allclose(found, calibrator(asked), atol=1e-9)


def test_what_cannot_be_exported_is_refused_in_one_line(runs, params, tmp_path, monkeypatch):
    folder = packed(runs, params, "digits", "mcp", tmp_path)
    assert "ends in .onx; expected .pt2 or .onnx; did you mean .onnx" in refused("export", str(folder), str(tmp_path / "model.onx"))
    assert "has its score already" in refused("export", str(folder), str(tmp_path / "model.pt2"), "--score", "mcp")
    assert "thresholds for 0.05, 0.3, 0.9" in refused("export", str(folder), str(tmp_path / "model.pt2"), "--risk", "0.2")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert "ONNX needs the package onnxruntime" in refused("export", str(folder), str(tmp_path / "model.onnx"))
    shutil.rmtree(folder / "networks")
    assert "does not exist" in refused("export", str(folder), str(tmp_path / "model.pt2"))
    assert read_json(folder / "model.json")["method"] == "mcp" and exporting.BATCH_SIZES[0] == 1
