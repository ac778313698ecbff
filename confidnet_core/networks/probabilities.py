"""Softmax probabilities: the true class probability (TCP), and log-odds that stay distinct where probabilities would round to 1.

TCP: Corbière et al. 2019, arXiv:1910.04851, section 2.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional


def true_class_probability(logits: Float[Tensor, "b classes *pixels"], labels: Int[Tensor, " b *pixels"]) -> Float[Tensor, " b *pixels"]:
    """Return the true class probability (TCP): the softmax probability of the true class, in [0, 1], float (b, ...).

    logits: (b, classes, ...); labels: int64 (b, ...), the true classes, from 0 to classes - 1
    A TCP above 1/2 implies a correct prediction, one below 1/classes an error; in between both are possible.
    """
    return functional.softmax(logits, dim=1).gather(1, labels.unsqueeze(1)).squeeze(1)


def log_complement_probabilities(log_probabilities: Float[Tensor, "m classes"]) -> Float[Tensor, "m classes"]:
    """Return log(1 - p) for log-probabilities log(p) of all classes: (m, classes) -> (m, classes).

    For the largest p it is computed as the logarithm of the sum of the others, because 1 - p would round to 0.
    """
    top_class = log_probabilities.argmax(1, keepdim=True)
    log_sum_of_other_classes = log_probabilities.scatter(1, top_class, -torch.inf).logsumexp(1, keepdim=True)
    log_complement_probability = torch.log1p(-log_probabilities.scatter(1, top_class, -torch.inf).exp())
    return log_complement_probability.scatter(1, top_class, log_sum_of_other_classes)


def max_probability_log_odds(logits: Float[Tensor, "b classes *pixels"]) -> Float[Tensor, " b *pixels"]:
    """Return the log-odds log(p / (1 - p)) of the largest softmax probability p: logits (b, classes, ...) -> (b, ...)."""
    sorted_logits = logits.sort(1, descending=True).values
    return sorted_logits[:, 0] - sorted_logits[:, 1:].logsumexp(1)


def class_log_odds(logits: Float[Tensor, "b classes *pixels"], class_indices: Int[Tensor, " b *pixels"]) -> Float[Tensor, " b *pixels"]:
    """Return the log-odds log(p / (1 - p)) of the softmax probability p of the given classes.

    logits: (b, classes, ...); class_indices: int64 (b, ...), from 0 to classes - 1; result: any real number, float (b, ...)
    """
    class_indices = class_indices.unsqueeze(1)
    log_sum_of_other_classes = logits.scatter(1, class_indices, -torch.inf).logsumexp(1)
    return logits.gather(1, class_indices).squeeze(1) - log_sum_of_other_classes
