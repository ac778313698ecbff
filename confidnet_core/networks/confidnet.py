"""ConfidNet: a confidence head on a frozen classifier, later fine-tuned with a copy of the encoder; and a head that corrects MCP.

Corbière et al. 2019, arXiv:1910.04851, section 2.2; which layers are in train or eval mode is as in the published code.
"""

from copy import deepcopy
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from confidnet_core.networks.classifier import Classifier
from confidnet_core.networks.dropout import set_dropout
from confidnet_core.networks.head import ConfidenceHead
from confidnet_core.networks.probabilities import max_probability_log_odds

ConfidNetT = TypeVar("ConfidNetT", bound="ConfidNet")  # ConfidNet or a subclass; beartype does not support Self in a method


class ConfidNet(nn.Module):
    """Map images float (b, c, h, w) to confidence logits (before the sigmoid), float (b,), or (b, h, w) for segmentation.

    dropout: whether the encoder's dropout is active in train mode, as in the first phase, where it perturbs the targets, too
    encoder_trainable: False freezes the given encoder, which is the classifier itself; True trains it, including the weights of
        BatchNorm
    reads_softmax: whether the head reads the classifier's softmax beside the features

    BatchNorm's running statistics never change, in either phase. A new network is in eval mode, because it shares the encoder.
    """

    def __init__(
        self,
        encoder: Classifier,
        head: ConfidenceHead,
        *,
        dropout: bool = True,
        encoder_trainable: bool = False,
        reads_softmax: bool = False,
    ) -> None:
        super().__init__()
        self.encoder, self.head = encoder.requires_grad_(encoder_trainable), head
        self.dropout, self.encoder_trainable, self.reads_softmax = dropout, encoder_trainable, reads_softmax
        self.eval()

    def forward(
        self, images: Float[Tensor, "b c h w"], class_logits: Float[Tensor, "b classes *pixels"] | None = None
    ) -> Float[Tensor, " b *pixels"]:
        """Return confidence logits (b, ...). class_logits: the classifier's own, for a head that reads its softmax"""
        features = self.encoder.encode(images)
        return self.head(features) if class_logits is None else self.confidence_of_features(features, class_logits)

    def forward_with_logits(
        self, images: Float[Tensor, "b c h w"]
    ) -> tuple[Float[Tensor, " b *pixels"], Float[Tensor, "b classes *pixels"]]:
        """Return confidence logits (b, ...) and, without gradient, class logits (b, classes, ...), from one forward pass of the encoder."""
        features, class_logits = self.encode_with_logits(images)
        return self.confidence_of_features(features, class_logits), class_logits

    def encode_with_logits(
        self, images: Float[Tensor, "b c h w"]
    ) -> tuple[Float[Tensor, "b d *pixels"], Float[Tensor, "b classes *pixels"]]:
        """Return the encoder's features (b, d, ...) and, without gradient, class logits (b, classes, ...), from one forward pass."""
        features = self.encoder.encode(images)
        with torch.no_grad():
            return features, self.encoder.classify(features)

    def confidence_of_features(
        self, features: Float[Tensor, "b d *pixels"], class_logits: Float[Tensor, "b classes *pixels"]
    ) -> Float[Tensor, " b *pixels"]:
        """Return confidence logits (b, ...) of features and class logits, which are those of the classifier."""
        if not self.reads_softmax:
            return self.head(features)
        return self.head(torch.cat([features, class_logits.softmax(1).to(features.dtype)], dim=1))

    def train(self: ConfidNetT, mode: bool = True) -> ConfidNetT:
        """Set the head to train mode, or to eval mode if `mode` is False; return the network.

        The encoder stays in eval mode, but its dropout is active in train mode if the network was built with dropout.
        """
        super().train(mode)
        # BatchNorm stays in eval mode: the head must see the classifier's own features, and its statistics must not change.
        self.encoder.eval()
        set_dropout(self.encoder, mode and self.dropout)
        return self

    def finetuning_copy(self, softmax_classes: int = 0) -> "ConfidNet":
        """Return a copy of this network for fine-tuning, with encoder and head trainable, and without dropout.

        This network is left unchanged. Predictions and targets still come from the classifier, because the copy's class logits change
        as it is tuned.
        softmax_classes: the number of classes whose softmax the head reads beside the features, with weights that are 0 at first; 0 for
            none, as published
        """
        head = deepcopy(self.head)
        if softmax_classes:
            head.add_inputs(softmax_classes)
        trainable_copy = ConfidNet(deepcopy(self.encoder), head, dropout=False, encoder_trainable=True, reads_softmax=softmax_classes > 0)
        trainable_copy.head.requires_grad_(True)
        return trainable_copy


class CorrectedMcp(ConfidNet):
    """A ConfidNet that corrects MCP: its confidence logit is log(p / (1 - p)), p the largest softmax probability, plus the head's output.

    The head's input is the encoder's features and `logit_features`. Its last layer starts at 0, so the untrained network equals MCP.
    """

    def __init__(self, encoder: Classifier, head: ConfidenceHead, *, dropout: bool = True) -> None:
        super().__init__(encoder, head, dropout=dropout)
        self.head.zero_output_layer()

    def forward(
        self, images: Float[Tensor, "b c h w"], class_logits: Float[Tensor, "b classes *pixels"] | None = None
    ) -> Float[Tensor, " b *pixels"]:
        return self.forward_with_logits(images)[0] if class_logits is None else super().forward(images, class_logits)

    def confidence_of_features(
        self, features: Float[Tensor, "b d *pixels"], class_logits: Float[Tensor, "b classes *pixels"]
    ) -> Float[Tensor, " b *pixels"]:
        head_input = torch.cat([features, logit_features(class_logits).to(features.dtype)], dim=1)
        return max_probability_log_odds(class_logits) + self.head(head_input)


def logit_features(class_logits: Float[Tensor, "b classes *pixels"]) -> Float[Tensor, "b seen *pixels"]:
    """Return features of class logits for the head that corrects MCP: (b, classes, ...) -> (b, classes + 1, ...), in [-4, 4].

    They are the sorted log-probabilities, largest first, and the log-odds of MCP, clipped to +-20 and divided by 5.
    """
    log_probabilities = class_logits.log_softmax(1).sort(dim=1, descending=True).values
    return torch.cat([log_probabilities.clamp(min=-20), max_probability_log_odds(class_logits).unsqueeze(1).clamp(max=20)], dim=1) / 5


def freeze(classifier: Classifier) -> Classifier:
    """Return the same classifier, set to eval mode and with no parameter that requires a gradient."""
    return classifier.eval().requires_grad_(False)
