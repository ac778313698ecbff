"""Training images on the device and in the computer's memory: the same batches, to the bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small import CPU, small_digits, small_segmentation

from confidnet_core.config.recipes import Augmentation
from confidnet_core.data import Dataset
from confidnet_core.networks.batches import TrainingBatches
from confidnet_core.networks.training_images import ImagesInMemory, ImagesOnDevice, fits_into, training_images

INDICES = np.array([3, 0, 5, 5])
FULL_AUGMENTATION = Augmentation(flip=True, rotation=20.0, crop=3)
MANY_CLASSES = replace(small_digits(), labels=small_digits().labels.astype(np.uint16) + 300)
every_dataset = pytest.mark.parametrize("dataset", [small_digits(), small_segmentation(), MANY_CLASSES], ids=["digits", "pixels", "uint16"])


@every_dataset
def test_both_places_give_the_same_images_and_labels(dataset: Dataset):
    images, labels = dataset.split("train")
    for place in (ImagesInMemory(images, labels, CPU), ImagesOnDevice(images, labels, CPU)):
        taken_images, taken_labels = place.take(INDICES)
        assert taken_images.dtype == torch.uint8 and np.array_equal(taken_images.numpy(), images[INDICES])
        assert taken_labels.dtype == (torch.int64 if dataset is MANY_CLASSES else torch.uint8)
        assert np.array_equal(taken_labels.numpy(), labels[INDICES])


@pytest.mark.parametrize("dataset", [small_digits(), small_segmentation()], ids=["digits", "pixels"])
def test_an_epoch_from_the_device_is_that_from_memory_to_the_bit(dataset: Dataset):
    from_memory, from_device = (TrainingBatches(dataset, 5, FULL_AUGMENTATION, CPU) for _ in range(2))
    from_device._samples = ImagesOnDevice(*dataset.split("train"), CPU)
    parts = [list(batches.epoch(torch.Generator().manual_seed(1))) for batches in (from_memory, from_device)]
    assert len(parts[0]) == len(parts[1]) == len(from_memory)
    for (rows, (images, labels)), (device_rows, (device_images, device_labels)) in zip(*parts, strict=True):
        assert rows == device_rows
        assert torch.equal(images, device_images) and images.stride() == device_images.stride()
        assert torch.equal(labels, device_labels) and labels.dtype == device_labels.dtype


def test_on_the_cpu_images_stay_where_they_are():
    images, labels = small_digits().split("train")
    images.setflags(write=False)  # as of a file
    assert isinstance(training_images(images, labels, CPU), ImagesInMemory)


@every_dataset
def test_images_fit_if_they_and_their_labels_take_a_quarter_of_what_is_free(dataset: Dataset):
    images, labels = dataset.split("train")
    label_bytes = labels.size * (8 if dataset is MANY_CLASSES else 1)  # PyTorch does not compute on uint16
    free_bytes = 4 * (images.size + label_bytes)
    assert fits_into(free_bytes, images, labels)
    assert not fits_into(free_bytes - 4, images, labels)
