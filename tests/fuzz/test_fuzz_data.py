"""Random images, masks, folders and stored files: each gives a right result or one line that names the file, and no other error.

`make fuzz` runs the same with many more cases.
"""

import base64
import io
import json
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from fuzzing import cases, one_line_or_result
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from confidnet_core.data import Dataset
from confidnet_core.datasets._image_formats import IMAGE_SUFFIXES
from confidnet_core.datasets._images import decode_image
from confidnet_core.datasets._mask_legend import MaskLegend, parse_mask_legend
from confidnet_core.datasets._masks import read_image_and_labels
from confidnet_core.datasets.image_folder import image_folder
from confidnet_core.files import load_array, load_named_arrays, read_json
from confidnet_core.networks.weights_file import read_weights_file
from confidnet_core.serving.image_files import images_of_paths
from confidnet_core.serving.new_images import images_from_json
from confidnet_core.serving.served_model import parse_request

# Pillow warns of damage that it can read past: of EXIF data, of metadata in TIFF, and of truncated text.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

KINDS = ["PNG", "JPEG", "BMP", "GIF", "TIFF", "PPM", "WEBP", "AVIF", "JPEG2000", "TGA", "QOI", "PCX", "SGI", "EPS", "ICO", "PSD"]
MODES = {"1": bool, "L": np.uint8, "LA": np.uint8, "RGB": np.uint8, "RGBA": np.uint8, "P": np.uint8, "I;16": np.uint16, "I": np.int32}
NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=8).filter(
    lambda name: name not in (".", "..") and len(name.encode()) < 200
)


@st.composite
def image_bytes(draw: st.DrawFn) -> bytes:
    """The bytes of a small image file of any kind and mode, whole or damaged."""
    mode, kind = draw(st.sampled_from(sorted(MODES))), draw(st.sampled_from(KINDS[:-2]))
    channels = {"LA": (2,), "RGB": (3,), "RGBA": (4,)}.get(mode, ())
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    pixels = np.random.default_rng(draw(st.integers(0, 99))).integers(0, draw(st.sampled_from([2, 3, 256])), (height, width, *channels))
    image, file, exif = Image.fromarray(pixels.astype(MODES[mode])), io.BytesIO(), Image.Exif()
    if mode == "P":
        image.putpalette(list(range(256)) * 3)
    exif[0x0112] = draw(st.integers(0, 9))
    try:
        image.save(file, kind, **({"exif": exif} if kind in ("PNG", "JPEG", "TIFF", "WEBP") else {}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # the kind has no such mode
        image.convert("RGB").save(file := io.BytesIO(), "PNG")
    return draw(damaged(file.getvalue()))


def damaged(content: bytes) -> st.SearchStrategy[bytes]:
    """The content as it is, cut off, or with some bytes replaced, mostly of its head."""
    places = st.one_of(st.integers(0, min(63, len(content) - 1)), st.integers(0, len(content) - 1))
    changes = st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=4)
    return st.one_of(
        st.just(content),
        st.integers(0, len(content)).map(lambda length: content[:length]),
        changes.map(lambda pairs: _with_bytes(content, pairs)),
        st.binary(max_size=40),
    )


def _with_bytes(content: bytes, pairs: list[tuple[int, int]]) -> bytes:
    changed = bytearray(content)
    for place, value in pairs:
        changed[place] = value
    return bytes(changed)


@cases(200)
@given(content=image_bytes(), suffix=st.sampled_from([".png", ".tga", ".TIF"]))
def test_an_image_file_becomes_an_image_or_a_line(content: bytes, suffix: str) -> None:
    image = one_line_or_result(lambda: decode_image(content, f"photo{suffix}"), f"photo{suffix}")
    assert image is None or image.mode == "RGB"


LEGENDS = [
    parse_mask_legend("streets", classes, void)
    for classes, void in ((["a", "b"], None), ({"a": 0, "b": 255}, 1), ({"a": [0, 0, 0], "b": [1, 1, 1]}, [2, 2, 2]))
]


@cases(120)
@given(image=image_bytes(), mask=image_bytes(), legend=st.sampled_from(LEGENDS))
def test_a_pair_of_image_and_mask_gives_labels_or_a_line(image: bytes, mask: bytes, legend: MaskLegend) -> None:
    found = one_line_or_result(lambda: read_image_and_labels(image, "a/image.png", mask, "a/mask.png", legend), "a/")
    if found is not None:
        picture, labels, _ = found
        assert labels.dtype == np.uint8 and labels.shape == picture.size[::-1] and labels.max() <= len(legend.class_names)


@cases(40)
@given(
    files=st.lists(
        st.tuples(
            st.sampled_from(["train", "val", "valid", "test", "dev", ""]),
            NAMES,
            NAMES,
            st.sampled_from([*IMAGE_SUFFIXES[:6], ".heic", ".txt", ""]),
            image_bytes(),
        ),
        max_size=6,
    ),
    is_zip=st.booleans(),
    damage=st.booleans(),
    data=st.data(),
)
def test_a_folder_or_archive_becomes_a_data_set_or_a_line(files: list, is_zip: bool, damage: bool, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "set")
        for seed, name in enumerate(("train/a/1.png", "train/b/1.png", "test/a/1.png", "val/a/1.png")):
            path = root / name
            path.parent.mkdir(parents=True)
            Image.fromarray(np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)).save(path)
        for split, class_name, name, suffix, content in files:
            path = Path(root, split, class_name, f"{name}{suffix}")
            if not path.exists() and all(not parent.is_file() for parent in path.parents):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        if is_zip:
            archive = io.BytesIO()
            with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
                for path in sorted(root.rglob("*")):
                    target.write(path, path.relative_to(root))
            content = archive.getvalue()
            root = Path(folder, "set.zip")
            root.write_bytes(data.draw(damaged(content)) if damage else content)
        dataset = one_line_or_result(lambda: image_folder(folder=str(root), height=4, width=4), "")
        assert dataset is None or isinstance(dataset, Dataset)
        for image in images_of_paths([root]):
            content = one_line_or_result(image.read, "", names_file=False)
            if isinstance(content, bytes):
                one_line_or_result(lambda content=content, name=image.name: decode_image(content, name), "")


def _saved(write: Callable[[io.BytesIO], object]) -> bytes:
    write(file := io.BytesIO())
    return file.getvalue()


def read_rows(path: Path) -> list[bytes | np.ndarray]:
    return [image.read() for image in images_of_paths([path])]


STORED: list[tuple[str, bytes, Callable[[Path], object]]] = [
    ("a.npy", _saved(lambda file: np.save(file, np.arange(6.0))), load_array),
    ("a.npy", _saved(lambda file: np.save(file, np.arange(6.0))), lambda path: load_array(path, memory_mapped=True)),
    ("a.npz", _saved(lambda file: np.savez(file, a=np.arange(3))), lambda path: load_named_arrays(path, ("a",))),
    ("a.pt", _saved(lambda file: torch.save({"weight": torch.ones(2)}, file)), read_weights_file),
    ("a.json", json.dumps({"classes": ["a", "é"], "n": [1, 2.5, None]}).encode(), read_json),
    (
        "b.npy",
        _saved(lambda file: np.save(file, np.zeros((2, 3, 4, 4), np.uint8))),
        lambda path: [i.read() for i in images_of_paths([path])],
    ),
    (
        "b.npz",
        _saved(lambda file: np.savez(file, a=np.zeros((2, 4, 4), np.uint8))),
        lambda path: [i.read() for i in images_of_paths([path])],
    ),
]


@cases(200)
@given(stored=st.sampled_from(STORED), data=st.data())
def test_a_stored_file_is_read_or_refused_in_a_line(stored: tuple, data: st.DataObject) -> None:
    name, content, read = stored
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(data.draw(damaged(content)))
        one_line_or_result(lambda: read(path), "")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9), lambda inner: st.lists(inner, max_size=4), max_leaves=12
)


@cases(120)
@given(images=JSON | st.lists(image_bytes(), max_size=2), extra=st.dictionaries(st.text(max_size=6), JSON, max_size=1))
def test_a_request_is_answered_or_refused_in_a_line(images: object, extra: dict) -> None:
    if isinstance(images, list) and images and all(isinstance(image, bytes) for image in images):
        images = [base64.b64encode(image).decode() for image in images]
    body = json.dumps({"inputs": images} | extra).encode()

    def answer() -> np.ndarray:
        request = parse_request(body, "application/json")
        return images_from_json(
            request["inputs"], (3, 4, 4), lambda content, name: np.asarray(decode_image(content, name).resize((4, 4))).T
        )

    one_line_or_result(answer, "", names_file=False)
