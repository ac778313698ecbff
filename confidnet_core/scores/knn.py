"""Distance to the k-th nearest training sample. Made to find foreign inputs: it need not find errors. Sun et al. 2022, arXiv:2204.06507."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from confidnet_core.config.ranges import PositiveInt
from confidnet_core.networks.device import double
from confidnet_core.scores._neighbours import distance_to_neighbour, reference, score_in_chunks
from confidnet_core.scoring.run import Run


def knn(run: Run, neighbour: PositiveInt = 1, samples_per_class: PositiveInt = 1000) -> np.ndarray:
    """Minus the Euclidean distance between penultimate features of length 1, whatever the class, in [-2, 0]; float64.

    neighbour: k, counted from 1; above the number of samples of a class the neighbour lies in another class, and the score means nothing
    samples_per_class: bounds the training samples of a class
    ValueError for a `neighbour` above the number of training samples.
    """
    points = run.fitted(_points, samples_per_class)
    if neighbour > len(points):
        raise ValueError(f"methods.knn.neighbour is {neighbour}; expected 1 to {len(points)}, the training samples")

    def score_queries(queries: Tensor) -> Tensor:
        return double(distance_to_neighbour(normalize(queries), points, neighbour).neg())

    return run.over_images(lambda images: score_in_chunks(score_queries, len(points), run.classifier.encode(images)))


knn.display_name = "k-NN distance"
knn.learned = "neighbours"


def _points(run: Run, samples_per_class: int) -> Tensor:
    return normalize(torch.cat(reference(run, "knn", samples_per_class)))
