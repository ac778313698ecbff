"""Distance to the k-th nearest training sample. Designed for out-of-distribution inputs, not errors. Sun et al. 2022, arXiv:2204.06507."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from confidnet_core.config.ranges import PositiveInt
from confidnet_core.networks.device import to_float64
from confidnet_core.scores._neighbours import distance_to_neighbour, score_in_chunks, training_features_by_class
from confidnet_core.scoring.run import Run


def knn(run: Run, neighbour: PositiveInt = 1, samples_per_class: PositiveInt = 1000) -> np.ndarray:
    """Return minus the distance of each sample to its k-th nearest training sample, in [-2, 0], float64 (n,).

    The distance is Euclidean, between penultimate features of the classifier scaled to length 1.
    neighbour: k, counted from 1. The neighbours may be of any class: above the number of samples of a class, the k-th is of another class,
        and the score has no meaning.
    samples_per_class: the maximum number of training samples of a class
    Raises ValueError for a `neighbour` above the number of training samples.
    """
    training_features = run.fitted(_normalised_training_features, samples_per_class)
    if neighbour > len(training_features):
        raise ValueError(f"methods.knn.neighbour is {neighbour}; expected 1 to {len(training_features)}, the training samples")

    def score_queries(query_features: Tensor) -> Tensor:
        return to_float64(distance_to_neighbour(normalize(query_features), training_features, neighbour).neg())

    return run.map_images(lambda images: score_in_chunks(score_queries, len(training_features), run.classifier.encode(images)))


knn.display_name = "k-NN distance"
knn.needs_training_images = True
knn.learned = "neighbours"


def _normalised_training_features(run: Run, samples_per_class: int) -> Tensor:
    """Return the penultimate features of random training samples of all classes, scaled to length 1: float32 (r, d)."""
    return normalize(torch.cat(training_features_by_class(run, "knn", samples_per_class)))
