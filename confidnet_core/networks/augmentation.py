"""Random changes to a batch of training images and their label maps, of whole batches at once, on the device."""

from typing import cast

import torch
from jaxtyping import Bool, Float, Int, Integer, Shaped
from torch import Generator, Tensor
from torch.nn import functional

from confidnet_core.config.recipes import Augmentation
from confidnet_core.data import Dataset
from confidnet_core.networks.ranks import BatchRows


def augment_batch(
    images: Shaped[Tensor, "b c h w"],
    labels: Integer[Tensor, " b *pixels"],
    augmentation: Augmentation,
    generator: Generator,
    void_label: int | None,
    rows: BatchRows | None = None,
) -> tuple[Shaped[Tensor, "b c h w"], Integer[Tensor, " b *pixels"]]:
    """Return a batch of images and labels, each image changed at random as the settings say, and each label map moved with its image.

    images: uint8 or float (b, c, h, w) in [0, 255]; labels: uint8 or int64 (b,) or (b, h, w). Both are returned in their types, but for
    label maps that were rotated, scaled or sheared, in int64, and images that were so, or have another brightness or contrast, in float32.
    Pixels from outside an image, and those that are cut out, become black, and `void_label` in its label map.
    rows: which rows of a larger batch these images are, of which every process draws all; None for a whole batch
    """
    draws = _Draws(generator, rows or BatchRows(len(images), slice(0, len(images))), images.device)
    if augmentation.flip:
        is_flipped = draws.uniform(0, 1) < 0.5
        images = _mirror_selected_images(images, is_flipped)
        labels = _mirror_selected_images(labels, is_flipped) if labels.ndim == 3 else labels
    if _moves(augmentation):
        images, labels = _move(images, labels, augmentation, draws, void_label)
    if augmentation.brightness or augmentation.contrast:
        images = _change_light(images, augmentation, draws)
    if augmentation.cutout:
        images, labels = _cut_out(images, labels, augmentation.cutout, draws, void_label)
    return images, labels


def require_void_label(dataset: Dataset, augmentation: Augmentation) -> None:
    """Raise ValueError where an augmentation makes pixels of a label map void, and the data set has no label for them."""
    if dataset.is_segmentation and dataset.void is None and (_moves(augmentation) or augmentation.cutout):
        settings_text = "rotation, scale, shear, crop and cutout"
        raise ValueError(
            f"augmentation: {settings_text} bring unlabelled pixels into label maps, and this data has no void label for them; set all to 0"
        )


class _Draws:
    """Random numbers for the rows of this process, on the device. All processes draw those of the whole batch, on the CPU."""

    def __init__(self, generator: Generator, rows: BatchRows, device: torch.device) -> None:
        self._generator, self._rows, self._device = generator, rows, device

    def uniform(self, low: float, high: float) -> Float[Tensor, " b"]:
        """Return a number in [low, high) for each image."""
        values = torch.rand(self._rows.total, generator=self._generator)[self._rows.own]
        return (values * (high - low) + low).to(self._device)

    def integers(self, low: int, high: int) -> Int[Tensor, "b 2"]:
        """Return two integers in [low, high] for each image."""
        return torch.randint(low, high + 1, (self._rows.total, 2), generator=self._generator)[self._rows.own].to(self._device)


def _moves(augmentation: Augmentation) -> bool:
    return bool(augmentation.crop) or _resamples(augmentation)


def _resamples(augmentation: Augmentation) -> bool:
    return bool(augmentation.rotation or augmentation.scale or augmentation.shear)


def _move(
    images: Shaped[Tensor, "b c h w"], labels: Integer[Tensor, " b *pixels"], augmentation: Augmentation, draws: _Draws, void: int | None
) -> tuple[Shaped[Tensor, "b c h w"], Integer[Tensor, " b *pixels"]]:
    """Rotate, scale, shear and shift images and label maps, see `_sampling_grid`; a shift alone copies pixels."""
    is_label_map = labels.ndim == 3
    void_fill_value = cast(int, void)  # require_void_label refuses label maps without one
    angles = torch.deg2rad(draws.uniform(-1, 1) * augmentation.rotation)
    pixel_shifts = draws.integers(-augmentation.crop, augmentation.crop)
    if not _resamples(augmentation):
        window_corners = pixel_shifts + augmentation.crop
        images = _crop_windows(images, window_corners, augmentation.crop, 0)
        if is_label_map:
            labels = _crop_windows(labels.unsqueeze(1), window_corners, augmentation.crop, void_fill_value).squeeze(1)
        return images, labels
    scales = 1 + draws.uniform(-1, 1) * augmentation.scale if augmentation.scale else torch.ones_like(angles)
    shears = draws.uniform(-1, 1) * augmentation.shear if augmentation.shear else torch.zeros_like(angles)
    sampling_grid = _sampling_grid(images, angles, pixel_shifts, scales, shears)
    if is_label_map:
        # grid_sample fills with zero outside the map, so labels are shifted until zero means void.
        shifted_labels = (labels.long() - void_fill_value).unsqueeze(1)
        labels = _resample(shifted_labels, sampling_grid, "nearest").squeeze(1).long() + void_fill_value
    return _resample(images, sampling_grid, augmentation.interpolation), labels


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


def _resample(
    images_or_label_maps: Shaped[Tensor, "b c h w"], sampling_grid: Float[Tensor, "b h w 2"], interpolation: str
) -> Float[Tensor, "b c h w"]:
    """Return images or label maps (b, c, h, w) sampled at the positions of sampling_grid, 0 outside: float32 (b, c, h, w)."""
    return functional.grid_sample(images_or_label_maps.float(), sampling_grid, mode=interpolation, align_corners=False)


def _sampling_grid(
    images: Shaped[Tensor, "b c h w"],
    angles: Float[Tensor, " b"],
    pixel_shifts: Int[Tensor, "b 2"],
    scales: Float[Tensor, " b"],
    shears: Float[Tensor, " b"],
) -> Float[Tensor, "b h w 2"]:
    """Return the positions, float (b, h, w, 2) in [-1, 1], at which to sample images to move them.

    The pixel at p from the centre is taken from R (1, shear; 0, 1) p / scale + shift, with the rotation R by the angle.
    angles: (b,) in radians; pixel_shifts: (b, 2) in pixels, horizontal and vertical; scales: (b,), above 1 for larger; shears: (b,),
    horizontal pixels for each vertical one
    """
    batch_size, _, height, width = images.shape
    affine_matrices = torch.zeros(batch_size, 2, 3, device=images.device)
    affine_matrices[:, 0, 0] = angles.cos() / scales
    affine_matrices[:, 0, 1] = (angles.cos() * shears - angles.sin()) / scales * height / width
    affine_matrices[:, 1, 0] = angles.sin() / scales * width / height
    affine_matrices[:, 1, 1] = (angles.sin() * shears + angles.cos()) / scales
    affine_matrices[:, :, 2] = 2 * pixel_shifts / torch.tensor([width, height], device=images.device)
    return functional.affine_grid(affine_matrices, list(images.shape), align_corners=False)


def _change_light(images: Shaped[Tensor, "b c h w"], augmentation: Augmentation, draws: _Draws) -> Float[Tensor, "b c h w"]:
    """Return images with another brightness, a factor of all values, then another contrast, a factor of distances from their mean.

    The mean is that of all channels of the image. Values stay in [0, 255]: float32 (b, c, h, w).
    """
    values = images.float()
    if augmentation.brightness:
        values = values * (1 + draws.uniform(-1, 1) * augmentation.brightness).view(-1, 1, 1, 1)
    if augmentation.contrast:
        values, means = values.clamp(max=255), values.clamp(max=255).mean((1, 2, 3), keepdim=True)
        values = means + (values - means) * (1 + draws.uniform(-1, 1) * augmentation.contrast).view(-1, 1, 1, 1)
    return values.clamp(0, 255)


def _cut_out(
    images: Shaped[Tensor, "b c h w"], labels: Integer[Tensor, " b *pixels"], side: int, draws: _Draws, void: int | None
) -> tuple[Shaped[Tensor, "b c h w"], Integer[Tensor, " b *pixels"]]:
    """Return images and label maps without a square of this side, whose centre is any pixel (DeVries & Taylor 2017, arXiv:1708.04552)."""
    is_cut_row, is_cut_column = (
        _is_near(length, (draws.uniform(0, 1) * length).long().clamp(max=length - 1), side) for length in images.shape[-2:]
    )
    is_cut = is_cut_row[:, :, None] & is_cut_column[:, None, :]
    if labels.ndim == 3:
        labels = labels.masked_fill(is_cut, cast(int, void))
    return images.masked_fill(is_cut.unsqueeze(1), 0), labels


def _is_near(length: int, centres: Int[Tensor, " b"], side: int) -> Bool[Tensor, "b length"]:
    """Return which of `length` positions are among the `side` ones around each centre."""
    distances = torch.arange(length, device=centres.device) - centres[:, None] + side // 2
    return (distances >= 0) & (distances < side)
