"""A served score equals the stored one, for every score that can be packed without the data; and the predictions of a served model."""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from project_code import ROOT, entries, foreign, reached
from served import RISKS, answer, params_of, score, stored_of
from small import trained_runs

from confidnet_core.config import registry
from confidnet_core.config.params import Params
from confidnet_core.config.registry import entry_attributes, entry_names
from confidnet_core.evaluation.calibrators import fit_calibrator
from confidnet_core.files import read_json, write_json
from confidnet_core.scoring.fitted import load_fitted_values, require_storable_value, save_fitted_values
from confidnet_core.scoring.run import Run
from confidnet_core.serving.packing import copy_networks_to_candidate, pack_model_with_best_score, pack_model_with_score
from confidnet_core.serving.requirements import SERVED_CODE_REQUIREMENTS
from confidnet_core.serving.selective_classifier import ScoreNotServableError, SelectiveClassifier

# These scores need what a served model does not have: dropout samples of a split, classifiers of other seeds, or labels.
NOT_SERVED = {name for name in entry_names("scores") if name.startswith("mc_dropout")}
NOT_SERVED |= {name for name, mark in entry_attributes("scores", entry_names("scores"), "over_seeds").items() if mark}
NOT_SERVED |= {name for name, mark in entry_attributes("scores", entry_names("scores"), "oracle").items() if mark}
SERVED = [name for name in entry_names("scores") if name not in NOT_SERVED]
pytestmark = pytest.mark.filterwarnings("ignore:nothing is accepted")  # two images give no threshold
both_tasks = pytest.mark.parametrize("task", ["digits", "segmentation"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Run], Params]]:
    root = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONFIDNET_DEVICE", "cpu")
        runs = trained_runs(tmp_path_factory, root)
        for run in runs.values():
            answer(run)
            score(run, entry_names("scores"), root)
        yield root, runs, params_of(runs.values(), entry_names("scores"), root)


@pytest.fixture
def runs(trained: tuple[Path, dict[str, Run], Params], monkeypatch: pytest.MonkeyPatch) -> dict[str, Run]:
    monkeypatch.chdir(trained[0])
    return {task: replace(run) for task, run in trained[1].items()}


@pytest.fixture
def params(trained: tuple[Path, dict[str, Run], Params]) -> Params:
    return trained[2]


def served(run: Run, method: str, params: Params, folder: Path, patch: pytest.MonkeyPatch) -> SelectiveClassifier:
    """Load a packed model from a copy of its folder, in an empty working directory."""
    candidate = pack_model_with_score(stored_of(run, method), method, params, folder / "packed")
    copy_networks_to_candidate(candidate)
    shutil.copytree(folder / "packed", folder / "moved")
    (folder / "empty").mkdir()
    patch.chdir(folder / "empty")
    return SelectiveClassifier.load(folder / "moved")


@both_tasks
@pytest.mark.parametrize("method", SERVED)
def test_a_served_confidence_is_the_stored_one(runs, params, task, method, tmp_path, monkeypatch):
    run, stored = runs[task], np.load(f"data/scores/{task}/seed0/{method}/test.npy")
    images, is_labelled, predicted = np.array(run.images), run.is_labelled, np.array(run.predicted_maps)
    answers = served(run, method, params, tmp_path, monkeypatch).predict(images)
    np.testing.assert_array_equal(answers["confidence"][is_labelled], stored)  # the same batches: bit for bit
    np.testing.assert_array_equal(answers["class_index"], predicted)


@both_tasks
@pytest.mark.parametrize("method", ["stack", "confidnet"])
def test_in_other_batches_it_differs_by_rounding_only(runs, params, task, method, tmp_path, monkeypatch):
    stored, run = np.load(f"data/scores/{task}/seed0/{method}/test.npy"), runs[task]
    images, is_labelled = np.array(run.images), run.is_labelled
    model = served(run, method, params, tmp_path, monkeypatch)
    one_by_one = np.concatenate([model.predict(images[[at]])["confidence"] for at in range(min(len(images), 20))])
    inside = is_labelled[: len(one_by_one)]
    np.testing.assert_allclose(one_by_one[inside], stored[: inside.sum()], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", sorted(NOT_SERVED))
def test_a_score_that_needs_more_than_new_images_is_refused(runs, params, method, tmp_path):
    with pytest.raises(ScoreNotServableError):
        pack_model_with_score(stored_of(runs["digits"], method), method, params, tmp_path / "packed")


def test_only_the_networks_that_a_score_uses_are_packed(runs, params, tmp_path):
    for method, networks in {"mcp": ["baseline"], "confidnet": ["baseline", "finetune"], "stack": ["baseline", "second_opinion"]}.items():
        copy_networks_to_candidate(pack_model_with_score(stored_of(runs["digits"], method), method, params, tmp_path / method))
        assert sorted(path.name for path in (tmp_path / method / "networks").iterdir()) == networks


@both_tasks
def test_labels_probabilities_and_decisions_go_with_the_confidence(runs, params, task, tmp_path, monkeypatch):
    run = runs[task]
    validation, images, classes = run.validation, np.array(run.images), run.dataset.classes
    calibrate = fit_calibrator(np.load(f"data/scores/{task}/seed0/entropy/val.npy"), validation.correct)
    guarantees = read_json(Path(f"data/thresholds/{task}/seed0/entropy/threshold.json"))["thresholds"]
    model = served(run, "entropy", params, tmp_path, monkeypatch)
    answers = model.predict(images)
    shape = images.shape[:1] if task == "digits" else (len(images), *images.shape[2:])
    assert {value.shape for value in answers.values()} == {shape}
    assert ("label" in answers) == (task == "digits")
    if task == "digits":
        assert answers["label"].tolist() == [classes[index] for index in answers["class_index"]]
    np.testing.assert_array_equal(answers["probability"].ravel(), calibrate(answers["confidence"].ravel()))
    assert model.target_risk == RISKS[2]
    assert answers["accepted"].any() == (task == "digits")  # two images give no guarantee
    for guarantee in guarantees:
        accepted = model.predict(images, {"risk": guarantee["risk"]})["accepted"]
        expected = answers["confidence"] >= (np.inf if guarantee["threshold"] is None else guarantee["threshold"])
        np.testing.assert_array_equal(accepted, expected)


def test_without_a_threshold_nothing_is_accepted(runs, params, tmp_path, monkeypatch):
    images, path = np.array(runs["digits"].images[:3]), tmp_path / "moved/threshold.json"
    served(runs["digits"], "mcp", params, tmp_path, monkeypatch)
    content = read_json(path)
    assert [guarantee["served"] for guarantee in content["thresholds"]] == [risk == RISKS[2] for risk in RISKS]
    changes = ({}, {"threshold": -1.0}, {"threshold": None, "reason": "59 are needed"})
    write_json(path, {"thresholds": [old | new for old, new in zip(content["thresholds"], changes, strict=True)]})
    model = SelectiveClassifier.load(path.parent)
    with pytest.warns(UserWarning, match="nothing is accepted: there is no threshold for a target risk of 0.9, since 59 are needed"):
        assert not model.predict(images)["accepted"].any()
    assert model.predict(images, {"risk": RISKS[1]})["accepted"].all()  # another target is the caller's to choose


@pytest.mark.parametrize("method", ["mcp", "corrected_mcp"])  # float64 and float32
def test_a_confidence_that_is_the_threshold_is_accepted(runs, params, method, tmp_path, monkeypatch):
    images, path = np.array(runs["digits"].images), tmp_path / "moved/threshold.json"
    confidence = np.sort(served(runs["digits"], method, params, tmp_path, monkeypatch).predict(images)["confidence"])
    write_json(path, {"thresholds": [{"risk": 0.5, "threshold": float(confidence[100]), "served": True}]})
    accepted = SelectiveClassifier.load(path.parent).predict(images)["accepted"]
    assert accepted.sum() == (confidence >= confidence[100]).sum()


def test_other_images_and_another_risk_are_refused(runs, params, tmp_path, monkeypatch):
    images, model = np.array(runs["digits"].images[:2]), served(runs["digits"], "mcp", params, tmp_path, monkeypatch)
    for wrong in (images / 255, images[0], images[:0], images.repeat(2, axis=2)):
        with pytest.raises(ValueError, match=r"expected uint8 \(b, 1, 8, 8\) with b >= 1"):
            model.predict(wrong)
    with pytest.raises(ValueError, match=r"risk is 0\.2; this model has thresholds for 0\.05, 0\.3, 0\.9"):
        model.predict(images, {"risk": 0.2})


def test_the_best_score_on_validation_data_that_can_be_served_is_taken(runs, params, tmp_path):
    stored = stored_of(runs["digits"], "mcp", "entropy", "mc_dropout", "tcp")
    for method, value in {"mcp": 0.2, "entropy": 0.3, "mc_dropout": 0.4, "tcp": 0.9}.items():
        _pretend(tmp_path / "project", method, value)
    shutil.copytree("models", tmp_path / "project/models")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path / "project")
        candidate = pack_model_with_best_score(stored, params, tmp_path / "packed")
    assert candidate.validation_evaluation.method == "entropy"
    assert [reason.partition(" ")[0] for reason in candidate.skipped_scores] == ["mc_dropout"]


def _pretend(project: Path, method: str, aupr_error: float) -> None:
    """A copy of the digits' files, with this figure on validation data."""
    for folder in ("prepared/digits", f"scores/digits/seed0/{method}", f"thresholds/digits/seed0/{method}", "predictions/digits/seed0"):
        shutil.copytree(f"data/{folder}", project / "data" / folder, dirs_exist_ok=True)
    path = project / f"data/scores/digits/seed0/{method}/metrics.json"
    content = read_json(path)
    content["val"]["metrics"]["aupr_error"] = aupr_error
    write_json(path, content)


OWN = """
import torch

def {name}(run):
    shift = run.{run_method}(middle)
    return run.map_logits(lambda logits, _: logits.amax(1) - shift)

def middle(run):
    return float(run.validation.subsample_logits()[0].median())
"""


@pytest.mark.parametrize(("run_method", "is_served"), [("fitted", True), ("cached", False)])
def test_a_users_own_score_is_served_if_it_takes_fitted_values_by_run_fitted(runs, params, tmp_path, monkeypatch, run_method, is_served):
    name = f"shifted_{run_method}"
    own = ModuleType(f"confidnet_core.scores.{name}")
    exec(OWN.format(name=name, run_method=run_method), vars(own))
    monkeypatch.setitem(sys.modules, own.__name__, own)
    monkeypatch.setattr(registry, "entry_names", lambda family: [*entry_names(family), name])
    score(runs["digits"], [name], Path())
    if is_served:
        pack_model_with_score(stored_of(runs["digits"], name), name, params, tmp_path / name)
    else:
        with pytest.raises(ScoreNotServableError, match=r"it reads the val split, and not within Run\.fitted"):
            pack_model_with_score(stored_of(runs["digits"], name), name, params, tmp_path / name)


def test_a_score_whose_values_differ_from_the_stored_ones_is_not_served(runs, params, tmp_path):
    path = Path("data/scores/digits/seed0/temperature/fitted.pt")
    fitted = load_fitted_values(path.parent, torch.device("cpu"))
    shutil.copytree(".", tmp_path / "project")
    save_fitted_values(tmp_path / "project" / path.parent, {key: 2 * value for key, value in fitted.items()})
    with (
        pytest.MonkeyPatch.context() as patch,
        pytest.raises(ScoreNotServableError, match="other confidences than those stored for 16 of 16 predictions"),
    ):
        patch.chdir(tmp_path / "project")
        pack_model_with_score(stored_of(runs["digits"], "temperature"), "temperature", params, tmp_path / "packed")


def test_fitted_values_come_back_as_they_were(tmp_path):
    values = {"a": [torch.arange(6.0)[::2], None, (1, 0.1, "x", True)], "b": float("inf")}
    save_fitted_values(tmp_path, values)
    loaded = load_fitted_values(tmp_path, torch.device("cpu"))
    assert torch.equal(loaded["a"][0], values["a"][0]) and loaded["a"][1:] == values["a"][1:] and loaded["b"] == values["b"]
    first = (tmp_path / "fitted.pt").read_bytes()
    save_fitted_values(tmp_path, values)
    assert (tmp_path / "fitted.pt").read_bytes() == first


def test_a_fitted_value_that_no_file_can_hold_is_refused_by_name():
    with pytest.raises(ValueError, match=r"stack\.fit fitted a numpy\.ndarray; expected numbers, text.*torch\.from_numpy"):
        require_storable_value([1.0, np.zeros(2)], "stack.fit")


def test_a_damaged_file_of_fitted_values_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"fitted\.pt does not exist; `dvc repro` makes it"):
        load_fitted_values(tmp_path, torch.device("cpu"))
    (tmp_path / "fitted.pt").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(ValueError, match=r"fitted\.pt is damaged"):
        load_fitted_values(tmp_path, torch.device("cpu"))


def test_the_requirements_are_all_that_the_code_of_a_served_model_imports():
    code = reached(ROOT / "confidnet_core/serving/served_model.py", *(path for kind in ("models", "scores") for path in entries(kind)))
    packages = {"ruamel": "ruamel.yaml", "sklearn": "scikit-learn", "pydantic_core": "pydantic", "PIL": "pillow"}
    outside = {name for path in code for name in foreign(path)} - set(sys.stdlib_module_names) - {"confidnet_core", "torchvision"}
    assert {packages.get(name, name) for name in outside} | {"mlflow"} == set(
        SERVED_CODE_REQUIREMENTS
    )  # torchvision: for pretrained encoders only
