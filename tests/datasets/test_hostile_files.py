"""Files that are no images, or would fill the memory: refused by name from their heads, in image folders, CamVid and MNIST."""

import gzip
import os
import resource
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from confidnet_core.datasets import mnist
from confidnet_core.datasets._images import decode_image
from confidnet_core.datasets.camvid import ImageMaskPair, read_image_and_labels
from confidnet_core.datasets.image_folder import image_folder
from confidnet_core.serving.image_files import images_of_paths

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(x) print\nshowpage\n"


def png_head(width: int, height: int) -> bytes:
    """A PNG of this size whose pixels are missing: whoever unpacks it before looking at its size fails otherwise."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(width))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def bind_socket(path: Path) -> None:
    previous_folder = Path.cwd()
    os.chdir(path.parent)  # since the path of a socket has at most 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(previous_folder)


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a pipe": (os.mkfifo, "it is no regular file"),
    "a socket": (bind_socket, "it is no regular file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "it is no regular file"),
    "PostScript": (lambda path: path.write_bytes(EPS), "its content is that of no image"),
    "13000 pixels a side": (
        lambda path: path.write_bytes(png_head(13000, 13000)),
        "it has 13000x13000 pixels; expected at most 89,478,485",
    ),
    "30000 pixels a side": (lambda path: path.write_bytes(png_head(30000, 30000)), "it has more than 178,956,970 pixels"),
    "a sparse file": (
        lambda path: path.touch() or os.truncate(path, 10**12),
        "it has 1,000,000,000,000 bytes; expected at most",
    ),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("train/a/1.png", "train/b/1.png", "val/a/1.png", "test/b/1.png"):
        path = tmp_path / "set" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(len(name)).integers(0, 256, (4, 4, 3), dtype=np.uint8)).save(path)
    return tmp_path / "set"


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_would_hang_or_fill_the_memory_is_refused_by_prepare_and_named_by_predict(kind: str, folder: Path) -> None:
    make, reason = HOSTILE[kind]
    make(folder / "train/a/x.png")
    with pytest.raises(ValueError, match=r"set/train/a/x.png is damaged, or of a kind that cannot be read") as caught:
        image_folder(folder=str(folder), height=4, width=4)
    assert reason in str(caught.value)
    (image,) = [image for image in images_of_paths([folder]) if image.name.endswith("x.png")]
    with pytest.raises(ValueError) as caught:
        decode_image(image.read(), image.name)
    assert reason in str(caught.value)


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("part", ["image", "mask"])
def test_camvid_refuses_it_too(kind: str, part: str, tmp_path: Path) -> None:
    make, reason = HOSTILE[kind]
    pair = ImageMaskPair(tmp_path / "image.png", tmp_path / "mask.png")
    for path in (pair.image, pair.mask):
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)
    (tmp_path / f"{part}.png").unlink()
    make(tmp_path / f"{part}.png")
    with pytest.raises(ValueError, match=f"{part}.png is damaged") as caught:
        read_image_and_labels(pair, 4, 4)
    assert reason in str(caught.value)


def test_a_member_of_a_gigabyte_is_refused_before_it_is_unpacked(folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*.png")):
            archive.write(path, path.relative_to(folder))
        archive.writestr("train/a/x.png", bytes(9))
        archive.getinfo("train/a/x.png").file_size = 10**9  # so the archive says: whoever unpacks it meets another error
    with pytest.raises(ValueError, match=r"set.zip: train/a/x.png .*\(it has 1,000,000,000 bytes; expected at most 268,435,455\)"):
        image_folder(folder=str(tmp_path / "set.zip"), height=4, width=4)
    (image,) = [image for image in images_of_paths([tmp_path / "set.zip"]) if image.name.endswith("x.png")]
    with pytest.raises(ValueError, match="it has 1,000,000,000 bytes"):
        image.read()


@pytest.mark.parametrize("name", ["set", "photos.zip", "rows.npy", "rows.npz"])
def test_a_pipe_in_the_place_of_a_whole_data_set_is_refused(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match=r"neither a folder nor a whole .zip archive \(it is no regular file"):
        image_folder(folder=str(tmp_path / name), height=4, width=4)
    (image,) = images_of_paths([tmp_path / name])
    with pytest.raises(ValueError, match="it is no regular file"):
        image.read()


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((2**62, 0, 4), "expected uint8"),
        ((1, 3, 2**31, 2**31), "bytes a row; expected at most"),
        ((2**40, 1, 4, 4), "it is cut off"),
    ],
)
def test_an_array_whose_head_asks_for_more_than_there_is_ends_at_once(shape: tuple[int, ...], reason: str, tmp_path: Path) -> None:
    with (tmp_path / "rows.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        file.write(bytes(64))
    (image,) = images_of_paths([tmp_path / "rows.npy"])
    with pytest.raises(ValueError, match=reason):
        image.read()


@pytest.mark.parametrize(
    ("magic", "sizes", "message"),
    [
        (0, (0, 0, 0), "is no idx file of 3-dimensional bytes: it begins with 00000000"),
        (8, (60000, 1000, 1000), "is of 60,000,000,000 bytes, as its head says; expected at most 1,073,741,824"),
        (8, (2, 2, 2), "holds more bytes, decompressed; its head, of .2, 2, 2. values, asks for 24"),
    ],
)
def test_an_idx_file_with_much_behind_its_head_is_not_unpacked(
    magic: int, sizes: tuple[int, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONFIDNET_DATA", str(tmp_path))
    (tmp_path / "mnist").mkdir()
    much = gzip.compress(bytes(10**8), compresslevel=1)
    for name, dimension_count in zip(mnist.MD5_OF_PUBLISHED_FILE, (3, 1, 3, 1), strict=True):
        head = bytes([0, 0, magic, dimension_count if magic else 0]) + struct.pack(f">{dimension_count}I", *sizes[:dimension_count])
        (tmp_path / "mnist" / f"{name}.gz").write_bytes(gzip.compress(head) + much)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match=message):
        mnist.mnist()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # kilobytes
