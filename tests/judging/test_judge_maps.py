"""Folders of maps: a segmentation's predictions are judged image by image, whatever the kind of file, and a wrong map is named."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_lines import refused, shown
from PIL import Image

from confidnet_core import judge
from confidnet_core.judging.map_folders import MapFolders, judge_arguments_of_maps

VOID, SIZE = 255, (6, 8)
QUICK = {"resamples": 100, "risks": (0.3,)}


def maps(count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """True and predicted classes, uint8 (count, h, w), and two confidences: float32, and the same in 16 bits."""
    rng = np.random.default_rng(seed)
    confidence = rng.random((count, *SIZE), np.float32)
    masks = rng.integers(0, 3, (count, *SIZE)).astype(np.uint8)
    predicted = np.where(rng.random(masks.shape) < 0.3 + 0.6 * confidence, masks, (masks + 1) % 3).astype(np.uint8)
    masks[:, 0] = VOID
    return {"masks": masks, "predicted": predicted, "mine": confidence, "bits": (confidence * 65535).astype(np.uint16)}


def write(folder: Path, arrays: dict[str, np.ndarray], split: str = "") -> MapFolders:
    for name, images in arrays.items():
        (folder / name / split).mkdir(parents=True, exist_ok=True)
        for index, image in enumerate(images):
            path = folder / name / split / f"image{index:02}"
            if name == "mine":
                np.save(path.with_suffix(".npy"), image)
            else:
                Image.fromarray(image).save(path.with_suffix(".tif" if name == "bits" else ".png"))
    return MapFolders(folder / "masks", folder / "predicted", {name: folder / name for name in ("mine", "bits")}, (VOID,))


def test_maps_are_judged_as_their_labelled_pixels_with_images_as_units(tmp_path: Path):
    arrays = maps(12)
    folders = write(tmp_path, arrays)
    is_labelled = arrays["masks"] != VOID
    confidences = {name: arrays[name][is_labelled] for name in ("mine", "bits")}
    images = np.nonzero(is_labelled)[0]
    expected = judge((arrays["predicted"] == arrays["masks"])[is_labelled], confidences, units=images, **QUICK)
    judged = judge(**judge_arguments_of_maps(folders), **QUICK)
    assert judged.to_json() == expected.to_json()
    assert judged.to_json()["units"] == 12 and judged.samples == 12 * 5 * 8
    assert not judged.table["auroc"].isna().any()


def test_folders_of_splits_give_calibration_and_thresholds(tmp_path: Path):
    for split, count in (("test", 10), ("val", 8), ("calibration", 40)):
        folders = write(tmp_path, maps(count, seed=count), split)
    judged = judge(**judge_arguments_of_maps(folders), **QUICK)
    assert len(judged.calibration) == 2 and set(judged.thresholds["units"]) == {40}


def test_the_command_takes_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path, maps(12))
    monkeypatch.chdir(tmp_path)
    options = ("--masks", "masks", "--predicted", "predicted", "--confidence", "mine,other=bits", "--resamples", "100")
    content = json.loads(shown("judge", *options, "--json"))
    assert content["metrics"].keys() == {"mine", "other"} and content["name"] == "masks"
    assert refused("judge", *options[:2]).startswith("--masks needs --predicted and --confidence")
    assert refused("judge", *options, "--void", "none").startswith("--void is none; expected whole numbers")
    assert refused("judge", "--confidence", "mine").startswith("there are no predictions; give CSV")


def damage(folder: Path, name: str, content: np.ndarray | str | None) -> None:
    path = next((folder / name).glob("image03.*"))
    if content is None:
        path.unlink()
    elif isinstance(content, str):
        path.write_text(content)
    elif path.suffix == ".npy":
        np.save(path, content)
    else:
        Image.fromarray(content).save(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("predicted", None, "predicted has no map image03, as the folder of masks has"),
        ("mine", None, "mine has no map image03"),
        ("predicted", np.zeros((3, 4), np.uint8), r"image03\.png has the shape \(3, 4\) and its mask \(6, 8\)"),
        ("predicted", np.zeros((*SIZE, 3), np.uint8), r"image03\.png has the mode RGB; expected one number a pixel"),
        ("masks", "nothing", r"image03\.png is damaged"),
        ("mine", "nothing", r"image03\.npy cannot be read"),
        ("mine", np.full(SIZE, np.nan), r"image03\.npy holds NaN or infinity on a labelled pixel"),
        ("mine", np.zeros((2, *SIZE)), r"image03\.npy is float64 \(2, 6, 8\); expected one number a pixel"),
    ],
)
def test_a_wrong_map_is_named(tmp_path: Path, name: str, content: np.ndarray | str | None, message: str):
    folders = write(tmp_path, maps(5))
    damage(tmp_path, name, content)
    with pytest.raises(ValueError, match=message):
        judge_arguments_of_maps(folders)


def test_folders_without_maps_without_labels_or_without_a_test_split_are_refused(tmp_path: Path):
    folders = write(tmp_path, maps(2))
    with pytest.raises(ValueError, match="no pixel has a label; are the void labels right"):
        judge_arguments_of_maps(folders._replace(void=(0, 1, 2, VOID)))
    with pytest.raises(ValueError, match=r"--predicted is .*nowhere, which is no folder"):
        judge_arguments_of_maps(folders._replace(predicted=tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty holds no map; expected files that end in"):
        judge_arguments_of_maps(folders._replace(masks=tmp_path / "empty"))
    (tmp_path / "masks/val").mkdir()
    with pytest.raises(ValueError, match="has the folders val and none called test"):
        judge_arguments_of_maps(folders)
