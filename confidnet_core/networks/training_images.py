"""Training images and labels where batches of them are taken from: the GPU's own memory if they fit, else the computer's."""

import numpy as np
import torch
from jaxtyping import Integer, UInt8
from torch import Tensor

# Of a GPU's free memory, the part that training images and labels may take. Weights, activations and the optimizer need the rest.
SHARE_OF_FREE_MEMORY = 0.25


class ImagesInMemory:
    """Images and labels in the computer's memory, or on its disk, of which each batch is copied to the device."""

    def __init__(self, images: UInt8[np.ndarray, "n c h w"], labels: Integer[np.ndarray, " n *pixels"], device: torch.device) -> None:
        self._images, self._labels, self._device = images, labels, device

    def take(self, indices: Integer[np.ndarray, " b"]) -> tuple[UInt8[Tensor, "b c h w"], Integer[Tensor, " b *pixels"]]:
        """Return the images (b, c, h, w) and labels (b, ...) with these indices, on the device; labels uint8 or int64."""
        labels = as_torch_integers(self._labels[indices])
        return copy_to_device(self._images[indices], self._device), copy_to_device(labels, self._device)


class ImagesOnDevice:
    """All images and labels copied to the device once, which takes batches itself."""

    def __init__(self, images: UInt8[np.ndarray, "n c h w"], labels: Integer[np.ndarray, " n *pixels"], device: torch.device) -> None:
        self._images = torch.from_numpy(np.array(images)).to(device)
        self._labels = torch.from_numpy(np.array(as_torch_integers(labels))).to(device)

    def take(self, indices: Integer[np.ndarray, " b"]) -> tuple[UInt8[Tensor, "b c h w"], Integer[Tensor, " b *pixels"]]:
        """Return what ImagesInMemory returns."""
        device_indices = copy_to_device(indices, self._images.device)
        return self._images[device_indices], self._labels[device_indices]


def training_images(
    images: UInt8[np.ndarray, "n c h w"], labels: Integer[np.ndarray, " n *pixels"], device: torch.device
) -> ImagesInMemory | ImagesOnDevice:
    """Return images and labels for batches on the device: in its memory if it is a GPU with room for them, else where they are."""
    is_gpu_with_room = device.type == "cuda" and fits_into(torch.cuda.mem_get_info(device)[0], images, labels)
    return ImagesOnDevice(images, labels, device) if is_gpu_with_room else ImagesInMemory(images, labels, device)


def fits_into(free_bytes: int, images: UInt8[np.ndarray, "n c h w"], labels: Integer[np.ndarray, " n *pixels"]) -> bool:
    """Return whether images and labels take at most SHARE_OF_FREE_MEMORY of the free bytes of a device."""
    label_bytes = labels.size * as_torch_integers(labels[:0]).itemsize
    return images.nbytes + label_bytes <= SHARE_OF_FREE_MEMORY * free_bytes


def copy_to_device(values: np.ndarray, device: torch.device) -> Tensor:
    """Return an array as a tensor on the device; to a GPU the copy is made from pinned memory, and nothing waits for it.

    On the CPU the tensor shares the array's memory. PyTorch keeps pinned memory until the copy from it is done.
    """
    tensor = torch.from_numpy(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def as_torch_integers(labels: Integer[np.ndarray, " b *pixels"]) -> Integer[np.ndarray, " b *pixels"]:
    """Return labels in a type on which PyTorch computes: uint8 as they are, uint16 as int64."""
    return labels if labels.dtype == np.uint8 else labels.astype(np.int64)
