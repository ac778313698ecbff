"""Batches of images for training and inference: selected by index, augmented as a whole batch on the device, and normalised."""

import math
from collections.abc import Iterator
from typing import cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int64, Integer, Shaped, UInt8
from torch import Generator, Tensor
from torch.nn import functional

from confidnet_core.config.recipes import Augmentation
from confidnet_core.data import Dataset

INFERENCE_PIXELS = 2**20  # pixels in an inference batch: this bounds memory for any image size


def normalise_images(images: Shaped[Tensor, "b c h w"], dataset: Dataset, device: torch.device) -> Float[Tensor, "b c h w"]:
    """Return ((images / 255) - mean) / std, float32 (b, c, h, w), channels last (for faster convolutions), on the device.

    images: uint8, or float in [0, 255]; mean and std are those of the data set's training split, by channel
    """
    mean = torch.tensor(dataset.mean, device=device).view(1, -1, 1, 1)
    std = torch.tensor(dataset.std, device=device).view(1, -1, 1, 1)
    floats = images.to(device).to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    return floats.div_(255).sub_(mean).div_(std).contiguous(memory_format=torch.channels_last)


def inference_batches(
    images: UInt8[np.ndarray, "n c h w"], dataset: Dataset, device: torch.device
) -> Iterator[tuple[slice, Float[Tensor, "b c h w"]]]:
    """Yield every image once, in order, without augmentation: (slice of the first axis, normalised images)."""
    size = _batch_size(images)
    for start in range(0, len(images), size):
        batch_slice = slice(start, min(start + size, len(images)))
        yield batch_slice, normalise_images(torch.from_numpy(np.ascontiguousarray(images[batch_slice])), dataset, device)


def batch_count(images: UInt8[np.ndarray, "n c h w"]) -> int:
    """Return the number of batches that `inference_batches` yields for these images."""
    return math.ceil(len(images) / _batch_size(images))


def _batch_size(images: UInt8[np.ndarray, "n c h w"]) -> int:
    return max(1, min(1024, INFERENCE_PIXELS // (images.shape[-2] * images.shape[-1])))


class TrainingBatches:
    """Batches of the training split, shuffled and augmented in each epoch by that epoch's own random generator."""

    def __init__(self, dataset: Dataset, batch_size: int, augmentation: Augmentation, device: torch.device) -> None:
        if augmentation.rotation or augmentation.crop:
            _require_void_label(dataset)
        self.images, self.labels = dataset.split("train")
        self.dataset, self.batch_size, self.augmentation, self.device = dataset, batch_size, augmentation, device

    def __len__(self) -> int:
        return math.ceil(len(self.images) / self.batch_size)

    def epoch(self, generator: Generator) -> Iterator[tuple[Float[Tensor, "b c h w"], Int64[Tensor, " b *pixels"]]]:
        """Yield (normalised images float32 (b, c, h, w), labels int64 (b, ...)) on the device. The generator must be on the CPU."""
        order = torch.randperm(len(self.images), generator=generator).numpy()
        for start in range(0, len(order), self.batch_size):
            index = np.sort(order[start : start + self.batch_size])
            images = torch.from_numpy(self.images[index]).to(self.device)
            labels = torch.from_numpy(self.labels[index]).to(self.device)
            images, labels = augment_batch(images, labels, self.augmentation, generator, self.dataset.void)
            yield normalise_images(images, self.dataset, self.device), labels.long()


def augment_batch(
    images: Shaped[Tensor, "b c h w"],
    labels: Integer[Tensor, " b *pixels"],
    augmentation: Augmentation,
    generator: Generator,
    void: int | None,
) -> tuple[Shaped[Tensor, "b c h w"], Integer[Tensor, " b *pixels"]]:
    """Flip, rotate and crop each image of a batch by its own random draw; label maps are transformed with their images.

    images uint8 or float (b, c, h, w) in [0, 255], labels uint8 or int64 (b,) or (b, h, w); both are returned in their types (after a
    rotation in float32 and int64). Pixels from outside an image become black, those from outside a label map become void.
    """
    is_label_map, fill = labels.ndim == 3, cast(int, void)  # TrainingBatches refuses label maps without a void label if one is needed
    if augmentation.flip:
        is_flipped = torch.rand(len(images), generator=generator).to(images.device) < 0.5
        images, labels = _flip(images, is_flipped), _flip(labels, is_flipped) if is_label_map else labels
    if augmentation.rotation or augmentation.crop:
        angles = torch.deg2rad((torch.rand(len(images), generator=generator) * 2 - 1) * augmentation.rotation)
        shifts = torch.randint(-augmentation.crop, augmentation.crop + 1, (len(images), 2), generator=generator)
        if augmentation.rotation:
            grid = _sampling_grid(images, angles, shifts)
            # grid_sample fills with zero outside the map, so labels are shifted until zero means void.
            labels = _resample((labels.long() - fill).unsqueeze(1), grid).squeeze(1).long() + fill if is_label_map else labels
            images = _resample(images, grid)
        else:
            corners = (shifts + augmentation.crop).to(images.device)
            images = _crop_windows(images, corners, augmentation.crop, 0)
            labels = _crop_windows(labels.unsqueeze(1), corners, augmentation.crop, fill).squeeze(1) if is_label_map else labels
    return images, labels


def _flip(batch: Shaped[Tensor, " b *rest"], is_flipped: Bool[Tensor, " b"]) -> Shaped[Tensor, " b *rest"]:
    """Mirror the samples where is_flipped (b,) is True. Selecting whole samples is faster on 8 bits than torch.where."""
    return torch.cat([batch, batch.flip(-1)]).index_select(0, torch.arange(len(batch), device=batch.device) + len(batch) * is_flipped)


def _crop_windows(batch: Shaped[Tensor, "b c h w"], corners: Int[Tensor, "b 2"], padding: int, fill: int) -> Shaped[Tensor, "b c h w"]:
    """Pad a batch (b, c, h, w) with `fill` and cut from each image the window (h, w) that begins at its corner (column, row)."""
    batch_size, channels, height, width = batch.shape
    padded = functional.pad(batch, [padding] * 4, value=fill).contiguous()
    image_stride, channel_stride, row_stride, _ = padded.stride()
    # A window is copied fastest as one contiguous piece of memory from its first to its last pixel, gaps between its rows included.
    window_length = (channels - 1) * channel_stride + (height - 1) * row_stride + width
    offsets = torch.arange(batch_size, device=batch.device) * image_stride + corners[:, 1] * row_stride + corners[:, 0]
    windows = padded.view(-1).unfold(0, window_length, 1).index_select(0, offsets)
    return windows.as_strided(batch.shape, (window_length, channel_stride, row_stride, 1))


def _resample(batch: Shaped[Tensor, "b c h w"], grid: Float[Tensor, "b h w 2"]) -> Float[Tensor, "b c h w"]:
    """Resample a batch at the grid's positions by nearest neighbour, as float32."""
    return functional.grid_sample(batch.float(), grid, mode="nearest", align_corners=False)


def _sampling_grid(images: Shaped[Tensor, "b c h w"], angles: Float[Tensor, " b"], shifts: Int[Tensor, "b 2"]) -> Float[Tensor, "b h w 2"]:
    """Return the sampling positions of a rotation about the centre, followed by a shift by whole pixels (column, row)."""
    batch_size, _, height, width = images.shape
    matrix = torch.zeros(batch_size, 2, 3)
    matrix[:, 0, 0] = matrix[:, 1, 1] = angles.cos()
    matrix[:, 0, 1] = -angles.sin() * height / width
    matrix[:, 1, 0] = angles.sin() * width / height
    matrix[:, :, 2] = 2 * shifts / torch.tensor([width, height])
    return functional.affine_grid(matrix.to(images.device), list(images.shape), align_corners=False)


def _require_void_label(dataset: Dataset) -> None:
    if dataset.is_segmentation and dataset.void is None:
        reason = "augmentation.rotation and augmentation.crop bring unlabelled pixels into label maps"
        raise ValueError(f"{reason}, and this data has no void label for them; set both to 0")
