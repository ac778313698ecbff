"""Softmax probabilities near 1, without the rounding that makes them equal."""

import torch
from torch import Tensor


def log_complements(log_probabilities: Tensor) -> Tensor:
    """log(1 - p) of log p (m, classes): of the largest p as the sum of the others, since 1 - p would be rounded to 0."""
    likeliest = log_probabilities.argmax(1, keepdim=True)
    others = log_probabilities.scatter(1, likeliest, -torch.inf).logsumexp(1, keepdim=True)
    complements = torch.log1p(-log_probabilities.scatter(1, likeliest, -torch.inf).exp())
    return complements.scatter(1, likeliest, others)


def log_odds_of_largest(logits: Tensor) -> Tensor:
    """log(p / (1 - p)) of the largest softmax probability p, of logits (b, classes, ...): (b, ...)."""
    ordered = logits.sort(1, descending=True).values
    return ordered[:, 0] - ordered[:, 1:].logsumexp(1)
