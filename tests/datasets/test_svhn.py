"""SVHN from files written here in the published format: every pixel and label, downloads, and every way a file can be wrong."""

import shutil
import tempfile
from collections.abc import Callable
from hashlib import md5
from pathlib import Path

import numpy as np
import pytest
from cifar_files import unprivileged
from scipy.io import savemat
from small_params import prepared
from test_raw_downloads import serve
from torchvision.datasets import SVHN

from confidnet_core.data import PREPARED_SPLITS, load_dataset, save_dataset
from confidnet_core.datasets.svhn import svhn

NAMES = ("train_32x32.mat", "test_32x32.mat")
TRAIN, TEST = 25, 12
IMAGES = np.random.default_rng(0).integers(0, 256, (TRAIN + TEST, 3, 32, 32), dtype=np.uint8)
LABELS = np.arange(TRAIN + TEST, dtype=np.uint8) % 10
FOREIGN = ".mat files whose content is not SVHN as published"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONFIDNET_DATA", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def variables(images: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """As published: X height x width x colour x n, y n x 1, with 10 for the digit zero."""
    return {"X": images.transpose(2, 3, 1, 0), "y": np.where(labels == 0, 10, labels).astype(np.uint8)[:, None]}


def write(folder: Path, compressed: bool = True) -> Path:
    folder.mkdir(parents=True)
    for name, part in zip(NAMES, (slice(TRAIN), slice(TRAIN, None)), strict=True):
        savemat(folder / name, variables(IMAGES[part], LABELS[part]), do_compression=compressed)
    return folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONFIDNET_DATA", str(tmp_path / "shelf"))
    return write(tmp_path / "shelf/svhn")


def publish(folder: Path, monkeypatch: pytest.MonkeyPatch, address: str = "http://127.0.0.1:9/") -> None:
    """Make these files the published ones."""
    digests = [md5((folder / name).read_bytes()).hexdigest() for name in NAMES]
    listed = {part: [address + name, name, digest] for part, name, digest in zip(("train", "test"), NAMES, digests, strict=True)}
    monkeypatch.setattr(SVHN, "split_list", SVHN.split_list | listed)


@pytest.mark.parametrize("compressed", [True, False])
def test_every_pixel_and_label_is_read_the_training_file_first(tmp_path: Path, monkeypatch, compressed: bool) -> None:
    write(tmp_path / "svhn", compressed)
    monkeypatch.setenv("CONFIDNET_DATA", str(tmp_path))
    data = svhn(val=4)
    np.testing.assert_array_equal(data.images, IMAGES)
    np.testing.assert_array_equal(data.labels, LABELS)  # so the file's 10 is a zero
    assert data.splits["test"].tolist() == list(range(TRAIN, TRAIN + TEST))
    assert (data.classes, data.mean, data.std, data.void) == (tuple("0123456789"), (0.5,) * 3, (0.5,) * 3, None)
    assert data.source == FOREIGN


def test_the_published_files_give_what_torchvisions_own_reader_gives(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(folder, monkeypatch)
    data = svhn(val=4)
    assert data.source == "SVHN, content as published"
    reference = [sample for part in ("train", "test") for sample in SVHN(folder, split=part)]
    assert len(reference) == len(data.images)
    for image, label, (picture, digit) in zip(data.images, data.labels, reference, strict=True):
        np.testing.assert_array_equal(image.transpose(1, 2, 0), np.asarray(picture))
        assert label == digit


def test_the_split_depends_on_val_and_seed(folder: Path) -> None:
    order = list(range(TRAIN))
    np.random.seed(42)
    np.random.shuffle(order)
    assert (svhn(val=4).splits["val"].tolist(), svhn(val=4).splits["train"].tolist()) == (order[:4], order[4:])
    assert svhn(val=4, split_seed=1).splits["val"].tolist() != order[:4]
    with pytest.raises(ValueError, match=f"svhn: val is 7325, but it is taken from the {TRAIN}"):
        svhn()


def test_svhn_survives_being_saved_and_loaded(folder: Path, tmp_path: Path) -> None:
    data = prepared(svhn(val=4))
    facts = save_dataset(data, tmp_path / "prepared")
    loaded = load_dataset(tmp_path / "prepared")
    assert facts["samples"] == {"train": TRAIN - 4, "val": 3, "test": TEST, "calibration": 1} and facts["image_shape"] == [3, 32, 32]
    for name in PREPARED_SPLITS:
        np.testing.assert_equal(loaded.split(name), data.split(name))
    assert (loaded.classes, loaded.mean, loaded.std, loaded.source) == (data.classes, data.mean, data.std, FOREIGN)


def test_one_image_and_zeros_written_as_zeros_are_read_too(folder: Path) -> None:
    savemat(folder / NAMES[1], variables(IMAGES[:1], LABELS[:1]) | {"y": np.zeros((1, 1), np.float64)})
    data = svhn(val=4)
    np.testing.assert_array_equal(data.images[TRAIN:], IMAGES[:1])
    assert data.labels[TRAIN:].tolist() == [0]


def test_a_truncated_file_is_named_wherever_it_was_cut(folder: Path) -> None:
    path = folder / NAMES[0]
    whole = path.read_bytes()
    for size in (*np.linspace(0, len(whole) - 1, 20).astype(int).tolist(), len(whole) - 4):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=f"^{path} is truncated, damaged or no file of SVHN .*; delete it"):
            svhn(val=4)


def test_a_damaged_byte_is_named_by_the_compressions_checksum(folder: Path) -> None:
    path = folder / NAMES[1]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{path} is truncated, damaged or no file of SVHN"):
        svhn(val=4)


@pytest.mark.parametrize(
    ("position", "value"),
    [(-24, 102), (-23, 228), (185, 121), (145, 251), (145, 8), (144, 5), (132, 0), (128 + 16, 2), (-20, 255), (129, 1)],
)  # types of y's and X's values, flags, classes, sizes
def test_a_damaged_tag_of_an_uncompressed_file_is_named_before_scipy_crashes_on_it(folder: Path, position: int, value: int) -> None:
    path = folder / NAMES[1]
    savemat(path, variables(IMAGES[TRAIN:], LABELS[TRAIN:]))
    content = bytearray(path.read_bytes())
    assert content[-24] == 2 and content[184] == 2 and content[144] == 9  # uint8 values of y, of X, and X's class
    assert content[position] != value
    content[position] = value
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{path} is truncated, damaged or no file of SVHN .*; delete it"):
        svhn(val=4)


def mat(**changes: np.ndarray | None) -> Callable[[Path], None]:
    content = {name: value for name, value in (variables(IMAGES[TRAIN:], LABELS[TRAIN:]) | changes).items() if value is not None}
    return lambda path: savemat(path, content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(b"<html>not found</html>"), "is truncated, damaged or no file of SVHN"),
        (lambda path: path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(400)), "no file of SVHN .*HDF"),
        (mat(X=None), "no file of SVHN .*X"),
        (mat(y=None), "no file of SVHN .*y"),
        (mat(X=IMAGES[TRAIN:].transpose(2, 3, 1, 0) / 255.0), r"holds float64 X \(32, 32, 3, 12\) .* expected uint8"),
        (mat(X=IMAGES[TRAIN:]), r"holds uint8 X \(12, 3, 32, 32\) .* expected uint8 \(32, 32, 3, n\)"),
        (mat(X=IMAGES[TRAIN:, :, :28].transpose(2, 3, 1, 0)), r"holds uint8 X \(28, 32, 3, 12\)"),
        (mat(X=IMAGES[TRAIN, 0]), "no file of SVHN"),
        (mat(y=np.ones((11, 1), np.uint8)), r"X \(32, 32, 3, 12\) and y \(11,\)"),
        (mat(y=np.ones((12, 2), np.uint8)), r"X \(32, 32, 3, 12\) and y \(12, 2\)"),
        (mat(y=np.full((12, 1), 11, np.uint8)), "holds the labels 11 to 11; expected digits"),
        (mat(y=np.full((12, 1), -1, np.int8)), "holds the labels -1 to -1; expected digits"),
        (mat(X=np.zeros((32, 32, 3, 0), np.uint8), y=np.zeros((0, 1), np.uint8)), "holds no image"),
    ],
)
def test_a_file_that_is_no_svhn_is_named_with_the_remedy(damage: Callable, message: str, folder: Path) -> None:
    damage(folder / NAMES[1])
    with pytest.raises(ValueError, match=f"^{folder / NAMES[1]}.*{message}.*delete it, to download it anew"):
        svhn(val=4)


def test_a_missing_file_is_downloaded_through_a_broken_connection_and_kept(folder: Path, monkeypatch, tmp_path: Path) -> None:
    files = {name: (folder / name).read_bytes() for name in NAMES}
    monkeypatch.delenv("CONFIDNET_DATA")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "project"))
    with serve(files, cuts=[50_000]) as site:
        publish(folder, monkeypatch, site.address)
        data = svhn(val=4)
    sizes = [len(files[name]) for name in NAMES]
    assert site.requests == [(None, 200, 50_000), ("bytes=50000-", 206, sizes[0] - 50_000), (None, 200, sizes[1])]
    assert sorted(path.name for path in (tmp_path / "project/data/raw/svhn").iterdir()) == sorted(NAMES)
    assert data.source == "SVHN, content as published" and np.array_equal(svhn(val=4).images, IMAGES)


def test_a_folder_that_cannot_be_written_to_is_read_all_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = svhn(val=4)
    with tempfile.TemporaryDirectory() as shelf:  # not in pytest's own, which only its owner may enter
        shutil.copytree(folder, Path(shelf, "svhn"))
        Path(shelf).chmod(0o755)
        Path(shelf, "svhn").chmod(0o555)
        monkeypatch.setenv("CONFIDNET_DATA", shelf)
        with unprivileged():
            np.testing.assert_array_equal(svhn(val=4).images, expected.images)
        assert sorted(path.name for path in Path(shelf, "svhn").iterdir()) == sorted(NAMES)


def test_without_a_network_the_error_names_the_files_and_their_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(folder, monkeypatch)
    (folder / NAMES[1]).unlink()
    with pytest.raises(
        ValueError, match=r"could not download test_32x32\.mat; tried http://127\.0\.0\.1:9/test_32x32\.mat \(.*refused"
    ) as error:
        svhn(val=4)
    assert f"put train_32x32.mat, test_32x32.mat into {folder}, or set CONFIDNET_DATA" in str(error.value)
    assert [path.name for path in folder.iterdir()] == [NAMES[0]]
