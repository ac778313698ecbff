"""SegNet, for segmentation. It has VGG16's convolutions, and a mirrored decoder that unpools to where the maxima were.

Badrinarayanan et al. 2017, arXiv:1511.00561; dropout as in Kendall et al. 2017, arXiv:1511.02680, with the rates published
with Corbière et al. 2019, arXiv:1910.04851.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d, max_unpool2d

from confidnet_core.config.ranges import PretrainedWeights, WidthFactor
from confidnet_core.models._vgg_weights import load_imagenet_encoder
from confidnet_core.networks.classifier import Classifier, in_float32, require_size, scaled

# Channels of the convolutions of each stage, and the dropout after it; 0 is none.
DOWN = (((64, 64), 0.0), ((128, 128), 0.0), ((256, 256, 256), 0.5), ((512, 512, 512), 0.5), ((512, 512, 512), 0.5))
UP = (((512, 512, 512), 0.5), ((512, 512, 256), 0.4), ((256, 256, 128), 0.3), ((128, 64), 0.0))


def segnet(
    *,
    classes: int,
    image_shape: tuple[int, int, int],
    width: WidthFactor = 1.0,
    feature: Literal["dense", "unpooled"] = "dense",
    pretrained: PretrainedWeights = False,
    published_logits: bool = False,
) -> Classifier:
    """Features (b, 64 width, h, w), at full resolution.

    feature: "dense" is the last stage's first convolution after BatchNorm and ReLU. "unpooled" is what enters that stage, as in
        the published code: the map before, unpooled, so that a channel is zero in at least three of four pixels
    pretrained: start the encoder from ImageNet's VGG16, see load_imagenet_encoder
    published_logits: BatchNorm and ReLU after the last convolution, as in the published code; then no logit is negative
    ValueError for images below 32 x 32.
    """
    require_size("segnet", image_shape, 32)
    network = SegNet(classes, image_shape[0], width, feature == "dense", published_logits)
    load_imagenet_encoder([layer for layer in network.down.modules() if isinstance(layer, nn.Conv2d)], pretrained)
    return network


class SegNet(Classifier):
    def __init__(self, classes: int, channels: int, width: float, dense_features: bool, published_logits: bool) -> None:
        super().__init__()
        stages, before = [], channels
        for full_widths, _ in DOWN + UP:
            stages.append(_stage(before, [scaled(each, width) for each in full_widths]))
            before = scaled(full_widths[-1], width)
        self.down, self.up = nn.ModuleList(stages[: len(DOWN)]), nn.ModuleList(stages[len(DOWN) :])
        self.down_dropout = nn.ModuleList([nn.Dropout(rate) if rate else nn.Identity() for _, rate in DOWN])
        self.up_dropout = nn.ModuleList([nn.Dropout(rate) if rate else nn.Identity() for _, rate in UP])
        self.deterministic_stages = next(depth for depth, (_, rate) in enumerate(DOWN, start=1) if rate)
        self.last_stage = _stage(before, [before])
        self.output = _stage(before, [classes]) if published_logits else nn.Conv2d(before, classes, 3, padding=1)
        self.dense_features = dense_features
        self.feature_channels = before

    def encode(self, images: Tensor) -> Tensor:
        return self._after_dropout(*self._before_dropout(images))

    def split_at_dropout(self) -> tuple[Callable[[Tensor], Any], Callable[[Any], Tensor]]:
        return self._before_dropout, lambda state: self.classify(self._after_dropout(*state))

    def _before_dropout(self, images: Tensor) -> tuple[Tensor, tuple]:
        """The stages down to the first with dropout: its pooled features, and the poolings so far as (indices, size before)."""
        features, poolings = images, []
        for stage in self.down[: self.deterministic_stages]:
            features, pooling = _pooled(stage(features))
            poolings.append(pooling)
        return features, tuple(poolings)

    def _after_dropout(self, features: Tensor, poolings: tuple) -> Tensor:
        waiting = list(poolings)
        features = self.down_dropout[self.deterministic_stages - 1](features)
        for stage, dropout in zip(self.down[self.deterministic_stages :], self.down_dropout[self.deterministic_stages :], strict=True):
            features, pooling = _pooled(stage(features))
            features = dropout(features)
            waiting.append(pooling)
        for stage, dropout in zip(self.up, self.up_dropout, strict=True):
            features = dropout(stage(_unpool(features, *waiting.pop())))
        features = _unpool(features, *waiting.pop())
        return self.last_stage(features) if self.dense_features else features

    def classify(self, features: Tensor) -> Tensor:
        return in_float32(self.output, features if self.dense_features else self.last_stage(features))


def _pooled(full: Tensor) -> tuple[Tensor, tuple[Tensor, torch.Size]]:
    features, indices = max_pool2d(full, 2, return_indices=True)
    return features, (indices, full.shape[-2:])


def _unpool(features: Tensor, indices: Tensor, size: tuple[int, int]) -> Tensor:
    """The size is needed for odd ones: 11 x 15 is pooled to 5 x 7."""
    if torch.are_deterministic_algorithms_enabled():
        # max_unpool2d refuses to run then, since indices might repeat; pooling's never do. It is the faster one.
        zeros = features.new_zeros(*features.shape[:2], size[0] * size[1])
        return zeros.scatter(2, indices.flatten(2), features.flatten(2)).unflatten(2, size)
    return max_unpool2d(features, indices, (2, 2), output_size=size)


def _stage(before: int, channels: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for after in channels:
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        before = after
    return nn.Sequential(*layers)
