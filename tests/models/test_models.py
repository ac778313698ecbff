"""Classifiers: shapes of features and logits, and the published sizes, dropout rates and order of layers."""

import inspect

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from confidnet_core.config.registry import entry_names, find_entry
from confidnet_core.networks.classifier import Classifier
from confidnet_core.networks.dropout import set_dropout

CLASSES = 5
SHAPE = (3, 32, 32)
NEEDED = {"module": {"build": "own_networks:blocks", "arguments": {"classes": CLASSES}}}  # settings without a default
every_model = pytest.mark.parametrize("name", entry_names("models"))


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    torch.manual_seed(0)


def small(name: str, shape: tuple[int, int, int] = SHAPE, **settings) -> Classifier:
    build = find_entry("models", name)
    if "width" in inspect.signature(build).parameters:
        settings = {"width": 1 / 16, **settings}
    return build(classes=CLASSES, image_shape=shape, **NEEDED.get(name, {}) | settings)


@every_model
def test_a_classifier_gives_features_and_logits_of_the_promised_shapes(name):
    network, images = small(name).eval(), torch.randn(2, *SHAPE)

    features = network.encode(images)
    logits = network.classify(features)

    assert features.shape in [(2, network.feature_channels), (2, network.feature_channels, *SHAPE[1:])]
    assert logits.shape == (2, CLASSES, *features.shape[2:])
    assert torch.equal(network(images), logits)


@every_model
def test_dropout_is_made_of_modules_only_and_is_all_that_is_random(name):
    network, images = small(name).train(), torch.randn(4, *SHAPE)

    assert not torch.equal(network(images), network(images))
    assert set_dropout(network, False) == sum(isinstance(part, nn.Dropout) for part in network.modules()) > 0
    assert torch.equal(network(images), network(images))
    assert torch.equal(network.eval()(images), network(images))
    set_dropout(network, True)
    assert not torch.equal(network(images), network(images))


@every_model
def test_a_network_split_at_its_dropout_is_the_same_function_and_its_first_part_draws_nothing(name):
    network, images = small(name).eval(), torch.randn(2, *SHAPE)
    set_dropout(network, True)
    before, after = network.split_at_dropout()
    state = torch.get_rng_state()
    with torch.no_grad():
        shared = before(images)
        assert torch.equal(torch.get_rng_state(), state)
        passes = [network(images) for _ in range(2)]
        torch.set_rng_state(state)
        assert all(torch.equal(after(shared), expected) for expected in passes)
    assert not torch.equal(*passes)
    assert not isinstance(before, nn.Identity) or name == "module"  # whose layers are not known


@every_model
def test_gradients_reach_every_parameter(name):
    network, images = small(name).train(), torch.randn(4, *SHAPE)

    logits = network(images)
    cross_entropy(logits, torch.randint(CLASSES, (4, *logits.shape[2:]))).backward()

    for where, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), where
        # A bias before BatchNorm has no influence, so that its gradient may be zero.
        assert parameter.ndim == 1 or parameter.grad.any(), where


@every_model
def test_width_scales_the_network(name):
    if name == "module":
        pytest.skip("its size is an argument of its function")
    if name == "mlp":
        assert small(name, hidden=7).feature_channels == 7
        return
    narrow, wide = (sum(each.numel() for each in small(name, width=width).parameters()) for width in (1 / 16, 1 / 4))
    assert narrow < wide / 3
    with pytest.raises(ValueError, match=r"model.width is 0"):
        small(name, width=0)


@pytest.mark.parametrize(
    ("name", "shape", "classes", "settings", "parameters"),
    [
        ("mlp", (1, 28, 28), 10, {}, 795_010),
        ("mnist_convnet", (1, 28, 28), 10, {}, 1_199_882),
        ("svhn_convnet", (3, 32, 32), 10, {}, 1_342_122),
        ("vgg16", (3, 32, 32), 10, {}, 14_990_922),
        ("segnet", (3, 360, 480), 12, {"published_logits": True}, 29_449_956),
        # without BatchNorm's weight and bias of 12 logits, the feature's place moves no parameter
        ("segnet", (3, 360, 480), 12, {"feature": "unpooled"}, 29_449_956 - 24),
    ],
)
def test_classifiers_have_the_published_numbers_of_parameters(name, shape, classes, settings, parameters):
    with torch.device("meta"):
        network = find_entry("models", name)(classes=classes, image_shape=shape, **settings)
    assert sum(each.numel() for each in network.parameters()) == parameters


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("mnist_convnet", (1, 5, 28), r"mnist_convnet needs images of at least 6 x 6 pixels.*\(1, 5, 28\)"),
        ("svhn_convnet", (3, 32, 7), "at least 8 x 8"),
        ("segnet", (3, 31, 60), "at least 32 x 32"),
        ("vgg16", (3, 48, 32), "divisible by 32, got 48 x 32"),
    ],
)
def test_images_of_a_size_that_cannot_be_are_refused(name, shape, message):
    with pytest.raises(ValueError, match=message):
        small(name, shape)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("mnist_convnet", (1, 8, 8)),
        ("mnist_convnet", (3, 6, 9)),
        ("svhn_convnet", (1, 8, 15)),
        ("vgg16", (1, 64, 32)),
        ("segnet", (1, 32, 33)),
    ],
)
def test_other_image_sizes_work(name, shape):
    network = small(name, shape).train()
    logits = network(torch.randn(2, *shape))
    assert logits.shape[:2] == (2, CLASSES)
    logits.sum().backward()


def dropouts_in_order(network: Classifier, images: Tensor) -> list[tuple[float, tuple[int, ...]]]:
    """Return (rate, input shape) of each dropout in the order in which the network applies them."""
    seen: list[tuple[float, tuple[int, ...]]] = []
    for part in network.modules():
        if isinstance(part, nn.Dropout):
            part.register_forward_hook(lambda module, inputs, _: seen.append((module.p, tuple(inputs[0].shape[1:]))))
    network.eval()(images)
    return seen


def test_segnet_drops_after_the_three_inner_poolings_and_decoder_stages():
    assert dropouts_in_order(small("segnet", (3, 64, 96)), torch.randn(1, 3, 64, 96)) == [
        (0.5, (16, 8, 12)),
        (0.5, (32, 4, 6)),
        (0.5, (32, 2, 3)),
        (0.5, (32, 4, 6)),
        (0.4, (16, 8, 12)),
        (0.3, (8, 16, 24)),
    ]


def test_vgg16_drops_after_the_published_convolutions():
    assert dropouts_in_order(small("vgg16"), torch.randn(1, *SHAPE)) == [
        (0.3, (4, 32, 32)),
        (0.4, (8, 16, 16)),
        (0.4, (16, 8, 8)),
        (0.4, (16, 8, 8)),
        (0.4, (32, 4, 4)),
        (0.4, (32, 4, 4)),
        (0.4, (32, 2, 2)),
        (0.4, (32, 2, 2)),
        (0.5, (32, 1, 1)),
        (0.5, (512,)),
    ]


@pytest.mark.parametrize("factor", [0.5, 2.0, 0.0])
def test_vgg16s_dropout_multiplies_its_rates(factor):
    full, images = small("vgg16"), torch.randn(1, *SHAPE)
    expected = [(rate * factor, shape) for rate, shape in dropouts_in_order(full, images)]
    assert dropouts_in_order(small("vgg16", dropout=factor), images) == expected


@pytest.mark.parametrize(("name", "rates"), [("mlp", [0.3]), ("mnist_convnet", [0.25, 0.5]), ("svhn_convnet", [0.3] * 4)])
def test_the_small_networks_drop_at_the_published_rates(name, rates):
    assert [rate for rate, _ in dropouts_in_order(small(name), torch.randn(1, *SHAPE))] == rates


def test_convolutions_of_svhn_and_vgg16_pad_by_reflection_and_normalise_after_the_relu():
    for name in ("svhn_convnet", "vgg16"):
        layers = list(small(name).features)
        convolutions = [(place, layer) for place, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
        assert {layer.padding_mode for _, layer in convolutions} == {"reflect"}
        assert all(isinstance(layers[place + 1], nn.ReLU) and isinstance(layers[place + 2], nn.BatchNorm2d) for place, _ in convolutions)


def test_segnet_takes_odd_sizes_and_its_unpooled_feature_is_sparse():
    images = torch.randn(2, 3, 45, 60)
    network = small("segnet", (3, 45, 60), feature="unpooled").eval()

    features = network.encode(images)

    assert network(images).shape == (2, CLASSES, 45, 60)
    of_each_window = (features[..., :44, :] != 0).unflatten(-2, (22, 2)).unflatten(-1, (30, 2)).sum(dim=(-3, -1))
    assert of_each_window.max() == 1
    assert not features[..., 44, :].any()
    assert (small("segnet", (3, 45, 60)).eval().encode(images) != 0).float().mean() > 0.3


def test_segnet_is_the_same_function_whichever_feature_is_exposed():
    dense, unpooled = small("segnet").eval(), small("segnet", feature="unpooled").eval()
    unpooled.load_state_dict(dense.state_dict())
    images = torch.randn(2, *SHAPE)

    assert torch.equal(dense(images), unpooled(images))
    assert torch.equal(dense.encode(images), unpooled.last_stage(unpooled.encode(images)))


def test_segnet_unpools_alike_under_deterministic_algorithms():
    network, images = small("segnet", (3, 45, 60)).eval(), torch.randn(2, 3, 45, 60)
    usual = network(images)
    torch.use_deterministic_algorithms(True)
    try:
        deterministic = network(images)
        deterministic.sum().backward()
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(usual, deterministic)


def test_the_published_logits_are_never_negative_and_the_default_ones_are():
    images = torch.randn(4, *SHAPE)
    assert small("segnet", published_logits=True)(images).min() == 0
    assert small("segnet")(images).min() < 0
