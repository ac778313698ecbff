"""The confidence head: five layers that map a classifier's features to one number for each prediction.

Corbière et al. 2019, arXiv:1910.04851, section 2.2; widths as published. For segmentation the published code has 3 x 3
kernels where the paper says 1 x 1.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from confidnet_core.networks.classifier import in_float32

DENSE_WIDTHS = (400, 400, 400, 400)
CONVOLUTIONAL_WIDTHS = (400, 120, 64, 64)


class ConfidenceHead(nn.Module):
    """A network from features (b, d, ...) to confidence logits (b, ...), before the sigmoid; they are float32 also under autocast."""

    def __init__(self, hidden: nn.Sequential, output: nn.Linear | nn.Conv2d) -> None:
        super().__init__()
        self.hidden, self.output = hidden, output

    def forward(self, features: Float[Tensor, "b d *pixels"]) -> Float[Tensor, " b *pixels"]:
        return in_float32(self.output, self.hidden(features)).squeeze(1)

    def set_initial_confidence(self, confidence: float) -> None:
        """Set the output bias so that an untrained head predicts about this confidence, in [0, 1].

        Where nearly all targets are 1, a head that starts at 1/2 first learns to be confident everywhere, and the saturated sigmoid then
        passes hardly any gradient on.
        """
        with torch.no_grad():
            self._output_bias().fill_(torch.logit(torch.tensor(confidence), eps=1e-4))

    def zero_output_layer(self) -> None:
        """Set weights and bias of the output layer to 0: the untrained head then returns 0 and adds nothing to another score."""
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self._output_bias())

    def _output_bias(self) -> Tensor:
        if self.output.bias is None:
            raise ValueError("the last layer of a confidence head needs a bias: nn.Linear or nn.Conv2d without bias=False")
        return self.output.bias


def confidence_head(features: int, *, widths: Sequence[int] | None = None, kernel: int | None = None) -> ConfidenceHead:
    """Build an untrained confidence head.

    features: number of input channels
    widths: output channels of the hidden layers, each with a ReLU; by default as published
    kernel: None for linear layers on vectors; an odd size for convolutions on feature maps, 1 (paper) or 3 (published code)
    ValueError for an even kernel and for a width below 1.
    """
    if kernel is not None and (kernel < 1 or kernel % 2 == 0):
        raise ValueError(f"the confidence head's kernel is {kernel}, but it must be odd to keep the image size: give 1 or 3")
    if widths is None:
        widths = DENSE_WIDTHS if kernel is None else CONVOLUTIONAL_WIDTHS
    if any(width < 1 for width in widths):
        raise ValueError(f"the confidence head's widths are {list(widths)}, but a layer has at least 1 channel")
    layers = [
        (_build_layer(in_channels, out_channels, kernel), nn.ReLU(inplace=True))
        for in_channels, out_channels in pairwise([features, *widths])
    ]
    hidden = [module for layer_and_relu in layers for module in layer_and_relu]
    return ConfidenceHead(nn.Sequential(*hidden), _build_layer([features, *widths][-1], 1, kernel))


def head_from_weights(weights: Mapping[str, Tensor]) -> ConfidenceHead:
    """Build an untrained confidence head with the layer sizes of a state_dict. ValueError for the state_dict of another network."""
    layers = [value for name, value in weights.items() if name.endswith(".weight")]
    if "output.weight" not in weights or any(layer.ndim not in (2, 4) for layer in layers):
        raise ValueError(f"the weights {', '.join(weights) or '(none)'} are not of a confidence head")
    kernel = layers[0].shape[-1] if layers[0].ndim == 4 else None
    return confidence_head(layers[0].shape[1], widths=[len(layer) for layer in layers[:-1]], kernel=kernel)


def _build_layer(in_channels: int, out_channels: int, kernel: int | None) -> nn.Linear | nn.Conv2d:
    return nn.Linear(in_channels, out_channels) if kernel is None else nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2)
