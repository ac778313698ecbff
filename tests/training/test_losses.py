"""Losses of classifiers, and properties of TCP; gradients flow where they should, and void pixels are ignored."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor
from torch.nn import functional

from confidnet_core.networks.probabilities import true_class_probability
from confidnet_core.training.losses import (
    confidence_loss,
    cross_entropy,
    median_frequency_weights,
)

VOID = 4
subsample_logits = st.integers(2, 7).flatmap(
    lambda classes: arrays(np.float64, st.tuples(st.integers(1, 20), st.just(classes)), elements=st.floats(-30, 30))
)


@pytest.fixture
def maps() -> tuple[Tensor, Tensor, Tensor]:
    """Return confidence (2, 5, 6), class logits (2, 4, 5, 6) and labels (2, 5, 6), some of them void."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, VOID + 1, (2, 5, 6), generator=generator)
    return torch.randn(2, 5, 6, generator=generator), 3 * torch.randn(2, 4, 5, 6, generator=generator), labels


@given(subsample_logits, st.data())
def test_tcp_above_one_half_is_right_and_below_one_over_the_classes_is_wrong(logits: np.ndarray, data: st.DataObject):
    count, classes = logits.shape
    labels = data.draw(arrays(np.int64, count, elements=st.integers(0, classes - 1)))
    tcp = true_class_probability(torch.from_numpy(logits), torch.from_numpy(labels)).numpy()
    is_highest = logits[np.arange(count), labels] == logits.max(1)
    is_only_highest = is_highest & ((logits == logits.max(1, keepdims=True)).sum(1) == 1)
    assert is_only_highest[tcp > 0.5].all()
    assert not is_highest[tcp < 1 / classes - 1e-12].any()


@given(subsample_logits)
def test_tcp_of_all_classes_sums_to_one(logits: np.ndarray):
    logits = torch.from_numpy(logits)
    labels = [torch.full((len(logits),), label) for label in range(logits.shape[1])]
    assert torch.allclose(sum(true_class_probability(logits, label) for label in labels), torch.ones(len(logits), dtype=torch.float64))


def test_tcp_of_the_predicted_class_is_the_maximum_class_probability():
    logits = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(true_class_probability(logits, logits.argmax(1)), logits.softmax(1).amax(1))


def test_tcp_of_maps_is_tcp_of_their_pixels(maps: tuple[Tensor, Tensor, Tensor]):
    _, logits, labels = maps
    labels = labels % 4
    pixels = true_class_probability(logits.movedim(1, -1).reshape(-1, 4), labels.reshape(-1))
    assert torch.allclose(true_class_probability(logits, labels).reshape(-1), pixels)


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 2.0, 0.0, 0.5])])
def test_void_pixels_have_no_influence_on_cross_entropy_or_its_gradient(maps: tuple[Tensor, Tensor, Tensor], weights: Tensor | None):
    _, logits, labels = maps
    void = (labels == VOID).unsqueeze(1)
    other = logits.masked_fill(void, -1e4).requires_grad_()
    logits.requires_grad_()
    first, second = cross_entropy(logits, labels, VOID, weights), cross_entropy(other, labels, VOID, weights)
    first.backward(), second.backward()
    assert torch.equal(first, second)
    assert torch.equal(logits.grad, other.grad)
    assert (logits.grad.masked_select(void) == 0).all()


@pytest.mark.parametrize("weights", [np.ones(4), np.array([1.0, 2.0, 0.0, 0.5])])
def test_cross_entropy_is_the_weighted_mean_of_minus_log_tcp(maps: tuple[Tensor, Tensor, Tensor], weights: np.ndarray):
    _, logits, labels = maps
    kept = labels != VOID
    tcp = true_class_probability(logits.double().movedim(1, -1)[kept], labels[kept]).numpy()
    expected = np.average(-np.log(tcp), weights=weights[labels[kept].numpy()])
    assert cross_entropy(logits, labels, VOID, torch.from_numpy(weights).float()).item() == pytest.approx(expected, rel=1e-6)
    if (weights == 1).all():
        assert cross_entropy(logits, labels, VOID).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weights", [None, torch.ones(4)])
def test_a_batch_that_is_void_throughout_costs_nothing_and_moves_nothing(weights: Tensor | None, smoothing: float):
    confidence, logits = torch.randn(2, 5, 6, requires_grad=True), torch.randn(2, 4, 5, 6, requires_grad=True)
    labels = torch.full((2, 5, 6), VOID)
    for loss, moved in (
        (cross_entropy(logits, labels, VOID, weights, smoothing), logits),
        (confidence_loss(confidence, logits, labels, VOID), confidence),
    ):
        loss.backward()
        assert loss.item() == 0
        assert (moved.grad == 0).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_batch_of_classes_without_weight_costs_nothing(smoothing: float):
    logits = torch.randn(3, 2, requires_grad=True)
    loss = cross_entropy(logits, torch.zeros(3, dtype=torch.int64), None, torch.tensor([0.0, 1.0]), smoothing)
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 2.0, 0.0, 0.5])])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_smoothed_cross_entropy_is_pytorchs_on_the_labelled_places(
    maps: tuple[Tensor, Tensor, Tensor], weights: Tensor | None, smoothing: float
):
    _, logits, labels = maps
    logits.requires_grad_()
    kept = labels != VOID
    expected = functional.cross_entropy(logits.movedim(1, -1)[kept], labels[kept], weight=weights, label_smoothing=smoothing)
    found = cross_entropy(logits, labels, VOID, weights, smoothing)
    gradients = [torch.autograd.grad(loss, logits)[0] for loss in (found, expected)]
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    assert torch.allclose(*gradients, rtol=1e-5, atol=1e-9)
    assert (gradients[0].masked_select(~kept.unsqueeze(1)) == 0).all()


def test_smoothed_cross_entropy_by_hand():
    """Probabilities 1/4 and 3/4, label 0, smoothing 0.2: the target is 0.9 and 0.1, with weights 2 and 1 times 1.8 and 0.1, over 2."""
    logits, labels = torch.tensor([[0.0, np.log(3)], [5.0, -5.0]]), torch.tensor([0, VOID])
    expected = -0.9 * np.log(1 / 4) - 0.1 * np.log(3 / 4)
    assert cross_entropy(logits, labels, VOID, None, 0.2).item() == pytest.approx(expected, rel=1e-6)
    expected = (-1.8 * np.log(1 / 4) - 0.1 * np.log(3 / 4)) / 2
    assert cross_entropy(logits, labels, VOID, torch.tensor([2.0, 1.0]), 0.2).item() == pytest.approx(expected, rel=1e-6)


def test_smoothed_cross_entropy_is_least_at_the_smoothed_target():
    """Smoothing 0.3 over three classes: 0.8, 0.1 and 0.1."""
    logits = torch.log(torch.tensor([[0.8, 0.1, 0.1]])).requires_grad_()
    cross_entropy(logits, torch.tensor([0]), label_smoothing=0.3).backward()
    assert logits.grad.abs().max() < 1e-7


def test_without_smoothing_cross_entropy_is_bit_for_bit_what_it_was(maps: tuple[Tensor, Tensor, Tensor]):
    _, logits, labels = maps
    logits.requires_grad_()
    counted = labels != VOID
    former = functional.cross_entropy(logits, labels, ignore_index=VOID, reduction="sum") / counted.sum()
    found = cross_entropy(logits, labels, VOID)
    assert torch.equal(found, former)
    assert torch.equal(torch.autograd.grad(found, logits)[0], torch.autograd.grad(former, logits)[0])


def test_bfloat16_logits_are_compared_in_float32():
    logits, labels = torch.randn(8, 4).bfloat16(), torch.arange(8) % 4
    assert torch.equal(cross_entropy(logits, labels), cross_entropy(logits.float(), labels))
    assert torch.equal(confidence_loss(logits[:, 0], logits, labels), confidence_loss(logits[:, 0].float(), logits.float(), labels))


@pytest.mark.parametrize(
    ("counts", "weights"),
    [
        ([10, 20, 40], [2, 1, 0.5]),
        ([10, 20, 30, 40], [2.5, 1.25, 5 / 6, 0.625]),  # the median of four is 25
        ([10, 0, 20, 40], [2, 0, 1, 0.5]),  # an absent class neither has a weight nor moves the median
        ([7, 0], [1, 0]),
    ],
)
def test_median_frequency_weights_by_hand(counts: list[int], weights: list[float]):
    assert median_frequency_weights(torch.tensor(counts)).tolist() == pytest.approx(weights)
