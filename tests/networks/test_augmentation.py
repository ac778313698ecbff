"""Random changes of training images, against a loop over pixels in NumPy: positions, brightness, contrast, and what is cut out."""

import numpy as np
import pytest
import torch
from torch import Tensor

from confidnet_core.config.recipes import Augmentation
from confidnet_core.networks.augmentation import augment_batch
from confidnet_core.networks.ranks import BatchRows

VOID = 7
BOTH_SIZES = pytest.mark.parametrize("size", [(9, 13), (12, 8)])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def changed(images: Tensor, labels: Tensor | None = None, seed: int = 0, **settings: float | str) -> tuple[Tensor, Tensor]:
    labels = torch.zeros(len(images), dtype=torch.long) if labels is None else labels
    return augment_batch(images, labels, Augmentation(**settings), seeded(seed), VOID)


def positions(size: tuple[int, int], angle: float, scale: float, shear: float, shift: tuple[int, int]) -> np.ndarray:
    """Where each pixel (row, column) is taken from, (h, w, 2), by the definition, one pixel after the other."""
    height, width = size
    found = np.empty((height, width, 2))
    for row in range(height):
        for column in range(width):
            down, right = row - (height - 1) / 2, column - (width - 1) / 2
            sheared = right + shear * down
            source_right = (np.cos(angle) * sheared - np.sin(angle) * down) / scale + shift[0]
            source_down = (np.sin(angle) * sheared + np.cos(angle) * down) / scale + shift[1]
            found[row, column] = source_down + (height - 1) / 2, source_right + (width - 1) / 2
    return found


def sampled(image: np.ndarray, where: np.ndarray, interpolation: str) -> np.ndarray:
    """An image (c, h, w) at positions, 0 outside."""
    padded = np.pad(image, [(0, 0), (60, 60), (60, 60)])
    if interpolation == "nearest":
        near = np.rint(where).astype(int) + 60
        return padded[:, near[..., 0], near[..., 1]]
    low, part = np.floor(where).astype(int) + 60, where - np.floor(where)
    rows, columns = low[..., 0], low[..., 1]
    upper = padded[:, rows, columns] * (1 - part[..., 1]) + padded[:, rows, columns + 1] * part[..., 1]
    lower = padded[:, rows + 1, columns] * (1 - part[..., 1]) + padded[:, rows + 1, columns + 1] * part[..., 1]
    return upper * (1 - part[..., 0]) + lower * part[..., 0]


@BOTH_SIZES
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_images_are_rotated_scaled_sheared_and_shifted_as_defined(size: tuple[int, int], interpolation: str):
    images, generator = torch.rand(20, 2, *size, generator=seeded(5)) * 255, seeded(3)
    angles = (torch.rand(20, generator=generator) * 2 - 1).deg2rad() * 25
    shifts = torch.randint(-2, 3, (20, 2), generator=generator)
    scales, shears = 1 + (torch.rand(20, generator=generator) * 2 - 1) * 0.3, (torch.rand(20, generator=generator) * 2 - 1) * 0.4
    moved, _ = changed(images, seed=3, rotation=25, crop=2, scale=0.3, shear=0.4, interpolation=interpolation)
    draws = zip(angles.tolist(), scales.tolist(), shears.tolist(), map(tuple, shifts.tolist()), strict=True)
    expected = np.stack([sampled(one, positions(size, *draw), interpolation) for one, draw in zip(images.numpy(), draws, strict=True)])
    is_equal = np.isclose(moved.numpy(), expected, atol=0.05)
    assert is_equal.mean() > (0.995 if interpolation == "nearest" else 0.99999)  # halfway between pixels rounding decides


@pytest.mark.parametrize("setting", ["scale", "shear"])
def test_each_alone_leaves_the_centre_and_moves_the_rest_both_ways(setting: str):
    images = torch.arange(9.0).expand(40, 1, 9, 9) if setting == "scale" else torch.eye(9).expand(40, 1, 9, 9)
    moved, _ = changed(images, interpolation="bilinear", **{setting: 0.5})
    torch.testing.assert_close(moved[:, :, 4, 4], images[:, :, 4, 4])
    right_of_centre = moved[:, 0, 4, 6] if setting == "scale" else moved[:, 0, 6, 6]
    assert right_of_centre.std() > 0


def test_label_maps_move_with_their_images_and_void_fills_them():
    labels = torch.randint(0, 3, (20, 12, 16), generator=seeded(1))
    images = torch.stack([labels.float() + 1, labels.float() + 1], 1)
    moved, moved_labels = changed(images, labels, rotation=20, scale=0.4, shear=0.3, crop=2, cutout=4)
    is_outside = moved[:, 0] == 0
    assert torch.equal(moved_labels == VOID, is_outside) and 0.05 < is_outside.float().mean() < 0.6
    assert torch.equal(moved_labels[~is_outside].float() + 1, moved[:, 0][~is_outside])


def test_bilinear_images_keep_labels_of_classes_only():
    labels = torch.randint(0, 3, (20, 12, 16), generator=seeded(1))
    _, moved_labels = changed(torch.rand(20, 1, 12, 16), labels, rotation=20, interpolation="bilinear")
    assert set(moved_labels.unique().tolist()) == {0, 1, 2, VOID}


def test_brightness_is_a_factor_of_all_values_and_contrast_one_of_distances_from_the_mean():
    images = torch.randint(0, 256, (50, 3, 6, 5), generator=seeded(2)).to(torch.uint8)
    generator = seeded(9)
    brightness, contrast = (1 + (torch.rand(50, generator=generator) * 2 - 1) * share for share in (0.4, 0.6))
    lit, _ = changed(images, seed=9, brightness=0.4, contrast=0.6)
    for image, one, light, distance in zip(images.numpy().astype(float), lit.numpy(), brightness.tolist(), contrast.tolist(), strict=True):
        bright = np.minimum(image * light, 255)
        np.testing.assert_allclose(one, np.clip(bright.mean() + (bright - bright.mean()) * distance, 0, 255), atol=1e-3)
    assert lit.min() >= 0 and lit.max() <= 255 and lit.dtype == torch.float32


@pytest.mark.parametrize("setting", ["brightness", "contrast"])
def test_each_light_changes_both_ways_and_leaves_black_images_black(setting: str):
    ramp = torch.linspace(50, 150, 64).view(1, 1, 8, 8).expand(1000, 1, 8, 8)
    spread = changed(ramp, **{setting: 0.5})[0].flatten(1).std(1) / ramp.flatten(1).std(1)
    assert spread.min() < 0.7 and spread.max() > 1.3 and 0.95 < spread.mean() < 1.05
    assert changed(torch.zeros(4, 1, 3, 3), **{setting: 0.5})[0].abs().max() == 0


@pytest.mark.parametrize(("side", "most"), [(1, 1), (4, 16), (5, 25), (100, 9 * 13)])
def test_what_is_cut_out_is_a_square_anywhere_whole_or_at_the_edge(side: int, most: int):
    moved, _ = changed(torch.ones(3000, 2, 9, 13, dtype=torch.uint8), cutout=side)
    is_cut = moved == 0
    assert moved.dtype == torch.uint8 and torch.equal(is_cut[:, 0], is_cut[:, 1])
    assert is_cut[:, 0].flatten(1).sum(1).max() == most and is_cut[:, 0].flatten(1).sum(1).min() >= 1
    rows, columns = is_cut[:, 0].any(2).sum(1), is_cut[:, 0].any(1).sum(1)
    assert torch.equal(rows * columns, is_cut[:, 0].flatten(1).sum(1)) and is_cut.any(0).all()


def test_a_setting_of_zero_draws_nothing_so_that_former_trainings_stay_the_same():
    images = torch.rand(30, 1, 8, 8, generator=seeded(4))
    generators = seeded(), seeded()
    labels = torch.zeros(30, dtype=torch.long)
    for generator, more in zip(
        generators, ({}, {"scale": 0.0, "shear": 0.0, "brightness": 0.0, "contrast": 0.0, "cutout": 0}), strict=True
    ):
        augment_batch(images, labels, Augmentation(flip=True, rotation=10, crop=1, **more), generator, VOID)
    torch.rand(60, generator=(reference := seeded())), torch.randint(-1, 2, (30, 2), generator=reference)
    assert all(torch.equal(generator.get_state(), reference.get_state()) for generator in generators)


def test_processes_together_change_a_batch_as_one_does():
    images, labels = torch.rand(10, 1, 8, 8, generator=seeded(4)), torch.arange(10)
    settings = Augmentation(flip=True, rotation=10, scale=0.2, shear=0.1, crop=1, brightness=0.3, contrast=0.3, cutout=3)
    whole, _ = augment_batch(images, labels, settings, seeded(), None)
    parts = [
        augment_batch(images[own], labels[own], settings, seeded(), None, BatchRows(10, own))[0] for own in (slice(0, 4), slice(4, 10))
    ]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-4)
