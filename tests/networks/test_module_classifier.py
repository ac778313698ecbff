"""Any nn.Module as a classifier: which features it has, and that no training changes it."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from small import CONFIDNET, CORRECTED_MCP, FINETUNE, benchmark, same, small_digits, state, training
from torch import nn

from confidnet_core.config.choices import RegistryEntryChoice
from confidnet_core.models.module import module
from confidnet_core.networks.artifacts import build_classifier, build_confidnet, build_corrected_mcp
from confidnet_core.networks.confidnet import freeze
from confidnet_core.networks.device import to_device
from confidnet_core.networks.dropout import set_dropout
from confidnet_core.networks.inference import predict
from confidnet_core.networks.module_classifier import ModuleClassifier
from confidnet_core.scoring.mc_dropout import sample_dropout
from confidnet_core.training.trainings import finetune_confidnet, train_confidnet, train_corrected_mcp

CPU = torch.device("cpu")
SHAPE = (3, 16, 24)


def own(factory: str, features: str | None = None, classes: int = 5, shape: tuple[int, int, int] = SHAPE, **arguments) -> ModuleClassifier:
    build = f"own_networks:{factory}"
    network = module(classes=classes, image_shape=shape, build=build, arguments={"classes": 5, **arguments}, features=features)
    assert isinstance(network, ModuleClassifier)
    return network.eval()


def refusal(build: str, arguments: dict | None = None, features: str | None = None, shape: tuple[int, int, int] = SHAPE) -> str:
    with pytest.raises(ValueError) as caught:
        module(classes=5, image_shape=shape, build=build, arguments=arguments, features=features)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_features_are_the_input_of_the_last_layer_and_logits_are_the_networks_own():
    classifier, images = own("blocks"), torch.randn(4, *SHAPE)
    features = classifier.encode(images)
    assert torch.equal(classifier.classify(features), classifier.network(images)) and torch.equal(
        classifier(images), classifier.network(images)
    )
    assert torch.equal(classifier.network.head(features), classifier.network(images))
    assert classifier.feature_layer == "head" and features.shape == (4, classifier.feature_channels) == (4, 16)


def test_features_of_a_named_convolution_are_averaged_over_the_image():
    classifier, images = own("blocks", features="second"), torch.randn(4, *SHAPE)
    hidden = classifier.network.norm(classifier.network.first(images)).relu()
    assert torch.equal(classifier.encode(images), hidden.mean((2, 3)))


def test_of_tokens_the_features_are_the_class_token_or_else_the_mean():
    images = torch.randn(4, *SHAPE)
    with_token, without = own("tokens", with_class_token=True), own("tokens")
    assert torch.equal(with_token.encode(images), torch.ones(4, 6))
    patches = without.network.patches(images).flatten(2).mean(2)
    assert torch.allclose(without.encode(images), patches, atol=1e-6)


def test_a_vision_transformer_of_timm_gives_the_features_before_its_head():
    pytest.importorskip("timm", reason="timm is an optional dependency")
    arguments = {"model_name": "vit_tiny_patch16_224", "img_size": 32, "patch_size": 8, "depth": 1, "num_classes": 5}
    for features, layer in ((None, "head"), ("norm", "norm")):
        classifier = module(classes=5, image_shape=(3, 32, 32), build="timm:create_model", arguments=arguments, features=features).eval()
        images = torch.randn(2, 3, 32, 32)
        assert classifier.feature_layer == layer and classifier.encode(images).shape == (2, 192)
        assert torch.equal(classifier(images), classifier.network(images))
    tokens = classifier.network.blocks(classifier.network._pos_embed(classifier.network.patch_embed(images)))
    assert torch.equal(classifier.encode(images), tokens[:, 0])


def test_of_segmentation_features_and_logits_have_the_size_of_the_images_and_an_auxiliary_classifier_is_passed_over():
    classifier, images = own("maps"), torch.randn(2, *SHAPE)
    features = classifier.encode(images)
    assert classifier.feature_layer == "classifier" and features.shape == (2, 8, *SHAPE[1:])
    assert classifier.classify(features).shape == (2, 5, *SHAPE[1:])
    small = classifier.network(images)["out"]
    expected = nn.functional.interpolate(small, SHAPE[1:], mode="bilinear", align_corners=False)
    assert torch.equal(classifier(images), expected)


def test_a_copy_reads_its_own_layers_and_logits_live_no_longer_than_their_features():
    classifier, images = own("blocks"), torch.randn(4, *SHAPE)
    copy = deepcopy(classifier)
    with torch.no_grad():
        copy.network.first.weight.mul_(2)
    assert not torch.equal(copy.encode(images), classifier.encode(images))
    assert len(classifier._logits_of_features) == len(copy._logits_of_features) == 0
    with pytest.raises(RuntimeError, match="needs the tensor that encode"):
        classifier.classify(torch.zeros(4, 16))


@pytest.mark.parametrize(
    ("build", "arguments", "features", "message"),
    [
        ("own_networks.blocks", {}, None, 'expected "package.module:function", as "torchvision.models:resnet18"'),
        (
            "own_netwrks:blocks",
            {},
            None,
            "there is no package own_netwrks; put its folder own_netwrks/ into the project's root, or install it",
        ),
        ("torchvision.modls:x", {}, None, "torchvision.modls does not exist in torchvision"),
        ("own_networks:block", {}, None, "own_networks has no block; did you mean blocks"),
        ("own_networks:NUMBER", {}, None, "which is a int; expected a function that returns a network"),
        ("own_networks:no_network", {}, None, "returned a int; expected a torch.nn.Module"),
        ("own_networks:failing", {}, None, "failed: KeyError: 'no such size'; correct model.arguments"),
        ("own_networks:blocks", {"classes": 5, "clases": 5}, None, "unexpected keyword argument 'clases'"),
        ("own_networks:blocks", {"classes": 4}, None, "the network returns (b, 4) for images (3, 16, 24); expected (b, 5)"),
        ("own_networks:blocks", {"classes": 5, "channels": 1}, None, "the network fails on images (3, 16, 24): RuntimeError"),
        ("own_networks:blocks", {"classes": 5}, "hed", "model.features is hed, but the network has no such layer; did you mean head?"),
        ("own_networks:maps", {"classes": 5}, "norm.x", "model.features is norm.x, but the network has no such layer"),
        ("torch.nn:Flatten", {}, None, "runs no nn.Linear and no nn.Conv2d; name the layer"),
    ],
)
def test_what_cannot_be_attached_is_refused_in_one_line(build: str, arguments: dict, features: str | None, message: str):
    assert message in refusal(build, arguments, features)


def test_all_trainings_leave_weights_statistics_and_predictions_of_the_classifier_equal_to_the_bit(tmp_path: Path):
    dataset = small_digits(60, 40, 40)
    choice = RegistryEntryChoice("module", {"build": "own_networks:blocks", "arguments": {"classes": 10, "channels": 1}})
    what = benchmark(choice, epochs=1)
    classifier = to_device(build_classifier(choice, dataset), CPU)  # in the memory format of the trainings, on which last bits depend
    classifier.train()(torch.randn(8, 1, 8, 8))  # statistics that any later change would alter
    before, images = state(classifier.eval()), dataset.split("test")[0]
    answers = predict(classifier, images, dataset, CPU).logits

    confidnet = build_confidnet(freeze(classifier), CONFIDNET, dataset)
    train_confidnet(confidnet, training(dataset, what.confidnet, tmp_path, "train_confidnet"))
    tuned = confidnet.finetuning_copy()
    finetune_confidnet(tuned, classifier, training(dataset, what.finetune, tmp_path, "finetune"))
    corrected = build_corrected_mcp(freeze(classifier), CORRECTED_MCP, dataset)
    train_corrected_mcp(corrected, training(dataset, what.corrected_mcp, tmp_path, "train_corrected_mcp"))
    sample_dropout(classifier, dataset, "test", what.mc_dropout, 0, CPU)

    assert same(state(classifier), before) and (predict(classifier, images, dataset, CPU).logits == answers).all()
    assert not same(state(tuned.encoder), before) and FINETUNE.epochs
    assert set_dropout(classifier, False) == 1
