"""The digest of a served model: it covers all that a prediction depends on, and nothing else."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from project_code import ROOT, entries, reached

from confidnet_core.files import read_json, write_json
from confidnet_core.serving.identity import DIGESTED_METADATA_KEYS, SERVED_CODE_PATHS, served_model_digest

PACKAGE = ROOT / "confidnet_core"


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """Write those files of a packed model that its digest covers."""
    facts = dict.fromkeys(DIGESTED_METADATA_KEYS, 0) | {
        "method": "mcp",
        "recipes": {"model": {"name": "mlp", "settings": {}}, "baseline": {"epochs": 1}, "mc_dropout": {}},
    }
    facts["recipes"]["data"] = {"name": "image_folder", "settings": {"folder": "insects", "height": 8, "width": 8}}
    write_json(tmp_path / "model.json", facts)
    write_json(tmp_path / "threshold.json", {"thresholds": [{"risk": 0.05, "threshold": 0.5, "served": True, "test": {"coverage": 0.9}}]})
    for name in ("fitted.pt", "networks/baseline/weights.pt", "networks/baseline/model.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    np.savez(tmp_path / "validation.npz", confidence=np.zeros(2), correct=np.ones(2, bool))
    return tmp_path


def edit(path: Path, change: Callable[[dict], object]) -> None:
    change(content := read_json(path))
    write_json(path, content)


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "networks/baseline/weights.pt").write_text("2"),
        lambda folder: (folder / "fitted.pt").write_text("2"),
        lambda folder: np.savez(folder / "validation.npz", confidence=np.ones(2), correct=np.ones(2, bool)),
        lambda folder: edit(folder / "threshold.json", lambda content: content["thresholds"][0].update(threshold=0.6)),
        lambda folder: edit(folder / "threshold.json", lambda content: content["thresholds"][0].update(served=False)),
        lambda folder: edit(folder / "model.json", lambda content: content.update(settings={"shift": 0.1})),
        lambda folder: edit(folder / "model.json", lambda content: content.update(method="entropy")),
        lambda folder: edit(folder / "model.json", lambda content: content["recipes"]["baseline"].update(epochs=2)),
        lambda folder: edit(folder / "model.json", lambda content: content["recipes"]["data"]["settings"].update(grey=True)),
    ],
)
def test_a_change_that_affects_predictions_changes_the_digest(packed: Path, change: Callable[[Path], object]):
    before = served_model_digest(packed)
    change(packed)
    assert served_model_digest(packed) != before


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: edit(folder / "model.json", lambda content: content["recipes"].update(mc_dropout={"passes": 7})),
        lambda folder: edit(folder / "model.json", lambda content: content.update(data="of another test split")),
        lambda folder: edit(folder / "model.json", lambda content: content["recipes"]["data"]["settings"].update(folder="moved")),
        lambda folder: edit(folder / "threshold.json", lambda content: content["thresholds"][0]["test"].update(coverage=0.1)),
        lambda folder: (folder / "networks/baseline/model.json").write_text("how good it is"),
    ],
)
def test_a_change_that_affects_no_prediction_leaves_the_digest(packed: Path, change: Callable[[Path], object]):
    before = served_model_digest(packed)
    change(packed)
    assert served_model_digest(packed) == before


def test_the_digest_covers_all_code_that_a_served_model_runs():
    code = {path.relative_to(PACKAGE) for path in reached(PACKAGE / "serving/served_model.py", *entries("scores"))}
    others = {path for path in code if path.parts[0] != "scores" and path != Path("__init__.py")}  # the score's own are its entry's
    assert not [path for path in others if not any(path.is_relative_to(part) for part in SERVED_CODE_PATHS)]
    assert all((PACKAGE / part).exists() for part in SERVED_CODE_PATHS)
