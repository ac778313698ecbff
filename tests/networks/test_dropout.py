"""Dropout from random bits: its rate, its mean, its draws, and that a process with some rows of a batch draws what the whole batch has."""

import pytest
import torch
from small import small_digits
from torch import nn

from confidnet_core.config.choices import RegistryEntryChoice
from confidnet_core.networks.artifacts import build_classifier
from confidnet_core.networks.dropout import LEVELS, RandomBitsDropout, with_fast_dropout
from confidnet_core.networks.ranks import BatchRows, computing


def dropped(rate: float, values: torch.Tensor, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    return RandomBitsDropout(rate).train()(values)


@pytest.mark.parametrize("rate", [0.05, 0.3, 0.5, 0.9])
def test_an_element_is_dropped_at_the_rate_and_the_mean_stays(rate: float):
    count = 2_000_000
    result = dropped(rate, torch.ones(count))
    share = (result == 0).double().mean().item()
    assert abs(share - rate) < 5 * (rate * (1 - rate) / count) ** 0.5 + 0.5 / LEVELS
    assert result.unique().tolist() == pytest.approx([0, 1 / (1 - round(rate * LEVELS) / LEVELS)])


@pytest.mark.parametrize(("rate", "expected"), [(0.0, 1.0), (1e-6, 1.0), (1 - 1e-6, 0.0), (1.0, 0.0)])
def test_a_rate_that_rounds_to_none_or_all_drops_none_or_all(rate: float, expected: float):
    assert torch.equal(dropped(rate, torch.ones(1000)), torch.full((1000,), expected))


def test_draws_follow_from_the_seed_and_are_independent_from_element_to_element():
    first, again, other = (dropped(0.5, torch.ones(100_000), seed) == 0 for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert abs((first == other).double().mean() - 0.5) < 0.01
    for distance in (1, 2, 3, 4):  # elements of one word of 64 bits, and of neighbouring words
        assert abs((first[distance:] == first[:-distance]).double().mean() - 0.5) < 0.01


def test_its_draws_go_on_from_a_stored_state_of_the_generator():
    layer, values = RandomBitsDropout(0.5).train(), torch.ones(17)
    torch.manual_seed(0)
    layer(values)
    state = torch.get_rng_state()
    expected = layer(values)
    torch.set_rng_state(state)
    assert torch.equal(layer(values), expected)


def test_evaluation_mode_and_an_empty_batch_are_left_alone():
    values = torch.randn(5, 3)
    assert RandomBitsDropout(0.5).eval()(values) is values or torch.equal(RandomBitsDropout(0.5).eval()(values), values)
    assert dropped(0.5, torch.ones(0, 3)).shape == (0, 3)


def test_the_gradient_flows_through_kept_elements_alone():
    values = torch.ones(1000, requires_grad=True)
    result = dropped(0.25, values)
    result.sum().backward()
    assert values.grad is not None and torch.equal(values.grad, result.detach())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_part_of_a_batch_is_dropped_as_in_the_whole_batch(layout: torch.memory_format, dtype: torch.dtype):
    values = torch.randn(7, 5, 3, 4).to(memory_format=layout, dtype=dtype)
    whole = dropped(0.4, values)
    assert whole.stride() == values.stride() and whole.dtype == dtype
    for own in (slice(0, 3), slice(3, 7)):
        with computing(BatchRows(7, own)):
            assert torch.equal(dropped(0.4, values[own]), whole[own])


def test_a_part_of_a_batch_of_tokens_that_lie_in_one_row_each_is_dropped_as_in_the_whole_batch():
    tokens = torch.randn(6 * 4, 8)  # of six images
    whole = dropped(0.4, tokens)
    with computing(BatchRows(6, slice(2, 5))):
        assert torch.equal(dropped(0.4, tokens[8:20]), whole[8:20])


def test_it_takes_the_place_of_plain_dropout_only():
    class Own(nn.Dropout):
        pass

    network = nn.Sequential(nn.Dropout(0.3), nn.Sequential(nn.Dropout2d(0.3), nn.Dropout(0.3, inplace=True)), Own(0.3)).eval()
    kinds = [type(layer) for layer in with_fast_dropout(network).modules()]
    assert kinds == [nn.Sequential, RandomBitsDropout, nn.Sequential, nn.Dropout2d, nn.Dropout, Own]
    assert not network[0].training and network[0].p == 0.3


def test_classifiers_are_built_with_it():
    classifier = build_classifier(RegistryEntryChoice("svhn_convnet", {"width": 0.25}), small_digits(10, 10, 10))
    layers = [layer for layer in classifier.modules() if isinstance(layer, nn.Dropout)]
    assert layers and all(isinstance(layer, RandomBitsDropout) for layer in layers)
