"""A user's own images and masks: every layout and kind of mask to the very pixel, and CamVid as camvid reads it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from real_data import data_folder, needs
from segmentation_files import BY_COLOUR, COLOURS, NAMES, STEMS, VOIDS, build, expected, lists, read, sample
from small_params import changed, load, prepared, refusal
from stage_processes import start

from confidnet_core.config.params import load_params
from confidnet_core.data import TRAIN_VAL_TEST, Dataset, load_dataset, save_dataset
from confidnet_core.datasets.camvid import CLASSES, VOID_LABEL, camvid
from confidnet_core.datasets.segmentation_folder import segmentation_folder

REAL = data_folder("camvid") / "camvid"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setenv("CONFIDNET_DATA", str(tmp_path))
    return tmp_path / "streets"


def check(data: Dataset, *splits: str) -> None:
    images, labels = expected(*(splits or TRAIN_VAL_TEST))
    np.testing.assert_array_equal(data.images, images)
    np.testing.assert_array_equal(data.labels, labels)
    assert (data.classes, data.void) == (NAMES, 3)


def without_val(folder: Path) -> None:
    for part in ("images", "masks"):
        shutil.rmtree(folder / part / "val")


def by_params(folder: Path, settings: dict) -> dict:
    """The settings as FOLDER/params.yaml gives them; written as JSON, which YAML includes, since ruamel's safe dump sorts classes."""
    content = changed(("benchmarks", "small", "data"), {"name": "segmentation_folder"} | settings)
    (folder / "params.yaml").write_text(json.dumps(content))
    return load_params(folder / "params.yaml").benchmark("small").data.settings


# Layouts


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("images", "masks", "line"),
    [
        ("{}", "{}annot", None),
        ("images/{}", "masks/{}", None),
        ("{}/images", "{}/masks", None),
        ("{}", "{}annot", "/SegNet/CamVid/{split}/{stem}.jpg /SegNet/CamVid/{split}annot/{stem}.png"),
        ("images", "masks", "{stem}"),
        ("images", "masks", "C:\\data\\images\\{stem}.JPG\tmasks\\{stem}.png\r\n"),
        ("images/{}", "masks/{}", "images/{split}/{stem}.png"),
    ],
)
def test_every_layout_gives_the_same_data(images: str, masks: str, line: str | None, packed: bool, folder: Path) -> None:
    build(folder, images, masks)
    if line:
        lists(folder, line)
    if packed:
        shutil.make_archive(str(folder), "zip", folder.parent, folder.name)  # with a folder around it
    data = read(folder="streets.zip" if packed else "streets")
    check(data)
    assert {name: index.tolist() for name, index in data.splits.items()} == {"train": [0, 1, 2, 3], "val": [4], "test": [5, 6]}
    assert data.source == f"segmentation folder streets{'.zip' * packed}, 4/1/2 images"
    seen = data.images[:4] / 255
    np.testing.assert_allclose((data.mean, data.std), (seen.mean((0, 2, 3)), seen.std((0, 2, 3))), rtol=1e-12)


def test_a_list_gives_the_order_and_masks_of_other_names(folder: Path) -> None:
    build(folder, "images/{}", "masks/{}")
    for path in list(folder.glob("masks/*/*.png")):
        path.rename(path.with_name(f"{path.stem}_gt.png"))
    for split, stems in STEMS.items():
        lines = [f"{split}/{stem}.png /home/me/masks/{split}/{stem}_gt.png" for stem in sorted(stems, reverse=True)]
        (folder / f"{split}.txt").write_bytes(b"\xef\xbb\xbf" + "\n\n".join(lines).encode())
    data, (images, labels) = read(), expected(*TRAIN_VAL_TEST)
    order = [3, 2, 1, 0, 4, 6, 5]
    np.testing.assert_array_equal(data.images, images[order])
    np.testing.assert_array_equal(data.labels, labels[order])
    (folder / "train.txt").write_text("train/b.png b_gt.png\n")  # what is not listed is not read
    assert read().images.tolist()[0] == images[1].tolist() and len(read().splits["train"]) == 1


@pytest.mark.parametrize("flat", [False, True])
def test_without_a_val_it_is_drawn_from_train(flat: bool, folder: Path) -> None:
    build(folder, *(("images", "masks") if flat else ()))
    if flat:
        lists(folder, "{stem}.png")
        (folder / "val.txt").unlink()
    else:
        shutil.rmtree(folder / "images/val")
        shutil.rmtree(folder / "masks/val")
    with pytest.raises(ValueError, match=r"val is 0, and .*streets/ has no val split; expected how many of its 4 training images to draw"):
        read()
    data = read(val=0.5)
    check(data, "train", "test")
    assert sorted([*data.splits["train"], *data.splits["val"]]) == [0, 1, 2, 3] and len(data.splits["val"]) == 2
    assert data.source == "segmentation folder streets, 2/2/2 images, val drawn from train"


# Masks


def palette(labels: np.ndarray) -> Image.Image:
    mask = Image.fromarray(labels).convert("P")
    mask.putdata(labels.ravel().tolist())
    mask.putpalette(COLOURS.ravel().tolist())
    return mask


@pytest.mark.parametrize(
    ("mask", "settings"),
    [
        (palette, {}),
        (palette, {"classes": BY_COLOUR, "void": VOIDS}),
        (lambda labels: COLOURS[labels], {"classes": BY_COLOUR, "void": VOIDS}),
        (lambda labels: np.dstack([COLOURS[labels], labels]), {"classes": BY_COLOUR, "void": VOIDS}),
        (lambda labels: COLOURS[np.minimum(labels, 3)], {"classes": BY_COLOUR, "void": [0, 0, 0]}),
        (lambda labels: np.minimum(labels, 3), {"void": 3}),
        (lambda labels: np.uint8([255, 0, 7, 100, 101])[labels], {"classes": {"sky": 255, "road": 0, "car": 7}, "void": [100, 101]}),
    ],
    ids=["palette by value", "palette by colour", "colours", "colours with alpha", "one void colour", "one void", "values of classes"],
)
def test_masks_hold_values_or_colours(mask: Callable, settings: dict, folder: Path) -> None:
    build(folder, mask=mask)
    check(read(**settings))


def test_a_mask_of_two_values_has_0_and_255(folder: Path) -> None:
    build(folder, mask=lambda labels: labels > 1)
    data = read(classes={"ground": 0, "thing": 255}, void=None)
    np.testing.assert_array_equal(
        data.labels > 0, np.stack([sample(stem)[1] > 1 for split in TRAIN_VAL_TEST for stem in sorted(STEMS[split])])
    )
    assert (data.classes, data.void, int(data.labels.max())) == (("ground", "thing"), None, 1)


def test_it_is_a_benchmarks_data_and_is_prepared_like_any(folder: Path, tmp_path: Path) -> None:
    build(folder, mask=lambda labels: COLOURS[labels])
    without_val(folder)
    settings = {"name": "segmentation_folder", "folder": "streets", "height": 3, "width": 4, "classes": BY_COLOUR, "void": VOIDS, "val": 3}
    place = ("benchmarks", "small", "data")
    data = prepared(segmentation_folder(**load(tmp_path, changed(place, settings)).benchmark("small").data.settings))
    facts = save_dataset(data, tmp_path / "prepared")
    assert facts["task"] == "segmentation" and facts["void_labels"]["train"] == (data.split("train")[1] == 3).sum() > 0
    np.testing.assert_equal(load_dataset(tmp_path / "prepared").split("train"), data.split("train"))
    load(tmp_path, changed(place, settings | {"classes": list(NAMES), "void": 255, "val": 0.2}))
    refused = refusal(tmp_path, changed(place, settings | {"classes": "sky"}))
    assert refused.endswith("classes is 'sky'; expected a list of str or keys and values")


@pytest.mark.parametrize(
    ("mask", "settings"),
    [
        (lambda labels: labels, {"classes": list(NAMES), "void": [3, 4]}),
        (lambda labels: np.minimum(labels, 3), {"classes": {"sky": 0, "road": 1, "car": 2}, "void": 3, "val": 1}),
        (lambda labels: COLOURS[labels], {"classes": BY_COLOUR, "void": VOIDS, "val": 0.25}),
        (lambda labels: COLOURS[np.minimum(labels, 3)], {"classes": BY_COLOUR, "void": [0, 0, 0]}),
        (lambda labels: np.minimum(labels, 2), {"classes": list(NAMES), "void": None}),
    ],
    ids=["names, values", "name: value, value", "name: colour, colours", "name: colour, colour", "names, null"],
)
def test_params_yaml_takes_every_form_of_classes_and_void(mask: Callable, settings: dict, folder: Path, tmp_path: Path) -> None:
    build(folder, mask=mask)
    if "val" in settings:
        without_val(folder)
    settings = {"folder": "streets", "height": 6, "width": 8} | settings
    data, direct = segmentation_folder(**by_params(tmp_path, settings)), segmentation_folder(**settings)
    np.testing.assert_array_equal(data.labels, direct.labels)
    assert (data.classes, data.void, len(data.splits["val"])) == (NAMES, None if settings["void"] is None else 3, 1)


@pytest.mark.slow
def test_the_prepare_stage_reads_it_from_params_yaml(folder: Path, tmp_path: Path) -> None:
    build(folder, mask=lambda labels: COLOURS[labels])
    without_val(folder)
    by_params(tmp_path, {"folder": "streets", "height": 6, "width": 8, "classes": BY_COLOUR, "void": VOIDS, "val": 3})
    done = start(tmp_path, "prepare", "small", CONFIDNET_DATA=str(tmp_path))
    assert done.returncode == 0, done.stderr
    images, labels = load_dataset(tmp_path / "data/prepared/small").split("test")
    expected_images, expected_labels = expected("test")
    np.testing.assert_array_equal(images, expected_images)
    np.testing.assert_array_equal(labels, expected_labels)


@needs("CamVid", "camvid/")
@pytest.mark.parametrize("size", [(180, 240), (360, 480), (100, 133), (400, 500)])
def test_the_real_camvid_is_what_camvid_reads(size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for split in TRAIN_VAL_TEST:
        lines = (REAL / f"{split}.txt").read_text().splitlines()[::50]
        (tmp_path / "camvid" / split).mkdir(parents=True)
        (tmp_path / "camvid" / f"{split}annot").mkdir()
        (tmp_path / "camvid" / f"{split}.txt").write_text("\n".join(lines) + "\n\n")
        for stem in [Path(line.split()[0]).stem for line in lines]:
            shutil.copy(REAL / split / f"{stem}.jpg", tmp_path / "camvid" / split)
            shutil.copy(REAL / f"{split}annot" / f"{stem}.png", tmp_path / "camvid" / f"{split}annot")
    monkeypatch.setenv("CONFIDNET_DATA", str(tmp_path))
    settings = {"height": size[0], "width": size[1]}
    data, reference = segmentation_folder(folder="camvid", classes=CLASSES, void=VOID_LABEL, **settings), camvid(**settings)
    np.testing.assert_array_equal(data.images, reference.images)
    np.testing.assert_array_equal(data.labels, reference.labels)
    assert (data.classes, data.void, len(data.images)) == (reference.classes, reference.void, 16)
    for split in TRAIN_VAL_TEST:
        np.testing.assert_array_equal(data.splits[split], reference.splits[split])
