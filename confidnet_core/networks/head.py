"""The confidence head: five layers from a classifier's features to one number a prediction.

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
    """features (b, d) -> (b,), or (b, d, h, w) -> (b, h, w): confidences before the sigmoid, float32 under autocast, too."""

    def __init__(self, hidden: nn.Sequential, output: nn.Linear | nn.Conv2d) -> None:
        super().__init__()
        self.hidden, self.output = hidden, output

    def forward(self, features: Float[Tensor, "b d *pixels"]) -> Float[Tensor, " b *pixels"]:
        return in_float32(self.output, self.hidden(features)).squeeze(1)

    def start_at(self, confidence: float) -> None:
        """Let a fresh head begin near this confidence, in [0, 1]: where targets are nearly all 1, one that begins at 1/2 first
        learns to be sure of everything, and the sigmoid then passes hardly any gradient on."""
        with torch.no_grad():
            self._bias().fill_(torch.logit(torch.tensor(confidence), eps=1e-4))

    def start_at_zero(self) -> None:
        """Let a fresh head say 0 for everything, as what it adds to another score."""
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self._bias())

    def _bias(self) -> Tensor:
        if self.output.bias is None:
            raise ValueError("the last layer of a confidence head needs a bias: nn.Linear or nn.Conv2d without bias=False")
        return self.output.bias


def confidence_head(features: int, *, widths: Sequence[int] | None = None, kernel: int | None = None) -> ConfidenceHead:
    """features: channels of the input. widths: of the layers with a ReLU; by default as published.

    kernel: None for a head of linear layers on vectors; odd for convolutions on feature maps, 1 (paper) or 3 (published code)
    ValueError for an even kernel and for a width below 1.
    """
    if kernel is not None and (kernel < 1 or kernel % 2 == 0):
        raise ValueError(f"the confidence head's kernel is {kernel}, but it must be odd to keep the image size: give 1 or 3")
    if widths is None:
        widths = DENSE_WIDTHS if kernel is None else CONVOLUTIONAL_WIDTHS
    if any(width < 1 for width in widths):
        raise ValueError(f"the confidence head's widths are {list(widths)}, but a layer has at least 1 channel")
    hidden = [layer for before, after in pairwise([features, *widths]) for layer in (_linear(before, after, kernel), nn.ReLU(inplace=True))]
    return ConfidenceHead(nn.Sequential(*hidden), _linear([features, *widths][-1], 1, kernel))


def head_of(weights: Mapping[str, Tensor]) -> ConfidenceHead:
    """A fresh head of the shape of these weights, the state_dict of one. ValueError where they are of something else."""
    layers = [value for name, value in weights.items() if name.endswith(".weight")]
    if "output.weight" not in weights or any(layer.ndim not in (2, 4) for layer in layers):
        raise ValueError(f"the weights {', '.join(weights) or '(none)'} are not of a confidence head")
    kernel = layers[0].shape[-1] if layers[0].ndim == 4 else None
    return confidence_head(layers[0].shape[1], widths=[len(layer) for layer in layers[:-1]], kernel=kernel)


def _linear(before: int, after: int, kernel: int | None) -> nn.Linear | nn.Conv2d:
    return nn.Linear(before, after) if kernel is None else nn.Conv2d(before, after, kernel, padding=kernel // 2)
