"""Any network from an importable function. It is a torch.nn.Module of torchvision, of timm, or of a package of your own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, JsonValue

from confidnet_core.config.ranges import PathText
from confidnet_core.networks.classifier import Classifier
from confidnet_core.networks.dropout import set_dropout
from confidnet_core.networks.factory import build_network, factory_code_digest, factory_code_path, factory_requirements
from confidnet_core.networks.module_classifier import ModuleClassifier
from confidnet_core.networks.weights_file import load_weights_file


def module(
    *,
    classes: int,
    image_shape: tuple[int, int, int],
    build: Annotated[str, Field(min_length=1, description='"package.module:function"')],
    arguments: dict[str, JsonValue] | None = None,
    features: Annotated[str, Field(min_length=1, description="the name of a layer, as fc")] | None = None,
    pretrained: PathText | None = None,
) -> Classifier:
    """Build the network that a function returns, as a classifier.

    classes: the number of classes, which its logits must have; image_shape: (channels, height, width)
    build: the function, as "torchvision.models:resnet18"; arguments: its keyword arguments
    features: the layer whose input the confidence heads read; by default the last linear or convolutional one that the network runs
    pretrained: a file of weights from which a training starts, see networks/weights_file.py
    Raises ValueError, in words, for a function that is not there or fails, a result that is no nn.Module, and logits of another shape.
    """
    classifier = ModuleClassifier(build_network(build, arguments or {}), classes, image_shape, features)
    if pretrained is not None:
        load_weights_file(classifier.network, Path(pretrained))
    return classifier


def _examine(settings: Mapping[str, Any], weights_path: Path | None) -> list[str]:
    """Build the network, load weights if there are any, and return what a user should know; ValueError for what does not fit."""
    network = build_network(settings["build"], settings.get("arguments") or {})
    if weights_path is not None:
        load_weights_file(network, weights_path)
    has_dropout = set_dropout(network, False) > 0
    return [] if has_dropout else ["the network has no nn.Dropout with a rate above 0, so that the scores of MC-dropout are left out"]


module.code_digest = lambda settings: factory_code_digest(settings["build"])
module.code_path = lambda settings: factory_code_path(settings["build"])
module.requirements = lambda settings: factory_requirements(settings["build"])
module.examine = _examine
