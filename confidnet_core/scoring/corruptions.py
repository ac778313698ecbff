"""Corruptions of images, each in three severities: noise, blur, brightness, contrast, rotation and pixelation, of whole batches at once.

The kinds are among those of Hendrycks & Dietterich 2019, arXiv:1903.12261. The strengths are ours: they follow the size of the image, so
that one definition fits images of 8 and of 360 pixels. Values are fractions of white, from 0 to 1, and are cut off there and rounded to
eight bits at the end.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, Integer, UInt8
from torch import Generator, Tensor
from torch.nn import functional

from confidnet_core.networks.dropout import derive_random_seed

IMAGES_PER_BLOCK = 256  # whose draws follow from one seed, so that a block is the same whatever else is computed

NOISE_DEVIATIONS = (0.05, 0.1, 0.2)
BLUR_DEVIATIONS = (0.4, 0.7, 1.2)  # in pixels of an image of at most 32 pixels; in larger ones in proportion
BLUR_HEIGHT = 32
BRIGHTNESS_GAINS = (0.1, 0.2, 0.3)
CONTRAST_FACTORS = (0.6, 0.4, 0.2)
ROTATION_ANGLES = (15.0, 30.0, 45.0)  # in degrees
PIXELATION_FACTORS = (0.6, 0.4, 0.25)


def noise(values: Float[Tensor, "b c h w"], severity: int, generator: Generator) -> Float[Tensor, "b c h w"]:
    """Add to every value an independent draw of a normal distribution with mean 0 and deviation 0.05, 0.1 or 0.2."""
    return values + NOISE_DEVIATIONS[severity - 1] * torch.randn(values.shape, generator=generator)


def blur(values: Float[Tensor, "b c h w"], severity: int, generator: Generator) -> Float[Tensor, "b c h w"]:
    """Convolve each channel with a normal distribution whose deviation is 0.4, 0.7 or 1.2 pixels, or as much more as the image is higher
    than 32 pixels.

    The kernel ends at three deviations, rounded up to whole pixels, its weights add up to 1, and the image's border is repeated.
    """
    deviation = BLUR_DEVIATIONS[severity - 1] * max(1, values.shape[2] / BLUR_HEIGHT)
    radius = int(np.ceil(3 * deviation))
    weights = torch.exp(-(torch.arange(-radius, radius + 1) ** 2) / (2 * deviation**2))
    kernel = (weights / weights.sum()).expand(values.shape[1], 1, 1, -1)
    padded = functional.pad(values, [radius] * 4, mode="replicate")
    rows = functional.conv2d(padded, kernel, groups=values.shape[1])
    return functional.conv2d(rows, kernel.transpose(2, 3), groups=values.shape[1])


def brightness(values: Float[Tensor, "b c h w"], severity: int, generator: Generator) -> Float[Tensor, "b c h w"]:
    """Add 0.1, 0.2 or 0.3 to every value."""
    return values + BRIGHTNESS_GAINS[severity - 1]


def contrast(values: Float[Tensor, "b c h w"], severity: int, generator: Generator) -> Float[Tensor, "b c h w"]:
    """Multiply the distance of each value from the mean of its image, over all channels, by 0.6, 0.4 or 0.2."""
    means = values.mean((1, 2, 3), keepdim=True)
    return means + CONTRAST_FACTORS[severity - 1] * (values - means)


def rotation(values: Float[Tensor, "b c h w"], severity: int, generator: Generator) -> Float[Tensor, "b c h w"]:
    """Rotate each image about its centre by 15, 30 or 45 degrees, to the left or to the right, each with probability 1/2.

    Values between pixels are interpolated bilinearly; what comes from outside the image is black.
    """
    return _rotated(values, _draw_angles(len(values), severity, generator), "bilinear")


def pixelation(values: Float[Tensor, "b c h w"], severity: int, generator: Generator) -> Float[Tensor, "b c h w"]:
    """Reduce each image to 0.6, 0.4 or 0.25 of its height and width, and enlarge it again by repeating pixels.

    A pixel of the reduced image is the mean of the area that it covers, whose borders are rounded outwards to whole pixels.
    """
    height, width = values.shape[2:]
    factor = PIXELATION_FACTORS[severity - 1]
    reduced_size = max(1, round(factor * height)), max(1, round(factor * width))
    return functional.interpolate(functional.adaptive_avg_pool2d(values, reduced_size), (height, width), mode="nearest-exact")


CORRUPTIONS: dict[str, Callable[[Tensor, int, Generator], Tensor]] = {
    "noise": noise,
    "blur": blur,
    "brightness": brightness,
    "contrast": contrast,
    "rotation": rotation,
    "pixelation": pixelation,
}


def corrupt_images(images: UInt8[np.ndarray, "n c h w"], corruption: str, severity: int, seed: int) -> UInt8[np.ndarray, "n c h w"]:
    """Return corrupted copies of all images. corruption: one of CORRUPTIONS; severity: 1, 2 or 3; all draws follow from the seed."""
    corrupted = np.empty_like(images)
    for block, generator in _blocks(len(images), corruption, severity, seed):
        values = CORRUPTIONS[corruption](torch.from_numpy(np.array(images[block])).float() / 255, severity, generator)
        corrupted[block] = values.mul_(255).round_().clamp_(0, 255).to(torch.uint8).numpy()
    return corrupted


def move_label_maps(
    label_maps: Integer[np.ndarray, "n h w"], is_labelled: Bool[np.ndarray, "n h w"], corruption: str, severity: int, seed: int
) -> tuple[Integer[np.ndarray, "n h w"], Bool[np.ndarray, "n h w"]]:
    """Return label maps moved as `corrupt_images` moves the images, and which of their pixels have a label.

    Only rotation moves any. A pixel gets the label of the nearest one, and none where that lies outside the image.
    """
    if CORRUPTIONS[corruption] is not rotation:
        return label_maps, is_labelled
    moved_maps, moved_is_labelled = np.empty_like(label_maps), np.empty_like(is_labelled)
    for block, generator in _blocks(len(label_maps), corruption, severity, seed):
        angles = _draw_angles(len(label_maps[block]), severity, generator)
        layers = np.stack([label_maps[block].astype(np.float32), is_labelled[block].astype(np.float32)], axis=1)
        moved = _rotated(torch.from_numpy(layers), angles, "nearest").numpy()
        moved_maps[block], moved_is_labelled[block] = moved[:, 0], moved[:, 1] == 1
    return moved_maps, moved_is_labelled


def _blocks(count: int, corruption: str, severity: int, seed: int) -> Iterator[tuple[slice, Generator]]:
    """Yield the slices of consecutive blocks of images, each with a random generator of its own."""
    for start in range(0, count, IMAGES_PER_BLOCK):
        random_seed = derive_random_seed("corruption", corruption, severity, seed, start)
        yield slice(start, min(start + IMAGES_PER_BLOCK, count)), Generator().manual_seed(random_seed)


def _draw_angles(count: int, severity: int, generator: Generator) -> Float[Tensor, " b"]:
    """Return an angle in radians for each image."""
    directions: Int64[Tensor, " b"] = 2 * torch.randint(2, (count,), generator=generator) - 1
    return torch.deg2rad(ROTATION_ANGLES[severity - 1] * directions)


def _rotated(values: Float[Tensor, "b c h w"], angles: Float[Tensor, " b"], interpolation: str) -> Float[Tensor, "b c h w"]:
    """Return images rotated about their centres, 0 where nothing was; angles: in radians, positive anticlockwise."""
    height, width = values.shape[2:]
    matrices = torch.zeros(len(values), 2, 3)
    matrices[:, 0, 0] = matrices[:, 1, 1] = angles.cos()
    matrices[:, 0, 1], matrices[:, 1, 0] = -angles.sin() * height / width, angles.sin() * width / height
    grid = functional.affine_grid(matrices, list(values.shape), align_corners=False)
    return functional.grid_sample(values, grid, mode=interpolation, align_corners=False)
