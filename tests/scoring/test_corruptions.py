"""Corruptions of images against NumPy, SciPy and sums by hand: their strengths, their draws, and label maps that move with the images."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from confidnet_core.config.shifts import Shifts
from confidnet_core.scoring.corruptions import CORRUPTIONS, _rotated, corrupt_images, move_label_maps

SEVERITIES = (1, 2, 3)
every_corruption = pytest.mark.parametrize("corruption", CORRUPTIONS)


def pictures(count: int = 6, channels: int = 3, height: int = 20, width: int = 28) -> np.ndarray:
    """Smooth pictures of middle brightness, so that nothing is cut off at black or white."""
    noise = np.random.default_rng(0).normal(size=(count, channels, height, width))
    smooth = ndimage.gaussian_filter(noise, (0, 0, 2, 2))
    return (128 + 40 * smooth / smooth.std()).clip(60, 196).astype(np.uint8)


def test_params_yaml_knows_exactly_these_corruptions():
    assert Shifts().corruptions == tuple(CORRUPTIONS)


@every_corruption
@pytest.mark.parametrize("severity", SEVERITIES)
def test_images_keep_their_shape_and_follow_from_the_seed_alone(corruption: str, severity: int):
    images = pictures(300, 1, 12, 12)
    corrupted = corrupt_images(images, corruption, severity, 5)
    assert (corrupted.dtype, corrupted.shape) == (np.uint8, images.shape) and not np.array_equal(corrupted, images)
    np.testing.assert_array_equal(corrupt_images(images[:280], corruption, severity, 5)[:256], corrupted[:256])
    state = torch.get_rng_state()
    corrupt_images(images[:2], corruption, severity, 5)
    assert torch.equal(state, torch.get_rng_state())
    is_drawn = corruption in ("noise", "rotation")
    assert np.array_equal(corrupt_images(images, corruption, severity, 6), corrupted) != is_drawn


@every_corruption
def test_each_severity_is_further_from_the_image(corruption: str):
    images = pictures().astype(float)
    distances = [np.abs(corrupt_images(pictures(), corruption, severity, 0) - images).mean() for severity in SEVERITIES]
    assert 0 < distances[0] < distances[1] < distances[2]


@every_corruption
@pytest.mark.parametrize("value", [0, 255])
def test_black_and_white_images_stay_within_eight_bits(corruption: str, value: int):
    images = np.full((2, 1, 5, 9), value, np.uint8)
    corrupted = corrupt_images(images, corruption, 3, 0)
    assert corrupted.min() >= 0 and corrupted.max() <= 255
    if corruption in ("blur", "contrast", "pixelation"):
        np.testing.assert_array_equal(corrupted, images)


@every_corruption
def test_an_image_of_one_pixel_passes(corruption: str):
    assert corrupt_images(np.full((1, 1, 1, 1), 100, np.uint8), corruption, 2, 0).shape == (1, 1, 1, 1)


@pytest.mark.parametrize(("severity", "deviation"), [(1, 0.05), (2, 0.1), (3, 0.2)])
def test_noise_is_normal_with_this_deviation(severity: int, deviation: float):
    differences = corrupt_images(np.full((60, 3, 32, 32), 128, np.uint8), "noise", severity, 0) / 255 - 128 / 255
    assert differences.mean() == pytest.approx(0, abs=0.002)
    assert np.percentile(differences, 84.13) == pytest.approx(deviation, rel=0.03)  # one deviation above the mean
    assert abs(np.corrcoef(differences[:, 0].ravel(), differences[:, 1].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize(("height", "deviations"), [(20, (0.4, 0.7, 1.2)), (64, (0.8, 1.4, 2.4))])
def test_blur_is_scipys_normal_filter(height: int, deviations: tuple[float, ...]):
    images = pictures(2, 3, height, 40)
    for severity, deviation in zip(SEVERITIES, deviations, strict=True):
        sigma, radius = (0, 0, deviation, deviation), (0, 0, *[int(np.ceil(3 * deviation))] * 2)
        expected = ndimage.gaussian_filter(images.astype(float), sigma, radius=radius, mode="nearest")
        np.testing.assert_allclose(corrupt_images(images, "blur", severity, 0), expected, atol=0.51)


def test_brightness_adds_and_contrast_shrinks_around_the_mean_of_the_image():
    images = pictures()
    means = images.mean((1, 2, 3), keepdims=True)
    for severity, gain, factor in ((1, 0.1, 0.6), (2, 0.2, 0.4), (3, 0.3, 0.2)):
        brighter = (images + 255 * gain).clip(0, 255)
        np.testing.assert_allclose(corrupt_images(images, "brightness", severity, 0), brighter, atol=0.51)
        np.testing.assert_allclose(corrupt_images(images, "contrast", severity, 0), means + factor * (images - means), atol=0.51)


def test_pixelation_repeats_the_means_of_areas():
    images = pictures(2, 1, 8, 12)
    means = images.reshape(2, 1, 2, 4, 3, 4).mean((3, 5))  # a quarter of 8 x 12 is 2 x 3
    np.testing.assert_allclose(corrupt_images(images, "pixelation", 3, 0), means.repeat(4, 2).repeat(4, 3), atol=0.51)


@pytest.mark.parametrize(("severity", "angle"), [(1, 15), (2, 30), (3, 45)])
def test_rotation_is_scipys_by_this_angle_to_either_side(severity: int, angle: int):
    images = pictures(40, 1, 21, 21)
    corrupted = corrupt_images(images, "rotation", severity, 0).astype(float)
    sides = [ndimage.rotate(images.astype(float), sign * angle, (2, 3), False, order=1, mode="grid-constant") for sign in (1, -1)]
    is_left, is_right = (np.abs(corrupted - side).max((1, 2, 3)) < 1.5 for side in sides)
    assert (is_left ^ is_right).all() and 8 < is_left.sum() < 32


def test_a_quarter_turn_moves_pixels_of_a_wide_image_without_stretching_it():
    image = torch.zeros(1, 1, 3, 7)
    image[0, 0, 1, 4] = 1  # one pixel to the right of the centre
    turned = _rotated(image, torch.deg2rad(torch.tensor([90.0])), "nearest")
    assert torch.nonzero(turned[0, 0]).tolist() == [[0, 3]]  # one pixel above it


def test_label_maps_move_with_their_images():
    rng = np.random.default_rng(0)
    label_maps = rng.integers(1, 4, (5, 4, 6)).repeat(8, 1).repeat(8, 2).astype(np.uint8)
    is_labelled = np.ones(label_maps.shape, bool)
    is_labelled[:, :6] = False
    images = (60 * label_maps)[:, None]
    for severity in SEVERITIES:
        corrupted = corrupt_images(images, "rotation", severity, 3)[:, 0]
        moved, is_moved_labelled = move_label_maps(label_maps, is_labelled, "rotation", severity, 3)
        is_pure = is_moved_labelled & (corrupted % 60 == 0) & (corrupted > 0)  # not interpolated between two classes or with the border
        assert is_pure.mean() > 0.3 and (moved[is_pure] == corrupted[is_pure] // 60).mean() > 0.97
        assert 0.5 < is_moved_labelled.mean() < is_labelled.mean()
    for corruption in set(CORRUPTIONS) - {"rotation"}:
        moved, is_moved_labelled = move_label_maps(label_maps, is_labelled, corruption, 2, 3)
        assert moved is label_maps and is_moved_labelled is is_labelled
