"""Targets and losses of confidences: their definitions, optima and gradients; void pixels are ignored."""

from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from confidnet_core.networks.probabilities import true_class_probability
from confidnet_core.training.losses import (
    MAX_RANKING_SAMPLES,
    ConfidenceLossName,
    ConfidenceTargetName,
    confidence_loss,
    confidence_loss_to_targets,
    confidence_target,
)

VOID = 4
targets = pytest.mark.parametrize("target", get_args(ConfidenceTargetName))
losses = pytest.mark.parametrize("loss", get_args(ConfidenceLossName))
combined = pytest.mark.parametrize(
    ("target", "loss"),
    [
        (target, loss)
        for target in get_args(ConfidenceTargetName)
        for loss in get_args(ConfidenceLossName)
        if target == "correctness" or loss in "mse bce"
    ],
)
regressions = pytest.mark.parametrize("loss", ["mse", "bce"])


@pytest.fixture
def maps() -> tuple[Tensor, Tensor, Tensor]:
    """Return confidence (2, 5, 6), class logits (2, 4, 5, 6) and labels (2, 5, 6), some of them void."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, VOID + 1, (2, 5, 6), generator=generator)
    return torch.randn(2, 5, 6, generator=generator), 3 * torch.randn(2, 4, 5, 6, generator=generator), labels


def test_the_targets_by_hand():
    """Softmax (1/2, 1/4, 1/4): the true class has 1/2 where the prediction is right, and 1/4, half of the largest, where it is not."""
    logits, labels = torch.tensor([[2.0, 1.0, 1.0]]).log().expand(2, 3), torch.tensor([0, 2])
    found = {target: confidence_target(logits, labels, target).tolist() for target in get_args(ConfidenceTargetName)}
    assert found == {"tcp": pytest.approx([0.5, 0.25]), "normalised_tcp": pytest.approx([1, 0.5]), "correctness": [1, 0]}


@targets
def test_a_target_of_maps_is_that_of_their_pixels(target: ConfidenceTargetName, maps: tuple[Tensor, Tensor, Tensor]):
    _, logits, labels = maps
    labels = labels % 4
    pixels = confidence_target(logits.movedim(1, -1).reshape(-1, 4), labels.reshape(-1), target)
    assert torch.allclose(confidence_target(logits, labels, target).reshape(-1), pixels)


def test_the_normalised_target_is_one_for_right_predictions_and_no_others():
    logits, labels = 3 * torch.randn(500, 6, generator=torch.Generator().manual_seed(0)), torch.arange(500) % 6
    normalised, right = (confidence_target(logits, labels, target) for target in ("normalised_tcp", "correctness"))
    assert torch.equal(normalised == 1, right == 1)
    assert 50 < right.sum() < 450 and normalised.min() > 0
    assert torch.allclose(normalised, true_class_probability(logits, labels) / logits.softmax(1).amax(1))


@regressions
def test_a_regression_is_least_when_the_head_already_says_tcp(loss: ConfidenceLossName):
    logits, labels = torch.randn(40, 5, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 5
    tcp = true_class_probability(logits, labels)
    confidence = tcp.logit().requires_grad_()
    least = confidence_loss(confidence, logits, labels, loss=loss)
    least.backward()
    assert confidence.grad.abs().max() < 1e-7
    entropy = torch.special.entr(tcp) + torch.special.entr(1 - tcp)
    assert least.item() == pytest.approx({"mse": 0, "bce": entropy.mean().item()}[loss], abs=1e-6)


@regressions
@pytest.mark.parametrize("tcp", [0.3, 0.999])
def test_of_one_confidence_for_many_targets_their_mean_is_best(loss: ConfidenceLossName, tcp: float):
    target_values = torch.tensor([1.0, tcp, tcp / 2], dtype=torch.float64)
    logits = torch.logit(target_values.mean()) + torch.linspace(-0.3, 0.3, 601).double()
    found = [confidence_loss_to_targets(logit.expand(3), target_values, loss).item() for logit in logits]
    assert np.argmin(found) == pytest.approx(300, abs=2)


def test_cross_entropy_still_teaches_a_head_that_is_sure_and_wrong_where_the_squared_difference_does_not():
    gradients = {}
    for loss in ("mse", "bce"):
        confidence = torch.tensor([12.0], requires_grad=True)
        confidence_loss_to_targets(confidence, torch.tensor([0.0]), loss).backward()
        gradients[loss] = confidence.grad.item()
    assert gradients["mse"] < 2e-5 and gradients["bce"] > 0.999


def test_the_squared_difference_and_its_gradient_are_as_in_the_definition():
    confidence = torch.tensor([0.0, 2.0, -1.0], requires_grad=True)
    logits, labels = torch.tensor([[0.0, 0.0], [3.0, 0.0], [1.0, 2.0]]), torch.tensor([0, 0, 0])
    loss = confidence_loss(confidence, logits, labels)
    loss.backward()
    target = np.array([0.5, 1 / (1 + np.exp(-3)), 1 / (1 + np.exp(1))])
    said = 1 / (1 + np.exp(-np.array([0.0, 2.0, -1.0])))
    assert loss.item() == pytest.approx(np.mean((said - target) ** 2), abs=1e-7)
    assert confidence.grad.numpy() == pytest.approx(2 / 3 * (said - target) * said * (1 - said), abs=1e-7)


def test_the_losses_of_correctness_by_hand():
    """Probabilities 3/4 of a success, 3/4 and 1/4 of two errors: the right answer got 3/4, 1/4 and 3/4; two thirds are errors."""
    confidence, target_value = (
        torch.tensor([3.0, 3.0, 1 / 3], dtype=torch.float64).log(),
        torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64),
    )
    surprise = -np.log([3 / 4, 1 / 4, 3 / 4])
    weight = -np.log(2 / 3)
    expected = {
        "weighted_bce": np.mean(surprise * [1, weight, weight]),
        "focal": np.mean(surprise * np.array([1 / 4, 3 / 4, 1 / 4]) ** 2),
        "ranking": np.mean([np.log(2), np.log(1 + np.exp(np.log(1 / 3) - np.log(3)))]),
    }
    for loss, value in expected.items():
        assert confidence_loss_to_targets(confidence, target_value, loss).item() == pytest.approx(value)


def test_ranking_asks_for_the_order_alone_and_nothing_without_a_pair():
    confidence, target_value = torch.tensor([-9.0, -8.0, -3.0, -2.0]), torch.tensor([0.0, 0.0, 1.0, 1.0])
    assert confidence_loss_to_targets(confidence, target_value, "ranking").item() == pytest.approx(
        confidence_loss_to_targets(confidence + 50, target_value, "ranking").item()
    )
    assert (
        confidence_loss_to_targets(20 * confidence, target_value, "ranking")
        < 1e-6
        < confidence_loss_to_targets(-confidence, target_value, "ranking")
    )
    for outcome in (0.0, 1.0):
        alone = confidence.clone().requires_grad_()
        confidence_loss_to_targets(alone, torch.full((4,), outcome), "ranking").backward()
        assert (alone.grad == 0).all()


def test_ranking_of_many_pairs_thins_both_outcomes_evenly():
    count = 3 * MAX_RANKING_SAMPLES
    confidence = torch.linspace(-2, 2, 2 * count).requires_grad_()
    target_value = torch.arange(2 * count) % 2 * 1.0
    confidence_loss_to_targets(confidence, target_value, "ranking").backward()
    for outcome in (0, 1):
        used = torch.nonzero(confidence.grad[target_value == outcome]).squeeze(1)
        assert torch.equal(used, torch.arange(0, count, 3))


@losses
@pytest.mark.parametrize("target_value", [0.0, 1.0])
def test_one_outcome_alone_gives_a_finite_loss_and_gradient(loss: ConfidenceLossName, target_value: float):
    confidence = torch.tensor([-200.0, 0.0, 200.0], requires_grad=True)
    value = confidence_loss_to_targets(confidence, torch.full((3,), target_value), loss)
    value.backward()
    assert value.isfinite() and confidence.grad.isfinite().all()


@combined
def test_the_gradient_never_reaches_the_class_logits(
    target: ConfidenceTargetName, loss: ConfidenceLossName, maps: tuple[Tensor, Tensor, Tensor]
):
    confidence, logits, labels = maps
    confidence.requires_grad_(), logits.requires_grad_()
    confidence_loss(confidence, logits, labels, VOID, target=target, loss=loss).backward()
    assert logits.grad is None
    assert confidence.grad.abs().sum() > 0


@combined
def test_void_pixels_have_no_influence_on_the_loss_or_its_gradient(
    target: ConfidenceTargetName, loss: ConfidenceLossName, maps: tuple[Tensor, Tensor, Tensor]
):
    confidence, logits, labels = maps
    void = labels == VOID
    other_confidence = confidence.masked_fill(void, 50.0).requires_grad_()
    other_logits = logits.masked_fill(void.unsqueeze(1), -1e4)
    confidence.requires_grad_()
    first = confidence_loss(confidence, logits, labels, VOID, target=target, loss=loss)
    second = confidence_loss(other_confidence, other_logits, labels, VOID, target=target, loss=loss)
    first.backward(), second.backward()
    assert torch.equal(first, second)
    assert torch.equal(confidence.grad, other_confidence.grad)
    assert (confidence.grad[void] == 0).all()


@losses
def test_the_loss_of_maps_is_that_of_their_labelled_pixels(loss: ConfidenceLossName, maps: tuple[Tensor, Tensor, Tensor]):
    confidence, logits, labels = maps
    kept = labels != VOID
    pixels = confidence_loss(confidence[kept], logits.movedim(1, -1)[kept], labels[kept], target="correctness", loss=loss)
    assert confidence_loss(confidence, logits, labels, VOID, target="correctness", loss=loss).item() == pytest.approx(pixels.item())


@losses
def test_a_batch_that_is_void_throughout_costs_nothing_and_moves_nothing(loss: ConfidenceLossName):
    confidence, logits = torch.randn(2, 5, 6, requires_grad=True), torch.randn(2, 4, 5, 6)
    value = confidence_loss(confidence, logits, torch.full((2, 5, 6), VOID), VOID, target="correctness", loss=loss)
    value.backward()
    assert value.item() == 0
    assert (confidence.grad == 0).all()


def test_cross_entropy_with_correctness_is_pytorchs(maps: tuple[Tensor, Tensor, Tensor]):
    confidence, logits, labels = maps
    right = (logits.argmax(1) == labels).float()
    kept = labels != VOID
    expected = binary_cross_entropy_with_logits(confidence[kept], right[kept])
    assert confidence_loss(confidence, logits, labels, VOID, target="correctness", loss="bce").item() == pytest.approx(expected.item())
