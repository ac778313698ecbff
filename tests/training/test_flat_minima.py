"""Sharpness-Aware Minimization: its gradient equals an independent computation, and everything else is left unchanged."""

import math
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from small import CPU, same, state
from test_fitting import DIGITS, fit_network, recipe, scripted_validation
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from confidnet_core.config.recipes import Augmentation
from confidnet_core.networks.batches import TrainingBatches
from confidnet_core.training.flat_minima import set_sharpness_aware_gradient


def convnet(dropout: float = 0.3) -> nn.Module:
    """Return a network with BatchNorm after a convolution and after a dense layer."""
    torch.manual_seed(0)
    first = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(dropout)]
    return nn.Sequential(*first, nn.Linear(144, 16), nn.BatchNorm1d(16, momentum=0.3), nn.ReLU(), nn.Linear(16, 10))


def batch(size: int = 100) -> tuple[Tensor, Tensor]:
    return next(TrainingBatches(DIGITS, size, Augmentation(), CPU).epoch(torch.Generator().manual_seed(1)))[1]


def gradient_of(network: nn.Module, images: Tensor, labels: Tensor) -> Callable[[], Tensor]:
    def gradient() -> Tensor:
        network.zero_grad()
        loss = cross_entropy(network(images), labels)
        loss.backward()
        return loss

    return gradient


class Quadratic(nn.Module):
    """A quadratic form in two parameter vectors, whose gradients and joint norm are known."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.first, self.second = nn.Parameter(torch.tensor([1.0, -2.0])), nn.Parameter(torch.tensor([3.0]))
        self.curvature = scale * torch.tensor([4.0, 1.0, 0.5])

    def gradient(self) -> Tensor:
        self.zero_grad()
        loss = (self.curvature * torch.cat([self.first, self.second]).square()).sum() / 2
        loss.backward()
        return loss.detach()

    def vector(self) -> np.ndarray:
        return torch.cat([self.first, self.second]).detach().double().numpy()


@pytest.mark.parametrize("radius", [0.05, 2.0])
def test_on_a_quadratic_the_gradient_is_that_one_radius_up_the_slope(radius: float):
    form = Quadratic()
    before = form.vector()
    loss = set_sharpness_aware_gradient(form, radius, form.gradient)
    slope = form.curvature.numpy() * before
    expected = form.curvature.numpy() * (before + radius * slope / np.linalg.norm(slope))
    assert loss.item() == pytest.approx(before @ slope / 2)
    assert torch.cat([form.first.grad, form.second.grad]).numpy() == pytest.approx(expected, rel=1e-6)
    assert np.array_equal(form.vector(), before)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_step_on_a_network_goes_down_the_gradient_of_two_passes_done_by_hand(tmp_path: Path, precision: str):
    trained, (images, labels) = convnet(dropout=0.0).train(), batch(300)
    reference = {name: value.detach().clone().requires_grad_() for name, value in trained.named_parameters()}

    def gradients(parameters: dict[str, Tensor]) -> tuple[Tensor, ...]:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits = functional_call(trained, {**parameters, **deepcopy(dict(trained.named_buffers()))}, images)
        return torch.autograd.grad(cross_entropy(logits.float(), labels), list(parameters.values()))

    first = dict(zip(reference, gradients(reference), strict=True))
    norm = math.sqrt(sum(float(part.double().square().sum()) for part in first.values()))
    perturbed = {name: (value + 0.5 * first[name] / norm).detach().requires_grad_() for name, value in reference.items()}
    second = dict(zip(reference, gradients(perturbed), strict=True))

    validate, _ = scripted_validation(trained, [0.1], [1.0])
    fit_network(tmp_path, trained, recipe(1, sam_radius=0.5, precision=precision), validate)
    moved = {name: (reference[name] - value).detach() / 0.05 for name, value in trained.named_parameters()}
    tolerance = 1e-5 if precision == "fp32" else 1e-2
    assert all(torch.allclose(moved[name], second[name], atol=tolerance) for name in reference)
    assert max((moved[name] - first[name]).abs().max() for name in reference) > 10 * tolerance


def test_both_passes_draw_the_same_dropout_masks_and_random_numbers_go_on_as_after_one():
    torch.manual_seed(0)
    network, (images, labels), masks = nn.Sequential(nn.Linear(64, 30), nn.Dropout(), nn.Linear(30, 10)), batch(), []
    gradient = gradient_of(network, images.flatten(1), labels)
    network[1].register_forward_hook(lambda layer, inputs, output: masks.append(output != 0))
    torch.manual_seed(5)
    gradient()
    next_random = torch.rand(4)
    torch.manual_seed(5)
    set_sharpness_aware_gradient(network, 0.1, gradient)
    assert torch.equal(torch.rand(4), next_random)
    single_pass, first, second = masks
    assert torch.equal(first, single_pass) and torch.equal(first, second)
    assert 0.4 < first.float().mean() < 0.6


def test_the_running_statistics_take_in_the_first_pass_only():
    network, images_and_labels = convnet(dropout=0.0).train(), batch()
    once = deepcopy(network)
    gradient_of(once, *images_and_labels)()
    set_sharpness_aware_gradient(network, 0.5, gradient_of(network, *images_and_labels))
    assert same(dict(network.named_buffers()), dict(once.named_buffers()))
    assert network[1].num_batches_tracked == 1
    assert all(layer.track_running_stats for layer in (network[1], network[6]))


def test_in_eval_mode_the_second_pass_normalises_with_the_running_statistics_too():
    network = convnet(dropout=0.0).eval()
    network[1].running_var.fill_(9.0)
    scale_ratios = []
    network[1].register_forward_hook(lambda layer, inputs, output: scale_ratios.append((inputs[0].std() / output.std()).item()))
    set_sharpness_aware_gradient(network, 0.01, gradient_of(network, *batch()))
    assert scale_ratios == pytest.approx([3.0, 3.0], rel=0.1)


def test_weights_come_back_bit_for_bit_also_from_a_pass_that_fails():
    network, images_and_labels = convnet().train(), batch()
    before, gradient, calls = state(network), gradient_of(network, *images_and_labels), []

    def failing() -> Tensor:
        calls.append(1)
        if len(calls) == 2:
            raise MemoryError
        return gradient()

    set_sharpness_aware_gradient(network, 0.1, gradient)
    assert all(torch.equal(value, before[name]) for name, value in network.named_parameters())
    with pytest.raises(MemoryError):
        set_sharpness_aware_gradient(network, 0.1, failing)
    assert all(torch.equal(value, before[name]) for name, value in network.named_parameters())


def test_without_a_slope_the_gradient_stays_zero():
    form, calls = Quadratic(scale=0.0), []
    set_sharpness_aware_gradient(form, 0.1, lambda: calls.append(1) or form.gradient())
    assert len(calls) == 1
    assert torch.cat([form.first.grad, form.second.grad]).tolist() == [0, 0, 0]


@pytest.mark.parametrize("scale", [1e-44, 1e-30, 1e-15, 1e15])
def test_the_smallest_and_largest_slopes_give_finite_gradients(scale: float):
    form = Quadratic(scale)
    set_sharpness_aware_gradient(form, 0.1, form.gradient)
    assert torch.cat([form.first.grad, form.second.grad]).isfinite().all()


@pytest.mark.parametrize(("scale", "norm"), [(math.nan, "nan"), (math.inf, "inf"), (1e37, "inf")])
def test_a_gradient_that_is_not_finite_ends_the_training_before_it_moves_a_weight(tmp_path: Path, scale: float, norm: str):
    form = Quadratic(scale)
    before = form.vector()
    validate, _ = scripted_validation(form, [0.1], [1.0])
    settings = recipe(1, sam_radius=0.1)
    with pytest.raises(ValueError, match=rf"no longer finite \(its norm is {norm}, the loss .*lower learning_rate or sam_radius"):
        fit_network(tmp_path, form, settings, validate, loss=lambda images, labels: (form.curvature[:2] * form.first.square()).sum() / 2)
    assert np.array_equal(form.vector(), before)


def test_a_second_pass_that_is_not_finite_moves_no_weight_either():
    weight = nn.Linear(1, 1, bias=False)
    before = weight.weight.detach().clone()

    def gradient() -> Tensor:
        weight.zero_grad()
        loss = weight.weight.sum() if torch.equal(weight.weight, before) else weight.weight.sum() * math.inf
        loss.backward()
        return loss

    with pytest.raises(ValueError, match="its norm is inf"):
        set_sharpness_aware_gradient(weight, 0.1, gradient)
    assert torch.equal(weight.weight, before)
