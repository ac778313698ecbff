"""The confidence head: five layers that map a classifier's features to one number for each prediction.

Corbière et al. 2019, arXiv:1910.04851, section 2.2; widths as published. For segmentation the published code has 3 x 3
kernels where the paper says 1 x 1.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from confidnet_core.networks.classifier import apply_in_float32

DENSE_HIDDEN_WIDTHS = (400, 400, 400, 400)
CONVOLUTIONAL_HIDDEN_WIDTHS = (400, 120, 64, 64)


class ConfidenceHead(nn.Module):
    """A network that maps features (b, d, ...) to confidence logits (b, ...), before the sigmoid, float32 also under autocast."""

    def __init__(self, hidden: nn.Sequential, output: nn.Linear | nn.Conv2d) -> None:
        super().__init__()
        self.hidden, self.output = hidden, output

    def forward(self, features: Float[Tensor, "b d *pixels"]) -> Float[Tensor, " b *pixels"]:
        return apply_in_float32(self.output, self.hidden(features)).squeeze(1)

    @property
    def input_channels(self) -> int:
        """The number of channels that the head reads."""
        return self._first_layer.weight.shape[1]

    def add_inputs(self, count: int) -> None:
        """Let the first layer read `count` further channels after the features, with weights of 0, so that the output stays the same."""
        weight = self._first_layer.weight
        zeros = weight.new_zeros(len(weight), count, *weight.shape[2:])
        self._first_layer.weight = nn.Parameter(torch.cat([weight.detach(), zeros], dim=1))

    @property
    def _first_layer(self) -> nn.Linear | nn.Conv2d:
        first_layer = self.hidden[0] if len(self.hidden) else self.output
        assert isinstance(first_layer, nn.Linear | nn.Conv2d), "`build_confidence_head` builds no other"
        return first_layer

    def set_initial_confidence(self, confidence: float) -> None:
        """Set the output bias so that an untrained head predicts about this confidence, in [0, 1].

        Where nearly all targets are 1, a head that starts at 1/2 first learns to be confident everywhere, and the saturated sigmoid then
        passes hardly any gradient on.
        """
        with torch.no_grad():
            self._output_bias().fill_(torch.logit(torch.tensor(confidence), eps=1e-4))

    def zero_output_layer(self) -> None:
        """Set weights and bias of the output layer to 0, so that the untrained head returns 0 and adds nothing to another score."""
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self._output_bias())

    def _output_bias(self) -> Tensor:
        if self.output.bias is None:
            raise ValueError("the last layer of a confidence head needs a bias: nn.Linear or nn.Conv2d without bias=False")
        return self.output.bias


def build_confidence_head(
    input_channels: int, *, hidden_widths: Sequence[int] | None = None, kernel_size: int | None = None
) -> ConfidenceHead:
    """Build an untrained confidence head, which maps a classifier's features to one confidence logit for each prediction.

    input_channels: the number of features
    hidden_widths: output channels of the hidden layers, each with a ReLU; by default as published
    kernel_size: None for linear layers on vectors; an odd size for convolutions on feature maps, 1 (paper) or 3 (published code)
    Raises ValueError for an even kernel size and for a width below 1.
    """
    if kernel_size is not None and (kernel_size < 1 or kernel_size % 2 == 0):
        raise ValueError(f"the confidence head's kernel is {kernel_size}, but it must be odd to keep the image size: give 1 or 3")
    if hidden_widths is None:
        hidden_widths = DENSE_HIDDEN_WIDTHS if kernel_size is None else CONVOLUTIONAL_HIDDEN_WIDTHS
    if any(hidden_width < 1 for hidden_width in hidden_widths):
        raise ValueError(f"the confidence head's widths are {list(hidden_widths)}, but a layer has at least 1 channel")
    hidden_layers = [
        (_build_layer(in_channels, out_channels, kernel_size), nn.ReLU(inplace=True))
        for in_channels, out_channels in pairwise([input_channels, *hidden_widths])
    ]
    hidden = [module for layer_and_relu in hidden_layers for module in layer_and_relu]
    return ConfidenceHead(nn.Sequential(*hidden), _build_layer([input_channels, *hidden_widths][-1], 1, kernel_size))


def head_from_weights(weights: Mapping[str, Tensor]) -> ConfidenceHead:
    """Build an untrained confidence head with the layer sizes of a state_dict.

    weights: the state_dict of a confidence head. Raises ValueError for that of another network.
    """
    layer_weights = [tensor for name, tensor in weights.items() if name.endswith(".weight")]
    if "output.weight" not in weights or any(layer_weight.ndim not in (2, 4) for layer_weight in layer_weights):
        raise ValueError(f"the weights {', '.join(weights) or '(none)'} are not of a confidence head")
    kernel_size = layer_weights[0].shape[-1] if layer_weights[0].ndim == 4 else None
    return build_confidence_head(
        layer_weights[0].shape[1], hidden_widths=[len(layer_weight) for layer_weight in layer_weights[:-1]], kernel_size=kernel_size
    )


def _build_layer(in_channels: int, out_channels: int, kernel_size: int | None) -> nn.Linear | nn.Conv2d:
    return (
        nn.Linear(in_channels, out_channels)
        if kernel_size is None
        else nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
    )
