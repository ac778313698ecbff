"""Batches: normalisation, what an epoch covers, and augmentation, against torchvision and plain shifts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from small import CPU, VOID, small_digits, small_segmentation
from torch import Generator, Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import rotate

from confidnet_core.config.recipes import Augmentation
from confidnet_core.data import Dataset
from confidnet_core.networks import batches
from confidnet_core.networks.batches import TrainingBatches, augment_batch, batch_count, inference_batches, normalise_images

NO_AUGMENTATION = Augmentation()
FULL_AUGMENTATION = Augmentation(flip=True, rotation=20.0, crop=3)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


@pytest.fixture
def numbered_images() -> Dataset:
    """Return 100 grey images whose pixels and label are their own number; 70 of them are for training."""
    numbers = np.arange(100, dtype=np.uint8)
    splits = {"train": np.arange(70), "val": np.arange(70, 80), "test": np.arange(80, 100)}
    images = np.broadcast_to(numbers[:, None, None, None], (100, 1, 4, 4)).copy()
    return Dataset(images, numbers, splits, tuple(map(str, numbers)), (0.0,), (1 / 255,), "numbered images")


@pytest.fixture
def marked_images() -> tuple[Tensor, Tensor]:
    """Return 40 images (3, 24, 32) with label maps of four classes: channel 0 is the label map, channel 1 is 255 everywhere."""
    labels = torch.randint(0, 3, (40, 24, 32), generator=seeded(5))
    return torch.stack([labels.float(), torch.full(labels.shape, 255.0), labels.float()], 1), labels


def test_normalisation_is_the_formula_that_data_py_states():
    dataset = replace(small_segmentation(), mean=(0.1, 0.5, 0.7), std=(0.2, 0.3, 0.9))
    normalised = normalise_images(torch.from_numpy(dataset.images), dataset, CPU)
    mean, std = (np.array(numbers).reshape(1, 3, 1, 1) for numbers in (dataset.mean, dataset.std))
    assert normalised.dtype == torch.float32
    assert np.allclose(normalised.numpy(), (dataset.images / 255 - mean) / std, atol=1e-6)
    assert normalised.is_contiguous(memory_format=torch.channels_last)


def test_training_digits_are_fed_with_mean_0_and_deviation_1():
    dataset = small_digits()
    train_images = normalise_images(torch.from_numpy(dataset.split("train")[0]), dataset, CPU)
    assert (train_images.mean().item(), train_images.std().item()) == pytest.approx((0, 1), abs=1e-4)


@pytest.mark.parametrize(("count", "size"), [(1, 8), (1024, 8), (1025, 8), (1797, 8), (5, 700)])
def test_inference_batches_hold_every_image_once_in_order(count: int, size: int):
    images = np.random.default_rng(0).integers(0, 256, (count, 1, size, size), dtype=np.uint8)
    dataset = replace(small_digits(), mean=(0.0,), std=(1 / 255,))
    parts = list(inference_batches(images, dataset, CPU))
    assert np.concatenate([np.arange(count)[where] for where, _ in parts]).tolist() == list(range(count))
    assert torch.allclose(torch.cat([batch for _, batch in parts]), torch.from_numpy(images).float(), atol=1e-3)
    assert len(parts) == batch_count(images)
    assert all(batch[:, 0].numel() <= max(batches.PIXELS_PER_INFERENCE_BATCH, size * size) and len(batch) <= 1024 for _, batch in parts)


def test_an_image_larger_than_a_whole_batch_is_still_one_batch():
    images = np.zeros((2, 1, 1100, 1100), np.uint8)
    assert [len(batch) for _, batch in inference_batches(images, small_digits(), CPU)] == [1, 1]


@pytest.mark.parametrize("batch_size", [1, 32, 70, 1000])
def test_an_epoch_covers_each_training_sample_once_with_its_own_label(numbered_images: Dataset, batch_size: int):
    training = TrainingBatches(numbered_images, batch_size, NO_AUGMENTATION, CPU)
    parts = [batch for _, batch in training.epoch(seeded())]
    images, labels = torch.cat([images for images, _ in parts]), torch.cat([labels for _, labels in parts])
    assert len(parts) == len(training)
    assert sorted(labels.tolist()) == list(range(70))
    assert labels.dtype == torch.int64
    assert torch.equal(images.round().long(), labels.view(-1, 1, 1, 1).expand(-1, 1, 4, 4))


def test_the_same_seed_gives_the_same_batches_and_another_one_another_order(numbered_images: Dataset):
    training = TrainingBatches(numbered_images, 32, FULL_AUGMENTATION, CPU)
    first, again, other = ([batch for _, batch in training.epoch(seeded(seed))] for seed in (1, 1, 2))
    assert all(torch.equal(one, two) for left, right in zip(first, again, strict=True) for one, two in zip(left, right, strict=True))
    assert not torch.equal(first[0][1], other[0][1])


def test_every_second_image_is_flipped_with_its_labels(marked_images: tuple[Tensor, Tensor]):
    images, labels = (part.repeat(10, *[1] * (part.ndim - 1)) for part in marked_images)
    moved, moved_labels = augment_batch(images, labels, Augmentation(flip=True), seeded(), VOID)
    assert torch.equal(moved[:, 0], moved_labels.float())
    flipped = (moved_labels == labels.flip(-1)).flatten(1).all(1)
    assert (flipped ^ (moved_labels == labels).flatten(1).all(1)).all()
    assert 0.4 < flipped.float().mean() < 0.6


def test_flipping_leaves_class_labels_alone():
    images, labels = torch.rand(50, 1, 8, 8), torch.arange(50)
    moved, moved_labels = augment_batch(images, labels, Augmentation(flip=True), seeded(), None)
    assert torch.equal(moved_labels, labels)
    assert not torch.equal(moved, images)


def test_no_augmentation_changes_nothing(marked_images: tuple[Tensor, Tensor]):
    images, labels = augment_batch(*marked_images, NO_AUGMENTATION, seeded(), VOID)
    assert torch.equal(images, marked_images[0])
    assert torch.equal(labels, marked_images[1])


@pytest.mark.parametrize("augmentation", [Augmentation(rotation=1e-9), Augmentation(rotation=30.0), Augmentation(rotation=180.0)])
def test_a_rotation_keeps_the_centre_pixel(augmentation: Augmentation):
    images = torch.rand(30, 2, 9, 13, generator=seeded())
    moved, _ = augment_batch(images, torch.zeros(30, dtype=torch.long), augmentation, seeded(), None)
    assert torch.equal(moved[:, :, 4, 6], images[:, :, 4, 6])


def test_a_tiny_rotation_changes_nothing():
    images = torch.rand(10, 2, 9, 13, generator=seeded())
    assert torch.equal(augment_batch(images, torch.zeros(10, dtype=torch.long), Augmentation(rotation=1e-6), seeded(), None)[0], images)


@pytest.mark.parametrize("size", [(24, 24), (24, 32), (31, 17)])
def test_rotations_are_those_of_torchvision(size: tuple[int, int]):
    images = torch.rand(25, 3, *size, generator=seeded(3))
    degrees = (torch.rand(25, generator=seeded(4)) * 2 - 1) * 60  # the draw that the augmentation makes first
    moved, _ = augment_batch(images, torch.zeros(25, dtype=torch.long), Augmentation(rotation=60.0), seeded(4), None)
    expected = torch.stack([rotate(one, angle, InterpolationMode.NEAREST) for one, angle in zip(images, degrees.tolist(), strict=True)])
    assert degrees.abs().max() > 45
    assert (moved == expected).float().mean() > 0.999  # positions halfway between pixels may round either way


def test_a_crop_is_a_shift_by_whole_pixels_with_black_at_the_edge():
    images, crop = 1 + torch.rand(200, 2, 9, 7, generator=seeded()), 2
    moved, _ = augment_batch(images, torch.zeros(200, dtype=torch.long), Augmentation(crop=crop), seeded(), None)
    padded = torch.nn.functional.pad(images, [crop] * 4)
    shifts = [(row, column) for row in range(2 * crop + 1) for column in range(2 * crop + 1)]
    candidates = torch.stack([padded[:, :, row : row + 9, column : column + 7] for row, column in shifts])
    is_shift = (candidates == moved).flatten(2).all(2)
    assert (is_shift.sum(0) == 1).all()
    assert is_shift.any(1).all()  # 200 draws reach each of the 25 shifts


def transform_single(part: np.ndarray, flip: bool, column: int, row: int, fill: int) -> np.ndarray:
    """Transform one image or label map: flip it or not, then shift it by whole pixels (right, down)."""
    padded = np.pad(part[..., ::-1] if flip else part, [(0, 0)] * (part.ndim - 2) + [(9, 9), (9, 9)], constant_values=fill)
    return padded[..., 9 + row :, 9 + column :][..., : part.shape[-2], : part.shape[-1]]


@pytest.mark.parametrize("dataset", [small_digits(), small_segmentation()], ids=["digits", "segmentation"])
@pytest.mark.parametrize(
    "augmentation", [NO_AUGMENTATION, Augmentation(flip=True), Augmentation(crop=3), Augmentation(flip=True, crop=3)], ids=str
)
def test_a_batch_is_to_the_bit_what_numpy_makes_of_the_same_draws(dataset: Dataset, augmentation: Augmentation):
    generator, (images, labels) = seeded(2), dataset.split("train")
    mean, std = (np.array(numbers, np.float32).reshape(1, -1, 1, 1) for numbers in (dataset.mean, dataset.std))
    layout = torch.channels_last if len(dataset.mean) > 1 else torch.contiguous_format  # strides choose the convolution
    order = torch.randperm(len(images), generator=generator).numpy()
    for start, (_, (train_images, fed_labels)) in zip(
        range(0, len(order), 5), TrainingBatches(dataset, 5, augmentation, CPU).epoch(seeded(2)), strict=True
    ):
        index = np.sort(order[start : start + 5])
        flips = torch.rand(len(index), generator=generator) < 0.5 if augmentation.flip else torch.zeros(len(index), dtype=torch.bool)
        if augmentation.crop:
            torch.rand(len(index), generator=generator)  # angles
        shifts = (
            torch.randint(-augmentation.crop, augmentation.crop + 1, (len(index), 2), generator=generator)
            if augmentation.crop
            else torch.zeros(len(index), 2).int()
        )
        draws = [(flip, column, row) for flip, (column, row) in zip(flips.tolist(), shifts.tolist(), strict=True)]
        moved = np.stack([transform_single(images[i], *draw, 0) for i, draw in zip(index, draws, strict=True)])
        assert np.array_equal(train_images.numpy(), (moved.astype(np.float32) / np.float32(255) - mean) / std)
        assert train_images.stride() == torch.empty(train_images.shape, memory_format=layout).stride()
        if dataset.is_segmentation:
            moved_labels = np.stack([transform_single(labels[i], *draw, VOID) for i, draw in zip(index, draws, strict=True)])
        else:
            moved_labels = labels[index]
        assert fed_labels.dtype == torch.int64 and np.array_equal(fed_labels.numpy(), moved_labels)


@pytest.mark.parametrize("augmentation", [NO_AUGMENTATION, Augmentation(flip=True), Augmentation(crop=5), FULL_AUGMENTATION], ids=str)
def test_bytes_move_as_floats_do_and_what_was_given_stays(marked_images: tuple[Tensor, Tensor], augmentation: Augmentation):
    images, labels = (part.to(torch.uint8) for part in marked_images)
    given = images.clone(), labels.clone()
    expected, expected_labels = augment_batch(*marked_images, augmentation, seeded(), VOID)
    moved, moved_labels = augment_batch(*given, augmentation, seeded(), VOID)
    assert torch.equal(moved.float(), expected) and torch.equal(moved_labels.long(), expected_labels)
    normalise_images(given[0], small_segmentation(), CPU)
    normalise_images(marked_images[0], small_segmentation(), CPU)
    assert torch.equal(given[0], images) and torch.equal(given[1], labels) and torch.equal(marked_images[0], images.float())


@pytest.mark.parametrize("augmentation", [Augmentation(rotation=40.0), Augmentation(crop=5), FULL_AUGMENTATION])
def test_labels_move_with_their_image_and_void_fills_exactly_where_black_does(
    marked_images: tuple[Tensor, Tensor], augmentation: Augmentation
):
    images, labels = augment_batch(*marked_images, augmentation, seeded(), VOID)
    outside = images[:, 1] == 0
    assert 0 < outside.float().mean() < 0.5
    assert torch.equal(labels == VOID, outside)
    assert torch.equal(labels.float()[~outside], images[:, 0][~outside])


@pytest.mark.parametrize("void", [3, 11, 255])
def test_void_labels_stay_void_when_they_move(marked_images: tuple[Tensor, Tensor], void: int):
    images, labels = marked_images
    labels = labels.where(labels > 0, void)
    moved, moved_labels = augment_batch(images, labels, FULL_AUGMENTATION, seeded(), void)
    assert torch.equal(moved_labels == void, moved[:, 0] == 0)  # the first channel is 0 at class 0 and outside
    assert set(moved_labels.unique().tolist()) == {1, 2, void}


def test_classification_may_rotate_and_crop_and_its_labels_stay():
    dataset = small_digits()
    labels = torch.cat([labels for _, (_, labels) in TrainingBatches(dataset, 64, FULL_AUGMENTATION, CPU).epoch(seeded())])
    assert torch.equal(labels.bincount(), torch.from_numpy(dataset.split("train")[1]).long().bincount())


@pytest.mark.parametrize("augmentation", [{"rotation": 5.0}, {"crop": 1}, {"scale": 0.1}, {"shear": 0.1}, {"cutout": 1}])
def test_label_maps_without_void_refuse_what_would_bring_void(augmentation: dict[str, float]):
    dataset = small_segmentation()
    TrainingBatches(dataset, 2, Augmentation(**augmentation), CPU)
    with_class = replace(dataset, void=None, classes=(*dataset.classes, "rest"))
    with pytest.raises(ValueError, match="no void label for them; set all to 0"):
        TrainingBatches(with_class, 2, Augmentation(**augmentation), CPU)
    TrainingBatches(with_class, 2, Augmentation(flip=True, brightness=0.5, contrast=0.5), CPU)
