"""Classifier architectures: each file has one function (*, classes, image_shape, **settings) -> Classifier, untrained by default.

image_shape is (channels, height, width). Types and ranges of the settings are annotated in the signature (config/ranges.py), and the
stage `sources` checks them before any other work. Weights have PyTorch's default initialisation, dropout is always an nn.Dropout
module, and a convnet's `width` scales the channels of its convolutions. Files with a leading underscore are shared code, not models.
"""
