"""Small CIFAR-10 and CIFAR-100, pickled as Python 2 pickled the published files, loose or as an archive; and what attacks their reader."""

import io
import os
import pickle
import struct
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from torchvision.datasets import CIFAR10, CIFAR100

from confidnet_core.data import Dataset

TRAIN, TEST, VAL = 30, 8, 4
IMAGES = np.random.default_rng(0).integers(0, 256, (TRAIN + TEST, 3, 32, 32), dtype=np.uint8)
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
TITLES = {CIFAR10: "CIFAR-10", CIFAR100: "CIFAR-100"}


class Python2Pickler(pickle._Pickler):
    """Writes what Python 2's cPickle wrote at protocol 2: byte strings, a memo that counts from 1, numpy's old names."""

    dispatch: ClassVar = dict(pickle._Pickler.dispatch)

    def memoize(self, thing: object) -> None:
        self.memo[id(thing)] = len(self.memo) + 1, thing
        self.write(self.put(len(self.memo)))

    def save_string(self, thing: str | bytes) -> None:
        content = thing.encode("latin1") if isinstance(thing, str) else thing
        short = len(content) < 256
        self.write((pickle.SHORT_BINSTRING + struct.pack("B", len(content)) if short else b"T" + struct.pack("<i", len(content))) + content)
        self.memoize(thing)

    def save_flag(self, thing: bool) -> None:
        self.write(pickle.BININT1 + bytes([thing]))

    def save_global(self, thing: object, name: str | None = None) -> None:
        if name != "_reconstruct":
            return super().save_global(thing, name)
        self.write(b"cnumpy.core.multiarray\n_reconstruct\n")
        return self.memoize(thing)

    dispatch |= {str: save_string, bytes: save_string, bool: save_flag}


def python2(content: object) -> bytes:
    stream = io.BytesIO()
    Python2Pickler(stream, protocol=2).dump(content)
    return stream.getvalue()


def contents(classes: int, labels: list[int]) -> dict[str, dict]:
    """What each of the published files holds, the class names last."""
    rows, names = IMAGES.reshape(-1, 3072), [f"image_s_{number:06d}.png" for number in range(TRAIN + TEST)]
    training = slice(TRAIN), slice(TRAIN, None)
    if classes == 100:
        files = {
            name: {"filenames": names[part], "batch_label": f"{name}ing batch 1 of 1", "fine_labels": labels[part]}
            | {"coarse_labels": [label // 5 for label in labels[part]], "data": rows[part]}
            for name, part in zip(("train", "test"), training, strict=True)
        }
        return files | {"meta": {"fine_label_names": [f"fine_{k}" for k in range(100)], "coarse_label_names": ["coarse"] * 20}}
    parts = {f"data_batch_{k + 1}": slice(6 * k, 6 * k + 6) for k in range(5)} | {"test_batch": training[1]}
    files = {
        name: {"batch_label": f"batch {name}", "labels": labels[part], "data": rows[part], "filenames": names[part]}
        for name, part in parts.items()
    }
    return files | {"batches.meta": {"num_cases_per_batch": 10000, "label_names": CLASSES, "num_vis": 3072}}


@dataclass
class Cifar:
    """One of the two data sets, small, and the shelf that CONFIDNET_DATA points to."""

    load: Callable[..., Dataset]
    reader: type
    root: Path
    labels: list[int]
    contents: dict[str, dict]
    key: str  # of the labels

    def write(self, folder: Path, dump: Callable[[object], bytes] = python2) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.contents.items():
            (folder / name).write_bytes(dump(content))
        return folder

    def archive(self, prefix: str | None = None, without: str = "") -> bytes:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w:gz") as tar:
            for name, content in self.contents.items():
                if name != without:
                    add(tar, f"{self.reader.base_folder}/{name}" if prefix is None else prefix + name, python2(content))
        return stream.getvalue()

    def publish(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make the files of FOLDER the published ones."""
        for part in ("train_list", "test_list"):
            digests = [[name, md5((folder / name).read_bytes()).hexdigest()] for name, _ in getattr(self.reader, part)]
            monkeypatch.setattr(self.reader, part, digests)
        digest = md5((folder / self.reader.meta["filename"]).read_bytes()).hexdigest()
        monkeypatch.setattr(self.reader, "meta", self.reader.meta | {"md5": digest})

    def expect(self, data: Dataset, source: str = "") -> None:
        """Every pixel and label is the one that was written."""
        np.testing.assert_array_equal(data.images, IMAGES)
        assert (data.images.dtype, data.labels.tolist()) == (np.uint8, self.labels)
        assert data.splits["test"].tolist() == list(range(TRAIN, TRAIN + TEST))
        assert data.source == (source or f"pickles whose content is not {TITLES[self.reader]} as published")

    def fails(self, message: str) -> str:
        with pytest.raises(ValueError, match=message) as error:
            self.load(val=VAL)
        return str(error.value)


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


class Attack:
    """Calls a function with an argument when it is unpickled."""

    def __init__(self, call: Callable, argument: str) -> None:
        self.call, self.argument = call, argument

    def __reduce__(self) -> tuple:
        return self.call, (self.argument,)


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may write anywhere, so it steps down."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
