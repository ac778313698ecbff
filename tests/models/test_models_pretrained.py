"""ImageNet initialisation: it equals torchvision's VGG16, or it is an error."""

import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from confidnet_core.models._vgg_weights import VGG16_CHANNELS, load_imagenet_encoder
from confidnet_core.models.segnet import segnet
from confidnet_core.models.vgg16 import vgg16

CLASSES = 5
SHAPE = (3, 32, 32)


@pytest.fixture(autouse=True)
def fixed_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory) -> Iterator[Path]:
    """Write the convolutions of torchvision's VGG16 with random weights and, unlike its own initialisation, random biases."""
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    with torch.device("meta"):
        reference = torchvision.models.vgg16(init_weights=False)
    torch.manual_seed(1)
    torch.save(
        {
            name: torch.randn(value.shape) / value[0].numel() ** 0.5
            for name, value in reference.features.state_dict(prefix="features.").items()
        },
        path,
    )
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def vgg_features(vgg_file) -> nn.Sequential:
    with torch.device("meta"):
        reference = torchvision.models.vgg16(init_weights=False).features
    state = {name.removeprefix("features."): value for name, value in torch.load(vgg_file).items()}
    reference.load_state_dict(state, assign=True)
    return reference.eval()


def without_normalisation(network: nn.Module) -> nn.Module:
    """Fresh BatchNorm in eval mode is the identity, but for epsilon."""
    for part in network.modules():
        if isinstance(part, _BatchNorm):
            part.eps = 0.0
        if isinstance(part, nn.Conv2d):
            part.padding_mode = "zeros"
    return network.eval()


def test_segnet_with_pretrained_weights_encodes_as_torchvisions_vgg16(vgg_file, vgg_features):
    network = without_normalisation(segnet(classes=CLASSES, image_shape=SHAPE, pretrained=str(vgg_file)))
    images = torch.randn(2, 3, 64, 32)

    encoded = images
    for stage in network.down:
        encoded = nn.functional.max_pool2d(stage(encoded), 2)

    assert torch.allclose(encoded, vgg_features(images), rtol=1e-4, atol=1e-5)
    assert encoded.any()


def test_vgg16_with_pretrained_weights_encodes_as_torchvisions_vgg16(vgg_file, vgg_features):
    network = vgg16(classes=CLASSES, image_shape=SHAPE, pretrained=str(vgg_file))
    images = torch.randn(2, *SHAPE)
    last_pooling = max(place for place, layer in enumerate(network.features) if isinstance(layer, nn.MaxPool2d))

    encoded = without_normalisation(network.features[: last_pooling + 1])(images)

    assert torch.allclose(encoded, vgg_features(images), rtol=1e-4, atol=1e-5)
    assert encoded.any()


@pytest.mark.parametrize("build", [vgg16, segnet])
@pytest.mark.parametrize(("shape", "settings"), [(SHAPE, {"width": 0.5}), ((1, 32, 32), {"width": 1.0})])
def test_pretrained_weights_need_full_width_and_three_channels(build, shape, settings, vgg_file):
    with pytest.raises(ValueError, match=r"model.width 1.0 on images of 3 channels.*model.pretrained: false"):
        build(classes=CLASSES, image_shape=shape, pretrained=str(vgg_file), **settings)


def test_weights_of_another_network_are_refused(tmp_path):
    layers = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["D"], batch_norm=True)
    torch.save(layers.state_dict(prefix="features."), tmp_path / "vgg16_bn.pth")
    with pytest.raises(ValueError, match=r"convolution 2 of 13 .*torchvision's vgg16, not vgg16_bn"):
        segnet(classes=CLASSES, image_shape=SHAPE, pretrained=str(tmp_path / "vgg16_bn.pth"))


def test_a_copy_that_changes_nothing_is_refused(vgg_file):
    convs = [nn.Conv2d(before, after, 3) for before, after in pairwise(VGG16_CHANNELS)]
    load_imagenet_encoder(convs, str(vgg_file))
    with pytest.raises(ValueError, match=r"convolution 1 of 13 .*did not take the pretrained weights"):
        load_imagenet_encoder(convs, str(vgg_file))


@pytest.mark.parametrize(("content", "message"), [(None, "could not be read"), (b"no weights", "could not be read"), ([1], "but a list")])
def test_a_file_that_holds_no_state_dict_is_refused(tmp_path, content, message):
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(ValueError, match=f"weights.pth.*{message}.*model.pretrained: false"):
        vgg16(classes=CLASSES, image_shape=SHAPE, pretrained=str(path))


def test_weights_that_cannot_be_downloaded_are_an_error_that_names_the_address_and_the_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens on the discard port
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setattr(urllib.request, "_opener", None)  # it keeps the proxies of its first use
    with pytest.raises(ValueError, match=r"https://download.pytorch.org/models/vgg16-397923af.pth.*model.pretrained: false"):
        segnet(classes=CLASSES, image_shape=SHAPE, pretrained=True)
