"""Softmax probabilities: that of the true class (TCP), and those near 1 without the rounding that makes them equal.

TCP: Corbière et al. 2019, arXiv:1910.04851, section 2.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional


def true_class_probability(logits: Float[Tensor, "b classes *pixels"], labels: Int[Tensor, " b *pixels"]) -> Float[Tensor, " b *pixels"]:
    """TCP, the softmax probability of the true class, in [0, 1].

    logits (b, classes, ...), labels int64 (b, ...) in [0, classes) -> (b, ...).
    Above 1/2 the prediction is right; below 1/classes it is wrong; between them both happen.
    """
    return functional.softmax(logits, dim=1).gather(1, labels.unsqueeze(1)).squeeze(1)


def log_complements(log_probabilities: Float[Tensor, "m classes"]) -> Float[Tensor, "m classes"]:
    """log(1 - p) of log p (m, classes): of the largest p as the sum of the others, since 1 - p would be rounded to 0."""
    likeliest = log_probabilities.argmax(1, keepdim=True)
    others = log_probabilities.scatter(1, likeliest, -torch.inf).logsumexp(1, keepdim=True)
    complements = torch.log1p(-log_probabilities.scatter(1, likeliest, -torch.inf).exp())
    return complements.scatter(1, likeliest, others)


def log_odds_of_largest(logits: Float[Tensor, "b classes *pixels"]) -> Float[Tensor, " b *pixels"]:
    """log(p / (1 - p)) of the largest softmax probability p, of logits (b, classes, ...): (b, ...)."""
    ordered = logits.sort(1, descending=True).values
    return ordered[:, 0] - ordered[:, 1:].logsumexp(1)
