"""VGG16 for small images, as for CIFAR-10 and CIFAR-100. It has BatchNorm after the ReLU, reflection padding and much dropout.

Simonyan and Zisserman 2015, arXiv:1409.1556, configuration D; dropout as published with Corbière et al. 2019, arXiv:1910.04851.
"""

from typing import Annotated

from pydantic import Field
from torch import nn

from confidnet_core.config.ranges import LayerWidth, PretrainedWeights, WidthFactor
from confidnet_core.models._vgg_weights import load_imagenet_encoder
from confidnet_core.networks.classifier import Classifier, SequentialClassifier, scale_channels

# Output channels of each convolution and the dropout rate after it; 0 means no dropout. Every stage ends with max pooling.
CONVOLUTION_STAGES = (
    ((64, 0.3), (64, 0.0)),
    ((128, 0.4), (128, 0.0)),
    ((256, 0.4), (256, 0.4), (256, 0.0)),
    ((512, 0.4), (512, 0.4), (512, 0.0)),
    ((512, 0.4), (512, 0.4), (512, 0.0)),
)


def vgg16(
    *,
    classes: int,
    image_shape: tuple[int, int, int],
    width: WidthFactor = 1.0,
    feature_dim: LayerWidth = 512,
    dropout: Annotated[float, Field(ge=0, le=2, description="0 to 2, which multiplies rates of up to 0.5")] = 1.0,
    pretrained: PretrainedWeights = False,
) -> Classifier:
    """Build the untrained VGG16. Its features (b, feature_dim) are the first dense layer after ReLU and dropout.

    classes: the number of classes; image_shape: (channels, height, width); width: a factor of the published channels of convolutions
    dropout: factor, at most 2, of the published rates of 0.3 to 0.5, which need a long training
    pretrained: initialise the convolutions with ImageNet weights, see load_imagenet_encoder
    Raises ValueError for images whose height or width is no multiple of 32, because there are five poolings.
    """
    image_channels, image_height, image_width = image_shape
    if min(image_height, image_width) < 32 or image_height % 32 or image_width % 32:
        raise ValueError(
            f"vgg16 needs a height and width divisible by 32, got {image_height} x {image_width}; choose svhn_convnet or resize"
        )
    convolution_layers = _build_convolutions(image_channels, width, dropout)
    pooled_feature_count = scale_channels(512, width) * (image_height // 32) * (image_width // 32)
    dense_dropout_rate = 0.5 * dropout
    dense_layers = [
        nn.Dropout(dense_dropout_rate),
        nn.Flatten(),
        nn.Linear(pooled_feature_count, feature_dim),
        nn.ReLU(),
        nn.Dropout(dense_dropout_rate),
    ]
    load_imagenet_encoder([layer for layer in convolution_layers if isinstance(layer, nn.Conv2d)], pretrained)
    return SequentialClassifier(nn.Sequential(*convolution_layers, *dense_layers), nn.Linear(feature_dim, classes))


def _build_convolutions(image_channels: int, width_factor: float, dropout_rate_factor: float) -> list[nn.Module]:
    layers: list[nn.Module] = []
    in_channels = image_channels
    for convolution_stage in CONVOLUTION_STAGES:
        for published_channels, dropout_rate in convolution_stage:
            out_channels = scale_channels(published_channels, width_factor)
            layers += [nn.Conv2d(in_channels, out_channels, 3, padding=1, padding_mode="reflect"), nn.ReLU(), nn.BatchNorm2d(out_channels)]
            layers += [nn.Dropout(dropout_rate * dropout_rate_factor)] if dropout_rate else []
            in_channels = out_channels
        layers.append(nn.MaxPool2d(2))
    return layers
