"""Interface of the classifiers: an encoder that returns features, and logits that are a function of these features."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Classifier(nn.Module):
    """Base class of a classifier in two parts. `encode` returns the penultimate features, to which a confidence head is attached.

    encode(images float (b, c, h, w)) -> features float (b, d), or (b, d, h, w) for segmentation
    classify(features) -> logits float (b, classes), or (b, classes, h, w); float32 also under autocast

    Dropout must be an nn.Dropout module, never a functional call: MC-dropout and the training of a confidence head find these modules
    to switch them on and off.
    """

    feature_channels: int
    # Names of submodules whose values choose indices, as in max pooling that is undone: there, rounding shows.
    choosing_parts: tuple[str, ...] = ()

    def encode(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d *pixels"]:
        raise NotImplementedError

    def classify(self, features: Float[Tensor, "b d *pixels"]) -> Float[Tensor, "b classes *pixels"]:
        raise NotImplementedError

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b classes *pixels"]:
        return self.classify(self.encode(images))

    def split_at_dropout(self) -> tuple[Callable[[Tensor], Any], Callable[[Any], Tensor]]:
        """Return two functions that together map images to logits: the first ends before the first dropout, and has no randomness.

        The first maps images to activations, the second these activations to logits.
        """
        return nn.Identity(), self.forward

    def split_at_last_dropout(self) -> tuple[Callable[[Tensor], Tensor], nn.Module | None]:
        """Return a function and a dropout layer that together are `encode`; `encode` and None where it does not end with a dropout layer.

        Where there is such a layer, `classify` must take any features, whether `encode` returned them or not.
        """
        return self.encode, None


class SequentialClassifier(Classifier):
    """A classifier of whole images: a sequence of layers that returns a feature vector, and a linear layer that returns the logits."""

    def __init__(self, features: nn.Sequential, output: nn.Linear) -> None:
        super().__init__()
        self.features, self.output = features, output
        self.feature_channels = output.in_features

    def encode(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d"]:
        return self.features(images)

    def classify(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "b classes"]:
        return apply_in_float32(self.output, features)

    def split_at_dropout(self) -> tuple[Callable[[Tensor], Any], Callable[[Any], Tensor]]:
        first_dropout_index = next(
            (index for index, layer in enumerate(self.features) if isinstance(layer, nn.Dropout)), len(self.features)
        )
        layers_before_dropout, layers_after_dropout = self.features[:first_dropout_index], self.features[first_dropout_index:]
        return layers_before_dropout, lambda activations: self.classify(layers_after_dropout(activations))

    def split_at_last_dropout(self) -> tuple[Callable[[Tensor], Tensor], nn.Module | None]:
        if len(self.features) and isinstance(last_layer := self.features[-1], nn.Dropout):
            return self.features[:-1], last_layer
        return super().split_at_last_dropout()


def apply_in_float32(layer: nn.Module, features: Float[Tensor, "b d *pixels"]) -> Float[Tensor, "b out *pixels"]:
    """Return the output of a layer for features, computed in float32 even under autocast: in bfloat16 many confidences would be equal."""
    with torch.autocast(features.device.type, enabled=False):
        return layer(features.to(torch.promote_types(features.dtype, torch.float32)))


def scale_channels(published_channels: int, width_factor: float) -> int:
    """Return the published number of channels times `width_factor`, rounded, at least 1. Raises ValueError for a factor <= 0."""
    if not width_factor > 0:
        raise ValueError(
            f"model.width is {width_factor}, but it multiplies the channels: give a positive number, 1.0 for the published size"
        )
    return max(1, round(published_channels * width_factor))


def require_min_image_size(model_name: str, image_shape: tuple[int, int, int], min_image_size: int) -> None:
    """Raise a ValueError for images whose height or width is below min_image_size, which the network's pooling would reduce to nothing."""
    if min(image_shape[1:]) < min_image_size:
        needed_size_text = f"images of at least {min_image_size} x {min_image_size} pixels"
        image_shape_text = f"(channels, height, width) {tuple(image_shape)}"
        raise ValueError(f"{model_name} needs {needed_size_text}, got {image_shape_text}; choose mlp or resize")
