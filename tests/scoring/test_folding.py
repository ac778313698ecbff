"""BatchNorm folded into convolutions: the same outputs up to rounding, and what is left as it is."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from confidnet_core.config.registry import find_entry
from confidnet_core.networks.dropout import set_dropout
from confidnet_core.scoring.folding import fold_batchnorm


def norm(channels: int) -> nn.BatchNorm2d:
    """BatchNorm of a trained network: scales of both signs, and statistics that are not 0 and 1."""
    layer = nn.BatchNorm2d(channels)
    nn.init.normal_(layer.weight, 0.5, 1)
    nn.init.normal_(layer.bias)
    nn.init.normal_(layer.running_mean)
    nn.init.uniform_(layer.running_var, 0.1, 2)
    return layer


def convolution(**settings: object) -> nn.Conv2d:
    return nn.Conv2d(4, 4, 3, **settings)


def norms(network: nn.Module) -> int:
    return sum(isinstance(layer, nn.BatchNorm2d) for layer in network.modules())


def folded_in_double(network: nn.Module, images: Tensor) -> nn.Module:
    """The network with BatchNorm folded, after its outputs were compared in float64, where rounding cannot hide a fault."""
    network = network.double().eval()
    folded = fold_batchnorm(network)
    with torch.no_grad():
        assert torch.allclose(folded(images.double()), network(images.double()), rtol=1e-10, atol=1e-12)
    return folded


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("layers", "left"),
    [
        (lambda: [convolution(padding=1), norm(4), nn.ReLU()], 0),
        (lambda: [convolution(bias=False, groups=2, stride=2), norm(4)], 0),
        (lambda: [nn.ReLU(), norm(4), convolution(padding=1, padding_mode="reflect")], 0),
        (lambda: [norm(4), convolution(bias=False)], 0),
        (lambda: [convolution(), norm(4), convolution(), norm(4)], 0),
        (lambda: [convolution(), nn.BatchNorm2d(4, affine=False), nn.BatchNorm2d(4, affine=False), convolution()], 0),
        (lambda: [norm(4), convolution(padding=1)], 1),  # the zeros around the image would have to be shifted, too
        (lambda: [norm(4), convolution(padding="same")], 1),
        (lambda: [norm(4), convolution(groups=4)], 1),
        (lambda: [norm(4), nn.Dropout(), convolution()], 1),
        (lambda: [norm(4), nn.MaxPool2d(2), convolution()], 1),
        (lambda: [convolution(), nn.ReLU(), norm(4)], 1),
        (lambda: [convolution(), nn.BatchNorm2d(4, track_running_stats=False)], 1),
    ],
)
def test_neighbours_are_folded_where_that_is_exact_and_only_there(layers: Callable[[], list[nn.Module]], left: int):
    folded = folded_in_double(nn.Sequential(*layers()), torch.randn(3, 4, 9, 8))
    assert norms(folded) == left


def test_layers_that_are_used_twice_or_have_hooks_or_still_learn_stay():
    shared = convolution()
    twice = nn.Sequential(nn.Sequential(shared, norm(4)), shared)
    assert fold_batchnorm(twice.eval()) is twice
    hooked = nn.Sequential(convolution(), norm(4)).eval()
    hooked[0].register_forward_pre_hook(lambda layer, inputs: None)
    assert fold_batchnorm(hooked) is hooked
    learning = nn.Sequential(convolution(), norm(4)).train()
    assert fold_batchnorm(learning) is learning


def test_the_network_itself_is_left_as_it_is_and_returned_where_nothing_can_be_folded():
    network = nn.Sequential(convolution(), norm(4)).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    folded = fold_batchnorm(network)
    assert folded is not network and list(dict(folded.named_children())) == ["0", "1"]
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items()) and norms(network) == 1
    plain = find_entry("models", "mnist_convnet")(classes=3, image_shape=(1, 8, 8)).eval()
    assert fold_batchnorm(plain) is plain


@pytest.mark.parametrize(("name", "left"), [("segnet", 13), ("svhn_convnet", 3), ("vgg16", 13)])
def test_dropout_draws_the_same_in_a_folded_network(name: str, left: int):
    images = torch.randn(2, 3, 32, 32)
    network = find_entry("models", name)(classes=5, image_shape=(3, 32, 32), width=1 / 16)
    network.train()(images)  # statistics of BatchNorm
    network, images = network.double().eval(), images.double()
    folded = fold_batchnorm(network)
    assert norms(folded) == left
    logits = []
    for each in (network, folded):
        assert set_dropout(each, True) > 0
        torch.manual_seed(7)
        before, after = each.split_at_dropout()
        with torch.no_grad():
            logits.append(after(before(images)))
    assert torch.allclose(*logits, rtol=1e-9, atol=1e-10)
