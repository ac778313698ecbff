"""A perceptron with one hidden layer.

Corbière et al. 2019, arXiv:1910.04851, section 4.1; size and dropout as in the published MNIST configuration.
"""

import math

from torch import nn

from confidnet_core.config.ranges import FractionBelowOne, LayerWidth
from confidnet_core.networks.classifier import Classifier, SequentialClassifier


def mlp(*, classes: int, image_shape: tuple[int, int, int], hidden: LayerWidth = 1000, dropout: FractionBelowOne = 0.3) -> Classifier:
    """Build the untrained perceptron. Its features (b, hidden) are the hidden layer after ReLU and dropout.

    classes: the number of classes; image_shape: (channels, height, width); hidden: the width of the hidden layer; dropout: its rate
    """
    features = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(image_shape), hidden), nn.ReLU(), nn.Dropout(dropout))
    return SequentialClassifier(features, nn.Linear(hidden, classes))
