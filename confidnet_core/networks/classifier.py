"""What every classifier gives: features, and logits that are a function of them."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Classifier(nn.Module):
    """A network in two parts. `encode` ends at the penultimate features, on which a confidence head is attached.

    encode(images float (b, c, h, w)) -> features float (b, d), or (b, d, h, w) for segmentation
    classify(features) -> logits float (b, classes), or (b, classes, h, w); float32 under autocast, too

    Dropout is always an nn.Dropout module, never a functional call: MC-dropout and the frozen encoder's dropout
    are switched by finding these modules.
    """

    feature_channels: int

    def encode(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d *pixels"]:
        raise NotImplementedError

    def classify(self, features: Float[Tensor, "b d *pixels"]) -> Float[Tensor, "b classes *pixels"]:
        raise NotImplementedError

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b classes *pixels"]:
        return self.classify(self.encode(images))

    def split_at_dropout(self) -> tuple[Callable[[Tensor], Any], Callable[[Any], Tensor]]:
        """Two functions, images -> what is the same whatever dropout draws -> logits. MC-dropout runs the first once per image."""
        return nn.Identity(), self.forward


class DenseClassifier(Classifier):
    """Any stack of layers that ends in a vector, and a linear layer on it."""

    def __init__(self, features: nn.Sequential, output: nn.Linear) -> None:
        super().__init__()
        self.features, self.output = features, output
        self.feature_channels = output.in_features

    def encode(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        return self.features(images)

    def classify(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "b classes"]:
        return in_float32(self.output, features)

    def split_at_dropout(self) -> tuple[Callable[[Tensor], Any], Callable[[Any], Tensor]]:
        first = next((at for at, layer in enumerate(self.features) if isinstance(layer, nn.Dropout)), len(self.features))
        before, after = self.features[:first], self.features[first:]
        return before, lambda values: self.classify(after(values))


def in_float32(layer: nn.Module, features: Float[Tensor, "b d *pixels"]) -> Float[Tensor, "b out *pixels"]:
    """The layer's output computed outside autocast: bfloat16 has 8 significant bits, so that confidences would tie."""
    with torch.autocast(features.device.type, enabled=False):
        return layer(features.to(torch.promote_types(features.dtype, torch.float32)))


def scaled(channels: int, width: float) -> int:
    """channels times width, rounded, at least 1. ValueError for a width that is not positive."""
    if not width > 0:
        raise ValueError(f"model.width is {width}, but it multiplies the channels: give a positive number, 1.0 for the published size")
    return max(1, round(channels * width))


def require_size(model: str, image_shape: tuple[int, int, int], smallest: int) -> None:
    """ValueError for images that the network would pool away to nothing."""
    if min(image_shape[1:]) < smallest:
        shape = tuple(image_shape)
        raise ValueError(
            f"{model} needs images of at least {smallest} x {smallest} pixels, got (channels, height, width) {shape}; choose mlp or resize"
        )
