"""SegNet, for segmentation. It has VGG16's convolutions, and a mirrored decoder that unpools with the indices of the max pooling.

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
from confidnet_core.networks.classifier import Classifier, apply_in_float32, require_min_image_size, scale_channels

# Output channels of the convolutions of each stage, and the dropout rate after it; 0 means no dropout.
ENCODER_STAGES = (((64, 64), 0.0), ((128, 128), 0.0), ((256, 256, 256), 0.5), ((512, 512, 512), 0.5), ((512, 512, 512), 0.5))
DECODER_STAGES = (((512, 512, 512), 0.5), ((512, 512, 256), 0.4), ((256, 256, 128), 0.3), ((128, 64), 0.0))


def segnet(
    *,
    classes: int,
    image_shape: tuple[int, int, int],
    width: WidthFactor = 1.0,
    feature: Literal["dense", "unpooled"] = "dense",
    pretrained: PretrainedWeights = False,
    published_logits: bool = False,
) -> Classifier:
    """Build the untrained SegNet. Its features (b, 64 * width, h, w) have the resolution of the image.

    classes: the number of classes; image_shape: (channels, height, width); width: a factor of the published channels of convolutions
    feature: "dense" is the last stage's first convolution after BatchNorm and ReLU. "unpooled" is the input of that stage, as in the
        published code: the unpooled map, in which a channel is zero in at least three of four pixels
    pretrained: initialise the encoder with the ImageNet weights of VGG16, see load_imagenet_encoder
    published_logits: BatchNorm and ReLU after the last convolution, as in the published code; then no logit is negative
    Raises ValueError for images below 32 x 32 pixels.
    """
    require_min_image_size("segnet", image_shape, 32)
    network = SegNet(classes, image_shape[0], width, feature == "dense", published_logits)
    load_imagenet_encoder([layer for layer in network.down.modules() if isinstance(layer, nn.Conv2d)], pretrained)
    return network


class SegNet(Classifier):
    """The segmentation network SegNet, an encoder and a decoder, as a Classifier. The function `segnet` builds this class."""

    choosing_parts = ("down",)

    def __init__(
        self, class_count: int, image_channels: int, width_factor: float, use_dense_features: bool, published_logits: bool
    ) -> None:
        super().__init__()
        convolution_stages, in_channels = [], image_channels
        for stage_channels, _ in ENCODER_STAGES + DECODER_STAGES:
            output_channels = [scale_channels(published_channels, width_factor) for published_channels in stage_channels]
            convolution_stages.append(_build_convolution_stage(in_channels, output_channels))
            in_channels = output_channels[-1]
        self.down = nn.ModuleList(convolution_stages[: len(ENCODER_STAGES)])
        self.up = nn.ModuleList(convolution_stages[len(ENCODER_STAGES) :])
        self.down_dropout = nn.ModuleList(
            [nn.Dropout(dropout_rate) if dropout_rate else nn.Identity() for _, dropout_rate in ENCODER_STAGES]
        )
        self.up_dropout = nn.ModuleList([nn.Dropout(dropout_rate) if dropout_rate else nn.Identity() for _, dropout_rate in DECODER_STAGES])
        self.stages_before_dropout = next(
            encoder_stage_number for encoder_stage_number, (_, dropout_rate) in enumerate(ENCODER_STAGES, start=1) if dropout_rate
        )
        self.last_stage = _build_convolution_stage(in_channels, [in_channels])
        self.output = (
            _build_convolution_stage(in_channels, [class_count]) if published_logits else nn.Conv2d(in_channels, class_count, 3, padding=1)
        )
        self.use_dense_features = use_dense_features
        self.feature_channels = in_channels

    def encode(self, images: Tensor) -> Tensor:
        return self._encode_after_dropout(*self._encode_before_dropout(images))

    def split_at_dropout(self) -> tuple[Callable[[Tensor], Any], Callable[[Any], Tensor]]:
        return self._encode_before_dropout, lambda state: self.classify(self._encode_after_dropout(*state))

    def _encode_before_dropout(self, images: Tensor) -> tuple[Tensor, tuple]:
        """Return the features before the encoder's first dropout, and a tuple (indices, size to unpool to) for each pooling so far."""
        features, pool_indices_and_sizes = images, []
        for convolution_stage in self.down[: self.stages_before_dropout]:
            features, pool_indices_and_size = _max_pool_with_indices(convolution_stage(features))
            pool_indices_and_sizes.append(pool_indices_and_size)
        return features, tuple(pool_indices_and_sizes)

    def _encode_after_dropout(self, features: Tensor, pool_indices_and_sizes: tuple) -> Tensor:
        stored_pool_indices_and_sizes = list(pool_indices_and_sizes)
        features = self.down_dropout[self.stages_before_dropout - 1](features)
        later_stages, later_dropouts = self.down[self.stages_before_dropout :], self.down_dropout[self.stages_before_dropout :]
        for convolution_stage, dropout in zip(later_stages, later_dropouts, strict=True):
            features, pool_indices_and_size = _max_pool_with_indices(convolution_stage(features))
            features = dropout(features)
            stored_pool_indices_and_sizes.append(pool_indices_and_size)
        for convolution_stage, dropout in zip(self.up, self.up_dropout, strict=True):
            features = dropout(convolution_stage(_max_unpool(features, *stored_pool_indices_and_sizes.pop())))
        features = _max_unpool(features, *stored_pool_indices_and_sizes.pop())
        return self.last_stage(features) if self.use_dense_features else features

    def classify(self, features: Tensor) -> Tensor:
        return apply_in_float32(self.output, features if self.use_dense_features else self.last_stage(features))


def _max_pool_with_indices(features: Tensor) -> tuple[Tensor, tuple[Tensor, torch.Size]]:
    pooled_features, pool_indices = max_pool2d(features, 2, return_indices=True)
    return pooled_features, (pool_indices, features.shape[-2:])


def _max_unpool(features: Tensor, pool_indices: Tensor, unpooled_size: tuple[int, int]) -> Tensor:
    """Return features (b, c, h, w) at the pixels that max pooling took them from, zero elsewhere: (b, c, *unpooled_size).

    pool_indices: of these pixels, (b, c, h, w); unpooled_size: needed, as pooling rounds odd sizes: 11 x 15 becomes 5 x 7
    """
    if torch.are_deterministic_algorithms_enabled():
        # max_unpool2d, which is faster, refuses to run then, because indices might repeat; those of max pooling never do.
        zeros = features.new_zeros(*features.shape[:2], unpooled_size[0] * unpooled_size[1])
        return zeros.scatter(2, pool_indices.flatten(2), features.flatten(2)).unflatten(2, unpooled_size)
    return max_unpool2d(features, pool_indices, (2, 2), output_size=unpooled_size)


def _build_convolution_stage(in_channels: int, output_channels: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for out_channels in output_channels:
        layers += [nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)]
        in_channels = out_channels
    return nn.Sequential(*layers)
