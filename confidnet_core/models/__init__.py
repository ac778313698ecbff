"""Networks: one function a file, (*, classes, image_shape, **settings) -> Classifier, untrained unless it says otherwise.

image_shape is (channels, height, width). Types and ranges of the settings stand in the signature (config/ranges.py), and the stage
`sources` checks them before any other work. Weights have PyTorch's default initialisation, dropout is always an nn.Dropout
module, and a convnet's `width` scales the channels of its convolutions. Files with a leading underscore are no entries:
what a classifier is, and the confidence network that is built on any of them.
"""
