"""What the classifier says of other views of an image, which show the same: moved by a few pixels, and mirrored where it was trained on
mirrored images. Bahat & Shakhnarovich 2020, arXiv:2006.16705; of segmentation Wang et al. 2019, arXiv:1807.07356.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from confidnet_core.config.params import Benchmark
from confidnet_core.networks.device import double
from confidnet_core.networks.probabilities import log_odds_of_largest
from confidnet_core.scoring.run import Run

MOVES = ((1, 0), (-1, 0), (0, 1), (0, -1))  # down, up, to the right, to the left


@dataclass(frozen=True)
class View:
    """An image, mirrored or not, then moved by whole pixels; the edge is repeated where nothing comes in."""

    mirrored: bool = False
    down: int = 0
    right: int = 0

    def of(self, maps: Tensor) -> Tensor:
        """(..., h, w), of the same shape."""
        return _moved(maps.flip(-1) if self.mirrored else maps, self.down, self.right)

    def back(self, maps: Tensor) -> Tensor:
        """What was said of the view's pixels, (..., h, w), as of the image's. A pixel that left the view gets what its edge got."""
        maps = _moved(maps, -self.down, -self.right)
        return maps.flip(-1) if self.mirrored else maps


def views(run: Run, shift: float) -> list[View]:
    """The image moved by `shift` of its height, by a pixel at least, in four directions; 0 does not move it. If the classifier was trained
    on mirrored images, these are mirrored, and one is only that."""
    pixels = max(1, round(shift * run.dataset.image_shape[1])) if shift else 0
    return _views(run.benchmark.baseline.augmentation.flip, pixels)


def count_views(benchmark: Benchmark, settings: Mapping[str, Any]) -> int:
    """How many `views` of an image a score with these settings of params.yaml has: as many passes of the classifier beside its own."""
    return len(_views(benchmark.baseline.augmentation.flip, pixels=1 if settings.get("shift", True) else 0))


def _views(mirrored: bool, pixels: int) -> list[View]:
    moved = [View(mirrored, pixels * down, pixels * right) for down, right in MOVES] if pixels else []
    return [View(mirrored=True), *moved] if mirrored else moved


def mean_log_odds(run: Run, shift: float) -> np.ndarray:
    """Log-odds of the predicted class, the mean over the image and its `views`: any real number, float64 (n,)."""
    seen = views(run, shift)
    own = run.over_logits(lambda logits, _: log_odds_of_largest(logits))
    if not seen:
        return own

    def of_images(images: Tensor, predicted: Tensor) -> Tensor:
        return torch.stack([_log_odds(run, view, images, predicted.long()) for view in seen]).sum(0)

    return (own + run.over_images(of_images, run.predicted_maps)) / (len(seen) + 1)


def _log_odds(run: Run, view: View, images: Tensor, predicted: Tensor) -> Tensor:
    """log(p / (1 - p)) of the probability p that the classifier gives to classes int64 (b, ...), as it sees the view: float64 (b, ...)."""
    logits = double(run.classifier(view.of(images).contiguous(memory_format=torch.channels_last)))
    classes = (view.of(predicted) if run.dataset.is_segmentation else predicted).unsqueeze(1).to(logits.device)
    others = logits.scatter(1, classes, -torch.inf).logsumexp(1)
    log_odds = logits.gather(1, classes).squeeze(1) - others
    return view.back(log_odds) if run.dataset.is_segmentation else log_odds


def _moved(maps: Tensor, down: int, right: int) -> Tensor:
    height, width = maps.shape[-2:]
    rows, columns = (
        (torch.arange(length, device=maps.device) - by).clamp(0, length - 1) for length, by in ((height, down), (width, right))
    )
    return maps[..., rows[:, None], columns]
