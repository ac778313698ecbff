"""Nearest training samples by the distance of penultimate features, in batched matrix products of bounded size.

For segmentation the training samples are a fixed random sample of labelled pixels, the same for every score.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from confidnet_core.data import labelled
from confidnet_core.networks.batches import batch_count, inference_batches
from confidnet_core.progress import progress_bar
from confidnet_core.scoring.run import Run

PAIRS = 2**24  # distances in memory at once: 64 MiB


def reference(run: Run, score: str, samples_per_class: int) -> list[Tensor]:
    """Penultimate features of training samples, one tensor float32 (at most `samples_per_class`, d) per class, on the device.

    The samples are drawn at random by the run's seed. `score` names the progress bar. A class without training samples has an empty tensor.
    """
    images, labels = run.dataset.split("train")
    chosen = _chosen(labels, labelled(labels, run.dataset.void), samples_per_class, run.seed)
    parts, classes = [], []
    batches = progress_bar(inference_batches(images, run.dataset, run.device), batch_count(images), f"{score}: reference", "batch")
    with torch.inference_mode():
        for where, batch in batches:
            picked = torch.from_numpy(chosen[where]).to(run.device)
            parts.append(run.classifier.encode(batch).float().movedim(1, -1)[picked])
            classes.append(torch.from_numpy(labels[where][chosen[where]]).long())
    label = torch.cat(classes)
    points = torch.cat(parts)[label.argsort(stable=True).to(run.device)]
    return list(points.split(torch.bincount(label, minlength=len(run.dataset.classes)).tolist()))


def score_in_chunks(score: Callable[..., Tensor], points: int, features: Tensor, *aligned: Tensor) -> Tensor:
    """Apply score(queries (m, d), *aligned (m,)) -> float64 (m, ...) to every feature vector, in chunks of bounded memory.

    points: number of points to whose distances a chunk has to leave room in PAIRS
    features: (b, d) or (b, d, h, w); aligned: a value for each feature vector, (b,) or (b, h, w)
    Returns (b, ...) or (b, h, w, ...).
    """
    shape = (len(features), *features.shape[2:])
    flat = (features.movedim(1, -1).reshape(-1, features.shape[1]), *(values.reshape(-1) for values in aligned))
    step = max(1, PAIRS // points)
    scores = torch.cat([score(*parts) for parts in zip(*(values.split(step) for values in flat), strict=True)])
    return scores.reshape(*shape, *scores.shape[1:])


def distance_to_neighbour(queries: Tensor, points: Tensor, neighbour: int) -> Tensor:
    """Euclidean distance of queries (m, d) to the `neighbour`-th nearest of points (r, d): (m,). Infinite without points."""
    if len(points) == 0:
        return queries.new_full((len(queries),), torch.inf)
    # |q|^2 is left out: it is the same for all points. The rest finds the point; as a distance it would cancel for close ones.
    order = points.square().sum(1).addmm(queries, points.T, alpha=-2)
    nearest = order.min(1).indices if neighbour == 1 else order.topk(neighbour, dim=1, largest=False).indices[:, -1]
    return (queries - points[nearest]).norm(dim=1)


def _chosen(labels: np.ndarray, is_labelled: np.ndarray, samples_per_class: int, seed: int) -> np.ndarray:
    """A random sample of at most `samples_per_class` labelled samples or pixels of each class: bool, of the shape of labels."""
    generator = np.random.default_rng(seed)
    chosen = np.zeros(labels.size, bool)
    flat = np.where(is_labelled, labels, 255).ravel()
    for label in np.unique(labels[is_labelled]):
        members = np.flatnonzero(flat == label)
        chosen[generator.choice(members, min(samples_per_class, len(members)), replace=False)] = True
    return chosen.reshape(labels.shape)
