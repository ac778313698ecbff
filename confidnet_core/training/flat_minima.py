"""Flat minima: the gradient of Sharpness-Aware Minimization (SAM), and how Stochastic Weight Averaging (SWA) ends.

Foret et al. 2021, arXiv:2010.01412, equations 2 and 3; Izmailov et al. 2018, arXiv:1803.05407, section 3. Together: FMFP, arXiv:2403.02886.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import get_total_norm
from torch.optim.swa_utils import AveragedModel


def sharpness_aware(network: nn.Module, radius: float, gradient: Callable[[], Tensor]) -> Tensor:
    """Leaves in the parameters' grad the gradient at w + radius g / ||g||, where g is the one at w. Returns the loss at w.

    gradient(): one pass forward and backward from no gradients; returns its loss. Weights end as they were. Both passes draw the same
    dropout masks, as two views of one loss, and random numbers go on as after one pass. BatchNorm's running statistics take in the
    first pass only. Where g is zero there is no way up, and it stays. ValueError for a gradient that is not finite.
    """
    device = next(network.parameters()).device
    draws = _random_state(device)
    loss = gradient()
    moved = [parameter for parameter in network.parameters() if parameter.grad is not None]
    if (norm := _finite_norm(moved, loss)) > 0:
        _set_random_state(device, draws)
        with _at_the_top(moved, radius, norm), _statistics_kept(network):
            _finite_norm(moved, gradient())
    return loss


def _finite_norm(parameters: list[nn.Parameter], loss: Tensor) -> Tensor:
    norm = get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    if not norm.isfinite():
        remedy = "lower learning_rate or sam_radius, or use precision: fp32"
        raise ValueError(f"the gradient is no longer finite (its norm is {norm.item()}, the loss {loss.item()}); {remedy}")
    return norm


@contextmanager
def _at_the_top(parameters: list[nn.Parameter], radius: float, norm: Tensor) -> Iterator[None]:
    """Where the loss is highest within the radius, to first order. The weights come back from copies: subtracting would round."""
    former = [parameter.detach().clone() for parameter in parameters]
    with torch.no_grad():
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.add_(parameter.grad / norm, alpha=radius)
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(parameters, former, strict=True):
                parameter.copy_(value)


@contextmanager
def _statistics_kept(network: nn.Module) -> Iterator[None]:
    """BatchNorm normalises as it does in its mode, and its running statistics stay."""
    tracking = [layer for layer in _batch_norms(network) if layer.track_running_stats]
    for layer in tracking:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in tracking:
            layer.track_running_stats = True


def take_average(network: nn.Module, average: AveragedModel) -> None:
    """Give the trainable parameters of the network their averages; all else stays."""
    with torch.no_grad():
        for parameter, mean in zip(network.parameters(), average.module.parameters(), strict=True):
            if parameter.requires_grad:
                parameter.copy_(mean)


@contextmanager
def fresh_statistics(network: nn.Module) -> Iterator[None]:
    """Running statistics become the plain means over the batches of the block, of mean and unbiased variance.

    Only of BatchNorm layers that are in training mode when the block begins: ConfidNet's encoder keeps the classifier's.
    """
    learning = [layer for layer in _batch_norms(network) if layer.training and layer.track_running_stats]
    momenta = [layer.momentum for layer in learning]
    for layer in learning:
        layer.reset_running_stats()
        layer.momentum = None  # PyTorch's word for a mean over all batches
    try:
        yield
    finally:
        for layer, momentum in zip(learning, momenta, strict=True):
            layer.momentum = momentum


def _batch_norms(network: nn.Module) -> list[_BatchNorm]:
    return [layer for layer in network.modules() if isinstance(layer, _BatchNorm)]


def _random_state(device: torch.device) -> list[Tensor]:
    """Of the CPU and of the device; each draws from its own."""
    return [torch.get_rng_state(), *([] if device.type == "cpu" else [torch.get_device_module(device).get_rng_state()])]


def _set_random_state(device: torch.device, state: list[Tensor]) -> None:
    torch.set_rng_state(state[0])
    if device.type != "cpu":
        torch.get_device_module(device).set_rng_state(state[1])
