"""Nearest training samples by the Euclidean distance of penultimate features, in matrix products of bounded size.

For segmentation the training samples are labelled pixels drawn at random by the seed, the same for every score.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from confidnet_core.data import labelled_mask
from confidnet_core.networks.batches import batch_count, inference_batches, inference_slices
from confidnet_core.networks.ranks import complete_batches
from confidnet_core.progress import progress_bar
from confidnet_core.scoring.run import Run

MAX_DISTANCES = 2**24  # in memory at once: 64 MiB of float32


def training_features_by_class(run: Run, method: str, samples_per_class: int) -> list[Tensor]:
    """Return the classifier's penultimate features of random training samples: a list of a float32 tensor (r, d) for each class.

    r is at most samples_per_class, and 0 for a class without training samples. The samples are drawn by the Run's seed.
    method: the name of the score, for the progress bar
    """
    images, labels = run.dataset.split("train")
    is_drawn = _draw_training_samples(labels, labelled_mask(labels, run.dataset.void), samples_per_class, run.seed)
    row_ends = np.concatenate([[0], is_drawn.reshape(len(images), -1).sum(1).cumsum()])  # rows of the drawn samples of each image

    def drawn_rows(batch_slice: slice) -> slice:
        return slice(int(row_ends[batch_slice.start]), int(row_ends[batch_slice.stop]))

    features = torch.empty((int(row_ends[-1]), run.classifier.feature_channels), device=run.device)
    batches = progress_bar(inference_batches(images, run.dataset, run.device), batch_count(images), f"{method}: reference", "batch")
    with torch.inference_mode():
        for batch_slice, image_batch in batches:
            is_drawn_in_batch = torch.from_numpy(is_drawn[batch_slice]).to(run.device)
            features[drawn_rows(batch_slice)] = run.classifier.encode(image_batch).float().movedim(1, -1)[is_drawn_in_batch]
    complete_batches([drawn_rows(batch_slice) for batch_slice in inference_slices(images)], features)
    drawn_labels = torch.from_numpy(labels[is_drawn].astype(np.int64))
    features_sorted_by_class = features[drawn_labels.argsort(stable=True).to(run.device)]
    return list(features_sorted_by_class.split(torch.bincount(drawn_labels, minlength=len(run.dataset.classes)).tolist()))


def score_in_chunks(score_function: Callable[..., Tensor], distances_per_query: int, features: Tensor, *aligned_tensors: Tensor) -> Tensor:
    """Apply a function of feature vectors to all of them, in chunks of bounded memory; return its values (b, ...) or (b, h, w, ...).

    score_function: (feature vectors (m, d), *chunks of aligned_tensors (m,)) -> values (m, ...)
    distances_per_query: the number of distances that it computes for each vector; a chunk has at most MAX_DISTANCES of them
    features: (b, d) or (b, d, h, w); aligned_tensors: tensors with a number for each feature vector, (b,) or (b, h, w)
    """
    score_shape = (len(features), *features.shape[2:])
    flat_tensors = (features.movedim(1, -1).reshape(-1, features.shape[1]), *(tensor.reshape(-1) for tensor in aligned_tensors))
    queries_per_chunk = max(1, MAX_DISTANCES // distances_per_query)
    scores = torch.cat(
        [score_function(*chunk) for chunk in zip(*(tensor.split(queries_per_chunk) for tensor in flat_tensors), strict=True)]
    )
    return scores.reshape(*score_shape, *scores.shape[1:])


def distance_to_neighbour(query_features: Tensor, reference_features: Tensor, neighbour_rank: int) -> Tensor:
    """Return the Euclidean distance, float (m,), from each query vector to its `neighbour_rank`-th nearest reference vector.

    query_features: (m, d); reference_features: (r, d), and without any the distance is inf; neighbour_rank: 1 for the nearest, up to r
    """
    if len(reference_features) == 0:
        return query_features.new_full((len(query_features),), torch.inf)
    # The order leaves out |q|^2, which is the same for all points. Features less their mean are shorter, so that less is rounded off.
    mean_features = reference_features.mean(0)
    queries, references = query_features - mean_features, reference_features - mean_features
    relative_squared_distances = references.square().sum(1).addmm(queries, references.T, alpha=-2)
    nearest = relative_squared_distances.topk(min(neighbour_rank + 1, len(references)), dim=1, largest=False)
    # The distance is computed anew, since |p|^2 - 2 q p cancels for close points.
    distances = (query_features - reference_features[nearest.indices[:, neighbour_rank - 1]]).norm(dim=1)
    gaps_beside_neighbour = nearest.values.diff(dim=1)[:, max(neighbour_rank - 2, 0) :]
    may_be_exchanged = (gaps_beside_neighbour <= 2 * _largest_rounding_error(queries, references)[:, None]).any(1)
    if may_be_exchanged.any():
        exact_distances = torch.cdist(query_features[may_be_exchanged], reference_features, compute_mode="donot_use_mm_for_euclid_dist")
        distances[may_be_exchanged] = exact_distances.topk(neighbour_rank, dim=1, largest=False).values[:, -1]
    return distances


def _largest_rounding_error(queries: Tensor, references: Tensor) -> Tensor:
    """Return the largest rounding error, (m,), of |p|^2 - 2 q p for each of the queries q (m, d) and any of the references p (r, d).

    The error of a sum of d products is at most d times the precision of the numbers times the product of the lengths, and hardly ever
    above four times the square root of d in place of d: Higham & Mary 2019, "A new approach to probabilistic rounding error analysis".
    """
    reference_length = references.norm(dim=1).max()
    precision = 4 * queries.shape[1] ** 0.5 * torch.finfo(queries.dtype).eps
    return precision * reference_length * (reference_length + 2 * queries.norm(dim=1))


def _draw_training_samples(labels: np.ndarray, is_labelled: np.ndarray, samples_per_class: int, seed: int) -> np.ndarray:
    """Draw at most `samples_per_class` labelled images or pixels of each class at random; return a bool mask of the labels' shape."""
    generator = np.random.default_rng(seed)
    is_drawn = np.zeros(labels.size, bool)
    flat_labels = np.where(is_labelled, labels.astype(np.int32), -1).ravel()
    for class_index in np.unique(labels[is_labelled]):
        indices_of_class = np.flatnonzero(flat_labels == class_index)
        is_drawn[generator.choice(indices_of_class, min(samples_per_class, len(indices_of_class)), replace=False)] = True
    return is_drawn.reshape(labels.shape)
