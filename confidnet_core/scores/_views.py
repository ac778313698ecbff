"""Mean log-odds over augmented views of an image: shifted by a few pixels, and mirrored if the classifier was trained on mirrored images.

Bahat & Shakhnarovich 2020, arXiv:2006.16705; for segmentation Wang et al. 2019, arXiv:1807.07356.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from confidnet_core.config.params import Benchmark
from confidnet_core.networks.device import to_float64
from confidnet_core.networks.probabilities import class_log_odds, max_probability_log_odds
from confidnet_core.scoring.run import Run, Split

SHIFT_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1))  # (down, right)


@dataclass(frozen=True)
class AugmentedView:
    """An augmentation of an image: optional mirroring, then a shift by whole pixels, which repeats the edge where no pixel moves in."""

    mirrored: bool = False
    pixels_down: int = 0
    pixels_right: int = 0

    def apply(self, images_or_label_maps: Tensor) -> Tensor:
        """Return images or label maps (..., h, w) mirrored and shifted by this augmentation, in the same shape."""
        return _shift_pixels(images_or_label_maps.flip(-1) if self.mirrored else images_or_label_maps, self.pixels_down, self.pixels_right)

    def undo(self, images_or_label_maps: Tensor) -> Tensor:
        """Move values (..., h, w) at the pixels of the augmented image back to the pixels of the image itself.

        A pixel that was shifted out of the augmented image gets the value at its edge.
        """
        images_or_label_maps = _shift_pixels(images_or_label_maps, -self.pixels_down, -self.pixels_right)
        return images_or_label_maps.flip(-1) if self.mirrored else images_or_label_maps


def augmented_views(run: Run, shift_fraction: float) -> list[AugmentedView]:
    """Return the augmentations (shifts and mirroring) of an image over which a score averages.

    Four shift the image in four directions by `shift_fraction` of its height (at least one pixel); there are none for 0. If the classifier
    was trained on mirrored images, these four also mirror it, and a fifth mirrors it only.
    """
    shift_pixels = max(1, round(shift_fraction * run.dataset.image_shape[1])) if shift_fraction else 0
    return _build_views(run.benchmark.baseline.augmentation.flip, shift_pixels)


def count_views(benchmark: Benchmark, score_settings: Mapping[str, Any]) -> int:
    """Return how many augmented views of each image a score with these settings needs; each costs one extra forward pass."""
    return len(_build_views(benchmark.baseline.augmentation.flip, shift_pixels=1 if score_settings.get("shift", True) else 0))


def _build_views(mirrored: bool, shift_pixels: int) -> list[AugmentedView]:
    shifted_views = (
        [AugmentedView(mirrored, shift_pixels * down, shift_pixels * right) for down, right in SHIFT_DIRECTIONS] if shift_pixels else []
    )
    return [AugmentedView(mirrored=True), *shifted_views] if mirrored else shifted_views


def mean_log_odds(run: Run, shift_fraction: float) -> np.ndarray:
    """Return the mean log-odds of the predicted class over each image and its augmented views: any real number, float64 (n,).

    shift_fraction: the fraction of the image's height by which views are shifted; 0 for no shifted views
    Scores that share a cache share the forward passes.
    """
    return run.cached(_compute_mean_log_odds, run.split, shift_fraction)


def _compute_mean_log_odds(run: Run, split: Split, shift_fraction: float) -> np.ndarray:
    run = run.on_split(split)
    views = augmented_views(run, shift_fraction)
    log_odds_of_image = run.map_logits(lambda logits, _: max_probability_log_odds(logits))
    if not views:
        return log_odds_of_image

    def sum_log_odds_over_views(images: Tensor, predicted: Tensor) -> Tensor:
        return torch.stack([_log_odds_in_view(run, view, images, predicted.long()) for view in views]).sum(0)

    return (log_odds_of_image + run.map_images(sum_log_odds_over_views, run.predicted_maps)) / (len(views) + 1)


def _log_odds_in_view(run: Run, view: AugmentedView, images: Tensor, predicted: Tensor) -> Tensor:
    """Return the log-odds log(p / (1 - p)) of the predicted classes in one augmented view of the images, float64 (b,) or (b, h, w).

    images: (b, c, h, w); predicted: int64 (b,) or (b, h, w), the classes predicted for the images themselves; p: their probability in the
    view, moved back to the pixels of the images
    """
    logits = to_float64(run.classifier(view.apply(images).contiguous(memory_format=torch.channels_last)))
    class_indices = (view.apply(predicted) if run.dataset.is_segmentation else predicted).to(logits.device)
    log_odds = class_log_odds(logits, class_indices)
    return view.undo(log_odds) if run.dataset.is_segmentation else log_odds


def _shift_pixels(images_or_label_maps: Tensor, pixels_down: int, pixels_right: int) -> Tensor:
    height, width = images_or_label_maps.shape[-2:]
    source_rows, source_columns = (
        (torch.arange(axis_length, device=images_or_label_maps.device) - axis_shift).clamp(0, axis_length - 1)
        for axis_length, axis_shift in ((height, pixels_down), (width, pixels_right))
    )
    return images_or_label_maps[..., source_rows[:, None], source_columns]
