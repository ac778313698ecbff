"""What lies in a data set's folder beside the images: read where Pillow can, and else named in a line."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from segmentation_files import build, lists, read
from small_params import changed, load
from stage_processes import start

from confidnet_core.data import load_dataset, save_dataset, warning_sentences
from confidnet_core.datasets._image_formats import IMAGE_SUFFIXES
from confidnet_core.datasets.image_folder import image_folder
from confidnet_core.serving.image_files import images_of_paths


def write(path: Path, seed: int = 0, channels: int = 3) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, channels), dtype=np.uint8).squeeze()
    Image.fromarray(pixels).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(("train/a/1.png", "train/b/1.png", "val/a/1.png", "test/a/1.png", "test/b/1.png")):
        write(tmp_path / "set" / name, seed)
    return tmp_path / "set"


def read_folder(folder: Path, **settings: object):
    return image_folder(folder=str(folder), height=8, width=8, **settings)


@pytest.mark.parametrize(
    "suffix", [".jfif", ".jpe", ".JPG", ".avif", ".jp2", ".tga", ".webp", ".bmp", ".tif", ".gif", ".ppm", ".pcx", ".sgi"]
)
def test_every_kind_of_image_that_pillow_reads_is_read(suffix: str, folder: Path) -> None:
    before = len(read_folder(folder).images)
    write(folder / f"train/a/x{suffix}", 9)
    data = read_folder(folder)
    assert len(data.images) == before + 1 and data.notes == ()
    assert sum(image.name.endswith(suffix) for image in images_of_paths([folder])) == 1


def test_what_is_left_out_is_counted_and_named(folder: Path) -> None:
    for name in ("train/a/1.heic", "train/b/2.HEIC", "test/a/list.txt", "test/a/README", "dev/a/1.png", "dev/a/2.png", "notes.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    left_out, unused = read_folder(folder).notes
    assert left_out == (
        "4 files are left out, since nothing reads such files here: 2 .heic, 1 no ending, 1 .txt; "
        "the first is test/a/README. Save images as PNG or JPEG to use them."
    )
    expected = "splits are train/, val/ or valid/ or validation/, test/."
    assert unused == f"{folder}/ also holds dev/ (2 files), which nothing reads; {expected}"
    assert ".heic" not in IMAGE_SUFFIXES


def test_system_files_are_no_news(folder: Path) -> None:
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store"):
        (folder / "train/a" / name).write_bytes(b"x")
    assert read_folder(folder).notes == ()


@pytest.mark.parametrize("name", ["valid", "validation"])
def test_the_validation_folder_has_three_names(name: str, folder: Path) -> None:
    expected = read_folder(folder)
    (folder / "val").rename(folder / name)
    data = read_folder(folder)
    np.testing.assert_array_equal(data.images, expected.images)
    assert {split: indices.tolist() for split, indices in data.splits.items()} == {
        split: indices.tolist() for split, indices in expected.splits.items()
    }
    (folder / "val/a").mkdir(parents=True)
    with pytest.raises(ValueError, match=f"holds val and {name}, which name one split; keep one of them"):
        read_folder(folder)


LAYOUTS = [("images/{}", "masks/{}"), ("{}", "{}annot"), ("{}/images", "{}/masks"), ("images", "masks")]


@pytest.mark.parametrize(("images", "masks"), LAYOUTS)
def test_so_has_that_of_images_with_masks(images: str, masks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFIDNET_DATA", str(tmp_path))
    folder = build(tmp_path / "streets", images, masks)
    if "{}" not in images:
        lists(folder, "{stem}")
    expected = read()
    for path in sorted(folder.rglob("val*"), reverse=True):
        path.rename(path.with_name(path.name.replace("val", "valid")))
    data = read()
    np.testing.assert_array_equal(data.labels, expected.labels)
    assert len(data.splits["val"]) == 1
    (folder / "dev").mkdir()
    (folder / "dev/a.png").write_bytes(b"")
    assert "also holds dev/ (1 files)" in read().notes[0]


def test_one_class_in_two_unicode_forms_is_one_class(folder: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    write(folder / "train" / composed / "1.png", 7)
    write(folder / "test" / decomposed / "1.png", 8)
    write(folder / "val" / decomposed / "1.png", 9)
    write(folder / "val" / composed / "2.png", 10)
    data = read_folder(folder)
    assert data.classes == ("a", "b", composed)
    assert [np.count_nonzero(data.split(split)[1] == 2) for split in ("train", "val", "test")] == [1, 2, 1]


def test_a_mask_and_a_list_may_spell_a_name_in_another_unicode_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFIDNET_DATA", str(tmp_path))
    folder = build(tmp_path / "streets")
    composed, decomposed = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    (folder / "images/val/d.png").rename(folder / f"images/val/{composed}.png")
    (folder / "masks/val/d.png").rename(folder / f"masks/val/{decomposed}.png")
    expected = read()
    (folder / "val.txt").write_text(f"{decomposed}.png\n")
    np.testing.assert_array_equal(read().labels, expected.labels)


def test_a_class_whose_bytes_are_no_text_is_refused(folder: Path) -> None:
    write(folder / "train" / "caf\udce9" / "1.png")
    with pytest.raises(ValueError, match=r"set/train/caf\\udce9 has a name that is no UTF-8; rename it"):
        read_folder(folder)


def test_a_channel_that_is_always_0_is_taken_with_a_warning(folder: Path, tmp_path: Path) -> None:
    for path in folder.rglob("*.png"):
        pixels = np.asarray(Image.open(path)).copy()
        pixels[..., 2] = 0
        Image.fromarray(pixels).save(path)
    data = read_folder(folder)
    assert (data.mean[2], data.std[2]) == (0, 1) and 0 < data.std[0] < 1
    (note,) = data.notes
    assert note == "channel 2 has one value in all training images, from which nothing can be learnt."
    save_dataset(data, tmp_path / "prepared")
    assert warning_sentences(tmp_path / "prepared") == [note]
    assert warning_sentences(tmp_path / "prepared", "calibration") == []


@pytest.mark.slow
def test_prepare_says_in_a_line_what_is_left_out(folder: Path, tmp_path: Path) -> None:
    write(folder / "val/b/2.png", 11)
    write(folder / "val/b/3.png", 12)
    (folder / "train/a/1.heic").write_bytes(b"x")
    load(tmp_path, changed(("benchmarks", "small", "data"), {"name": "image_folder", "folder": str(folder), "height": 8, "width": 8}))
    done = start(tmp_path, "prepare", "small")
    assert done.returncode == 0, done.stderr
    assert "WARNING small: 1 file is left out, since nothing reads such files here: 1 .heic; the first is train/a/1.heic." in done.stderr
    assert load_dataset(tmp_path / "data/prepared/small").notes[0].startswith("1 file is left out")
