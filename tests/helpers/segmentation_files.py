"""A small folder of images and masks in any layout, and what it holds: shared by the tests of segmentation_folder."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from confidnet_core.data import Dataset
from confidnet_core.datasets.segmentation_folder import segmentation_folder

STEMS = {"train": ["c", "a", "b", "e"], "val": ["d"], "test": ["g", "f"]}
SHAPE = (6, 8)
NAMES = ("sky", "road", "car")
COLOURS = np.array([[0, 0, 255], [128, 64, 128], [0, 0, 142], [0, 0, 0], [81, 0, 81]], np.uint8)  # the last two are void
BY_COLOUR = dict(zip(NAMES, COLOURS[:3].tolist(), strict=True))
VOIDS = COLOURS[3:].tolist()


def sample(stem: str) -> tuple[np.ndarray, np.ndarray]:
    """Image and labels; 3 and 4 are void."""
    random = np.random.default_rng(ord(stem))
    return random.integers(0, 256, (*SHAPE, 3), dtype=np.uint8), random.integers(0, 5, SHAPE, dtype=np.uint8)


def expected(*splits: str) -> tuple[np.ndarray, np.ndarray]:
    """The samples by split and stem, as a data set holds them."""
    images, labels = zip(*(sample(stem) for split in splits for stem in sorted(STEMS[split])), strict=True)
    return np.stack(images).transpose(0, 3, 1, 2), np.minimum(np.stack(labels), 3)


def write(path: Path, values: np.ndarray | Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    (values if isinstance(values, Image.Image) else Image.fromarray(values)).save(path)


def build(folder: Path, images: str = "images/{}", masks: str = "masks/{}", mask: Callable = lambda labels: labels) -> Path:
    for split, stems in STEMS.items():
        for stem in stems:
            image, labels = sample(stem)
            write(folder / images.format(split) / f"{stem}.png", image)
            write(folder / masks.format(split) / f"{stem}.png", mask(labels))
    return folder


def read(**settings: object) -> Dataset:
    return segmentation_folder(**({"folder": "streets", "height": 6, "width": 8, "classes": NAMES, "void": [3, 4]} | settings))


def lists(folder: Path, line: str) -> None:
    for split, stems in STEMS.items():
        (folder / f"{split}.txt").write_text("".join(line.format(split=split, stem=stem) + "\n" for stem in sorted(stems)))
