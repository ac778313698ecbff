"""Trust Score: distance to the nearest other class over distance to the predicted one. Jiang et al. 2018, arXiv:1805.11783.

Distances are between penultimate features, by batched matrix products. The reference points are training samples; for
segmentation a fixed random sample of labelled training pixels, while every labelled test pixel is scored.
"""

import numpy as np
import torch
from torch import Tensor

from confidnet_core.batches import batch_count, inference_batches
from confidnet_core.data import labelled
from confidnet_core.progress import progress
from confidnet_core.run import Run

PAIRS = 2**24  # distances in memory at once: 64 MiB


def trust_score(run: Run, neighbour: int = 1, samples_per_class: int = 1000) -> np.ndarray:
    """d(other) / (d(predicted) + 1e-12), >= 0, with d the distance to a class's `neighbour`-th nearest reference point.

    `samples_per_class` bounds the reference points of a class. A class that the training split lacks is infinitely far:
    what is predicted as such a class gets 0. ValueError if `neighbour` is below 1 or above the points of a class, or
    `samples_per_class` is below 1.
    """
    if samples_per_class < 1:
        raise ValueError(f"methods.trust_score.samples_per_class is {samples_per_class}; expected at least 1")
    points, classes = _reference(run, samples_per_class)
    sizes = torch.bincount(classes, minlength=len(run.dataset.classes))
    present = sizes > 0
    if neighbour < 1 or neighbour > sizes[present].min():
        raise ValueError(f"methods.trust_score.neighbour is {neighbour}; expected 1 to {sizes[present].min()} (the smallest class)")

    def score(images: Tensor, predicted: Tensor) -> Tensor:
        return _score(run.classifier.encode(images), predicted.long(), points, sizes.tolist(), neighbour)

    return run.over_images(score, run.predicted_maps)


def _score(features: Tensor, predicted: Tensor, points: Tensor, sizes: list[int], neighbour: int) -> Tensor:
    """features (b, d, ...), predicted (b, ...) -> (b, ...)"""
    queries = features.movedim(1, -1).reshape(-1, features.shape[1])
    answers = predicted.reshape(-1)
    step = max(1, PAIRS // len(points))
    parts = []
    for start in range(0, len(queries), step):
        distances = class_distances(queries[start : start + step], points, sizes, neighbour)
        own = distances.gather(1, answers[start : start + step, None]).squeeze(1)
        other = distances.scatter(1, answers[start : start + step, None], torch.inf).amin(1)
        own, other = own.cpu().double(), other.cpu().double()  # on the CPU, since MPS has no float64
        parts.append(torch.where(own.isinf(), 0.0, other / (own + 1e-12)))
    return torch.cat(parts).reshape(predicted.shape)


def class_distances(queries: Tensor, points: Tensor, sizes: list[int], neighbour: int) -> Tensor:
    """Euclidean distance of queries (m, d) to the `neighbour`-th nearest of each class's points: (m, classes).

    points (r, d) lie class after class, sizes (classes,) of them; a class without points is at infinity.
    """
    # |q|^2 is left out: it is the same for all points. The rest finds the point; as a distance it would cancel for close ones.
    order = points.square().sum(1).addmm(queries, points.T, alpha=-2)
    distances = []
    for own, part in zip(points.split(sizes), order.split(sizes, dim=1), strict=True):
        if len(own) == 0:
            distances.append(queries.new_full((len(queries),), torch.inf))
            continue
        found = part.min(1).indices if neighbour == 1 else part.topk(neighbour, dim=1, largest=False).indices[:, -1]
        distances.append((queries - own[found]).norm(dim=1))
    return torch.stack(distances, 1)


def _reference(run: Run, samples_per_class: int) -> tuple[Tensor, Tensor]:
    """Training features float32 (r, d) in class order, at most `samples_per_class` of a class, and their classes int64 (r,)."""
    images, labels = run.dataset.split("train")
    chosen = _chosen(labels, labelled(labels, run.dataset.void), samples_per_class, run.seed)
    parts, classes = [], []
    batches = progress(inference_batches(images, run.dataset, run.device), batch_count(images), "trust_score: reference", "batch")
    with torch.inference_mode():
        for where, batch in batches:
            picked = torch.from_numpy(chosen[where]).to(run.device)
            parts.append(run.classifier.encode(batch).float().movedim(1, -1)[picked])
            classes.append(torch.from_numpy(labels[where][chosen[where]]).long())
    order = torch.cat(classes).argsort(stable=True)
    return torch.cat(parts)[order.to(run.device)], torch.cat(classes)[order]


def _chosen(labels: np.ndarray, counted: np.ndarray, samples_per_class: int, seed: int) -> np.ndarray:
    """bool as labels: a random sample of at most `samples_per_class` counted places of each class."""
    generator = np.random.default_rng(seed)
    chosen = np.zeros(labels.size, bool)
    flat = np.where(counted, labels, 255).ravel()
    for label in np.unique(labels[counted]):
        places = np.flatnonzero(flat == label)
        chosen[generator.choice(places, min(samples_per_class, len(places)), replace=False)] = True
    return chosen.reshape(labels.shape)
