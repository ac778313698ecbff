"""BatchNorm in evaluation mode, which is a scale and a shift of each channel, folded into the convolution before or behind it.

Ioffe & Szegedy 2015, arXiv:1502.03167; the folding is that of Jacob et al. 2018, arXiv:1712.05877, section 3.2.
"""

from collections import Counter
from copy import deepcopy
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

NetworkT = TypeVar("NetworkT", bound=nn.Module)


def fold_batchnorm(network: NetworkT) -> NetworkT:
    """Return a copy of a network in evaluation mode that gives the same outputs up to rounding, with fewer layers to compute.

    A BatchNorm directly behind a convolution in the same nn.Sequential is folded into it; one directly before a convolution, too, where
    the convolution pads with pixels of the image or not at all, since zeros would not be scaled and shifted. Other layers stay, such as a
    BatchNorm before dropout, and all layers of a classifier's `choosing_parts`, where a rounding error can move a pixel. An nn.Identity
    takes the place of what is folded, so that layers keep their names. The network itself is returned, and no copy, where nothing can be
    folded. Values between the layers differ, so only the output is to be used.
    """
    if not _foldable_pairs(network):
        return network
    folded = deepcopy(network)
    with torch.no_grad():
        while pairs := _foldable_pairs(folded):
            container, index = pairs[0]
            first, second = container[index], container[index + 1]
            if isinstance(first, nn.Conv2d) and isinstance(second, nn.BatchNorm2d):
                container[index], container[index + 1] = fuse_conv_bn_eval(first, second), nn.Identity()
            elif isinstance(first, nn.BatchNorm2d) and isinstance(second, nn.Conv2d):
                container[index], container[index + 1] = nn.Identity(), _scaled_convolution(first, second)
    return folded


def _foldable_pairs(network: nn.Module) -> list[tuple[nn.Sequential, int]]:
    """Return each nn.Sequential of the network with the index of a layer that can be folded with the next one."""
    choosing = {layer for name in getattr(network, "choosing_parts", ()) for layer in network.get_submodule(name).modules()}
    uses = Counter(layer for _, layer in network.named_modules(remove_duplicate=False))
    return [
        (container, index)
        for container in network.modules()
        if type(container) is nn.Sequential and uses[container] == 1 and container not in choosing
        for index in range(len(container) - 1)
        if _can_be_folded(container[index], container[index + 1]) and uses[container[index]] == uses[container[index + 1]] == 1
    ]


def _can_be_folded(first: nn.Module, second: nn.Module) -> bool:
    if any(layer._forward_hooks or layer._forward_pre_hooks for layer in (first, second)):
        return False  # a hook may set the weights, as that of torch.nn.utils.weight_norm does
    if type(first) is nn.Conv2d and type(second) is nn.BatchNorm2d:
        return _is_fixed(second)
    if type(first) is not nn.BatchNorm2d or type(second) is not nn.Conv2d:
        return False
    pads_with_zeros = second.padding_mode == "zeros" and (isinstance(second.padding, str) or any(second.padding))
    return _is_fixed(first) and second.groups == 1 and not pads_with_zeros


def _is_fixed(norm: nn.BatchNorm2d) -> bool:
    return not norm.training and norm.running_mean is not None and norm.running_var is not None


def _scaled_convolution(norm: nn.BatchNorm2d, convolution: nn.Conv2d) -> nn.Conv2d:
    """Return a convolution that gives for an input what `convolution` gives for the input behind `norm`."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = (norm.running_var + norm.eps).rsqrt() * (1 if norm.weight is None else norm.weight)
    shift = (0 if norm.bias is None else norm.bias) - norm.running_mean * scale
    scaled, weight = deepcopy(convolution), convolution.weight
    shifted_output: Tensor = (weight * shift.view(1, -1, 1, 1)).sum((1, 2, 3))
    scaled.weight = nn.Parameter(weight * scale.view(1, -1, 1, 1), requires_grad=weight.requires_grad)
    scaled.bias = nn.Parameter(shifted_output if convolution.bias is None else convolution.bias + shifted_output, weight.requires_grad)
    return scaled
