"""Batches of images for training and inference: selected by index, augmented as a whole batch on the device, and normalised."""

import math
from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int64, Integer, Shaped, UInt8
from torch import Generator, Tensor

from confidnet_core.config.recipes import Augmentation
from confidnet_core.data import Dataset
from confidnet_core.networks.augmentation import augment_batch, require_void_label
from confidnet_core.networks.dropout import derive_random_seed
from confidnet_core.networks.ranks import BatchRows, complete_batches, is_own_batch, share_of_batch
from confidnet_core.networks.training_images import as_torch_integers, training_images

PIXELS_PER_INFERENCE_BATCH = 2**20  # pixels in an inference batch: this bounds memory for any image size


def normalise_images(images: Shaped[Tensor, "b c h w"], dataset: Dataset, device: torch.device) -> Float[Tensor, "b c h w"]:
    """Return ((images / 255) - mean) / std, float32 (b, c, h, w), channels last (for faster convolutions), on the device.

    images: uint8, or float in [0, 255]; mean and std are those of the data set's training split, by channel
    """
    mean = torch.tensor(dataset.mean, device=device).view(1, -1, 1, 1)
    std = torch.tensor(dataset.std, device=device).view(1, -1, 1, 1)
    float_images = images.to(device).to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    return float_images.div_(255).sub_(mean).div_(std).contiguous(memory_format=torch.channels_last)


def inference_batches(
    images: UInt8[np.ndarray, "n c h w"], dataset: Dataset, device: torch.device
) -> Iterator[tuple[slice, Float[Tensor, "b c h w"]]]:
    """Yield all images in batches, in order, without augmentation: a slice of `images`, and its normalised images float32 (b, c, h, w).

    One of several processes gets its own batches only; `complete` then brings together what they have computed.
    """
    for batch_index, batch_slice in enumerate(inference_slices(images)):
        if is_own_batch(batch_index):
            yield batch_slice, normalise_images(torch.from_numpy(np.array(images[batch_slice])), dataset, device)


def batch_count(images: UInt8[np.ndarray, "n c h w"]) -> int:
    """Return the number of batches that `inference_batches` yields for these images in this process."""
    return sum(is_own_batch(batch_index) for batch_index in range(len(inference_slices(images))))


def complete(images: UInt8[np.ndarray, "n c h w"], *arrays: np.ndarray) -> None:
    """Fill arrays (n, ...) with the rows of those batches of `inference_batches(images)` that other processes have computed."""
    complete_batches(inference_slices(images), *arrays)


def inference_slices(images: UInt8[np.ndarray, "n c h w"]) -> list[slice]:
    """Return the slices of the batches of `inference_batches` in all processes together, in order."""
    return batch_slices(len(images), _inference_batch_size(images))


def batch_slices(sample_count: int, batch_size: int) -> list[slice]:
    """Return the slices of consecutive batches, in order, the last of which may be shorter."""
    return [slice(start, min(start + batch_size, sample_count)) for start in range(0, sample_count, batch_size)]


def _inference_batch_size(images: UInt8[np.ndarray, "n c h w"]) -> int:
    return max(1, min(1024, PIXELS_PER_INFERENCE_BATCH // (images.shape[-2] * images.shape[-1])))


def labels_to_tensor(labels: Integer[np.ndarray, " b *pixels"], device: torch.device) -> Int64[Tensor, " b *pixels"]:
    """Return labels as a tensor on the device, int64."""
    return torch.from_numpy(np.array(as_torch_integers(labels))).to(device).long()


@runtime_checkable
class EpochBatches(Protocol):
    """The batches of a training: tuples of tensors on the device, the last of which are the labels (b, ...)."""

    def __len__(self) -> int: ...

    def epoch(self, generator: Generator) -> Iterator[tuple[BatchRows, tuple[Tensor, ...]]]:
        """Yield the batches of one epoch, shuffled by the generator, which is on the CPU: this process's rows, and their tensors."""
        ...


class TrainingBatches:
    """Batches of training images and labels, shuffled and augmented anew in each epoch by a random generator given for that epoch."""

    def __init__(self, dataset: Dataset, batch_size: int, augmentation: Augmentation, device: torch.device) -> None:
        require_void_label(dataset, augmentation)
        images, self.labels = dataset.split("train")
        self._samples = training_images(images, self.labels, device)
        self.dataset, self.batch_size, self.augmentation, self.device = dataset, batch_size, augmentation, device

    def __len__(self) -> int:
        return math.ceil(len(self.labels) / self.batch_size)

    def epoch(self, generator: Generator) -> Iterator[tuple[BatchRows, tuple[Float[Tensor, "b c h w"], Int64[Tensor, " b *pixels"]]]]:
        """Yield the batches of one epoch: this process's rows, and on the device their normalised images float32 (b, c, h, w) and labels.

        generator: shuffles and augments the images of this epoch; it must be on the CPU. Labels are int64 (b, ...).
        """
        image_order = torch.randperm(len(self.labels), generator=generator).numpy()
        for batch_slice in batch_slices(len(image_order), self.batch_size):
            image_indices = np.sort(image_order[batch_slice])
            rows = share_of_batch(len(image_indices))
            yield rows, self._augmented_batch(image_indices[rows.own], rows, generator)

    def in_order(self, *random_seed_key: str | int) -> Iterator[tuple[slice, Float[Tensor, "b c h w"]]]:
        """Yield all images in batches, not shuffled: their slice of the training split, and images as from `epoch`, augmented anew.

        The draws of each batch, also torch's own, follow from the key and the batch's number. One of several processes gets its own ones.
        """
        for batch_index, batch_slice in enumerate(batch_slices(len(self.labels), self.batch_size)):
            if is_own_batch(batch_index):
                random_seed = derive_random_seed(*random_seed_key, batch_index)
                torch.manual_seed(random_seed)  # dropout
                image_indices = np.arange(batch_slice.start, batch_slice.stop)
                whole_batch = BatchRows(len(image_indices), slice(0, len(image_indices)))
                yield batch_slice, self._augmented_batch(image_indices, whole_batch, torch.Generator().manual_seed(random_seed))[0]

    def _augmented_batch(
        self, image_indices: Integer[np.ndarray, " b"], rows: BatchRows, generator: Generator
    ) -> tuple[Float[Tensor, "b c h w"], Int64[Tensor, " b *pixels"]]:
        images, labels = self._samples.take(image_indices)
        images, labels = augment_batch(images, labels, self.augmentation, generator, self.dataset.void, rows)
        return normalise_images(images, self.dataset, self.device), labels.long()
