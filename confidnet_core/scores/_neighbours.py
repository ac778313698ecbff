"""Nearest training samples by the Euclidean distance of penultimate features, in matrix products of bounded size.

For segmentation the training samples are labelled pixels drawn at random by the seed, the same for every score.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from confidnet_core.data import labelled
from confidnet_core.networks.batches import batch_count, inference_batches
from confidnet_core.progress import progress_bar
from confidnet_core.scoring.run import Run

MAX_DISTANCES = 2**24  # in memory at once: 64 MiB of float32


def reference(run: Run, score: str, samples_per_class: int) -> list[Tensor]:
    """Return penultimate features of random training samples: for each class a float32 tensor (<= samples_per_class, d) on the device.

    The samples are drawn by the run's seed. A class without training samples has an empty tensor. `score` names the progress bar.
    """
    images, labels = run.dataset.split("train")
    is_drawn = _draw_training_samples(labels, labelled(labels, run.dataset.void), samples_per_class, run.seed)
    features, classes = [], []
    batches = progress_bar(inference_batches(images, run.dataset, run.device), batch_count(images), f"{score}: reference", "batch")
    with torch.inference_mode():
        for images_of_batch, batch in batches:
            is_drawn_in_batch = is_drawn[images_of_batch]
            features.append(run.classifier.encode(batch).float().movedim(1, -1)[torch.from_numpy(is_drawn_in_batch).to(run.device)])
            classes.append(torch.from_numpy(labels[images_of_batch][is_drawn_in_batch]).long())
    drawn_labels = torch.cat(classes)
    points = torch.cat(features)[drawn_labels.argsort(stable=True).to(run.device)]
    return list(points.split(torch.bincount(drawn_labels, minlength=len(run.dataset.classes)).tolist()))


def score_in_chunks(score: Callable[..., Tensor], points: int, features: Tensor, *aligned: Tensor) -> Tensor:
    """Apply score(queries (m, d), *aligned (m,)) -> float64 (m, ...) to every feature vector, in chunks of bounded memory.

    points: the number of distances that `score` computes for each query; a chunk holds at most MAX_DISTANCES of them
    features: (b, d) or (b, d, h, w); aligned: a value for each feature vector, (b,) or (b, h, w)
    Returns (b, ...) or (b, h, w, ...).
    """
    shape = (len(features), *features.shape[2:])
    flat_tensors = (features.movedim(1, -1).reshape(-1, features.shape[1]), *(values.reshape(-1) for values in aligned))
    queries_per_chunk = max(1, MAX_DISTANCES // points)
    scores = torch.cat([score(*chunk) for chunk in zip(*(values.split(queries_per_chunk) for values in flat_tensors), strict=True)])
    return scores.reshape(*shape, *scores.shape[1:])


def distance_to_neighbour(queries: Tensor, points: Tensor, neighbour: int) -> Tensor:
    """Return the Euclidean distance (m,) of each of queries (m, d) to its `neighbour`-th nearest of points (r, d); inf without points."""
    if len(points) == 0:
        return queries.new_full((len(queries),), torch.inf)
    # The order leaves out |q|^2, which is the same for all points. The distance is computed anew, since |p|^2 - 2 q p would cancel for
    # close points.
    distance_order = points.square().sum(1).addmm(queries, points.T, alpha=-2)
    nearest = distance_order.min(1).indices if neighbour == 1 else distance_order.topk(neighbour, dim=1, largest=False).indices[:, -1]
    return (queries - points[nearest]).norm(dim=1)


def _draw_training_samples(labels: np.ndarray, is_labelled: np.ndarray, samples_per_class: int, seed: int) -> np.ndarray:
    """Return which labelled samples or pixels are drawn at random, at most `samples_per_class` of a class: bool, the shape of labels."""
    generator = np.random.default_rng(seed)
    is_drawn = np.zeros(labels.size, bool)
    flat_labels = np.where(is_labelled, labels, 255).ravel()
    for label in np.unique(labels[is_labelled]):
        class_indices = np.flatnonzero(flat_labels == label)
        is_drawn[generator.choice(class_indices, min(samples_per_class, len(class_indices)), replace=False)] = True
    return is_drawn.reshape(labels.shape)
