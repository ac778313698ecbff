"""Flat minima: the gradient of Sharpness-Aware Minimization (SAM), and the averaged network of Stochastic Weight Averaging (SWA).

Foret et al. 2021, arXiv:2010.01412, equations 2 and 3; Izmailov et al. 2018, arXiv:1803.05407, section 3. Together: FMFP, arXiv:2403.02886.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import get_total_norm
from torch.optim.swa_utils import AveragedModel


def set_sharpness_aware_gradient(network: nn.Module, perturbation_radius: float, compute_gradient: Callable[[], Tensor]) -> Tensor:
    """Set each parameter's gradient to that at w + perturbation_radius * g / norm(g), where g is the gradient at w; return the loss at w.

    compute_gradient(): computes gradients by one forward and backward pass, with none before, and returns the loss
    The weights are restored afterwards. Both passes draw the same dropout masks, because they evaluate one loss, and the random state
    ends as after a single pass. BatchNorm's running statistics are updated by the first pass only. Where g is zero, the result is g.
    ValueError for a gradient that is not finite.
    """
    device = next(network.parameters()).device
    random_states = _get_random_states(device)
    loss = compute_gradient()
    parameters = [parameter for parameter in network.parameters() if parameter.grad is not None]
    if (gradient_norm := _gradient_norm(parameters, loss)) > 0:
        _set_random_states(device, random_states)
        with _perturbed_weights(parameters, perturbation_radius, gradient_norm), _frozen_batchnorm_statistics(network):
            _gradient_norm(parameters, compute_gradient())
    return loss


def _gradient_norm(parameters: list[nn.Parameter], loss: Tensor) -> Tensor:
    """Return the Euclidean norm of the gradients of all parameters together. Raises ValueError for a norm that is not finite."""
    gradient_norm = get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
    if not gradient_norm.isfinite():
        remedy_text = "lower learning_rate or sam_radius, or use precision: fp32"
        raise ValueError(f"the gradient is no longer finite (its norm is {gradient_norm.item()}, the loss {loss.item()}); {remedy_text}")
    return gradient_norm


@contextmanager
def _perturbed_weights(parameters: list[nn.Parameter], perturbation_radius: float, gradient_norm: Tensor) -> Iterator[None]:
    """Within the block, add perturbation_radius * gradient / gradient_norm to the weights.

    To first order, the loss is highest there within this radius. The weights are restored from copies afterwards, because subtracting the
    step would round.
    """
    original_values = [parameter.detach().clone() for parameter in parameters]
    with torch.no_grad():
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.add_(parameter.grad / gradient_norm, alpha=perturbation_radius)
    try:
        yield
    finally:
        with torch.no_grad():
            for parameter, value in zip(parameters, original_values, strict=True):
                parameter.copy_(value)


@contextmanager
def _frozen_batchnorm_statistics(network: nn.Module) -> Iterator[None]:
    """Within the block, keep BatchNorm's running statistics unchanged; normalisation goes on according to each layer's mode."""
    layers_tracking_statistics = [layer for layer in _batch_norm_layers(network) if layer.track_running_stats]
    for layer in layers_tracking_statistics:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers_tracking_statistics:
            layer.track_running_stats = True


def load_averaged_weights(network: nn.Module, averaged_model: AveragedModel) -> None:
    """Copy the weights averaged by SWA into the trainable parameters of the network; frozen parameters and buffers stay unchanged."""
    with torch.no_grad():
        for parameter, averaged_parameter in zip(network.parameters(), averaged_model.module.parameters(), strict=True):
            if parameter.requires_grad:
                parameter.copy_(averaged_parameter)


@contextmanager
def recompute_batchnorm_statistics(network: nn.Module) -> Iterator[None]:
    """Recompute BatchNorm's running mean and unbiased variance as plain means over the batches that pass within the block.

    Only layers in training mode are affected, so ConfidNet's encoder keeps the classifier's statistics.
    """
    layers_in_training_mode = [layer for layer in _batch_norm_layers(network) if layer.training and layer.track_running_stats]
    former_momenta = [layer.momentum for layer in layers_in_training_mode]
    for layer in layers_in_training_mode:
        layer.reset_running_stats()
        layer.momentum = None  # in PyTorch, None means the plain mean over all batches
    try:
        yield
    finally:
        for layer, momentum in zip(layers_in_training_mode, former_momenta, strict=True):
            layer.momentum = momentum


def _batch_norm_layers(network: nn.Module) -> list[_BatchNorm]:
    return [layer for layer in network.modules() if isinstance(layer, _BatchNorm)]


def _get_random_states(device: torch.device) -> list[Tensor]:
    """Return the state of the CPU's random generator and, for another device, that of the device's own generator."""
    return [torch.get_rng_state(), *([] if device.type == "cpu" else [torch.get_device_module(device).get_rng_state()])]


def _set_random_states(device: torch.device, random_states: list[Tensor]) -> None:
    torch.set_rng_state(random_states[0])
    if device.type != "cpu":
        torch.get_device_module(device).set_rng_state(random_states[1])
