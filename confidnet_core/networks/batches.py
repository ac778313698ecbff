"""Batches of images as the networks are fed: picked by index, augmented as a whole on the device, normalised."""

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

INFERENCE_PIXELS = 2**20  # in a batch: bounds memory whatever the image size


def normalised(images: Shaped[Tensor, "b c h w"], dataset: Dataset, device: torch.device) -> Float[Tensor, "b c h w"]:
    """uint8 or [0, 255] images (b, c, h, w) -> float32 ((x / 255) - mean) / std, channels last (faster convolutions)."""
    mean = torch.tensor(dataset.mean, device=device).view(1, -1, 1, 1)
    std = torch.tensor(dataset.std, device=device).view(1, -1, 1, 1)
    floats = images.to(device).to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    return floats.div_(255).sub_(mean).div_(std).contiguous(memory_format=torch.channels_last)


def inference_batches(
    images: UInt8[np.ndarray, "n c h w"], dataset: Dataset, device: torch.device
) -> Iterator[tuple[slice, Float[Tensor, "b c h w"]]]:
    """Every image once, in order, without augmentation: (where in the first axis, normalised images)."""
    size = _batch_size(images)
    for start in range(0, len(images), size):
        where = slice(start, min(start + size, len(images)))
        yield where, normalised(torch.from_numpy(np.ascontiguousarray(images[where])), dataset, device)


def batch_count(images: UInt8[np.ndarray, "n c h w"]) -> int:
    """How many batches `inference_batches` makes of images."""
    return math.ceil(len(images) / _batch_size(images))


def _batch_size(images: UInt8[np.ndarray, "n c h w"]) -> int:
    return max(1, min(1024, INFERENCE_PIXELS // (images.shape[-2] * images.shape[-1])))


class TrainingBatches:
    """The training split, shuffled and augmented anew each epoch from the epoch's own generator."""

    def __init__(self, dataset: Dataset, batch_size: int, augmentation: Augmentation, device: torch.device) -> None:
        if augmentation.rotation or augmentation.crop:
            _check_fill(dataset)
        self.images, self.labels = dataset.split("train")
        self.dataset, self.batch_size, self.augmentation, self.device = dataset, batch_size, augmentation, device

    def __len__(self) -> int:
        return math.ceil(len(self.images) / self.batch_size)

    def epoch(self, generator: Generator) -> Iterator[tuple[Float[Tensor, "b c h w"], Int64[Tensor, " b *pixels"]]]:
        """(normalised images float32 (b, c, h, w), labels int64 (b, ...)) on the device. The generator is a CPU one."""
        order = torch.randperm(len(self.images), generator=generator).numpy()
        for start in range(0, len(order), self.batch_size):
            index = np.sort(order[start : start + self.batch_size])
            images = torch.from_numpy(self.images[index]).to(self.device)
            labels = torch.from_numpy(self.labels[index]).to(self.device)
            images, labels = augmented(images, labels, self.augmentation, generator, self.dataset.void)
            yield normalised(images, self.dataset, self.device), labels.long()


def augmented(
    images: Shaped[Tensor, "b c h w"], labels: Integer[Tensor, " b *pixels"], how: Augmentation, generator: Generator, void: int | None
) -> tuple[Shaped[Tensor, "b c h w"], Integer[Tensor, " b *pixels"]]:
    """Flip, rotate and crop each image of a batch by its own random draw; label maps move with their images.

    images uint8 or float (b, c, h, w) in [0, 255], labels uint8 or int64 (b,) or (b, h, w), both back in their types (rotated:
    float32, int64). Black fills what comes from outside an image, void what comes from outside a label map.
    """
    maps, fill = labels.ndim == 3, cast(int, void)  # TrainingBatches refuses label maps without void, where it is needed
    if how.flip:
        flips = torch.rand(len(images), generator=generator).to(images.device) < 0.5
        images, labels = _flipped(images, flips), _flipped(labels, flips) if maps else labels
    if how.rotation or how.crop:
        angles = torch.deg2rad((torch.rand(len(images), generator=generator) * 2 - 1) * how.rotation)
        shifts = torch.randint(-how.crop, how.crop + 1, (len(images), 2), generator=generator)
        if how.rotation:
            grid = _grid(images, angles, shifts)
            # Outside is zero for grid_sample: shift labels so that zero means void.
            labels = _sampled((labels.long() - fill).unsqueeze(1), grid).squeeze(1).long() + fill if maps else labels
            images = _sampled(images, grid)
        else:
            starts = (shifts + how.crop).to(images.device)
            images = _window(images, starts, how.crop, 0)
            labels = _window(labels.unsqueeze(1), starts, how.crop, fill).squeeze(1) if maps else labels
    return images, labels


def _flipped(batch: Shaped[Tensor, " b *rest"], flips: Bool[Tensor, " b"]) -> Shaped[Tensor, " b *rest"]:
    """Mirrored where flips (b,) says so. Whole samples are picked, which is faster on 8 bits than torch.where."""
    return torch.cat([batch, batch.flip(-1)]).index_select(0, torch.arange(len(batch), device=batch.device) + len(batch) * flips)


def _window(batch: Shaped[Tensor, "b c h w"], starts: Int[Tensor, "b 2"], edge: int, fill: int) -> Shaped[Tensor, "b c h w"]:
    """From (b, c, h, w) with `edge` pixels of fill around it, the (h, w) that begin at starts (b, 2) = (column, row)."""
    count, channels, height, width = batch.shape
    padded = functional.pad(batch, [edge] * 4, value=fill).contiguous()
    sample, plane, row, _ = padded.stride()
    # From its first pixel to its last a window is one stretch of memory, fastest copied whole, with what lies between its rows.
    stretch = (channels - 1) * plane + (height - 1) * row + width
    corners = torch.arange(count, device=batch.device) * sample + starts[:, 1] * row + starts[:, 0]
    stretches = padded.view(-1).unfold(0, stretch, 1).index_select(0, corners)
    return stretches.as_strided(batch.shape, (stretch, plane, row, 1))


def _sampled(batch: Shaped[Tensor, "b c h w"], grid: Float[Tensor, "b h w 2"]) -> Float[Tensor, "b c h w"]:
    return functional.grid_sample(batch.float(), grid, mode="nearest", align_corners=False)


def _grid(images: Shaped[Tensor, "b c h w"], angles: Float[Tensor, " b"], shifts: Int[Tensor, "b 2"]) -> Float[Tensor, "b h w 2"]:
    """Sampling positions of a rotation about the centre, then a shift by whole pixels (column, row)."""
    count, _, height, width = images.shape
    matrix = torch.zeros(count, 2, 3)
    matrix[:, 0, 0] = matrix[:, 1, 1] = angles.cos()
    matrix[:, 0, 1] = -angles.sin() * height / width
    matrix[:, 1, 0] = angles.sin() * width / height
    matrix[:, :, 2] = 2 * shifts / torch.tensor([width, height])
    return functional.affine_grid(matrix.to(images.device), list(images.shape), align_corners=False)


def _check_fill(dataset: Dataset) -> None:
    if dataset.is_segmentation and dataset.void is None:
        brought = "augmentation.rotation and augmentation.crop bring unlabelled pixels into label maps"
        raise ValueError(f"{brought}, and this data has no void label for them; set both to 0")
