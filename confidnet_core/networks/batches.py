"""Batches of images for training and inference: selected by index, augmented as a whole batch on the device, and normalised."""

import math
from collections.abc import Iterator
from typing import Protocol, cast, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Int64, Integer, Shaped, UInt8
from torch import Generator, Tensor
from torch.nn import functional

from confidnet_core.config.recipes import Augmentation
from confidnet_core.data import Dataset
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
        if augmentation.rotation or augmentation.crop:
            _require_void_label(dataset)
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


def augment_batch(
    images: Shaped[Tensor, "b c h w"],
    labels: Integer[Tensor, " b *pixels"],
    augmentation: Augmentation,
    generator: Generator,
    void_label: int | None,
    rows: BatchRows | None = None,
) -> tuple[Shaped[Tensor, "b c h w"], Integer[Tensor, " b *pixels"]]:
    """Return a batch of images and labels, each image flipped, rotated and shifted at random, and each label map with its image.

    images uint8 or float (b, c, h, w) in [0, 255], labels uint8 or int64 (b,) or (b, h, w); both are returned in their types (after a
    rotation in float32 and int64). Pixels from outside an image become black, those from outside a label map become `void_label`.
    rows: which rows of a larger batch these images are, of which every process draws all; None for a whole batch
    """
    rows = rows or BatchRows(len(images), slice(0, len(images)))
    is_label_map = labels.ndim == 3
    void_fill_value = cast(int, void_label)  # TrainingBatches refuses label maps without a void label if one is needed
    if augmentation.flip:
        is_flipped = torch.rand(rows.total, generator=generator)[rows.own].to(images.device) < 0.5
        images = _mirror_selected_images(images, is_flipped)
        labels = _mirror_selected_images(labels, is_flipped) if is_label_map else labels
    if augmentation.rotation or augmentation.crop:
        rotation_angles = torch.deg2rad((torch.rand(rows.total, generator=generator)[rows.own] * 2 - 1) * augmentation.rotation)
        pixel_shifts = torch.randint(-augmentation.crop, augmentation.crop + 1, (rows.total, 2), generator=generator)[rows.own]
        if augmentation.rotation:
            sampling_grid = _sampling_grid(images, rotation_angles, pixel_shifts)
            # grid_sample fills with zero outside the map, so labels are shifted until zero means void.
            labels = (
                _resample_nearest((labels.long() - void_fill_value).unsqueeze(1), sampling_grid).squeeze(1).long() + void_fill_value
                if is_label_map
                else labels
            )
            images = _resample_nearest(images, sampling_grid)
        else:
            window_corners = (pixel_shifts + augmentation.crop).to(images.device)
            images = _crop_windows(images, window_corners, augmentation.crop, 0)
            labels = (
                _crop_windows(labels.unsqueeze(1), window_corners, augmentation.crop, void_fill_value).squeeze(1)
                if is_label_map
                else labels
            )
    return images, labels


def _mirror_selected_images(images_or_label_maps: Shaped[Tensor, " b *rest"], is_flipped: Bool[Tensor, " b"]) -> Shaped[Tensor, " b *rest"]:
    """Return a batch of images or label maps (b, ...), of which those with is_flipped (b,) True are mirrored left to right.

    On 8-bit values this is faster than torch.where.
    """
    return torch.cat([images_or_label_maps, images_or_label_maps.flip(-1)]).index_select(
        0, torch.arange(len(images_or_label_maps), device=images_or_label_maps.device) + len(images_or_label_maps) * is_flipped
    )


def _crop_windows(
    images_or_label_maps: Shaped[Tensor, "b c h w"], window_corners: Int[Tensor, "b 2"], padding: int, fill_value: int
) -> Shaped[Tensor, "b c h w"]:
    """Return a window, (b, c, h, w), of each image or label map after padding with fill_value: a shift without rotation.

    images_or_label_maps: (b, c, h, w); padding: pixels on each side
    window_corners: (b, 2), column and row of the padded image or label map at which its window begins
    """
    batch_size, channels, height, width = images_or_label_maps.shape
    padded_maps = functional.pad(images_or_label_maps, [padding] * 4, value=fill_value).contiguous()
    image_stride, channel_stride, row_stride, _ = padded_maps.stride()
    # A window is copied fastest as one contiguous piece of memory from its first to its last pixel, gaps between its rows included.
    window_length = (channels - 1) * channel_stride + (height - 1) * row_stride + width
    window_offsets = (
        torch.arange(batch_size, device=images_or_label_maps.device) * image_stride
        + window_corners[:, 1] * row_stride
        + window_corners[:, 0]
    )
    windows = padded_maps.view(-1).unfold(0, window_length, 1).index_select(0, window_offsets)
    return windows.as_strided(images_or_label_maps.shape, (window_length, channel_stride, row_stride, 1))


def _resample_nearest(images_or_label_maps: Shaped[Tensor, "b c h w"], sampling_grid: Float[Tensor, "b h w 2"]) -> Float[Tensor, "b c h w"]:
    """Return images or label maps (b, c, h, w) sampled at the positions of sampling_grid, by nearest neighbour: float32 (b, c, h, w)."""
    return functional.grid_sample(images_or_label_maps.float(), sampling_grid, mode="nearest", align_corners=False)


def _sampling_grid(
    images: Shaped[Tensor, "b c h w"], rotation_angles: Float[Tensor, " b"], pixel_shifts: Int[Tensor, "b 2"]
) -> Float[Tensor, "b h w 2"]:
    """Return the positions, float (b, h, w, 2) in [-1, 1], at which to sample images to rotate and shift them.

    rotation_angles: (b,) in radians, about the centre; pixel_shifts: (b, 2) in pixels, horizontal and vertical
    """
    batch_size, _, height, width = images.shape
    affine_matrices = torch.zeros(batch_size, 2, 3)
    affine_matrices[:, 0, 0] = affine_matrices[:, 1, 1] = rotation_angles.cos()
    affine_matrices[:, 0, 1] = -rotation_angles.sin() * height / width
    affine_matrices[:, 1, 0] = rotation_angles.sin() * width / height
    affine_matrices[:, :, 2] = 2 * pixel_shifts / torch.tensor([width, height])
    return functional.affine_grid(affine_matrices.to(images.device), list(images.shape), align_corners=False)


def _require_void_label(dataset: Dataset) -> None:
    if dataset.is_segmentation and dataset.void is None:
        void_label_reason = "augmentation.rotation and augmentation.crop bring unlabelled pixels into label maps"
        raise ValueError(f"{void_label_reason}, and this data has no void label for them; set both to 0")
