"""What segmentation_folder refuses, by the name of the file or the setting."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from segmentation_files import BY_COLOUR, COLOURS, SHAPE, build, lists, read, write


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setenv("CONFIDNET_DATA", str(tmp_path))
    return tmp_path / "streets"


def save(name: str, values: np.ndarray | Image.Image) -> Callable[[Path], None]:
    return lambda folder: write(folder / name, values)


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def put(name: str, content: bytes) -> Callable[[Path], int]:
    return lambda folder: (folder / name).write_bytes(content)


ZEROS = np.zeros(SHAPE, np.uint8)
FAULTS = {
    "no layout": (
        lambda folder: (folder / "images").rename(folder / "photos"),
        "holds masks/, photos/; expected .* train/ and trainannot/",
    ),
    "no test": (
        lambda folder: shutil.rmtree(folder / "images/test") or shutil.rmtree(folder / "masks/test"),
        "images/test holds no images",
    ),
    "no mask": (remove("masks/train/a.png"), "images/train/a.png has no partner a in masks/train/"),
    "no image": (remove("images/val/d.png"), "masks/val/d.png has no partner d in images/val/"),
    "a JPEG mask": (
        lambda folder: (folder / "masks/test/f.png").rename(folder / "masks/test/f.jpg"),
        "masks/test/f.jpg is in a format that changes the values of a mask; save masks as PNG",
    ),
    "two of one name": (save("images/train/a.bmp", ZEROS), "images/train/a.png and images/train/a.bmp differ in their ending only"),
    "another size": (save("masks/test/g.png", ZEROS[:3, :4]), "masks/test/g.png is 4x3, but its image .*images/test/g.png 8x6"),
    "an unknown value": (save("masks/val/d.png", ZEROS + 9), "masks/val/d.png holds the values 9; name them under classes or void"),
    "a mask in colours": (
        save("masks/val/d.png", COLOURS[ZEROS]),
        r"masks/val/d.png is in colours, such as \[0, 0, 255\]; expected grey, or under classes a colour for each",
    ),
    "an unknown value of 16 bits": (save("masks/val/d.png", ZEROS + np.uint16(700)), "masks/val/d.png holds the values 700; name them"),
    "a fraction": (save("masks/val/d.tif", ZEROS + np.float32(0.5)), "masks/val/d.* differ in their ending only"),
    "a damaged mask": (put("masks/val/d.png", b"\x89PNG"), "masks/val/d.png is damaged"),
    "a damaged image": (put("images/val/d.png", b"GIF89a"), "images/val/d.png is damaged"),
    "an unknown name": (put("val.txt", b"d.png\nx.png"), "val.txt lists x.png, but .*images/val holds no x with"),
    "listed twice": (put("train.txt", b"a.png\nb\nx/a.jpg"), "train.txt lists images/train/a.png, which train.txt already did"),
    "an empty list": (put("test.txt", b" \n\n"), "test.txt lists no images"),
    "a list in UTF-16": (put("test.txt", "g.png\n".encode("utf-16")), "test.txt is text in UTF-16; save it in UTF-8"),
    "a list in UTF-16 without a mark": (put("test.txt", "g.png\n".encode("utf-16-le")), "test.txt holds bytes that are no text"),
    "a list in Latin-1": (put("test.txt", "é.png\n".encode("latin-1")), "test.txt is text in another encoding; save it in UTF-8"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_folder_is_refused_by_the_name_of_the_file(fault: str, folder: Path) -> None:
    spoil, message = FAULTS[fault]
    spoil(build(folder))
    with pytest.raises(ValueError, match=message):
        read()


def test_lists_of_flat_folders_are_needed_and_share_no_image(folder: Path) -> None:
    build(folder, "images", "masks")
    with pytest.raises(ValueError, match=r"train.txt does not exist; expected the list"):
        read()
    lists(folder, "{stem}.png")
    (folder / "test.txt").write_text("a.png\n")
    with pytest.raises(ValueError, match=r"test.txt lists images/a.png, which train.txt already did; an image is in one split, once"):
        read()


def test_unknown_colours_are_shown_as_colours(folder: Path) -> None:
    build(folder, mask=lambda labels: COLOURS[labels])
    with pytest.raises(
        ValueError, match=r"masks/train/a.png holds the colours \[0, 0, 0\], \[81, 0, 81\]; name them under classes or void"
    ):
        read(classes=BY_COLOUR, void=None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classes": ("sky",)}, r"classes is \('sky',\); expected 2 to 255 names, each once"),
        ({"classes": ("sky", "car", "sky")}, "classes is .*; expected 2 to 255 names, each once"),
        ({"classes": {1: 0, 2: 1}}, "classes is .*; expected 2 to 255 names"),
        ({"classes": {"sky": 0, "car": 65536}}, "classes.car is 65536; expected a value from 0 to 65535, as the first class has"),
        ({"classes": {"sky": 0, "car": [0, 0, 1]}}, r"classes.car is \[0, 0, 1\]; expected a value from 0 to 65535"),
        ({"classes": {"sky": [0, 0, 1], "car": 1}}, r"classes.car is 1; expected a colour, \[red, green, blue\]"),
        ({"classes": {"sky": [0, 0, 1], "car": [0, 1]}}, r"classes.car is \[0, 1\]; expected a colour"),
        ({"classes": {"sky": "#0000ff", "car": "#ff0000"}}, "classes.sky is '#0000ff'; expected a colour"),
        ({"classes": {"sky": 4, "car": 4}}, "classes.car is 4, and so is another class"),
        ({"void": [9, 2]}, "void is 2, and so is another class"),
        ({"void": True}, "void is True; expected a value"),
        ({"void": [[0, 0, 0]]}, r"void is \[0, 0, 0\]; expected a value"),
        ({"val": 1}, r"val is 1, but .*streets/ has a val split of 1; set val to 0"),
    ],
)
def test_invalid_settings_are_refused_by_name(settings: dict, message: str, folder: Path) -> None:
    build(folder)
    with pytest.raises(ValueError, match=f"segmentation_folder: {message}"):
        read(**settings)
