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
from confidnet_core.networks.probabilities import max_probability_log_odds
from confidnet_core.scoring.run import Run

SHIFT_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1))  # (down, right)


@dataclass(frozen=True)
class View:
    """A view is an image after optional mirroring and a shift by whole pixels, which repeats the edge where no pixel moves in."""

    mirrored: bool = False
    down: int = 0
    right: int = 0

    def apply(self, maps: Tensor) -> Tensor:
        """Return images or label maps (..., h, w) mirrored and shifted as this view says, in the same shape."""
        return _shift_maps(maps.flip(-1) if self.mirrored else maps, self.down, self.right)

    def undo(self, maps: Tensor) -> Tensor:
        """Move values (..., h, w) from the view's pixels back to the image's. A pixel that left the view gets the value at its edge."""
        maps = _shift_maps(maps, -self.down, -self.right)
        return maps.flip(-1) if self.mirrored else maps


def augmented_views(run: Run, shift: float) -> list[View]:
    """Return four views shifted in four directions by `shift`, a fraction of the image's height (at least one pixel); none for 0.

    If the classifier was trained on mirrored images, these views are mirrored, and a fifth view is mirrored only.
    """
    shift_pixels = max(1, round(shift * run.dataset.image_shape[1])) if shift else 0
    return _build_views(run.benchmark.baseline.augmentation.flip, shift_pixels)


def count_views(benchmark: Benchmark, settings: Mapping[str, Any]) -> int:
    """Return the number of `augmented_views` of an image, each of which costs a score with these settings one extra forward pass."""
    return len(_build_views(benchmark.baseline.augmentation.flip, shift_pixels=1 if settings.get("shift", True) else 0))


def _build_views(mirrored: bool, shift_pixels: int) -> list[View]:
    shifted = [View(mirrored, shift_pixels * down, shift_pixels * right) for down, right in SHIFT_DIRECTIONS] if shift_pixels else []
    return [View(mirrored=True), *shifted] if mirrored else shifted


def mean_log_odds(run: Run, shift: float) -> np.ndarray:
    """Return the mean log-odds of the predicted class over the image and its `augmented_views`: any real number, float64 (n,)."""
    views = augmented_views(run, shift)
    log_odds_of_image = run.map_logits(lambda logits, _: max_probability_log_odds(logits))
    if not views:
        return log_odds_of_image

    def sum_over_views(images: Tensor, predicted: Tensor) -> Tensor:
        return torch.stack([_log_odds_in_view(run, view, images, predicted.long()) for view in views]).sum(0)

    return (log_odds_of_image + run.map_images(sum_over_views, run.predicted_maps)) / (len(views) + 1)


def _log_odds_in_view(run: Run, view: View, images: Tensor, predicted: Tensor) -> Tensor:
    """Return log(p / (1 - p)) at the image's pixels, float64 (b, ...), where p is the view's probability of `predicted`, int64 (b, ...)."""
    logits = to_float64(run.classifier(view.apply(images).contiguous(memory_format=torch.channels_last)))
    classes = (view.apply(predicted) if run.dataset.is_segmentation else predicted).unsqueeze(1).to(logits.device)
    log_sum_of_others = logits.scatter(1, classes, -torch.inf).logsumexp(1)
    log_odds = logits.gather(1, classes).squeeze(1) - log_sum_of_others
    return view.undo(log_odds) if run.dataset.is_segmentation else log_odds


def _shift_maps(maps: Tensor, down: int, right: int) -> Tensor:
    height, width = maps.shape[-2:]
    rows, columns = (
        (torch.arange(length, device=maps.device) - shift).clamp(0, length - 1) for length, shift in ((height, down), (width, right))
    )
    return maps[..., rows[:, None], columns]
