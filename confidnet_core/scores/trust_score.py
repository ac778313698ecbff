"""Trust Score: ratio of distances to classes. The nearest other class over the predicted one. Jiang et al. 2018, arXiv:1805.11783.

Every labelled pixel of a segmentation is scored.
"""

import numpy as np
import torch
from torch import Tensor

from confidnet_core.config.ranges import FractionBelowOne, PositiveInt
from confidnet_core.networks.device import to_float64
from confidnet_core.scores._neighbours import distance_to_neighbour, score_in_chunks, training_features_by_class
from confidnet_core.scoring.run import Run


def trust_score(
    run: Run, neighbour: PositiveInt = 1, samples_per_class: PositiveInt = 1000, alpha: FractionBelowOne = 0.0, k: PositiveInt = 10
) -> np.ndarray:
    """Return d(nearest other class) / (d(predicted class) + 1e-12), at least 0, float64 (n,).

    d is the Euclidean distance to the `neighbour`-th nearest training sample of a class, in penultimate features of the classifier.

    samples_per_class: the maximum number of training samples of a class, drawn at random, which are called points below
    alpha, k: the fraction `alpha` of a class's points with the largest distance to their k-th nearest point of the class (a point is its
        own first) is left out as outliers (Algorithm 1 of the paper)
    A class without training samples is infinitely far away: predictions of it get 0.
    Raises ValueError if `neighbour` exceeds the number of points of the smallest class.
    """
    features_by_class = run.fitted(_features_without_outliers, samples_per_class, alpha, k)
    smallest_class_size = min(len(class_features) for class_features in features_by_class if len(class_features))
    if neighbour > smallest_class_size:
        raise ValueError(f"methods.trust_score.neighbour is {neighbour}; expected 1 to {smallest_class_size} (the smallest class)")

    def score_queries(query_features: Tensor, predicted: Tensor) -> Tensor:
        distances = torch.stack(
            [distance_to_neighbour(query_features, class_features, neighbour) for class_features in features_by_class], 1
        )
        predicted_class_distance = distances.gather(1, predicted[:, None]).squeeze(1)
        other_class_distance = distances.scatter(1, predicted[:, None], torch.inf).amin(1)
        predicted_class_distance, other_class_distance = to_float64(predicted_class_distance), to_float64(other_class_distance)
        return torch.where(predicted_class_distance.isinf(), 0.0, other_class_distance / (predicted_class_distance + 1e-12))

    largest_class_size = max(map(len, features_by_class))

    def score_images(images: Tensor, predicted: Tensor) -> Tensor:
        return score_in_chunks(score_queries, largest_class_size, run.classifier.encode(images), predicted.long())

    return run.map_images(score_images, run.predicted_maps)


trust_score.display_name = "Trust Score"
trust_score.needs_training_images = True
trust_score.learned = "neighbours"


def _features_without_outliers(run: Run, samples_per_class: int, alpha: float, k: int) -> list[Tensor]:
    """Return the penultimate features of each class's random training samples, without outliers: a list of float32 tensors (r, d)."""
    features_by_class = training_features_by_class(run, "trust_score", samples_per_class)
    return [_without_outliers(class_features, alpha, k) for class_features in features_by_class] if alpha else features_by_class


def _without_outliers(class_features: Tensor, alpha: float, k: int) -> Tensor:
    """Return the feature vectors of a class, (r, d), without the fraction `alpha` that is farthest from its own k-th nearest vector.

    A vector counts as its own first neighbour.
    """
    if len(class_features) == 0:
        return class_features
    neighbour_rank = min(k, len(class_features))
    neighbour_distances = score_in_chunks(
        lambda query_features: distance_to_neighbour(query_features, class_features, neighbour_rank), len(class_features), class_features
    )
    return class_features[
        neighbour_distances <= torch.from_numpy(np.quantile(neighbour_distances.cpu().numpy(), [1 - alpha])).to(neighbour_distances)
    ]
