"""Batches of images as the networks are fed: picked by index, augmented as a whole on the device, normalised."""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional

from confidnet_core.data import Dataset
from confidnet_core.params import Augmentation

INFERENCE_PIXELS = 2**20  # in a batch: bounds memory whatever the image size


def normalised(images: Tensor, dataset: Dataset, device: torch.device) -> Tensor:
    """uint8 or [0, 255] images (b, c, h, w) -> float32 ((x / 255) - mean) / std, channels last (faster convolutions)."""
    mean = torch.tensor(dataset.mean, device=device).view(1, -1, 1, 1)
    std = torch.tensor(dataset.std, device=device).view(1, -1, 1, 1)
    return images.to(device).float().div(255).sub(mean).div(std).contiguous(memory_format=torch.channels_last)


def inference_batches(images: np.ndarray, dataset: Dataset, device: torch.device) -> Iterator[tuple[slice, Tensor]]:
    """Every image once, in order, without augmentation: (where in the first axis, normalised images)."""
    size = _batch_size(images)
    for start in range(0, len(images), size):
        where = slice(start, min(start + size, len(images)))
        yield where, normalised(torch.from_numpy(np.ascontiguousarray(images[where])), dataset, device)


def batch_count(images: np.ndarray) -> int:
    """How many batches `inference_batches` makes of images."""
    return math.ceil(len(images) / _batch_size(images))


def _batch_size(images: np.ndarray) -> int:
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

    def epoch(self, generator: Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """(normalised images float32 (b, c, h, w), labels int64 (b, ...)) on the device. The generator is a CPU one."""
        order = torch.randperm(len(self.images), generator=generator).numpy()
        for start in range(0, len(order), self.batch_size):
            index = np.sort(order[start : start + self.batch_size])
            images = torch.from_numpy(self.images[index]).to(self.device)
            labels = torch.from_numpy(self.labels[index]).to(self.device).long()
            images, labels = augmented(images.float(), labels, self.augmentation, generator, self.dataset.void)
            yield normalised(images, self.dataset, self.device), labels


def augmented(images: Tensor, labels: Tensor, how: Augmentation, generator: Generator, void: int | None) -> tuple[Tensor, Tensor]:
    """Flip, rotate and crop each image of a batch by its own random draw; label maps move with their images.

    images float (b, c, h, w) in [0, 255], labels int64 (b,) or (b, h, w). Black fills what comes from outside an image,
    void what comes from outside a label map.
    """
    if how.flip:
        flips = torch.rand(len(images), generator=generator).to(images.device) < 0.5
        images = torch.where(flips.view(-1, 1, 1, 1), images.flip(-1), images)
        if labels.ndim == 3:
            labels = torch.where(flips.view(-1, 1, 1), labels.flip(-1), labels)
    if how.rotation or how.crop:
        grid = _grid(images, how, generator)
        images = functional.grid_sample(images, grid, mode="nearest", align_corners=False)
        if labels.ndim == 3:
            # Outside is zero for grid_sample: shift labels so that zero means void.
            moved = functional.grid_sample((labels - void).unsqueeze(1).float(), grid, mode="nearest", align_corners=False)
            labels = moved.squeeze(1).round().long() + void
    return images, labels


def _grid(images: Tensor, how: Augmentation, generator: Generator) -> Tensor:
    """Sampling positions of a rotation about the centre, then a whole-pixel shift of at most `crop`."""
    count, _, height, width = images.shape
    angle = torch.deg2rad((torch.rand(count, generator=generator) * 2 - 1) * how.rotation)
    shift = torch.randint(-how.crop, how.crop + 1, (count, 2), generator=generator)
    matrix = torch.zeros(count, 2, 3)
    matrix[:, 0, 0] = matrix[:, 1, 1] = angle.cos()
    matrix[:, 0, 1] = -angle.sin() * height / width
    matrix[:, 1, 0] = angle.sin() * width / height
    matrix[:, :, 2] = 2 * shift / torch.tensor([width, height])
    return functional.affine_grid(matrix.to(images.device), list(images.shape), align_corners=False)


def _check_fill(dataset: Dataset) -> None:
    if dataset.is_segmentation and dataset.void is None:
        brought = "augmentation.rotation and augmentation.crop bring unlabelled places into label maps"
        raise ValueError(f"{brought}, and this data has no void label for them; set both to 0")
