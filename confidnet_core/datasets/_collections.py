"""What data sets of image files have in common beside the files: splits that are drawn, statistics of channels, and their description."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from confidnet_core.config.ranges import ListOf
from confidnet_core.data import TRAIN_VAL_TEST
from confidnet_core.datasets._file_tree import FileTree

IMAGENET_STATISTICS = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}  # with which torchvision's weights were trained
ChannelStatistics = Annotated[
    Literal["imagenet"] | ListOf[Annotated[float, Field(ge=0, le=1)]],
    Field(description="imagenet, or a number from 0 to 1 for each channel, for pixels scaled to [0, 1]"),
]


def assign_splits(
    data_set_name: str, file_tree: FileTree, split_sizes: Sequence[int], val: int | float, seed: int
) -> dict[str, np.ndarray]:
    """Return {split: indices of its samples}, where samples are in the order train, val, test; split_sizes: how many each split has.

    Without train images, train is empty: if there is one other split, `val` samples of it are drawn for val, half of them if `val` is 0.
    Without a val split, `val` samples of train, a number or a fraction, are drawn as in ConfidNet's published split: the first ones after
    numpy's legacy shuffle. Raises ValueError where `val` does not fit.
    """
    indices_by_split = np.split(np.arange(sum(split_sizes)), np.cumsum(split_sizes)[:2])
    splits: dict[str, np.ndarray] = dict(zip(TRAIN_VAL_TEST, indices_by_split, strict=True))
    is_whole = bool(split_sizes[1]) and bool(split_sizes[0] or split_sizes[2])
    if is_whole:
        if val:
            problem_text = f"{file_tree.path_prefix_in_messages} has a val split of {split_sizes[1]}; set val to 0, or take that away"
            raise ValueError(f"{data_set_name}: val is {val}, but {problem_text}")
        return splits
    rest_of_split = "train" if split_sizes[0] else "test"
    divided_indices = splits["train"] if split_sizes[0] else np.arange(sum(split_sizes))
    val = val or (0 if split_sizes[0] else 0.5)
    val_size = val if isinstance(val, int) else int(val * len(divided_indices) + 1e-9)  # since 0.29 * 100 is below 29 in floating point
    if not 0 < val_size < len(divided_indices):
        images_text = f"{len(divided_indices)} training images" if split_sizes[0] else f"{len(divided_indices)} images"
        expected_val_text = f"how many of its {images_text} to draw: 1 or more, but not all, or a share such as 0.1"
        raise ValueError(
            f"{data_set_name}: val is {val}, and {file_tree.path_prefix_in_messages} has no val split; expected {expected_val_text}"
        )
    shuffled_indices = divided_indices.copy()
    np.random.RandomState(seed).shuffle(shuffled_indices)
    return splits | {rest_of_split: np.sort(shuffled_indices[val_size:]), "val": np.sort(shuffled_indices[:val_size])}


def describe_source(data_set_kind: str, folder_setting: str, splits: dict[str, np.ndarray], *, is_val_drawn: bool) -> str:
    """Return a text on where a data set came from, for `Dataset.source`.

    is_val_drawn: whether the val split was drawn from the images of another
    """
    image_counts = "/".join(str(len(splits[split])) for split in TRAIN_VAL_TEST)
    drawn_text = ", val drawn from train" if len(splits["train"]) else ", val drawn at random"
    return f"{data_set_kind} {Path(folder_setting).name}, {image_counts} images" + drawn_text * is_val_drawn


def image_statistics(
    data_set_name: str,
    images: np.ndarray,
    train_indices: np.ndarray,
    mean: ChannelStatistics | None,
    std: ChannelStatistics | None,
    notes: list[str],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel: those given, imagenet's, or where both settings are None of the training images.

    A channel that has one value in all training images, as an unused one that is 0, gets the standard deviation 1, so that the networks
    see 0 there; a sentence about it is appended to `notes`. It is refused where all channels are so.
    Raises ValueError where they do not fit the channels, or where there are no training images to compute them from.
    """
    if given_statistics := statistics_of_settings(data_set_name, images.shape[1], mean, std):
        return given_statistics
    if len(train_indices) == 0:
        raise ValueError(f"{data_set_name}: no training images to compute mean and std from; give both, imagenet or lists")
    channel_mean, channel_std = channel_statistics(images, train_indices)
    constant_channels = [str(channel) for channel, deviation in enumerate(channel_std) if deviation == 0]
    if len(constant_channels) == len(channel_std):
        raise ValueError(f"{data_set_name}: all training images have one and the same colour everywhere; expected images that differ")
    if constant_channels:
        notes.append(f"channel {', '.join(constant_channels)} has one value in all training images, from which nothing can be learnt.")
    return channel_mean, tuple(deviation or 1.0 for deviation in channel_std)


def statistics_of_settings(
    data_set_name: str, channels: int, mean: ChannelStatistics | None, std: ChannelStatistics | None
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return mean and standard deviation of each channel as the settings of a data set have them; None if both settings are None.

    Raises ValueError where one of them is None, where they do not fit the number of channels, and for a deviation of 0.
    """
    if mean is None and std is None:
        return None
    if mean is None or std is None:
        raise ValueError(f"{data_set_name}: {'std' if mean else 'mean'} is absent; give mean and std, or neither")
    given_statistics = {"mean": mean, "std": std}
    channel_values: dict[str, tuple[float, ...]] = {
        name: IMAGENET_STATISTICS[name] if values == "imagenet" else tuple(map(float, values)) for name, values in given_statistics.items()
    }
    for name, values in channel_values.items():
        if len(values) != channels:
            problem_text = f"{data_set_name}: {name} is {given_statistics[name]}, for {len(values)} channels"
            raise ValueError(f"{problem_text}; the images have {channels}: give a list of {channels}")
    if min(channel_values["std"]) <= 0:
        raise ValueError(f"{data_set_name}: std is {std}; expected numbers above 0")
    return channel_values["mean"], channel_values["std"]


def channel_statistics(images: np.ndarray, image_indices: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and standard deviation of each channel of images[image_indices], for values scaled to [0, 1], by histograms."""
    pixel_value_counts = np.zeros((images.shape[1], 256), np.int64)
    images_per_chunk = max(1, 2**22 // images[0].size)
    for chunk_start in range(0, len(image_indices), images_per_chunk):
        image_chunk = images[image_indices[chunk_start : chunk_start + images_per_chunk]]
        pixel_value_counts += [np.bincount(image_chunk[:, channel].ravel(), minlength=256) for channel in range(len(pixel_value_counts))]
    scaled_pixel_values, pixel_value_frequencies = np.arange(256) / 255, pixel_value_counts / pixel_value_counts.sum(1, keepdims=True)
    mean = pixel_value_frequencies @ scaled_pixel_values
    std = np.sqrt((pixel_value_frequencies * (scaled_pixel_values - mean[:, None]) ** 2).sum(1))
    return tuple(mean.tolist()), tuple(std.tolist())
