"""What the trainings minimise. TCP: Corbière et al. 2019, arXiv:1910.04851, section 2."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Distance = Literal["mse", "bce"]


def true_class_probability(logits: Tensor, labels: Tensor) -> Tensor:
    """TCP, the softmax probability of the true class, in [0, 1].

    logits (b, classes, ...), labels int64 (b, ...) in [0, classes) -> (b, ...).
    Above 1/2 the prediction is right; below 1/classes it is wrong; between them both happen.
    """
    return functional.softmax(logits, dim=1).gather(1, labels.unsqueeze(1)).squeeze(1)


def tcp_regression(
    confidence_logits: Tensor, class_logits: Tensor, labels: Tensor, void: int | None = None, distance: Distance = "mse"
) -> Tensor:
    """Mean distance_to_tcp over the labelled places; 0 where none is labelled.

    confidence_logits (b, ...), class_logits (b, classes, ...), labels int64 (b, ...). No gradient reaches class_logits.
    """
    labelled = torch.ones_like(labels, dtype=torch.bool) if void is None else labels != void
    # Void labels are no valid index: read class 0 there, then give these places no weight.
    target = true_class_probability(class_logits.detach().float(), labels.where(labelled, 0))
    error = distance_to_tcp(confidence_logits.float(), target, distance)
    return (error * labelled).sum() / labelled.sum().clamp(min=1)


def distance_to_tcp(confidence_logits: Tensor, tcp: Tensor, distance: Distance) -> Tensor:
    """Of sigmoid(confidence_logits) from TCP, elementwise, both float of one shape. Both are least at the mean of TCP given the features.

    mse  the squared difference, as published. Its gradient vanishes where the sigmoid is near 0 or 1
    bce  the binary cross-entropy with TCP as a soft target, whose gradient does not; its least value is not 0 (Gneiting & Raftery 2007,
         "Strictly proper scoring rules, prediction, and estimation")
    """
    if distance == "bce":
        return functional.binary_cross_entropy_with_logits(confidence_logits, tcp, reduction="none")
    return (confidence_logits.sigmoid() - tcp).square()


def cross_entropy(
    logits: Tensor, labels: Tensor, void: int | None = None, weights: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """Mean cross-entropy over the labelled places, weighted by class if weights (classes,) are given; 0 where no place has weight.

    logits (b, classes, ...), labels int64 (b, ...). label_smoothing in [0, 1): that share of the target is spread evenly over all
    classes, each with its own weight (Szegedy et al. 2016, arXiv:1512.00567, section 7).
    """
    ignored = -100 if void is None else void
    total = functional.cross_entropy(
        logits.float(), labels, weight=weights, ignore_index=ignored, reduction="sum", label_smoothing=label_smoothing
    )
    counted = labels != ignored
    weight = counted.sum() if weights is None else (weights[labels.where(counted, 0)] * counted).sum()
    # PyTorch's own mean is NaN for a batch that is void throughout, and infinite for a smoothed one of classes without weight.
    return (total / weight.where(weight > 0, 1)).where(weight > 0, 0)


def median_frequency_weights(counts: Tensor) -> Tensor:
    """Class weights median(frequency) / frequency (Eigen & Fergus 2015, arXiv:1411.4734), frequencies over the whole set.

    counts (classes,) of labels in the training set; a class that never occurs gets weight 0.
    """
    frequency = counts.double() / counts.sum()
    weights = frequency[frequency > 0].quantile(0.5) / frequency
    return weights.where(frequency > 0, 0.0).float()
