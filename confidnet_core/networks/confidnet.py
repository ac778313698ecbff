"""ConfidNet: a confidence head on a classifier's encoder, which is frozen first and fine-tuned as a copy later, or that corrects MCP.

Corbière et al. 2019, arXiv:1910.04851, section 2.2; which layers are in which mode is as in the published code.
"""

from copy import deepcopy
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from confidnet_core.networks.classifier import Classifier
from confidnet_core.networks.head import ConfidenceHead
from confidnet_core.networks.probabilities import log_odds_of_largest

Either = TypeVar("Either", bound="ConfidNet")  # ConfidNet or CorrectedMcp; beartype knows no Self in a method


class ConfidNet(nn.Module):
    """images float (b, c, h, w) -> confidence before the sigmoid, float (b,), or (b, h, w) for segmentation.

    dropout: the encoder's dropout is active in train mode, as in the first phase, where targets are perturbed alike
    encoder_trainable: False freezes the encoder given, which then is the classifier itself; True trains it, BatchNorm's
        weights included

    BatchNorm's running statistics never move, in either phase. A new network is in eval mode, since the encoder is shared.
    """

    def __init__(self, encoder: Classifier, head: ConfidenceHead, *, dropout: bool = True, encoder_trainable: bool = False) -> None:
        super().__init__()
        self.encoder, self.head = encoder.requires_grad_(encoder_trainable), head
        self.dropout, self.encoder_trainable = dropout, encoder_trainable
        self.eval()

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, " b *pixels"]:
        return self.head(self.encoder.encode(images))

    def forward_both(self, images: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, " b *pixels"], Float[Tensor, "b classes *pixels"]]:
        """The confidence, and the class logits of the same pass, with the same dropout; no gradient flows into the logits."""
        features = self.encoder.encode(images)
        with torch.no_grad():
            class_logits = self.encoder.classify(features)
        return self.head(features), class_logits

    def train(self: Either, mode: bool = True) -> Either:
        """The head's mode is `mode`; in the encoder it switches dropout at most."""
        super().train(mode)
        # BatchNorm stays in eval mode: the head must see features as the classifier's, whose statistics must not move.
        self.encoder.eval()
        set_dropout(self.encoder, mode and self.dropout)
        return self

    def finetuning(self: Either) -> Either:
        """The second phase: a copy of encoder and head, all trainable, without dropout. This network stays as it is.

        Predictions and targets still come from the classifier: the copy's class logits change as it is tuned.
        """
        tuned = type(self)(deepcopy(self.encoder), deepcopy(self.head), dropout=False, encoder_trainable=True)
        tuned.head.requires_grad_(True)
        return tuned


class CorrectedMcp(ConfidNet):
    """ConfidNet that starts from MCP: images -> log(p / (1 - p)) of the largest softmax probability p, plus what the head adds to it.

    The head sees the features and `logit_features`. Its last layer starts at 0, so that before any training this is MCP.
    """

    def __init__(self, encoder: Classifier, head: ConfidenceHead, *, dropout: bool = True) -> None:
        super().__init__(encoder, head, dropout=dropout)
        self.head.start_at_zero()

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, " b *pixels"]:
        return self.forward_both(images)[0]

    def forward_both(self, images: Float[Tensor, "b c h w"]) -> tuple[Float[Tensor, " b *pixels"], Float[Tensor, "b classes *pixels"]]:
        features = self.encoder.encode(images)
        with torch.no_grad():
            class_logits = self.encoder.classify(features)
        seen = torch.cat([features, logit_features(class_logits).to(features.dtype)], dim=1)
        return log_odds_of_largest(class_logits) + self.head(seen), class_logits


def logit_features(class_logits: Float[Tensor, "b classes *pixels"]) -> Float[Tensor, "b seen *pixels"]:
    """(b, classes, ...) -> (b, classes + 1, ...): log-probabilities, the largest first, and log-odds of MCP, cut at 20 and divided by 5."""
    ordered = class_logits.log_softmax(1).sort(dim=1, descending=True).values
    return torch.cat([ordered.clamp(min=-20), log_odds_of_largest(class_logits).unsqueeze(1).clamp(max=20)], dim=1) / 5


def freeze(classifier: Classifier) -> Classifier:
    """The classifier itself, in eval mode and without gradients."""
    return classifier.eval().requires_grad_(False)


def set_dropout(module: nn.Module, active: bool) -> int:
    """Switch every dropout module, and nothing else, between sampling and passing through. Returns how many have a rate above 0."""
    dropouts = [part for part in module.modules() if isinstance(part, _DropoutNd)]
    for dropout in dropouts:
        dropout.train(active)
    return sum(dropout.p > 0 for dropout in dropouts)
