"""Where raw data lies and how it is downloaded; digits and MNIST: facts of the real ones, and every way a file can be wrong."""

import gzip
import struct
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import md5
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from real_data import data_folder, needs
from sklearn.datasets import load_digits
from torchvision.datasets import MNIST

from confidnet_core.data import TRAIN_VAL_TEST
from confidnet_core.datasets._collections import statistics_of_settings
from confidnet_core.datasets._raw import download, raw_folder_of_data_set
from confidnet_core.datasets.cifar10 import cifar10
from confidnet_core.datasets.cifar100 import cifar100
from confidnet_core.datasets.digits import digits
from confidnet_core.datasets.mnist import MD5_OF_PUBLISHED_FILE, mnist
from confidnet_core.datasets.svhn import svhn

CLOSED = "http://127.0.0.1:9/"  # the discard port: nothing answers there


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONFIDNET_DATA", raising=False)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def web(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder and the address that serves it."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def send_header(self, keyword: str, value: str) -> None:
            longer = keyword == "Content-Length" and "short" in self.path  # promises more than it sends
            super().send_header(keyword, str(int(value) + 7) if longer else value)

    (tmp_path / "web").mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "web"))
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield tmp_path / "web", f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


# Where raw data lies


def test_raw_data_lies_in_the_project_unless_a_variable_says_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert raw_folder_of_data_set("mnist") == tmp_path / "data/raw/mnist"
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "project"))  # as DVC does, also in an experiment's temporary workspace
    assert raw_folder_of_data_set("mnist") == tmp_path / "project/data/raw/mnist"
    monkeypatch.setenv("CONFIDNET_DATA", str(tmp_path / "shelf"))
    with pytest.raises(ValueError, match=r"CONFIDNET_DATA is .*shelf, but .*shelf/mnist is no folder"):
        raw_folder_of_data_set("mnist")
    (tmp_path / "shelf/mnist").mkdir(parents=True)
    assert raw_folder_of_data_set("mnist") == tmp_path / "shelf/mnist"


def test_a_download_without_a_network_is_one_error_that_says_how_to_go_on(tmp_path: Path) -> None:
    with pytest.raises(ValueError) as error:
        download([f"{CLOSED}x/one.gz", f"{CLOSED}y/one.gz"], tmp_path / "mnist/one.gz", files_to_provide_by_hand=["one.gz", "two.gz"])
    for part in (f"{CLOSED}x/one.gz", f"{CLOSED}y/one.gz", str(tmp_path / "mnist"), "one.gz, two.gz", "CONFIDNET_DATA"):
        assert part in str(error.value)
    assert list((tmp_path / "mnist").iterdir()) == []


def test_a_download_is_whole_and_has_the_right_checksum_or_leaves_nothing(tmp_path: Path, web: tuple[Path, str]) -> None:
    folder, address = web
    (folder / "good").write_bytes(b"digits")
    (folder / "short").write_bytes(b"digits")
    digest = md5(b"digits").hexdigest()
    with pytest.raises(ValueError, match="after 6 of 13 bytes"):
        download([f"{address}short"], tmp_path / "new/file")
    with pytest.raises(ValueError, match=f"its md5 is {digest}, not 0"):
        download([f"{address}good"], tmp_path / "new/file", expected_md5="0" * 32)
    with pytest.raises(ValueError, match="404"):
        download([f"{address}absent"], tmp_path / "new/file")
    assert list((tmp_path / "new").iterdir()) == []
    download([f"{address}absent", f"{address}short", f"{address}good"], tmp_path / "new/file", expected_md5=digest)
    assert (tmp_path / "new/file").read_bytes() == b"digits"


# digits


def test_digits_are_the_bundled_images_spread_over_8_bits() -> None:
    data = digits()
    pixels, labels = load_digits(return_X_y=True)
    assert data.images.shape == (1797, 1, 8, 8) and (data.images.min(), data.images.max()) == (0, 255)
    np.testing.assert_array_equal(np.rint(data.images.reshape(1797, 64) * (16 / 255)), pixels)
    np.testing.assert_array_equal(data.labels, labels)
    assert {name: len(index) for name, index in data.splits.items()} == {"train": 300, "val": 597, "test": 900}
    assert set(data.labels[data.splits["train"]]) == set(range(len(data.classes)))


def test_digits_splits_depend_on_the_seed_only() -> None:
    first, again, other = digits(split_seed=3), digits(split_seed=3), digits(split_seed=4)
    assert len(np.unique(np.concatenate(list(first.splits.values())))) == 1797
    for name in TRAIN_VAL_TEST:
        np.testing.assert_array_equal(first.splits[name], again.splits[name])
        assert not np.array_equal(first.splits[name], other.splits[name])


def test_digits_statistics_are_those_of_the_training_images_alone() -> None:
    data = digits(train=10, val=20, test=30)
    seen = data.split("train")[0].astype(np.float64) / 255
    assert data.mean == pytest.approx((seen.mean(),)) and data.std == pytest.approx((np.sqrt((seen**2).mean() - seen.mean() ** 2),))
    assert data.mean == digits(train=10, val=700, test=900).mean != digits(train=11, val=20, test=30).mean


def test_mean_and_deviation_of_a_network_trained_elsewhere_may_be_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = digits(mean=(0.3,), std=(0.4,))
    assert (data.mean, data.std) == ((0.3,), (0.4,)) and np.array_equal(data.images, digits().images)
    assert statistics_of_settings("cifar10", 3, "imagenet", (0.2, 0.3, 0.4)) == ((0.485, 0.456, 0.406), (0.2, 0.3, 0.4))
    monkeypatch.setenv("CONFIDNET_DATA", str(tmp_path))  # empty: what is wrong is said before any file is looked for
    for read, name in ((digits, "digits"), (mnist, "mnist"), (svhn, "svhn"), (cifar10, "cifar10"), (cifar100, "cifar100")):
        with pytest.raises(ValueError, match=f"^{name}: std is absent; give mean and std, or neither"):
            read(mean="imagenet")
        with pytest.raises(ValueError, match=f"^{name}: mean is .*, for 2 channels; the images have [13]: give a list of [13]"):
            read(mean=(0.1, 0.2), std=(0.1, 0.2))


def test_digits_refuse_sizes_beyond_the_images_there_are() -> None:
    with pytest.raises(ValueError, match=r"train \+ val \+ test is 301 \+ 597 \+ 900, more than the 1797"):
        digits(train=301)


# MNIST


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


@pytest.fixture
def tiny_mnist() -> dict[str, bytes]:
    images = np.random.default_rng(0).integers(0, 256, (14, 28, 28), dtype=np.uint8)
    labels = np.arange(14, dtype=np.uint8) % 10
    return dict(zip(MD5_OF_PUBLISHED_FILE, map(idx, (images[:10], labels[:10], images[10:], labels[10:])), strict=True))


def shelve(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


@needs("MNIST", "mnist/")
def test_real_mnist_is_the_published_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFIDNET_DATA", str(data_folder("mnist")))
    data = mnist()
    assert data.source == "MNIST, content as published"  # by the md5 of all four files
    assert {name: len(index) for name, index in data.splits.items()} == {"train": 54000, "val": 6000, "test": 10000}
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(data.split("test")[1]).tolist() == counts
    seen = data.images[:60000] / np.float32(255)
    assert (seen.mean(dtype=np.float64), seen.std(dtype=np.float64)) == pytest.approx((data.mean[0], data.std[0]), abs=5e-5)
    np.random.seed(42)  # ConfidNet's split: the first tenth of the shuffled training set validates
    order = list(range(60000))
    np.random.shuffle(order)
    assert data.splits["val"].tolist() == order[:6000]


@pytest.mark.parametrize("place", ["mnist", "mnist/raw", "mnist/MNIST/raw"])
@pytest.mark.parametrize("packed", [True, False])
def test_mnist_is_found_plain_or_packed_in_the_usual_places(
    place: str, packed: bool, tmp_path: Path, monkeypatch, tiny_mnist: dict
) -> None:
    files = {f"{name}.gz": gzip.compress(content) for name, content in tiny_mnist.items()} if packed else tiny_mnist
    shelve(tmp_path / place, files)
    monkeypatch.setenv("CONFIDNET_DATA", str(tmp_path))
    data = mnist(val=3)
    assert data.source == "idx files whose content is not MNIST as published"
    assert data.images[:10].tobytes() == tiny_mnist["train-images-idx3-ubyte"][16:] and data.splits["test"].tolist() == [10, 11, 12, 13]
    assert sorted([*data.splits["train"], *data.splits["val"]]) == list(range(10)) and len(data.splits["val"]) == 3
    with pytest.raises(ValueError, match="val is 10, but it is taken from the 10 training images"):
        mnist(val=10)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("train-images-idx3-ubyte", lambda content: content[:-5], r"train-images-idx3-ubyte holds 7851 bytes.* asks for 7856.* truncated"),
        ("t10k-images-idx3-ubyte", lambda content: gzip.compress(content)[:-40], "t10k-images-idx3-ubyte is truncated or damaged"),
        ("t10k-images-idx3-ubyte", lambda _: b"<html>", "t10k-images-idx3-ubyte is no idx file .* begins with 3c68746d"),
        ("train-labels-idx1-ubyte", lambda _: b"", "train-labels-idx1-ubyte is no idx file .* begins with nothing"),
        ("train-labels-idx1-ubyte", lambda _: idx(np.zeros(9, np.uint8)), "train-labels-idx1-ubyte holds 9 labels, .* 10 images"),
        ("t10k-labels-idx1-ubyte", lambda _: idx(np.full(4, 26, np.uint8)), "t10k-labels-idx1-ubyte holds the label 26"),
        ("t10k-images-idx3-ubyte", lambda _: idx(np.zeros((4, 32, 32), np.uint8)), "expected one size"),
    ],
)
def test_a_damaged_mnist_file_is_named(name: str, change: Callable, message: str, tmp_path: Path, monkeypatch, tiny_mnist: dict) -> None:
    shelve(tmp_path / "mnist", tiny_mnist | {name: change(tiny_mnist[name])})
    monkeypatch.setenv("CONFIDNET_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=message):
        mnist(val=3)


def test_mnist_is_downloaded_once_from_the_mirror_that_serves_it(
    tmp_path: Path, monkeypatch, web: tuple[Path, str], tiny_mnist: dict
) -> None:
    packed = {f"{name}.gz": gzip.compress(content) for name, content in tiny_mnist.items()}
    for name, content in packed.items():
        (web[0] / name).write_bytes(content)
    monkeypatch.setattr(MNIST, "mirrors", [CLOSED, web[1]])
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    with pytest.raises(
        ValueError, match=r"could not download train-images.*, not f68b3c2d.* put train-images.*, t10k-labels-idx1-ubyte.gz into"
    ):
        mnist(val=3)  # the mirror's files are not the published ones
    monkeypatch.setattr(MNIST, "resources", [(name, md5(content).hexdigest()) for name, content in packed.items()])
    first = mnist(val=3)
    monkeypatch.setattr(MNIST, "mirrors", [CLOSED])
    assert sorted(path.name for path in (tmp_path / "data/raw/mnist").iterdir()) == sorted(packed)
    np.testing.assert_array_equal(mnist(val=3).images, first.images)
