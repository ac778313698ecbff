"""What the trainings minimise. TCP: Corbière et al. 2019, arXiv:1910.04851, section 2."""

from typing import Literal

import torch
from jaxtyping import Float, Float32, Int, Integer
from torch import Tensor
from torch.nn import functional

from confidnet_core.networks.probabilities import true_class_probability

Target = Literal["tcp", "normalised_tcp", "correctness"]
Objective = Literal["mse", "bce", "weighted_bce", "focal", "ranking"]
OF_CORRECTNESS = ("weighted_bce", "focal", "ranking")  # which tell errors from successes, and are for no target in between
PAIRED = 1024  # errors and successes, at most, that are paired in a batch


def confidence_target(
    class_logits: Float[Tensor, "b classes *pixels"], labels: Int[Tensor, " b *pixels"], target: Target
) -> Float[Tensor, " b *pixels"]:
    """What a confidence is trained towards, in [0, 1]: class_logits (b, classes, ...), labels int64 (b, ...) in [0, classes) -> (b, ...).

    tcp             the softmax probability of the true class
    normalised_tcp  that over the largest probability: 1 for every right prediction, and for no other (section 2.2 of the paper)
    correctness     1 for a right prediction, 0 for an error
    """
    if target == "correctness":
        return (class_logits.argmax(1) == labels).to(class_logits.dtype)
    if target == "normalised_tcp":
        true = class_logits.gather(1, labels.unsqueeze(1)).squeeze(1)
        return (true - class_logits.amax(1)).exp()
    return true_class_probability(class_logits, labels)


def confidence_loss(
    confidence_logits: Float[Tensor, " b *pixels"],
    class_logits: Float[Tensor, "b classes *pixels"],
    labels: Int[Tensor, " b *pixels"],
    void: int | None = None,
    *,
    target: Target = "tcp",
    loss: Objective = "mse",
) -> Float[Tensor, ""]:
    """objective() between confidence_logits (b, ...) and the target of class_logits (b, classes, ...) and labels int64 (b, ...).

    Over the labelled images or pixels; 0 where none is labelled. No gradient reaches class_logits.
    """
    labelled = torch.ones_like(labels, dtype=torch.bool) if void is None else labels != void
    # Void labels are no valid index: read class 0 there, then leave these pixels out.
    goal = confidence_target(class_logits.detach().float(), labels.where(labelled, 0), target)
    return objective(confidence_logits.float()[labelled], goal[labelled], loss)


def objective(confidence_logits: Float[Tensor, " n"], goal: Float[Tensor, " n"], loss: Objective) -> Float[Tensor, ""]:
    """A scalar from sigmoid(confidence_logits) and the goal in [0, 1], float (n,) each; 0 for n = 0.

    mse           mean squared difference, as published. Its gradient vanishes where the sigmoid is near 0 or 1
    bce           mean binary cross-entropy with the goal as a soft target, whose gradient does not. As that of mse, its optimum is the mean
                  of the goal given the features (Gneiting & Raftery 2007, "Strictly proper scoring rules, prediction, and estimation")
    weighted_bce  bce in which an error weighs -log of the share of errors among the n (Lafon et al. 2025, "ViLU", arXiv:2507.07620)
    focal         bce times (1 - the probability given to what is true) squared (Lin et al. 2017, arXiv:1708.02002)
    ranking       mean of softplus(confidence of an error - confidence of a success) over pairs (Burges et al. 2005, "Learning to rank using
                  gradient descent"): of up to PAIRED errors and as many successes, evenly spaced among the n; 0 without a pair
    """
    if loss == "ranking":
        return _ranking(confidence_logits, goal)
    if loss == "mse":
        each = (confidence_logits.sigmoid() - goal).square()
    else:
        each = functional.binary_cross_entropy_with_logits(confidence_logits, goal, reduction="none")
    if loss == "weighted_bce":
        share = (1 - goal).sum() / max(len(goal), 1)
        each = each * torch.where(goal == 0, -share.log(), 1)
    if loss == "focal":
        each = each * (1 - (-each).exp()).square()
    return each.sum() / max(len(each), 1)


def _ranking(confidence_logits: Float[Tensor, " n"], goal: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    errors, successes = (_thinned(confidence_logits[goal == outcome]) for outcome in (0, 1))
    pairs = functional.softplus(errors.unsqueeze(1) - successes.unsqueeze(0))
    return pairs.sum() / max(pairs.numel(), 1)


def _thinned(values: Float[Tensor, " n"]) -> Float[Tensor, " m"]:
    return values[:: max(1, -(-len(values) // PAIRED))]


def cross_entropy(
    logits: Float[Tensor, "b classes *pixels"],
    labels: Int[Tensor, " b *pixels"],
    void: int | None = None,
    weights: Float[Tensor, " classes"] | None = None,
    label_smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Mean cross-entropy over the labelled images or pixels, weighted by class if weights (classes,) are given; 0 where none has weight.

    logits (b, classes, ...), labels int64 (b, ...). label_smoothing in [0, 1): that share of the target is spread evenly over all
    classes, each with its own weight (Szegedy et al. 2016, arXiv:1512.00567, section 7).
    """
    ignored = -100 if void is None else void
    each = functional.cross_entropy(
        logits.float(), labels, weight=weights, ignore_index=ignored, reduction="none", label_smoothing=label_smoothing
    )
    total = each.sum()  # of label maps CUDA's own sum is another one each time
    counted = labels != ignored
    weight = counted.sum() if weights is None else (weights[labels.where(counted, 0)] * counted).sum()
    # PyTorch's own mean is NaN for a batch that is void throughout, and infinite for a smoothed one of classes without weight.
    return (total / weight.where(weight > 0, 1)).where(weight > 0, 0)


def median_frequency_weights(counts: Integer[Tensor, " classes"]) -> Float32[Tensor, " classes"]:
    """Class weights median(frequency) / frequency (Eigen & Fergus 2015, arXiv:1411.4734), frequencies over the whole set.

    counts (classes,) of labels in the training set; a class that never occurs gets weight 0.
    """
    frequency = counts.double() / counts.sum()
    weights = frequency[frequency > 0].quantile(0.5) / frequency
    return weights.where(frequency > 0, 0.0).float()
