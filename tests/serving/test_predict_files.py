"""Answers for images from files, folders, archives and arrays: those that the pipeline stored, whatever else lies among them."""

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from image_files import png_bytes, write_damaged_files, write_png_files
from PIL import Image
from project_code import ROOT

from confidnet_core.data import Dataset, load_dataset
from confidnet_core.datasets.camvid import camvid
from confidnet_core.datasets.image_folder import image_folder
from confidnet_core.datasets.segmentation_folder import segmentation_folder
from confidnet_core.serving.image_files import count_images, images_of_paths
from confidnet_core.serving.new_images import image_reader
from confidnet_core.serving.predicting import BatchAnswers, predict_files
from confidnet_core.serving.selective_classifier import SelectiveClassifier


@pytest.fixture
def model(packed_folder: Path) -> SelectiveClassifier:
    return SelectiveClassifier.load(packed_folder)


@pytest.fixture
def dataset(project_of_packed_models: Path) -> Dataset:
    return load_dataset(project_of_packed_models / "data/prepared/digits")


def together(batches: list[BatchAnswers], column: str) -> np.ndarray:
    return np.concatenate([batch.answers[column] for batch in batches if batch.answers])


@pytest.mark.parametrize("method", ["mcp", "confidnet"])
@pytest.mark.parametrize("kind", ["files", "folder", "zip", "npy", "npz"])
def test_the_answers_are_those_stored_for_the_test_images(
    project_of_packed_models: Path, packed_folder: Path, dataset: Dataset, tmp_path: Path, kind: str, method: str
):
    model, images = SelectiveClassifier.load(packed_folder.with_name(method)), dataset.split("test")[0]
    stored = np.load(project_of_packed_models / f"data/scores/digits/seed0/{method}/test.npy")
    files = write_png_files(tmp_path / "folder", images)
    paths = {"files": files, "folder": [tmp_path / "folder"], **{kind: [tmp_path / f"test.{kind}"] for kind in ("zip", "npy", "npz")}}
    np.save(tmp_path / "test.npy", images)
    np.savez_compressed(tmp_path / "test.npz", first=images[:100], second=images[100:, 0])  # grey images need no axis of channels
    with ZipFile(tmp_path / "test.zip", "w") as archive:
        for file in files:
            archive.write(file, Path(file).name)
    batches = list(predict_files(model, paths[kind]))
    np.testing.assert_array_equal(together(batches, "confidence"), stored)
    names = [name for batch in batches for name in batch.names]
    expected_names = {
        "files": files,
        "folder": files,
        "zip": [f"{tmp_path}/test.zip/{Path(file).name}" for file in files],
        "npy": [f"{tmp_path}/test.npy[{row}]" for row in range(300)],
        "npz": [f"{tmp_path}/test.npz:{name}[{row}]" for name, rows in (("first", 100), ("second", 200)) for row in range(rows)],
    }
    assert names == expected_names[kind]


def test_damaged_files_are_named_and_the_others_answered(model: SelectiveClassifier, dataset: Dataset, tmp_path: Path):
    images = dataset.images[:40]
    files = write_png_files(tmp_path / "photos", images)
    expected = write_damaged_files(tmp_path / "photos", images[0])
    batches = list(predict_files(model, [tmp_path / "photos"], batch=4))
    failures = {Path(name).name: reason for batch in batches for name, reason in batch.failures.items()}
    assert failures.keys() == expected.keys()
    assert all(expected[name] in reason and "\n" not in reason for name, reason in failures.items())
    assert [name for batch in batches for name in batch.answered_names] == files
    np.testing.assert_allclose(together(batches, "confidence"), model.predict(images)["confidence"], rtol=1e-5)
    assert [name for batch in batches for name in batch.names] == sorted([*files, *(f"{tmp_path}/photos/{name}" for name in expected)])


def test_damaged_archives_and_arrays_are_named_and_the_rest_answered(model: SelectiveClassifier, dataset: Dataset, tmp_path: Path):
    np.save(tmp_path / "floats.npy", dataset.images[:3] / 255)
    np.save(tmp_path / "large.npy", dataset.images[:3].repeat(2, 2))
    np.save(tmp_path / "whole.npy", dataset.images[:3])
    (tmp_path / "cut.npy").write_bytes((tmp_path / "whole.npy").read_bytes()[:-1])
    (tmp_path / "text.npy").write_text("hello, this is no array")
    (tmp_path / "text.zip").write_text("hello")
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], object), allow_pickle=True)
    with ZipFile(tmp_path / "mixed.zip", "w") as archive:
        archive.writestr("a.png", png_bytes(dataset.images[0])[:50])
        archive.writestr("b.png", png_bytes(dataset.images[0]))
        archive.writestr("__MACOSX/b.png", "junk")
        archive.writestr("notes.txt", "no image")
    names = ("floats.npy", "large.npy", "cut.npy", "text.npy", "text.zip", "objects.npy", "mixed.zip", "whole.npy")
    (batch,) = predict_files(model, [tmp_path / name for name in names])
    reasons = {name.removeprefix(f"{tmp_path}/"): reason for name, reason in batch.failures.items()}
    assert "is float64 (3, 1, 8, 8); expected uint8" in reasons.pop("floats.npy")
    assert [reasons.pop(f"large.npy[{row}]") for row in range(3)] == ["is of shape (1, 16, 8); expected (1, 8, 8)"] * 3
    assert "is no whole array (it is cut off)" in reasons.pop("cut.npy")
    assert "is no array in numpy's format" in reasons.pop("text.npy")
    assert "is no whole .zip archive" in reasons.pop("text.zip")
    assert "is object (1,); expected uint8" in reasons.pop("objects.npy")
    assert "is damaged" in reasons.pop("mixed.zip/a.png") and not reasons
    assert [name.removeprefix(f"{tmp_path}/") for name in batch.answered_names] == [
        "mixed.zip/b.png",
        *(f"whole.npy[{row}]" for row in range(3)),
    ]


def test_a_folder_is_walked_in_order_without_hidden_files_and_never_in_a_circle(tmp_path: Path):
    for name in ("b/2.PNG", "a/deep/1.jpeg", ".hidden/0.png", "a/.x.png", "c.txt", "Thumbs/@eaDir/3.png", "photos.png/4.png"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).touch()
    for link, target in {"a/around": "photos", "b/to_a": "photos/a", "a/to_b": "photos/b", "self": "photos/self", "up": "."}.items():
        os.symlink(tmp_path / target, tmp_path / "photos" / link)
    names = [image.name.removeprefix(f"{tmp_path}/photos/") for image in images_of_paths([tmp_path / "photos"])]
    assert names == ["a/deep/1.jpeg", "a/to_b/2.PNG", "b/2.PNG", "b/to_a/deep/1.jpeg", "photos.png/4.png"]
    assert count_images([tmp_path / "photos"]) == 5 and count_images([tmp_path / "x.npy"]) is None


def test_two_batches_at_most_are_in_memory(model: SelectiveClassifier, dataset: Dataset, tmp_path: Path):
    files = write_png_files(tmp_path / "photos", dataset.images[:100])
    batches = predict_files(model, [tmp_path / "photos"], batch=10)
    first = next(batches)
    for file in files[20:]:
        os.remove(file)
    later = list(batches)
    assert not first.failures and not later[0].failures
    assert sum(len(batch.failures) for batch in later) == 80


def test_closing_early_and_skipping_are_cheap(model: SelectiveClassifier, dataset: Dataset, tmp_path: Path):
    write_png_files(tmp_path / "photos", dataset.images[:30])
    whole = list(predict_files(model, [tmp_path / "photos"], batch=10))
    batches = predict_files(model, [tmp_path / "photos"], batch=10)
    assert next(batches).names == whole[0].names
    batches.close()
    (rest,) = predict_files(model, [tmp_path / "photos"], batch=10, skip=20)
    np.testing.assert_array_equal(rest.answers["confidence"], whole[2].answers["confidence"])


@pytest.mark.parametrize(
    ("paths", "options", "message"),
    [
        (["nowhere"], {}, "nowhere does not exist; expected an image file"),
        (["empty"], {}, "empty hold no images"),
        (["empty"], {"batch": 0}, "batch is 0; expected at least 1"),
        (["empty"], {"risk": 0.2}, "risk is 0.2; this model has thresholds for 0.05, 0.3, 0.9"),
    ],
)
def test_what_cannot_be_begun_is_refused(
    model: SelectiveClassifier, paths: list[str], options: dict, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    with pytest.raises(ValueError, match=message):
        next(predict_files(model, paths, **options))


def odd_images(folder: Path) -> list[Path]:
    """Large, tall, turned, transparent, 16 bits, with a palette, CMYK, black and white."""
    rng = np.random.default_rng(0)
    colours, folder = rng.integers(0, 256, (37, 53, 3), np.uint8), folder
    folder.mkdir(parents=True)
    colour = Image.fromarray(colours)
    turned = colour.getexif()
    turned[0x0112] = 6
    colour.save(folder / "a-turned.png", exif=turned)
    Image.fromarray(rng.integers(0, 256, (64, 32, 4), np.uint8)).save(folder / "b-transparent.png")
    Image.fromarray(rng.integers(0, 65536, (40, 40), np.uint16)).save(folder / "c-16-bits.png")
    colour.quantize(16).save(folder / "d-palette.png", transparency=3)
    colour.convert("CMYK").save(folder / "e-cmyk.jpg")
    colour.convert("1").save(folder / "f-black-and-white.png")
    colour.resize((5, 3)).save(folder / "g-small.gif")
    return sorted(folder.iterdir())


def read_by_model(name: str, settings: dict, shape: tuple[int, int, int], files: list[Path]) -> np.ndarray:
    read_image = image_reader({"recipes": {"data": {"name": name, "settings": settings}}, "image_shape": shape})
    return np.stack([read_image(file.read_bytes(), str(file)) for file in files])


@pytest.mark.parametrize("grey", [False, True])
def test_a_model_of_an_image_folder_reads_each_file_as_prepare_does(tmp_path: Path, grey: bool):
    files = [odd_images(tmp_path / "data" / folder) for folder in ("train/x", "train/y", "test/x")][2]
    settings = {"folder": str(tmp_path / "data"), "height": 11, "width": 16, "val": 2, "grey": grey}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prepared = image_folder(**settings)
    found = read_by_model("image_folder", settings, prepared.image_shape, files)
    np.testing.assert_array_equal(found, prepared.images[prepared.splits["test"]])


def test_a_model_of_a_segmentation_folder_reads_each_file_as_prepare_does(tmp_path: Path):
    for split in ("train", "test"):
        for file in odd_images(tmp_path / "data" / split):
            with Image.open(file) as image:
                size = image.size[::-1] if "turned" in file.name else image.size
            (tmp_path / "data" / f"{split}annot").mkdir(exist_ok=True)
            Image.new("L", size).save(tmp_path / "data" / f"{split}annot" / f"{file.stem}.png")
    settings = {"folder": str(tmp_path / "data"), "height": 11, "width": 16, "val": 2, "classes": ["a", "b"]}
    prepared = segmentation_folder(**settings)
    found = read_by_model("segmentation_folder", settings, prepared.image_shape, sorted((tmp_path / "data/test").iterdir()))
    np.testing.assert_array_equal(found, prepared.images[prepared.splits["test"]])


def test_camvid_reads_a_file_as_prepare_does_which_turns_and_blends_nothing(tmp_path: Path):
    files = odd_images(tmp_path / "x")
    found = read_by_model("camvid", {"height": 9, "width": 16}, (3, 9, 16), files[:1])
    with Image.open(files[0]) as image:
        expected = image.convert("RGB").resize((16, 9), Image.Resampling.BOX)
    np.testing.assert_array_equal(found[0], np.asarray(expected).transpose(2, 0, 1))
    with pytest.raises(ValueError, match=r"x\.png is damaged"):
        camvid.read_image(b"hello", "x.png")


@pytest.mark.slow
def test_the_command_is_timed_against_the_bare_forward_pass(packed_folder: Path, dataset: Dataset, tmp_path: Path):
    write_png_files(tmp_path / "photos", dataset.images[:50])
    command = [sys.executable, "-m", "benchmarks.predict", str(packed_folder), str(tmp_path / "photos"), "--repeats", "1"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300).stdout
    lines = re.findall(r"^  (\S.*?) +([\d.]+) s +([\d.]+)x$", printed, re.MULTILINE)
    assert len(lines) == 4 and lines[0][::2] == ("forward pass of the classifier", "1.00")


def test_a_member_that_ends_too_early_has_a_reason(tmp_path: Path):
    """Its entry in the archive's directory promises more than there is, for which Python has an EOFError without words."""
    path = tmp_path / "cut.zip"
    with ZipFile(path, "w") as archive:
        archive.writestr("a.png", bytes(100))
    content = bytearray(path.read_bytes())
    entry = content.rindex(b"PK\x01\x02")
    content[entry + 20 : entry + 28] = (10**6).to_bytes(4, "little") * 2  # sizes, packed and unpacked
    path.write_bytes(content)
    (image,) = images_of_paths([path])
    with pytest.raises(ValueError, match=r"^it ends too early$"):
        image.read()
