"""CIFAR-10 and CIFAR-100 from files written here as they were published: pixels, archives, downloads, and every fault."""

import os
import pickle
import tarfile
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import md5
from pathlib import Path

import numpy as np
import pytest
from cifar_files import TEST, TITLES, TRAIN, VAL, Attack, Cifar, add, contents, python2, unprivileged
from small_params import prepared
from test_raw_downloads import serve
from torchvision.datasets import CIFAR10, CIFAR100

from confidnet_core.data import PREPARED_SPLITS, load_dataset, save_dataset
from confidnet_core.datasets._raw import exclusive_creation_lock
from confidnet_core.datasets.cifar10 import cifar10
from confidnet_core.datasets.cifar100 import cifar100


@pytest.fixture(params=[10, 100], ids=["cifar10", "cifar100"])
def cifar(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cifar:
    classes = request.param
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("CONFIDNET_DATA", str(tmp_path / "shelf"))
    root = tmp_path / f"shelf/cifar{classes}"
    root.mkdir(parents=True)
    labels = (np.arange(TRAIN + TEST) * 7 % classes).tolist()
    load, reader, key = (cifar10, CIFAR10, "labels") if classes == 10 else (cifar100, CIFAR100, "fine_labels")
    return Cifar(load, reader, root, labels, contents(classes, labels), key)


def test_the_files_written_here_have_the_published_form() -> None:
    """The writer's class names of CIFAR-10, the one file whose content is known whole, are the published file to the byte."""
    meta = python2(contents(10, [0] * (TRAIN + TEST))["batches.meta"])
    assert md5(meta).hexdigest() == CIFAR10.meta["md5"]


@pytest.mark.parametrize("place", ["folder", "files", "archive", "archive without a folder"])
def test_every_pixel_and_label_is_read_from_each_form_that_people_have(cifar: Cifar, place: str) -> None:
    if place.startswith("archive"):
        (cifar.root / cifar.reader.filename).write_bytes(cifar.archive(None if place == "archive" else "./"))
    else:
        cifar.write(cifar.root / (cifar.reader.base_folder if place == "folder" else ""))
    data = cifar.load(val=VAL)
    cifar.expect(data)
    *_, meta = cifar.contents.values()
    assert (data.classes, data.void) == (tuple(meta[cifar.reader.meta["key"]]), None)
    assert (data.mean, data.std) == ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
    if place.startswith("archive"):
        (cifar.root / cifar.reader.filename).unlink()
        cifar.expect(cifar.load(val=VAL))  # from the folder that was unpacked
        assert sorted(path.name for path in (cifar.root / cifar.reader.base_folder).iterdir()) == sorted(cifar.contents)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_files_that_python_3_packed_anew_are_read_too(cifar: Cifar, protocol: int) -> None:
    cifar.write(cifar.root, lambda content: pickle.dumps(content, protocol=protocol))
    cifar.expect(cifar.load(val=VAL))


def test_the_published_files_give_what_torchvisions_own_reader_gives(cifar: Cifar, monkeypatch: pytest.MonkeyPatch) -> None:
    cifar.publish(cifar.write(cifar.root / cifar.reader.base_folder), monkeypatch)
    data = cifar.load(val=VAL)
    cifar.expect(data, f"{TITLES[cifar.reader]}, content as published")
    reference = [sample for train in (True, False) for sample in cifar.reader(cifar.root, train=train)]
    for image, label, (picture, target) in zip(data.images, data.labels, reference, strict=True):
        np.testing.assert_array_equal(image.transpose(1, 2, 0), np.asarray(picture))
        assert label == target


def test_the_split_depends_on_val_and_seed(cifar: Cifar) -> None:
    cifar.write(cifar.root)
    np.random.seed(42)
    np.random.shuffle(order := list(range(TRAIN)))
    splits = cifar.load(val=VAL).splits
    assert (splits["val"].tolist(), splits["train"].tolist()) == (order[:VAL], order[VAL:])
    assert cifar.load(val=VAL, split_seed=1).splits["val"].tolist() != order[:VAL]
    with pytest.raises(ValueError, match=f"val is 5000, but .* the {TRAIN} training images"):
        cifar.load()


def test_cifar_survives_being_saved_and_loaded(cifar: Cifar, tmp_path: Path) -> None:
    cifar.write(cifar.root)
    data = prepared(cifar.load(val=VAL))
    facts, loaded = save_dataset(data, tmp_path / "prepared"), load_dataset(tmp_path / "prepared")
    np.testing.assert_equal([loaded.split(name) for name in PREPARED_SPLITS], [data.split(name) for name in PREPARED_SPLITS])
    assert facts["samples"] == {name: len(loaded.splits[name]) for name in PREPARED_SPLITS} and facts["image_shape"] == [3, 32, 32]
    assert (loaded.classes, loaded.mean, loaded.std) == (data.classes, data.mean, data.std)


# What is damaged, missing or dangerous


@pytest.mark.parametrize("position", [0, -2, -1])  # the first batch, the test file, the class names
def test_a_file_that_is_missing_truncated_or_no_pickle_is_named_with_the_remedy(cifar: Cifar, position: int) -> None:
    path = cifar.write(cifar.root / cifar.reader.base_folder) / list(cifar.contents)[position]
    remedy = f"put a whole {cifar.reader.base_folder} into {cifar.root}, or remove what is there"
    whole = path.read_bytes()
    for content in (b"", b"<html>not found</html>", *(whole[: len(whole) * part // 10] for part in range(1, 10)), whole[:-1]):
        path.write_bytes(content)
        cifar.fails(f"^{path} is truncated, damaged or no file of CIFAR .*; {remedy}")
    path.unlink()
    cifar.fails(f"^{path} does not exist; {remedy}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda batch, key: {"data": batch["data"].astype(np.float32)},
            r"holds float32 \(\d+, 3072\) under 'data'; expected uint8 \(n, 3072\)",
        ),
        (lambda batch, key: {"data": batch["data"][:, :3000]}, r"holds uint8 \(\d+, 3000\) under 'data'"),
        (lambda batch, key: {"data": batch["data"].tolist()}, "holds no array under 'data'"),
        (lambda batch, key: {key: batch[key][1:]}, r"holds \d+ images, but \d+ labels"),
        (lambda batch, key: {key: []} | {"data": batch["data"][:0]}, "holds 0 images, but 0 labels"),
        (lambda batch, key: {key: None}, r"holds \d+ images, but no list of labels"),
        (lambda batch, key: {key: [*batch[key][1:], 100]}, "holds the label 100; expected whole numbers from 0 to 9"),
        (lambda batch, key: {key: [*batch[key][1:], -1]}, "holds the label -1"),
        (lambda batch, key: {key: [*batch[key][1:], [0]]}, r"holds the label \[0\]"),
    ],
)
def test_a_batch_that_does_not_fit_is_named(cifar: Cifar, change: Callable, message: str) -> None:
    name, batch = next(iter(cifar.contents.items()))
    cifar.contents[name] = batch | change(batch, cifar.key)
    cifar.write(cifar.root, pickle.dumps)
    cifar.fails(f"^{cifar.root / name} {message}")


@pytest.mark.parametrize("names", [None, [], ["one"], ["name"] * 257, ["a", 3]])
def test_invalid_class_names_are_refused(cifar: Cifar, names: object) -> None:
    *_, name = cifar.contents
    cifar.contents[name][cifar.reader.meta["key"]] = names
    path = cifar.write(cifar.root, pickle.dumps) / name
    cifar.fails(f"^{path} holds no list '{cifar.reader.meta['key']}' of 2 to 256 class names")


@pytest.mark.parametrize(
    ("call", "text", "name"),
    [(os.system, "touch {}", "posix.system"), (eval, "open({!r}, 'w')", r"__builtin__\.eval"), (os.mkdir, "{}", "posix.mkdir")],
)
@pytest.mark.filterwarnings("ignore:.*ran':ResourceWarning", "ignore:.*ran':pytest.PytestUnraisableExceptionWarning")  # eval leaves it open
@pytest.mark.parametrize("position", [0, -1])
def test_a_pickle_that_would_run_code_is_refused_before_it_does(
    cifar: Cifar, call: Callable, text: str, name: str, position: int, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    path = cifar.write(cifar.root) / list(cifar.contents)[position]
    path.write_bytes(pickle.dumps(cifar.contents[path.name] | {"more": Attack(call, text.format(str(ran)))}, protocol=2))
    cifar.fails(f"^{path} is .*it asks for {name}, which arrays do not need and which could run code")
    assert not ran.exists()
    pickle.loads(path.read_bytes())
    assert ran.exists()  # so it would have run


def test_a_truncated_archive_is_recognised_wherever_it_was_cut_and_leaves_nothing(cifar: Cifar) -> None:
    archive, whole = cifar.root / cifar.reader.filename, cifar.archive()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    for content in (b"", *(whole[: len(whole) * part // 20] for part in range(1, 20)), whole[:-8], whole[:-1], bytes(flipped), b"<html>"):
        archive.write_bytes(content)
        cifar.fails(f"^{archive} is truncated or damaged .*; delete it, to download it anew, or put a whole copy there")
        assert list(cifar.root.iterdir()) == [archive]
    archive.write_bytes(cifar.archive(without="test_batch" if cifar.reader is CIFAR10 else "test"))
    cifar.fails(f"^{archive} holds no file test")
    assert list(cifar.root.iterdir()) == [archive]


def test_an_archive_writes_nothing_but_its_files_into_its_folder(cifar: Cifar, tmp_path: Path) -> None:
    name = next(iter(cifar.contents))
    with tarfile.open(cifar.root / cifar.reader.filename, "w:gz") as tar:
        for path in ("../escaped", f"{tmp_path}/escaped", "cifar/escaped"):
            add(tar, path, b"")
        link = tarfile.TarInfo(f"cifar/{name}")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "escaped")
        tar.addfile(link)
        for path, content in cifar.contents.items():
            add(tar, f"../../{path}", python2(content))
    cifar.expect(cifar.load(val=VAL))
    folder = cifar.root / cifar.reader.base_folder
    assert {path.name for path in tmp_path.rglob("*")} - set(cifar.contents) == {
        "shelf",
        cifar.root.name,
        folder.name,
        cifar.reader.filename,
    }
    assert all((folder / path).is_file() and not (folder / path).is_symlink() for path in cifar.contents)


def test_an_archive_in_a_folder_that_cannot_be_written_to_is_read_all_the_same(cifar: Cifar, monkeypatch: pytest.MonkeyPatch) -> None:
    (cifar.root / cifar.reader.filename).write_bytes(cifar.archive())
    cifar.expect(cifar.load(val=VAL))
    with tempfile.TemporaryDirectory() as shelf:
        folder, scratch = Path(shelf) / cifar.root.name, Path(shelf) / "scratch"
        folder.mkdir()
        scratch.mkdir()
        (folder / cifar.reader.filename).write_bytes(cifar.archive())
        for path, mode in ((Path(shelf), 0o755), (folder, 0o555), (scratch, 0o777)):
            path.chmod(mode)
        monkeypatch.setenv("CONFIDNET_DATA", shelf)
        monkeypatch.setattr(tempfile, "tempdir", str(scratch))
        with unprivileged():
            cifar.expect(cifar.load(val=VAL))
        assert [path.name for path in folder.iterdir()] == [cifar.reader.filename] and list(scratch.iterdir()) == []


def test_two_processes_that_find_an_archive_unpack_it_once(cifar: Cifar) -> None:
    (cifar.root / cifar.reader.filename).write_bytes(cifar.archive())
    folder = cifar.root / cifar.reader.base_folder
    with ThreadPoolExecutor() as pool:
        with exclusive_creation_lock(folder):
            other = pool.submit(cifar.load, val=VAL)
            time.sleep(0.3)  # the other one has seen no folder, and waits
            (cifar.write(folder) / "first").touch()
        cifar.expect(other.result())
    assert (folder / "first").is_file()


# Downloads


def test_cifar_is_downloaded_once_through_a_broken_connection(cifar: Cifar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = cifar.archive()
    monkeypatch.delenv("CONFIDNET_DATA")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "project"))
    with serve({cifar.reader.filename: archive}, cuts=[50_000]) as site:
        monkeypatch.setattr(cifar.reader, "url", site.address + cifar.reader.filename)
        cifar.fails(f"could not download {cifar.reader.filename}.*, not {cifar.reader.tgz_md5}")  # it is not the published one
        monkeypatch.setattr(cifar.reader, "tgz_md5", md5(archive).hexdigest())
        site.requests.clear()
        site.cuts.append(50_000)
        cifar.expect(cifar.load(val=VAL))
        cifar.expect(cifar.load(val=VAL))
    assert site.requests == [(None, 200, 50_000), ("bytes=50000-", 206, len(archive) - 50_000)]
    folder = tmp_path / "project/data/raw" / cifar.root.name
    assert sorted(path.name for path in folder.iterdir()) == [cifar.reader.base_folder, cifar.reader.filename]


def test_without_a_network_the_error_names_the_archive_and_its_folder(cifar: Cifar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar.reader, "url", "http://127.0.0.1:9/archive")
    message = cifar.fails(rf"could not download {cifar.reader.filename}; tried http://127.0.0.1:9/archive \(.*refused")
    assert f"put {cifar.reader.filename} or its folder {cifar.reader.base_folder} into {cifar.root}, or set CONFIDNET_DATA" in message
    assert list(cifar.root.iterdir()) == []
