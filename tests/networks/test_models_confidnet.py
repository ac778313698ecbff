"""ConfidNet and its head: what training them changes, and what it leaves bit-identical."""

import inspect

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.nn.modules.batchnorm import _BatchNorm

from confidnet_core.config.registry import entry_names, find_entry
from confidnet_core.networks.classifier import Classifier
from confidnet_core.networks.confidnet import ConfidNet, freeze
from confidnet_core.networks.dropout import set_dropout
from confidnet_core.networks.head import build_confidence_head

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


def small_confidnet(classifier: Classifier, images: Tensor, **settings) -> ConfidNet:
    with torch.inference_mode():
        is_map = classifier.eval().encode(images).ndim == 4
    head = build_confidence_head(classifier.feature_channels, hidden_widths=(16, 16), kernel_size=3 if is_map else None)
    return ConfidNet(freeze(classifier), head, **settings)


def with_changed_statistics(classifier: Classifier, images: Tensor) -> Classifier:
    """Return the classifier with changed BatchNorm statistics, so that any later change would alter its predictions."""
    classifier.train()(images)
    return classifier.eval()


def copied_state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def is_identical(network: nn.Module, state: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def optimise(confidnet: ConfidNet, images: Tensor, steps: int = 4) -> None:
    """Take optimizer steps with dropout and weight decay, giving the optimizer every parameter, frozen or not."""
    optimiser = torch.optim.AdamW(confidnet.parameters(), lr=1e-2, weight_decay=0.1)
    for _ in range(steps):
        confidnet.train()
        optimiser.zero_grad()
        confidence, logits = confidnet.forward_with_logits(images)
        mse_loss(confidence.sigmoid(), logits.softmax(dim=1)[:, 0]).backward()
        optimiser.step()
    confidnet.eval()


@every_model
def test_bfloat16_inference_gives_logits_and_confidences_of_float32_resolution(name):
    network, images = small(name), torch.randn(8, *SHAPE)
    confidnet = small_confidnet(with_changed_statistics(network, images), images)

    with torch.autocast("cpu", torch.bfloat16):
        confidence, logits = confidnet.forward_with_logits(images)

    for values in (confidence, logits):
        assert values.dtype == torch.float32
        assert (values != values.bfloat16()).float().mean() > 0.5


@pytest.mark.parametrize(
    ("name", "shape", "kernel", "parameters"),
    [
        ("mlp", (1, 28, 28), None, 882_001),
        ("mnist_convnet", (1, 28, 28), None, 533_201),
        ("svhn_convnet", (3, 32, 32), None, 686_801),
        ("vgg16", (3, 32, 32), None, 686_801),
        ("segnet", (3, 360, 480), 3, 769_609),
    ],
)
def test_heads_on_these_classifiers_have_the_published_numbers_of_parameters(name, shape, kernel, parameters):
    with torch.device("meta"):
        head = build_confidence_head(find_entry("models", name)(classes=10, image_shape=shape).feature_channels, kernel_size=kernel)
    assert sum(each.numel() for each in head.parameters()) == parameters


def test_a_head_is_linear_layers_with_relu_between_and_none_at_the_end():
    head, features = build_confidence_head(6, hidden_widths=(4, 3)), torch.randn(50, 6)

    (a, x), (b, y), (c, z) = ((layer.weight, layer.bias) for layer in head.modules() if isinstance(layer, nn.Linear))
    expected_parts = (((features @ a.T + x).relu() @ b.T + y).relu() @ c.T + z)[:, 0]

    assert torch.allclose(head(features), expected_parts, atol=1e-6)
    assert build_confidence_head(6, hidden_widths=())(features).shape == (50,)


def test_a_one_by_one_head_is_the_dense_head_on_each_pixel():
    dense, convolutional, features = (
        build_confidence_head(6, hidden_widths=(4, 3)),
        build_confidence_head(6, hidden_widths=(4, 3), kernel_size=1),
        torch.randn(2, 6, 5, 7),
    )
    convolutional.load_state_dict(
        {name: value[..., None, None] if value.ndim == 2 else value for name, value in dense.state_dict().items()}
    )

    by_pixel = dense(features.permute(0, 2, 3, 1).reshape(-1, 6)).reshape(2, 5, 7)

    assert torch.allclose(convolutional(features), by_pixel, atol=1e-6)
    assert build_confidence_head(6, kernel_size=3)(features).shape == (2, 5, 7)


@pytest.mark.parametrize(("confidence", "start"), [(0.3, 0.3), (0.98, 0.98), (1.0, 0.9999), (0.0, 0.0001)])
def test_a_head_starts_near_the_confidence_that_it_is_given(confidence, start):
    head = build_confidence_head(6)
    head.set_initial_confidence(confidence)
    logits = head(torch.rand(200, 6))
    assert torch.allclose(logits, torch.tensor(start).logit(), atol=0.1) and logits.std() > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"kernel_size": 2}, "kernel is 2.*give 1 or 3"), ({"hidden_widths": (8, 0)}, r"\[8, 0\].*at least 1 channel")],
)
def test_a_head_that_cannot_be_built_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        build_confidence_head(6, **settings)


@every_model
@pytest.mark.parametrize("dropout", [True, False])
def test_training_confidnet_leaves_the_classifier_bit_identical(name, dropout):
    images = torch.randn(8, *SHAPE)
    classifier = with_changed_statistics(small(name), images)
    predictions, before = classifier(images).detach().clone(), copied_state(classifier)
    confidnet = small_confidnet(classifier, images, dropout=dropout)
    head = copied_state(confidnet.head)

    optimise(confidnet, images)

    assert not is_identical(confidnet.head, head)
    assert is_identical(classifier, before)
    assert torch.equal(classifier(images), predictions)
    assert not any(parameter.requires_grad for parameter in classifier.parameters())


@every_model
def test_finetuning_trains_a_copy_and_leaves_classifier_and_first_confidnet_bit_identical(name):
    images = torch.randn(8, *SHAPE)
    classifier = with_changed_statistics(small(name), images)
    confidnet = small_confidnet(classifier, images)
    optimise(confidnet, images, steps=1)
    before, confidences = copied_state(confidnet), confidnet(images).detach().clone()

    tuned = confidnet.finetuning_copy()
    assert all(parameter.grad is None and parameter.requires_grad for parameter in tuned.parameters())
    assert torch.equal(tuned(images), confidences)
    optimise(tuned, images)

    assert is_identical(confidnet, before)
    assert torch.equal(confidnet(images), confidences)
    assert not torch.equal(tuned(images), confidences)
    first = next(tuned.encoder.parameters())
    assert not torch.equal(first, next(classifier.parameters()))


@pytest.mark.parametrize("name", ["svhn_convnet", "vgg16", "segnet"])
def test_finetuning_trains_batchnorm_weights_but_never_moves_its_statistics(name):
    images = torch.randn(8, *SHAPE)
    tuned = small_confidnet(with_changed_statistics(small(name), images), images).finetuning_copy()
    norms = [part for part in tuned.encoder.modules() if isinstance(part, _BatchNorm)]
    buffers = [buffer.clone() for norm in norms for buffer in norm.buffers()]
    first_weight = norms[0].weight.detach().clone()

    optimise(tuned, images)

    assert all(torch.equal(a, b) for a, b in zip(buffers, (buffer for norm in norms for buffer in norm.buffers()), strict=True))
    assert not torch.equal(norms[0].weight, first_weight)


@every_model
def test_dropout_acts_in_confidnet_only_in_train_mode_and_only_if_wanted(name):
    images = torch.randn(8, *SHAPE)
    perturbed = small_confidnet(small(name), images, dropout=True)
    plain = small_confidnet(small(name), images, dropout=False)

    assert torch.equal(perturbed(images), perturbed(images))
    assert not torch.equal(perturbed.train()(images), perturbed(images))
    assert torch.equal(perturbed.eval()(images), perturbed(images))
    assert torch.equal(plain.train()(images), plain(images))
    assert torch.equal(plain(images), plain.eval()(images))
    tuned = perturbed.finetuning_copy().train()
    assert torch.equal(tuned(images), perturbed(images))


@every_model
def test_batchnorm_of_the_encoder_is_in_eval_mode_whatever_the_mode_of_confidnet(name):
    confidnet = small_confidnet(small(name), torch.randn(2, *SHAPE))
    for network in (confidnet, confidnet.finetuning_copy()):
        network.train()
        assert network.training and network.head.training
        assert not any(part.training for part in network.encoder.modules() if isinstance(part, _BatchNorm))


@every_model
def test_confidence_and_class_logits_come_from_one_dropout_perturbed_pass(name):
    images = torch.randn(8, *SHAPE)
    confidnet = small_confidnet(with_changed_statistics(small(name), images), images).train()

    torch.manual_seed(7)
    features = confidnet.encoder.encode(images)
    logits_after = confidnet.encoder.classify(features)
    torch.manual_seed(7)
    confidence, logits = confidnet.forward_with_logits(images)

    assert torch.equal(confidence, confidnet.head(features))
    assert torch.equal(logits, logits_after)
    assert confidence.shape == logits[:, 0].shape
    assert confidence.requires_grad and not logits.requires_grad
    assert not torch.equal(logits, confidnet.eval().forward_with_logits(images)[1])
    assert not confidnet.finetuning_copy().forward_with_logits(images)[1].requires_grad


def test_wrapping_a_classifier_does_not_wake_its_dropout():
    classifier = freeze(small("mlp"))
    ConfidNet(classifier, build_confidence_head(classifier.feature_channels))
    assert not any(part.training for part in classifier.modules())


def test_set_dropout_counts_what_it_switched():
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5), nn.BatchNorm1d(2), nn.Sequential(nn.Dropout2d(0.5), nn.AlphaDropout(0.5)))
    assert set_dropout(network.eval(), True) == 3
    assert [part.training for part in network] == [False, True, False, False]
    assert set_dropout(nn.Linear(2, 2), True) == 0
