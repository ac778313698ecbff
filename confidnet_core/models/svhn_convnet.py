"""The small convolutional network for SVHN. It has three blocks of two convolutions, with BatchNorm after the ReLU.

Corbière et al. 2019, arXiv:1910.04851, section 4.1; sizes, reflection padding and dropout as published.
"""

from itertools import pairwise

from torch import nn

from confidnet_core.config.ranges import FractionBelowOne, LayerWidth, WidthFactor
from confidnet_core.networks.classifier import Classifier, SequentialClassifier, require_min_image_size, scale_channels


def svhn_convnet(
    *,
    classes: int,
    image_shape: tuple[int, int, int],
    width: WidthFactor = 1.0,
    feature_dim: LayerWidth = 512,
    dropout: FractionBelowOne = 0.3,
) -> Classifier:
    """Build the untrained network. Its features (b, feature_dim) are the first dense layer after ReLU and dropout.

    classes: the number of classes; image_shape: (channels, height, width); width: a factor of the published channels of convolutions
    dropout: the rate after each block and after the dense layer
    Raises ValueError for images below 8 x 8 pixels.
    """
    require_min_image_size("svhn_convnet", image_shape, 8)
    block_channels = [image_shape[0], *(scale_channels(published_channels, width) for published_channels in (32, 64, 128))]
    block_layers = [
        layer
        for in_channels, out_channels in pairwise(block_channels)
        for layer in _build_convolution_block(in_channels, out_channels, dropout)
    ]
    pooled_feature_count = block_channels[-1] * (image_shape[1] // 8) * (image_shape[2] // 8)
    dense_layers = [nn.Flatten(), nn.Linear(pooled_feature_count, feature_dim), nn.ReLU(), nn.Dropout(dropout)]
    return SequentialClassifier(nn.Sequential(*block_layers, *dense_layers), nn.Linear(feature_dim, classes))


def _build_convolution_block(in_channels: int, out_channels: int, dropout: float) -> list[nn.Module]:
    return [
        *_build_convolution_unit(in_channels, out_channels),
        *_build_convolution_unit(out_channels, out_channels),
        nn.MaxPool2d(2),
        nn.Dropout(dropout),
    ]


def _build_convolution_unit(in_channels: int, out_channels: int) -> list[nn.Module]:
    return [nn.Conv2d(in_channels, out_channels, 3, padding=1, padding_mode="reflect"), nn.ReLU(), nn.BatchNorm2d(out_channels)]
