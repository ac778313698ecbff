"""The small convolutional network for MNIST. It has two convolutions and two dense layers, no BatchNorm.

Corbière et al. 2019, arXiv:1910.04851, section 4.1; sizes and dropout as published.
"""

from torch import nn

from confidnet_core.config.ranges import FractionBelowOne, LayerWidth, WidthFactor
from confidnet_core.networks.classifier import Classifier, SequentialClassifier, require_min_image_size, scale_channels


def mnist_convnet(
    *,
    classes: int,
    image_shape: tuple[int, int, int],
    width: WidthFactor = 1.0,
    feature_dim: LayerWidth = 128,
    conv_dropout: FractionBelowOne = 0.25,
    dense_dropout: FractionBelowOne = 0.5,
) -> Classifier:
    """Build the untrained network. Its features (b, feature_dim) are the first dense layer after ReLU and dropout.

    classes: the number of classes; image_shape: (channels, height, width); width: a factor of the published channels of convolutions
    conv_dropout, dense_dropout: the rates after the convolutions and after the dense layer
    Raises ValueError for images below 6 x 6 pixels.
    """
    require_min_image_size("mnist_convnet", image_shape, 6)
    image_channels, image_height, image_width = image_shape
    first_layer_channels, second_layer_channels = scale_channels(32, width), scale_channels(64, width)
    pooled_feature_count = second_layer_channels * ((image_height - 4) // 2) * ((image_width - 4) // 2)
    convolution_layers = [
        nn.Conv2d(image_channels, first_layer_channels, 3),
        nn.ReLU(),
        nn.Conv2d(first_layer_channels, second_layer_channels, 3),
        nn.ReLU(),
    ]
    pooling_layers = [nn.MaxPool2d(2), nn.Dropout(conv_dropout)]
    dense_layers = [nn.Flatten(), nn.Linear(pooled_feature_count, feature_dim), nn.ReLU(), nn.Dropout(dense_dropout)]
    return SequentialClassifier(nn.Sequential(*convolution_layers, *pooling_layers, *dense_layers), nn.Linear(feature_dim, classes))
