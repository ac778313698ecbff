"""The command `predict`: a table of answers that a killed run continues to the identical file; what it refuses, and what it says."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_lines import refused, run
from image_files import write_damaged_files, write_png_files
from PIL import Image
from project_code import ROOT

from confidnet_core.data import Dataset, load_dataset
from confidnet_core.serving.answer_maps import map_path
from confidnet_core.serving.selective_classifier import SelectiveClassifier

LOG = ".answers.csv.partial/answers.log"


@pytest.fixture
def dataset(project_of_packed_models: Path) -> Dataset:
    return load_dataset(project_of_packed_models / "data/prepared/digits")


@pytest.fixture
def folder(packed_folder: Path, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the packed models in `digits` and `segmentation`, and 60 images in `photos`."""
    monkeypatch.chdir(tmp_path)
    for benchmark in ("digits", "segmentation"):
        shutil.copytree(packed_folder.parents[1] / benchmark / "mcp", benchmark)
    write_png_files(Path("photos"), dataset.images[:60])
    return tmp_path


def predicted(*options: str, model: str = "digits", code: int = 0) -> str:
    """Predict the photos into answers.csv, ten in a batch, and return what is said."""
    found, out, err = run("predict", model, "photos", "--batch-size", "10", "-o", "answers.csv", *options)
    assert (found, out) == (code, ""), err
    return err


def cut(lines: int, end: bytes = b"") -> bytes:
    """Let the answers be those of a run that was killed after some lines of its log; return what a whole run gives."""
    predicted()
    whole = Path("answers.csv").read_bytes()
    Path("answers.csv").unlink()
    Path(LOG).parent.mkdir()
    kept = b"".join(log_lines()[: lines + 1])
    Path(LOG).write_bytes(kept + end)
    return whole


def log_lines() -> list[bytes]:
    """Of a whole run, by one that cannot put its table into place."""
    Path("answers.csv").mkdir()
    Path("answers.csv/in the way").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("confidnet_core.serving.answering.check_task", lambda *_, **__: None)
        patch.setattr("confidnet_core.serving.answering.move_into_place", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        assert "answers.csv cannot be written: the disk is full (" in refused(
            "predict", "digits", "photos", "--batch-size", "10", "-o", "answers.csv"
        )
    shutil.rmtree("answers.csv")
    return Path(LOG).read_bytes().splitlines(keepends=True)


def test_the_table_holds_for_each_file_what_the_model_answers(folder: Path, dataset: Dataset):
    assert predicted() == "60 images answered, 100.0 % accepted at a target risk of 0.9\n"
    table, expected = (
        pd.read_csv("answers.csv", dtype={"label": str}),
        SelectiveClassifier.load(Path("digits")).predict(dataset.images[:60]),
    )
    assert list(table) == ["file", "label", "class_index", "probability", "confidence", "accepted"]
    assert table["file"].tolist() == [f"photos/{index:05}.png" for index in range(60)]
    assert table["label"].tolist() == expected["label"].tolist() and table["accepted"].dtype == bool
    np.testing.assert_allclose(table["confidence"], expected["confidence"], rtol=1e-5)
    assert sorted(os.listdir(".")) == ["answers.csv", "digits", "photos", "segmentation"]


def test_parquet_and_the_terminal_give_the_same_table(folder: Path):
    predicted()
    code, printed, said = run("predict", "digits", "photos", "--batch-size", "10")
    assert (code, printed) == (0, Path("answers.csv").read_text()) and said.startswith("60 images answered")
    assert run("predict", "digits", "photos", "--batch-size", "10", "-o", "answers.parquet")[0] == 0
    found, expected = pd.read_parquet("answers.parquet"), pd.read_csv("answers.csv", dtype={"label": str})
    assert (found["confidence"] == expected["confidence"]).all() and found.astype(str).equals(expected.astype(str))


@pytest.mark.parametrize("end", [b"", b'{"names": ["photos/00030.png", "pho', b"\x00\x00\x00", b"{}\n"])
def test_a_run_continues_after_its_last_whole_batch_to_the_identical_file(folder: Path, end: bytes):
    whole = cut(3, end)
    assert predicted().splitlines()[0] == "an earlier run is continued after 30 images"
    assert Path("answers.csv").read_bytes() == whole and not Path(LOG).exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda: predicted("--risk", "0.05"), "it was of another risk"),
        (lambda: predicted("--batch-size", "7"), "it was of another batch size"),
        (lambda: os.remove("photos/00011.png") or predicted(), "the images are others by now"),
        (lambda: os.rename("photos/00011.png", "photos/00011-b.png") or predicted(), "the images are others by now"),
        (lambda: Path(LOG).write_bytes(b"hello") and predicted(), "its first line is damaged"),
    ],
)
def test_a_run_of_something_else_starts_anew_and_says_so(folder: Path, change, reason: str):
    cut(3)
    said = change()
    assert said.splitlines()[0] == f"the answers of an earlier run are dropped: {reason}"
    assert len(pd.read_csv("answers.csv")) == len(os.listdir("photos"))


def test_another_model_starts_anew(folder: Path, packed_folder: Path):
    cut(3)
    said = predicted(model=str(packed_folder.with_name("confidnet")))
    assert said.splitlines()[0] == "the answers of an earlier run are dropped: it was of another model"


@pytest.mark.slow
def test_a_killed_process_continues_and_two_at_once_do_not(folder: Path, dataset: Dataset):
    write_png_files(Path("photos"), np.concatenate([dataset.images] * 3))
    write_damaged_files(Path("photos"), dataset.images[0])
    words = [sys.executable, "-m", "confidnet_core", "predict", "digits", "photos", "--batch-size", "10", "-o", "answers.csv"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not (Path(LOG).exists() and Path(LOG).read_bytes().count(b"\n") > 5):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGSTOP)
    assert "another process is writing .answers.csv.partial" in refused(*words[3:])
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 1 and "an earlier run is continued after" in done.stderr and "9 could not be read:" in done.stderr
    first = Path("answers.csv").read_bytes()
    assert len(pd.read_csv("answers.csv")) == 3 * len(dataset.images)
    assert run(*words[3:], "--force")[0] == 1
    assert Path("answers.csv").read_bytes() == first


def test_what_cannot_be_read_is_listed_and_the_exit_code_says_so(folder: Path, dataset: Dataset):
    expected = write_damaged_files(Path("photos"), dataset.images[0])
    lines = predicted(code=1).splitlines()
    assert lines[:2] == ["60 images answered, 100.0 % accepted at a target risk of 0.9", "9 could not be read:"]
    assert [line.split(": ")[0] for line in lines[2:]] == [f"  photos/{name}" for name in sorted(expected)]
    assert len(pd.read_csv("answers.csv")) == 60


def test_many_failures_are_a_dozen_lines_and_a_file(folder: Path):
    for index in range(30):
        Path(f"photos/{index:05}.png").write_bytes(b"")
    lines = predicted(code=1).splitlines()
    assert lines[1] == "30 could not be read:" and len(lines) == 15
    assert lines[-1] == "  and 18 more; all are in answers.failures.csv"
    assert pd.read_csv("answers.failures.csv")["file"].tolist() == [f"photos/{index:05}.png" for index in range(30)]
    shutil.rmtree("photos")
    Path("photos").mkdir()
    Path("photos/a.png").touch()
    assert "0 images answered" in predicted("--force", code=1)
    assert Path("answers.csv").read_text() == "file,label,class_index,probability,confidence,accepted\n"
    assert not Path("answers.failures.csv").exists()


def test_a_name_with_any_letters_fits_into_the_table(folder: Path):
    names = ['a, "b".png', "two\nlines.png", "é.png", os.fsdecode(b"\xff.png")]
    for name in names:
        shutil.copy("photos/00000.png", f"photos/{name}")
    predicted()
    found = pd.read_csv("answers.csv")["file"].tolist()
    assert {f"photos/{name}" for name in names[:3]} | {"photos/\\udcff.png"} <= set(found) and len(found) == 64


def test_a_full_disk_is_named_and_the_next_run_continues(folder: Path):
    whole = cut(0)
    used, limits = len(Path(LOG).read_bytes()), resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (used + 2500, limits[1]))
        message = refused("predict", "digits", "photos", "--batch-size", "10", "-o", "answers.csv").splitlines()[-1]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert message.startswith("answers.csv cannot be written: it grows above the size limit for a file of ")
    assert message.endswith("raise the limit, then run the same command again, which continues where this one ended")
    assert predicted().splitlines()[0].startswith("an earlier run is continued after")
    assert Path("answers.csv").read_bytes() == whole


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("digits photos --risk 0.2", "risk is 0.2; this model has thresholds for 0.05, 0.3, 0.9"),
        ("digits nowhere", "nowhere does not exist; expected an image file, a folder, a .zip"),
        ("digits empty", "empty hold no images"),
        ("digits photos -o answers.txt", "--out is answers.txt; expected a name that ends in .csv or .parquet"),
        ("digits photos -o there.csv", "there.csv exists; --force writes it anew"),
        ("segmentation photos", "--out is -; expected the name of a folder"),
        ("segmentation photos -o photos --force", "photos is a folder of something else; give another --out"),
        ("photos photos", "photos holds no model; expected a folder with model.json or MLmodel"),
        ("./nothing photos", "./nothing does not exist; expected a folder, a benchmark, or a registered model as NAME@champion"),
        ("digit photos", "digit is no folder and no benchmark, and"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(
    folder: Path, arguments: str, message: str, clean: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(folder)
    Path("empty").mkdir()
    Path("there.csv").touch()
    assert refused("predict", *arguments.split()).startswith(message)
    assert not Path("mlflow.db").exists() and not Path("there.csv").read_text()


def test_a_segmentation_gives_maps_an_overlay_and_a_table_of_means(folder: Path, project_of_packed_models: Path):
    images = load_dataset(project_of_packed_models / "data/prepared/segmentation").images
    write_png_files(Path("streets"), images)
    (Path("streets") / "bad.png").touch()
    assert run("predict", "segmentation", "streets", "-o", "maps", "--batch-size", "4")[0] == 1
    expected = SelectiveClassifier.load(Path("segmentation")).answers_at_threshold(images, None)
    for index in range(len(images)):
        path = map_path(Path("maps"), f"streets/{index:05}.png")
        pictures = {}
        for kind in ("classes", "probability", "accepted", "overlay"):
            with Image.open(f"{path}.{kind}.png") as picture:
                pictures[kind] = np.asarray(picture)
        assert np.mean(pictures["classes"] == expected["class_index"][index]) > 0.999  # other batches round otherwise
        np.testing.assert_allclose(np.load(f"{path}.confidence.npy"), expected["confidence"][index], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(pictures["probability"] / 65535, expected["probability"][index], atol=0.02)
        assert not pictures["accepted"].any()  # two images give no guarantee
        assert pictures["overlay"].shape == (32, 48, 3)
    table = pd.read_csv("maps/answers.csv")
    assert list(table) == ["file", "accepted", "probability", "confidence"] and len(table) == len(images)
    np.testing.assert_allclose(table["confidence"], expected["confidence"].mean((1, 2)), rtol=1e-3)
    assert not [name for name in os.listdir() if name.startswith(".")] and not Path("maps/answers.log").exists()
    assert run("predict", "segmentation", "streets/00000.png", "-o", "maps", "--force")[0] == 0
    assert len(pd.read_csv("maps/answers.csv")) == 1


def test_maps_of_an_image_lie_below_the_folder_whatever_its_path():
    paths = [str(map_path(Path("maps"), name)) for name in ("/a/b.png", "../b.png", "./b.png", "x.zip/b.png")]
    assert paths == ["maps/a/b.png", "maps/up/b.png", "maps/b.png", "maps/x.zip/b.png"]
