"""Training losses: cross-entropy for classifiers, and losses of a confidence against TCP (Corbière et al. 2019, arXiv:1910.04851)."""

from typing import Literal

import torch
from jaxtyping import Float, Float32, Int, Integer
from torch import Tensor
from torch.nn import functional

from confidnet_core.networks.probabilities import true_class_probability
from confidnet_core.networks.ranks import gather_rows

ConfidenceTargetName = Literal["tcp", "normalised_tcp", "correctness"]
ConfidenceLossName = Literal["mse", "bce", "weighted_bce", "focal", "ranking"]
MAX_RANKING_SAMPLES = 1024  # most errors, and most correct predictions, of a batch that the ranking loss pairs


def confidence_target(
    class_logits: Float[Tensor, "b classes *pixels"], labels: Int[Tensor, " b *pixels"], target: ConfidenceTargetName
) -> Float[Tensor, " b *pixels"]:
    """Return what a confidence shall predict, in [0, 1]: class_logits (b, classes, ...), labels int64 (b, ...) in [0, classes) -> (b, ...).

    tcp             softmax probability of the true class (section 2 of the paper)
    normalised_tcp  TCP divided by the largest probability: 1 for all correct predictions and no others (section 2.2 of the paper)
    correctness     1 for a correct prediction, 0 for an error
    """
    if target == "correctness":
        return (class_logits.argmax(1) == labels).to(class_logits.dtype)
    if target == "normalised_tcp":
        true_class_logit = class_logits.gather(1, labels.unsqueeze(1)).squeeze(1)
        return (true_class_logit - class_logits.amax(1)).exp()
    return true_class_probability(class_logits, labels)


def confidence_loss(
    confidence_logits: Float[Tensor, " b *pixels"],
    class_logits: Float[Tensor, "b classes *pixels"],
    labels: Int[Tensor, " b *pixels"],
    void: int | None = None,
    *,
    target: ConfidenceTargetName = "tcp",
    loss: ConfidenceLossName = "mse",
) -> Float[Tensor, ""]:
    """Return the scalar loss of confidence_logits (b, ...) against targets from class_logits (b, classes, ...), labels int64 (b, ...).

    The loss is over the labelled images or pixels of all processes; it is 0 where none is labelled. No gradient flows into class_logits.
    """
    is_labelled = torch.ones_like(labels, dtype=torch.bool) if void is None else labels != void
    # A void label is no valid class index, so class 0 is read there and these pixels are then left out.
    target_values = confidence_target(class_logits.detach().float(), labels.where(is_labelled, 0), target)
    all_confidence_logits, all_target_values = gather_rows(confidence_logits.float()[is_labelled], target_values[is_labelled])
    return confidence_loss_to_targets(all_confidence_logits, all_target_values, loss)


def confidence_loss_to_targets(
    confidence_logits: Float[Tensor, " n"], target_values: Float[Tensor, " n"], loss: ConfidenceLossName
) -> Float[Tensor, ""]:
    """Compute the scalar loss between sigmoid(confidence_logits) and target_values in [0, 1], float (n,) each; 0 for n = 0.

    mse           mean squared difference, as published. Its gradient vanishes where the sigmoid is near 0 or 1
    bce           mean binary cross-entropy with soft targets; its gradient does not vanish. As for mse, its optimum is the mean target
                  given the features (Gneiting & Raftery 2007, "Strictly proper scoring rules, prediction, and estimation")
    weighted_bce  bce in which an error has the weight -log(fraction of errors among the n) (Lafon et al. 2025, "ViLU", arXiv:2507.07620)
    focal         bce times (1 - probability of the true outcome)^2 (Lin et al. 2017, arXiv:1708.02002)
    ranking       mean of softplus(logit of an error - logit of a correct prediction) over pairs (Burges et al. 2005, "Learning to rank
                  using gradient descent") of up to MAX_RANKING_SAMPLES errors and as many correct predictions, evenly spaced among the n;
                  0 without a pair
    """
    if loss == "ranking":
        return _ranking_loss(confidence_logits, target_values)
    if loss == "mse":
        losses = (confidence_logits.sigmoid() - target_values).square()
    else:
        losses = functional.binary_cross_entropy_with_logits(confidence_logits, target_values, reduction="none")
    if loss == "weighted_bce":
        error_fraction = (1 - target_values).sum() / max(len(target_values), 1)
        losses = losses * torch.where(target_values == 0, -error_fraction.log(), 1)
    if loss == "focal":
        losses = losses * (1 - (-losses).exp()).square()
    return losses.sum() / max(len(losses), 1)


def _ranking_loss(confidence_logits: Float[Tensor, " n"], target_values: Float[Tensor, " n"]) -> Float[Tensor, ""]:
    error_logits, success_logits = (_thin_to_max_samples(confidence_logits[target_values == outcome]) for outcome in (0, 1))
    pair_losses = functional.softplus(error_logits.unsqueeze(1) - success_logits.unsqueeze(0))
    return pair_losses.sum() / max(pair_losses.numel(), 1)


def _thin_to_max_samples(values: Float[Tensor, " n"]) -> Float[Tensor, " m"]:
    """Return at most MAX_RANKING_SAMPLES elements of the vector, evenly spaced: (n,) -> (m,)."""
    return values[:: max(1, -(-len(values) // MAX_RANKING_SAMPLES))]


def cross_entropy(
    logits: Float[Tensor, "b classes *pixels"],
    labels: Int[Tensor, " b *pixels"],
    void: int | None = None,
    weights: Float[Tensor, " classes"] | None = None,
    label_smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Compute the mean cross-entropy over the labelled images or pixels of all processes, weighted by class by weights (classes,) if given.

    logits (b, classes, ...), labels int64 (b, ...). label_smoothing in [0, 1): this fraction of the target is spread evenly over all
    classes, each with its own weight (Szegedy et al. 2016, arXiv:1512.00567, section 7). The loss is 0 where the total weight is 0.
    """
    ignore_index = -100 if void is None else void
    logits, labels = gather_rows(logits, labels)
    losses = functional.cross_entropy(
        logits.float(), labels, weight=weights, ignore_index=ignore_index, reduction="none", label_smoothing=label_smoothing
    )
    loss_sum = losses.sum()  # summed here, because CUDA's own reduction over label maps is not deterministic
    is_labelled = labels != ignore_index
    total_weight = is_labelled.sum() if weights is None else (weights[labels.where(is_labelled, 0)] * is_labelled).sum()
    # PyTorch's own mean is NaN for a batch of void labels only, and infinite with label smoothing if no class in the batch has weight.
    return (loss_sum / total_weight.where(total_weight > 0, 1)).where(total_weight > 0, 0)


def median_frequency_weights(label_counts: Integer[Tensor, " classes"]) -> Float32[Tensor, " classes"]:
    """Compute class weights median(frequency) / frequency, float32 (classes,) (Eigen & Fergus 2015, arXiv:1411.4734).

    label_counts: (classes,) labels of each class in the whole training split. A class that never occurs gets the weight 0.
    """
    class_frequency = label_counts.double() / label_counts.sum()
    class_weights = class_frequency[class_frequency > 0].quantile(0.5) / class_frequency
    return class_weights.where(class_frequency > 0, 0.0).float()
