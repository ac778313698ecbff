"""Trust Score: ratio of distances to classes. The nearest other class over the predicted one. Jiang et al. 2018, arXiv:1805.11783.

Every labelled pixel of a segmentation is scored.
"""

import numpy as np
import torch
from torch import Tensor

from confidnet_core.config.ranges import Count, Share
from confidnet_core.networks.device import double
from confidnet_core.scores._neighbours import distance_to_neighbour, over_places, reference
from confidnet_core.scoring.run import Run


def trust_score(run: Run, neighbour: Count = 1, samples_per_class: Count = 1000, alpha: Share = 0.0, k: Count = 10) -> np.ndarray:
    """d(other) / (d(predicted) + 1e-12), >= 0, with d the distance to a class's `neighbour`-th nearest reference point.

    samples_per_class: bounds the reference points of a class
    alpha, k: the share `alpha` of a class's points that lie farthest from the k-th nearest of them, themselves counted, is left out as
    outliers (Algorithm 1 of the paper)

    A class that the training split lacks is infinitely far: what is predicted as such a class gets 0. ValueError if `neighbour` is
    above the points of the smallest class.
    """
    classes = run.fitted(_classes, samples_per_class, alpha, k)
    smallest = min(len(points) for points in classes if len(points))
    if neighbour > smallest:
        raise ValueError(f"methods.trust_score.neighbour is {neighbour}; expected 1 to {smallest} (the smallest class)")

    def of_places(queries: Tensor, predicted: Tensor) -> Tensor:
        distances = torch.stack([distance_to_neighbour(queries, points, neighbour) for points in classes], 1)
        own = distances.gather(1, predicted[:, None]).squeeze(1)
        other = distances.scatter(1, predicted[:, None], torch.inf).amin(1)
        own, other = double(own), double(other)
        return torch.where(own.isinf(), 0.0, other / (own + 1e-12))

    most = max(map(len, classes))
    return run.over_images(
        lambda images, predicted: over_places(of_places, most, run.classifier.encode(images), predicted.long()), run.predicted_maps
    )


trust_score.display_name = "Trust Score"
trust_score.learned = "neighbours"


def _classes(run: Run, samples_per_class: int, alpha: float, k: int) -> list[Tensor]:
    """The reference points of each class, without outliers."""
    classes = reference(run, "trust_score", samples_per_class)
    return [_dense(points, alpha, k) for points in classes] if alpha else classes


def _dense(points: Tensor, alpha: float, k: int) -> Tensor:
    """Without those whose radius, to the k-th nearest, is above the (1 - alpha)-quantile of radii."""
    if len(points) == 0:
        return points
    nearest = min(k, len(points))
    radius = over_places(lambda queries: distance_to_neighbour(queries, points, nearest), len(points), points)
    return points[radius <= torch.from_numpy(np.quantile(radius.cpu().numpy(), [1 - alpha])).to(radius)]
