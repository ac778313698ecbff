"""Log-odds of the classifier on augmented views of an image: shifted by a few pixels, and mirrored if it was trained on mirrored images.

Bahat & Shakhnarovich 2020, arXiv:2006.16705; of segmentation Wang et al. 2019, arXiv:1807.07356.
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

DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1))  # (down, right)


@dataclass(frozen=True)
class View:
    """An augmentation: mirrored or not, then shifted by whole pixels; the edge is repeated where no pixel moves in."""

    mirrored: bool = False
    down: int = 0
    right: int = 0

    def apply(self, maps: Tensor) -> Tensor:
        """The view of maps (..., h, w), in the same shape."""
        return _shifted(maps.flip(-1) if self.mirrored else maps, self.down, self.right)

    def undo(self, maps: Tensor) -> Tensor:
        """Values at the view's pixels (..., h, w), moved to the image's pixels. One that left the view gets the value at its edge."""
        maps = _shifted(maps, -self.down, -self.right)
        return maps.flip(-1) if self.mirrored else maps


def views(run: Run, shift: float) -> list[View]:
    """Four views, shifted by the fraction `shift` of the image's height (at least one pixel) in four directions; none for a shift of 0.

    If the classifier was trained on mirrored images, these are mirrored, and a further view is mirrored only.
    """
    pixels = max(1, round(shift * run.dataset.image_shape[1])) if shift else 0
    return _views(run.benchmark.baseline.augmentation.flip, pixels)


def count_views(benchmark: Benchmark, settings: Mapping[str, Any]) -> int:
    """The number of `views` of an image for a score with these settings of params.yaml: forward passes beside the classifier's own."""
    return len(_views(benchmark.baseline.augmentation.flip, pixels=1 if settings.get("shift", True) else 0))


def _views(mirrored: bool, pixels: int) -> list[View]:
    shifted = [View(mirrored, pixels * down, pixels * right) for down, right in DIRECTIONS] if pixels else []
    return [View(mirrored=True), *shifted] if mirrored else shifted


def mean_log_odds(run: Run, shift: float) -> np.ndarray:
    """Log-odds of the predicted class, averaged over the image and its `views`: any real number, float64 (n,)."""
    augmented = views(run, shift)
    own = run.over_logits(lambda logits, _: max_probability_log_odds(logits))
    if not augmented:
        return own

    def of_images(images: Tensor, predicted: Tensor) -> Tensor:
        return torch.stack([_log_odds(run, view, images, predicted.long()) for view in augmented]).sum(0)

    return (own + run.over_images(of_images, run.predicted_maps)) / (len(augmented) + 1)


def _log_odds(run: Run, view: View, images: Tensor, predicted: Tensor) -> Tensor:
    """log(p / (1 - p)) of the probability p of classes int64 (b, ...) on the view, at the image's pixels: float64 (b, ...)."""
    logits = to_float64(run.classifier(view.apply(images).contiguous(memory_format=torch.channels_last)))
    classes = (view.apply(predicted) if run.dataset.is_segmentation else predicted).unsqueeze(1).to(logits.device)
    others = logits.scatter(1, classes, -torch.inf).logsumexp(1)
    log_odds = logits.gather(1, classes).squeeze(1) - others
    return view.undo(log_odds) if run.dataset.is_segmentation else log_odds


def _shifted(maps: Tensor, down: int, right: int) -> Tensor:
    height, width = maps.shape[-2:]
    rows, columns = (
        (torch.arange(length, device=maps.device) - by).clamp(0, length - 1) for length, by in ((height, down), (width, right))
    )
    return maps[..., rows[:, None], columns]
