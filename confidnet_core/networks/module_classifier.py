"""Any network as a classifier: its features are the input of one of its layers, which a hook reads while the network runs.

The network itself is called as it is, so that its logits are its own to the last bit.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.weak import WeakIdKeyDictionary

from confidnet_core.config.registry import suggestion
from confidnet_core.networks.classifier import Classifier

LAYERS_WITH_FEATURES = (nn.Linear, nn.Conv2d)  # before the last one of these lie the features, if no layer is named
AUXILIARY_PREFIX = "aux"  # of the names of classifiers that only help a training, as in torchvision's segmentation networks
LOGITS_KEYS = ("out", "logits")  # under which networks return a dictionary or an object with their logits
PROBE_IMAGES = 2


class ModuleClassifier(Classifier):
    """A network of any architecture, whose logits are (b, classes) or, for segmentation, (b, classes, h, w), as a classifier.

    The features are the input of a layer, in the form that confidence heads read:
    (b, d)                as it is
    (b, tokens, d)        the class token, where the network has an attribute class_token, cls_token or num_prefix_tokens; else the mean
    (b, d, h, w)          for classification the mean over h and w; for segmentation resized to the size of the logits, bilinearly
    (b, h, w, d)          before a layer on the last axis, such as nn.Linear: as (b, d, h, w)
    Logits that are smaller than the images are resized to their size, bilinearly, too.
    """

    def __init__(self, network: nn.Module, classes: int, image_shape: tuple[int, int, int], feature_layer: str | None = None) -> None:
        """Run the network once, on two images, to find its features. Raises ValueError for a network or a layer that does not fit."""
        super().__init__()
        self.network = network
        self.feature_layer = self.last_layer = ""
        self._logits_of_features = WeakIdKeyDictionary()
        was_training = network.training
        network.eval()
        with torch.no_grad(), torch.random.fork_rng(devices=[]), _network_named_in_errors(image_shape):
            images = torch.rand((PROBE_IMAGES, *image_shape), generator=torch.Generator().manual_seed(0))
            self.last_layer = self._find_last_layer(images)
            self.feature_layer = self._checked_layer_name(feature_layer) if feature_layer else self.last_layer
            if not self.feature_layer:
                raise ValueError("model.features: the network runs no nn.Linear and no nn.Conv2d; name the layer that reads its features")
            logits, features = self._run(images)
        network.train(was_training)
        _check_logits(logits, classes, image_shape)
        self.feature_channels = features.shape[1]

    def forward(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b classes *pixels"]:
        return self._logits(images)

    def encode(self, images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d *pixels"]:
        logits, features = self._run(images)
        # Of the same pass, for `classify`: a part of the network may lie between the features and the logits. Kept while the features are.
        self._logits_of_features[features] = logits.detach()
        return features

    def classify(self, features: Float[Tensor, "b d *pixels"]) -> Float[Tensor, "b classes *pixels"]:
        """Return the logits, without gradient, of the images whose features `encode` returned. RuntimeError for other features."""
        logits = self._logits_of_features.get(features)
        if logits is None:
            raise RuntimeError("classify() needs the tensor that encode() returned: the network gives logits for images only")
        return logits

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy takes over: everything but the logits of features, which belong to passes of this network."""
        return self.__dict__ | {"_logits_of_features": WeakIdKeyDictionary()}

    def _run(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return (logits, features) of images from one pass of the network."""
        inputs: list[Tensor] = []
        layer = self.network.get_submodule(self.feature_layer)
        with _hooked({self.feature_layer: layer}, lambda _, layer_input: inputs.append(layer_input)):
            logits = self._logits(images)
        if not inputs:
            raise ValueError(f"model.features: the network does not call its layer {self.feature_layer}; name another")
        return logits, self._as_features(inputs[-1], logits, layer)

    def _logits(self, images: Tensor) -> Tensor:
        """Return the network's logits, whose last layer computes in float32 also under autocast: in bfloat16 many would be equal."""
        if not (self.last_layer and torch.is_autocast_enabled(images.device.type)):
            return _logits_of_output(self.network(images), images)

        def recompute(layer: nn.Module, layer_inputs: tuple[Tensor], _: Tensor) -> Tensor:
            with torch.autocast(images.device.type, enabled=False):
                return layer.forward(layer_inputs[0].float())

        handle = self.network.get_submodule(self.last_layer).register_forward_hook(recompute)
        try:
            return _logits_of_output(self.network(images), images)
        finally:
            handle.remove()

    def _as_features(self, layer_input: Tensor, logits: Tensor, layer: nn.Module) -> Tensor:
        is_segmentation = logits.ndim == 4
        if layer_input.ndim == 4:
            is_channels_last = isinstance(layer, nn.Linear | nn.LayerNorm)
            feature_maps = layer_input.movedim(-1, 1) if is_channels_last else layer_input
            return _resized(feature_maps, logits) if is_segmentation else feature_maps.mean((2, 3))
        if layer_input.ndim == 3 and not is_segmentation:
            return layer_input[:, 0] if _has_class_token(self.network) else layer_input.mean(1)
        if layer_input.ndim == 2 and not is_segmentation:
            return layer_input
        expected_text = "(b, d, h, w), as before a convolution" if is_segmentation else "(b, d), (b, tokens, d) or (b, d, h, w)"
        shape_text = f"{tuple(layer_input.shape)} for logits {tuple(logits.shape)}"
        raise ValueError(f"model.features: the input of {self.feature_layer} is {shape_text}; expected {expected_text}: name another layer")

    def _checked_layer_name(self, name: str) -> str:
        layer_names = [layer_name for layer_name, _ in self.network.named_modules() if layer_name]
        if name not in layer_names:
            raise ValueError(f"model.features is {name}, but the network has no such layer{suggestion(name, layer_names[-40:])}")
        return name

    def _find_last_layer(self, images: Tensor) -> str:
        """Return the name of the linear or convolutional layer that the network runs last, auxiliary classifiers excepted; "" for none."""
        layers = {
            name: layer
            for name, layer in self.network.named_modules()
            if isinstance(layer, LAYERS_WITH_FEATURES) and not name.startswith(AUXILIARY_PREFIX)
        }
        called_names: list[str] = []
        with _hooked(layers, lambda name, _: called_names.append(name)):
            self.network(images)
        return called_names[-1] if called_names else ""


@contextmanager
def _network_named_in_errors(image_shape: tuple[int, int, int]) -> Iterator[None]:
    """Context manager: turn an error of a network, which can raise anything, into a ValueError of one line."""
    try:
        yield
    except ValueError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
        raise ValueError(f"model: the network fails on images {tuple(image_shape)}: {reason}") from error


@contextmanager
def _hooked(layers: Mapping[str, nn.Module], called: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Context manager: called(name of the layer, its input) whenever this thread runs one of the layers."""
    thread_id = threading.get_ident()

    def hook_of(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, layer_inputs: tuple[Any, ...]) -> None:
            if threading.get_ident() == thread_id and layer_inputs and isinstance(layer_inputs[0], Tensor):
                called(name, layer_inputs[0])

        return hook

    handles = [layer.register_forward_pre_hook(hook_of(name)) for name, layer in layers.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _logits_of_output(output: Any, images: Tensor) -> Tensor:
    """Return the logits, float32, in what a network returns: a tensor, the first of several, or one under LOGITS_KEYS."""
    if isinstance(output, Mapping):
        output = next((output[key] for key in LOGITS_KEYS if key in output), output)
    elif not isinstance(output, Tensor):
        output = next((getattr(output, key) for key in LOGITS_KEYS if hasattr(output, key)), output)
    if isinstance(output, tuple | list) and output:
        output = output[0]
    if not isinstance(output, Tensor):
        problem_text = f"model: the network returns a {type(output).__name__}"
        raise ValueError(f"{problem_text}; expected a tensor of logits, or one under {' or '.join(LOGITS_KEYS)}")
    return _resized(output, images).float() if output.ndim == 4 else output.float()


def _resized(maps: Tensor, like: Tensor) -> Tensor:
    """Return maps (b, d, h, w) bilinearly resized to the height and width of `like`, or as they are if they have it."""
    size = (like.shape[-2], like.shape[-1])
    return maps if tuple(maps.shape[-2:]) == size else functional.interpolate(maps, size, mode="bilinear", align_corners=False)


def _has_class_token(network: nn.Module) -> bool:
    has_token = any(isinstance(getattr(network, name, None), Tensor) for name in ("class_token", "cls_token"))
    return has_token or bool(getattr(network, "num_prefix_tokens", 0))


def _check_logits(logits: Tensor, classes: int, image_shape: tuple[int, int, int]) -> None:
    if logits.ndim not in (2, 4) or logits.shape[:2] != (PROBE_IMAGES, classes):
        shape_text = f"(b, {', '.join(map(str, logits.shape[1:]))}) for images {tuple(image_shape)}"
        expected_text = f"(b, {classes}), or (b, {classes}, h, w) for segmentation, as the data have {classes} classes"
        raise ValueError(f"model: the network returns {shape_text}; expected {expected_text}: correct model.arguments")
