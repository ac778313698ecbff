"""A user's own images in class folders: found in folders and archives, decoded to the very pixels, and refused by name."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_params import changed, load, refusal
from stage_processes import start

from confidnet_core.data import TRAIN_VAL_TEST, Dataset, load_dataset, save_dataset
from confidnet_core.datasets.image_folder import image_folder

SHAPE = (6, 8)
NAMES = {  # in the order of the data set
    "train": ["ant/a.png", "ant/b.png", "ant/c.png", "bee/deep/er/b.PNG", "bee/z.png", "wasp nest/f.png", "wasp nest/é.png"],
    "val": ["ant/a.png", "wasp nest/a.png"],
    "test": ["ant/x.png", "bee/y.png", "wasp nest/z.png"],
}
LABELS = [0, 0, 0, 1, 1, 2, 2, 0, 2, 0, 1, 2]


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write(path: Path, content: np.ndarray | Image.Image | bytes, **settings: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        (content if isinstance(content, Image.Image) else Image.fromarray(content)).save(path, **settings)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as a user has it, in the folder that CONFIDNET_DATA names."""
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setenv("CONFIDNET_DATA", str(tmp_path))
    for split, names in NAMES.items():
        for index, name in enumerate(names):
            write(tmp_path / "insects" / split / name, pixels(*SHAPE, 3, seed=index + 100 * TRAIN_VAL_TEST.index(split)))
    return tmp_path / "insects"


@pytest.fixture
def without_val(tree: Path) -> Path:
    shutil.rmtree(tree / "val")
    return tree


def read(**settings: object) -> Dataset:
    return image_folder(**({"folder": "insects", "height": SHAPE[0], "width": SHAPE[1]} | settings))


def on_disk(folder: Path, *splits: str) -> np.ndarray:
    paths = [folder / split / name for split in splits for name in NAMES[split]]
    return np.stack([np.asarray(Image.open(path)).transpose(2, 0, 1) for path in paths])


def pack(folder: Path, archive: Path, prefix: str = "", separator: str = "/") -> None:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for path in sorted(folder.rglob("*"), reverse=True):
            name = prefix + path.relative_to(folder).as_posix() + "/" * path.is_dir()
            target.writestr(name.replace("/", separator), path.read_bytes() if path.is_file() else b"")


def test_images_are_read_pixel_by_pixel_by_split_class_and_name(tree: Path) -> None:
    data = read()
    np.testing.assert_array_equal(data.images, on_disk(tree, *TRAIN_VAL_TEST))
    assert data.labels.tolist() == LABELS
    assert {name: index.tolist() for name, index in data.splits.items()} == {
        "train": [0, 1, 2, 3, 4, 5, 6],
        "val": [7, 8],
        "test": [9, 10, 11],
    }
    assert (data.classes, data.void, data.source) == (("ant", "bee", "wasp nest"), None, "image folder insects, 7/2/3 images")


def test_mean_and_deviation_are_those_of_the_training_images(without_val: Path) -> None:
    data = read(val=3)
    seen = data.images[data.splits["train"]].astype(np.float64) / 255
    np.testing.assert_allclose(data.mean, seen.mean((0, 2, 3)), rtol=1e-13)
    np.testing.assert_allclose(data.std, seen.std((0, 2, 3)), rtol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("val", [2, 0.3])
def test_it_is_a_benchmarks_data_and_is_prepared_like_any(val: float, without_val: Path, tmp_path: Path) -> None:
    settings = {"name": "image_folder", "folder": "insects", "height": 6, "width": 8}
    place = ("benchmarks", "small", "data")
    shutil.copy(without_val / "train/bee/z.png", without_val / "test/bee/copy.png")
    data = image_folder(**load(tmp_path, changed(place, settings | {"val": val, "grey": True})).benchmark("small").data.settings)
    done = start(tmp_path, "prepare", "small", CONFIDNET_DATA=str(tmp_path))
    assert done.returncode == 0 and "'val': 1, 'test': 4, 'calibration': 1} from image folder insects" in done.stdout, done.stderr
    assert "WARNING small: 1 of 4 test images is also in " in done.stderr and "results on them are too good" in done.stderr
    prepared = load_dataset(tmp_path / "data/prepared/small")
    np.testing.assert_equal(prepared.split("train"), data.split("train"))
    assert prepared.preparation == {"height": 6, "width": 8, "resize": None, "interpolation": "area", "grey": True}
    assert "data.val is '0.1'; expected int or a finite number" in refusal(tmp_path, changed(place, settings | {"val": "0.1"}))


def test_an_orientation_written_as_a_fraction_counts_too(tree: Path) -> None:
    fraction = b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\5\0\1\0\0\0\x1a\0\0\0\0\0\0\0\3\0\0\0\1\0\0\0"  # 3/1: upside down
    write(tree / "train/ant/a.png", pixels(*SHAPE, 3), exif=fraction)
    np.testing.assert_array_equal(read().images[0], pixels(*SHAPE, 3)[::-1, ::-1].transpose(2, 0, 1))


# Where it lies


@pytest.mark.parametrize("form", ["folder in a folder", "archive", "archive around a folder", "archive with dots", "archive of Windows"])
def test_an_archive_or_a_folder_around_gives_the_same_data(form: str, tree: Path, tmp_path: Path) -> None:
    before = read()
    name = "insects" if form == "folder in a folder" else "Insects.ZIP"
    if form == "folder in a folder":
        shutil.move(tree, tmp_path / "inner")
        shutil.move(tmp_path / "inner", tree / "inner")
        write(tree / "README.txt", b"by us")
    else:
        prefix = {"archive around a folder": "insects-main/", "archive with dots": "./"}.get(form, "")
        pack(tree, tmp_path / name, prefix, "\\" if form == "archive of Windows" else "/")
    after = read(folder=name)
    np.testing.assert_array_equal(after.images, before.images)
    assert after.labels.tolist() == LABELS and after.source == f"image folder {name}, 7/2/3 images"


def test_the_folder_is_absolute_or_where_raw_data_lies(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONFIDNET_DATA")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"folder is insects, but .*data/raw/insects does not exist.* CONFIDNET_DATA .* absolute path"):
        read()
    assert read(folder=str(tree)).labels.tolist() == LABELS
    shutil.copytree(tree, tmp_path / "project/data/raw/mine/insects")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "project"))  # as DVC does, also in an experiment's temporary workspace
    assert read(folder="mine/insects").labels.tolist() == LABELS
    monkeypatch.setenv("CONFIDNET_DATA", str(tmp_path / "elsewhere"))
    with pytest.raises(ValueError, match="elsewhere/mine/insects does not exist"):
        read(folder="mine/insects")


@pytest.mark.parametrize("archive", [False, True])
def test_hidden_and_system_files_are_ignored(archive: bool, tree: Path, tmp_path: Path) -> None:
    image = (tree / "train/ant/a.png").read_bytes()
    for name in ("Thumbs.db", "desktop.ini", "notes.txt", "._a.png", ".DS_Store", "@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg"):
        write(tree / "train/ant" / name, image)
    for name in (".ipynb_checkpoints/a.png", "__MACOSX/train/ant/._a.png", "train/.hidden/a.png", "labels.csv", "other/a.png"):
        write(tree / name, image)
    pack(tree, tmp_path / "insects.zip")
    data = read(folder="insects.zip" if archive else "insects")
    np.testing.assert_array_equal(data.images, on_disk(tree, *TRAIN_VAL_TEST))
    assert data.labels.tolist() == LABELS


# Validation and test


@pytest.mark.parametrize(("val", "size"), [(1, 1), (3, 3), (0.29, 2), (0.5, 3)])
def test_val_is_drawn_from_train_as_in_the_published_split(val: float, size: int, without_val: Path) -> None:
    data = read(val=val)
    np.random.seed(42)
    order = list(range(7))
    np.random.shuffle(order)
    assert data.splits["val"].tolist() == sorted(order[:size]) and data.splits["train"].tolist() == sorted(order[size:])
    np.testing.assert_array_equal(data.images, on_disk(without_val, "train", "test"))
    assert data.splits["test"].tolist() == [7, 8, 9] and data.source.endswith(f"{7 - size}/{size}/3 images, val drawn from train")


def test_another_seed_draws_another_val(without_val: Path) -> None:
    assert len({tuple(read(val=1, split_seed=seed).splits["val"].tolist()) for seed in range(10)}) > 3


def test_copies_of_files_are_found_in_the_prepared_data(tree: Path, tmp_path: Path) -> None:
    shutil.copy(tree / "train/bee/z.png", tree / "test/bee/copy.png")
    shutil.copy(tree / "val/ant/a.png", tree / "test/ant/other copy.png")
    shutil.copy(tree / "test/ant/x.png", tree / "test/ant/x2.png")  # twice in test: nothing leaks
    shared_images = save_dataset(read(), tmp_path / "prepared")["shared_images"]
    assert {splits: shared["images"] for splits, shared in shared_images.items()} == {"train/test": 1, "val/test": 1}


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no train": (
        lambda tree: shutil.move(tree / "train", tree / "training"),
        r"train holds 0 class folders; .* holds test/, training/",
    ),
    "no test": (lambda tree: shutil.rmtree(tree / "test"), r"insects/test holds no images; expected test/CLASS/; .* holds train/, val/"),
    "one class": (lambda tree: [shutil.rmtree(tree / "train" / name) for name in ("bee", "wasp nest")], "train holds 1 class folders"),
    "an empty class": (lambda tree: (tree / "train/fly").mkdir(), "train/fly holds no images; expected files that end in .png, .jpg"),
    "a class of no images": (lambda tree: write(tree / "train/fly/a.txt", b"fly"), "train/fly holds no images"),
    "a new class": (
        lambda tree: write(tree / "test/Bee/a.png", pixels(2, 2)),
        "test/Bee is of a class that train lacks; did you mean bee",
    ),
    "a new class in val": (lambda tree: write(tree / "val/fly/a.png", pixels(2, 2)), "val/fly is of a class that train lacks"),
    "an image outside": (lambda tree: write(tree / "val/a.jpg", b""), "val/a.jpg lies in no class folder; expected val/CLASS/a.jpg"),
    "a short file": (
        lambda tree: write(tree / "test/bee/y.png", (tree / "test/bee/y.png").read_bytes()[:90]),
        r"insects/test/bee/y.png is damaged, or .* replace it by a whole copy",
    ),
    "no image": (lambda tree: write(tree / "train/ant/a.png", b"<html>"), "train/ant/a.png is damaged.*its content is that of no image"),
    "an empty file": (lambda tree: write(tree / "train/ant/c.png", b""), "train/ant/c.png is damaged"),
    "a broken link": (lambda tree: (tree / "train/ant/d.png").symlink_to("gone"), "train/ant/d.png is damaged, .*No such file"),
    "pixels of 32 bits": (lambda tree: write(tree / "train/ant/a.tif", np.zeros((2, 2), np.float32)), "ant/a.tif .* 8 or 16 bits"),
    "images of one colour": (
        lambda tree: [write(path, np.zeros((2, 2, 3), np.uint8)) for path in tree.rglob("*.[pP]*")],
        "all training images have one and the same colour everywhere",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_folder_is_refused_by_the_name_of_the_file(fault: str, tree: Path) -> None:
    spoil, message = FAULTS[fault]
    spoil(tree)
    with pytest.raises(ValueError, match=message):
        read()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"val": 2}, r"val is 2, but .*insects/ has a val split of 2; set val to 0, or take that away"),
        ({"folder": "insects/train/ant/a.png"}, "a.png is neither a folder nor a whole .zip archive"),
    ],
)
def test_invalid_settings_are_refused_by_name(settings: dict, message: str, tree: Path) -> None:
    with pytest.raises(ValueError, match=message):
        read(**settings)


@pytest.mark.parametrize("val", [0, 7, -1, 1.0, 1.5, -0.1, 0.1])
def test_a_val_that_leaves_val_or_train_empty_is_refused(val: float, without_val: Path) -> None:
    with pytest.raises(ValueError, match=rf"val is {val}, and .*insects/ has no val split; expected how many of its 7 training images"):
        read(val=val)


def test_a_class_that_is_drawn_for_val_as_a_whole_is_refused(without_val: Path) -> None:
    with pytest.raises(ValueError, match=r"all training images of (ant|bee|wasp nest) were drawn for val"):
        read(val=6)
