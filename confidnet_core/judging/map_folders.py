"""Predictions of a segmentation network as folders of maps: true classes, predicted classes and confidences, read one image at a time."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Real

from confidnet_core.config.registry import suggestion
from confidnet_core.datasets._file_tree import name_file_in_errors
from confidnet_core.datasets._image_formats import open_image, read_regular_file
from confidnet_core.datasets._masks import grey_step
from confidnet_core.judging.scored_predictions import ScoredPredictions
from confidnet_core.judging.split_names import ARGUMENT_BY_SPLIT, SPLIT_NAMES, TEST
from confidnet_core.progress import progress_bar

MAP_SUFFIXES = (".png", ".npy", ".tif", ".tiff")
CLASS_MAP_MODES = ("L", "P", "1", "I", "I;16")  # Pillow's modes of images with one number a pixel
CONFIDENCE_MAP_MODES = (*CLASS_MAP_MODES, "F")


class MapFolders(NamedTuple):
    """masks, predicted: folders of true and of predicted classes; confidences: {score: folder of its maps}; void: labels of no class"""

    masks: Path
    predicted: Path
    confidences: Mapping[str, Path]
    void: tuple[int, ...] = ()


class _SplitOfMaps(NamedTuple):
    """The labelled pixels of all images of a split, and the image of each."""

    correct: Bool[np.ndarray, " n"]
    confidences: dict[str, Real[np.ndarray, " n"]]
    images: Int[np.ndarray, " n"]


def judge_arguments_of_maps(folders: MapFolders) -> dict[str, Any]:
    """Return the arguments of `judge` for folders of maps; each image is a unit, since its pixels err together.

    The maps of an image have the same name in all folders, but for the suffix: PNG, NPY or TIFF with one number a pixel. Folders test, val
    and calibration in the folder of masks, and in all others, hold the splits; without them all images are test images. Memory holds one
    byte for each labelled pixel, and what its confidences take in the files.
    Raises ValueError that names the file for a missing map, another size, several channels, NaN, and files that cannot be read.
    """
    for option, folder in (("--masks", folders.masks), ("--predicted", folders.predicted), *folders.confidences.items()):
        if not folder.is_dir():
            raise ValueError(f"{option} is {folder}, which is no folder")
    first_image, predictions, counts = 0, {}, []
    for split, subfolder in _subfolders_of_splits(folders.masks).items():
        pixels = _read_split(folders, subfolder, first_image)
        first_image = int(pixels.images[-1]) + 1
        predictions[split] = ScoredPredictions(pixels.correct, pixels.confidences, pixels.images)
        counts.append(f"{split} {len(np.unique(pixels.images)):,} images with {len(pixels.correct):,} labelled pixels")
    test, others = predictions[TEST], {ARGUMENT_BY_SPLIT[split]: given for split, given in predictions.items() if split != TEST}
    facts = {"masks": str(folders.masks), "predicted": str(folders.predicted), "maps": "; ".join(counts)}
    return {"correct": test.correct, "confidences": test.confidences, "units": test.units, "unit_name": None, **others, "facts": facts}


def _subfolders_of_splits(masks_folder: Path) -> dict[str, str]:
    """Return {split: name of its folder in the folder of masks}, test first; {test: "."} where it holds the masks themselves."""
    split_of_name = {name: split for split, names in SPLIT_NAMES.items() for name in names if split in (TEST, *ARGUMENT_BY_SPLIT)}
    found = {split_of_name[path.name]: path.name for path in sorted(masks_folder.iterdir()) if path.is_dir() and path.name in split_of_name}
    if not found:
        return {TEST: "."}
    if TEST not in found:
        raise ValueError(f"{masks_folder} has the folders {', '.join(found.values())} and none called test, which all metrics are of")
    return {split: found[split] for split in (TEST, *ARGUMENT_BY_SPLIT) if split in found}


def _read_split(folders: MapFolders, subfolder: str, first_image: int) -> _SplitOfMaps:
    """Read the maps of all images of a split. first_image: the number of its first image among those of all splits"""
    mask_paths = _map_paths(folders.masks / subfolder)
    predicted_paths = _map_paths(folders.predicted / subfolder)
    confidence_paths = {score: _map_paths(folder / subfolder) for score, folder in folders.confidences.items()}
    parts: list[tuple[np.ndarray, dict[str, np.ndarray]]] = []
    for stem, mask_path in progress_bar(mask_paths.items(), len(mask_paths), "read maps", "image"):
        mask = _read_map(mask_path, CLASS_MAP_MODES)
        predicted = _map_of_image(predicted_paths, stem, folders.predicted / subfolder, mask, CLASS_MAP_MODES)
        is_labelled = ~np.isin(mask, folders.void)
        confidences = {}
        for score, paths in confidence_paths.items():
            confidence_map = _map_of_image(paths, stem, folders.confidences[score] / subfolder, mask, CONFIDENCE_MAP_MODES)
            confidences[score] = confidence_map[is_labelled]
            if not np.isfinite(confidences[score]).all():
                raise ValueError(f"{paths[stem]} holds NaN or infinity on a labelled pixel; expected finite confidences")
        parts.append(((predicted == mask)[is_labelled], confidences))
    correct = np.concatenate([part for part, _ in parts])
    if not len(correct):
        raise ValueError(f"{folders.masks / subfolder}: no pixel has a label; are the void labels right?")
    images = np.repeat(np.arange(len(parts), dtype=np.int64) + first_image, [len(part) for part, _ in parts])
    joined = {score: np.concatenate([confidences[score] for _, confidences in parts]) for score in folders.confidences}
    return _SplitOfMaps(correct, joined, images)


def _map_paths(folder: Path) -> dict[str, Path]:
    """Return {name without suffix: path} of the maps in a folder, sorted. ValueError where there are none, or two of one name."""
    if not folder.is_dir():
        raise ValueError(f"{folder} does not exist; expected the maps of this split there, too")
    path_by_stem: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in MAP_SUFFIXES and not path.name.startswith("."):
            if path.stem in path_by_stem:
                raise ValueError(f"{path_by_stem[path.stem]} and {path.name} are maps of one image; keep one of them")
            path_by_stem[path.stem] = path
    if not path_by_stem:
        raise ValueError(f"{folder} holds no map; expected files that end in {', '.join(MAP_SUFFIXES)}")
    return path_by_stem


def _map_of_image(paths: Mapping[str, Path], stem: str, folder: Path, mask: np.ndarray, modes: Sequence[str]) -> np.ndarray:
    """Return the map of an image. ValueError where it is missing, or has another size than the image's mask."""
    if stem not in paths:
        hint = suggestion(stem, paths)
        raise ValueError(f"{folder} has no map {stem}, as the folder of masks has{hint if hint.startswith('; did') else ''}")
    found = _read_map(paths[stem], modes)
    if found.shape != mask.shape:
        raise ValueError(f"{paths[stem]} has the shape {found.shape} and its mask {mask.shape}; resize it as the mask was")
    return found


def _read_map(path: Path, modes: Sequence[str]) -> Real[np.ndarray, "h w"]:
    """Return a map with one number a pixel, (h, w). ValueError for a damaged file, several channels, and other types."""
    if path.suffix.lower() == ".npy":
        array = _read_array(path)
        array = array[0] if array.ndim == 3 and len(array) == 1 else array
    else:
        with name_file_in_errors(str(path)):
            image = open_image(read_regular_file(path), path.name)
            step = grey_step(image) if image.mode == "L" else 1
            image.load()
        if image.mode not in modes:
            raise ValueError(f"{path} has the mode {image.mode}; expected one number a pixel: {', '.join(modes)}")
        array = np.asarray(image) // step if step > 1 else np.asarray(image)
    if array.ndim != 2 or array.dtype.kind not in ("fiub" if "F" in modes else "iub"):
        raise ValueError(
            f"{path} is {array.dtype} {array.shape}; expected one {'number' if 'F' in modes else 'whole number'} a pixel, (h, w)"
        )
    return array.astype(np.uint8) if array.dtype == bool else array


def _read_array(path: Path) -> np.ndarray:
    """Return the array in a .npy file. Raises ValueError for what is no regular file, and for a damaged one."""
    try:
        if not path.is_file():
            raise ValueError("it is no regular file")
        with path.open("rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except Exception as error:  # a damaged head can raise anything
        raise ValueError(f"{path} cannot be read ({error}); expected an array of numbers") from None
