"""The parameters in a released checkpoint: they are read safely from the file, and matched layer by layer to those of a network.

Layers are recognised by their tensors and matched, in order, to the network's layers of the same kind.
"""

import re
from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

StateDict = dict[str, Tensor]

LAYER_KINDS = {  # kind of layer: (number of axes of its weight, names of its parameters)
    "convolution": (4, {"weight", "bias"}),
    "linear layer": (2, {"weight", "bias"}),
    "BatchNorm": (1, {"weight", "bias", "running_mean", "running_var"}),
}
WRAPPER_PREFIXES = ("module.", "_orig_mod.")  # of all names in a checkpoint of DataParallel and of torch.compile, also one in the other
IGNORED_BUFFER = "num_batches_tracked"  # BatchNorm reads it only if it has no momentum


def read_checkpoint(path: Path) -> tuple[StateDict, dict[str, Any]]:
    """Return a checkpoint file's parameters, NAME -> tensor in its order, and {"file": NAME, "sha256": DIGEST, "epoch": EPOCH or None}.

    ValueError for a file that is damaged, needs more than tensors and plain values, or has no model_state_dict of dense, finite tensors.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist; give the path of a .ckpt file")
    file_bytes = path.read_bytes()
    try:
        file_content = torch.load(BytesIO(file_bytes), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise anything
        match = re.search(r"GLOBAL (\S+)", str(error))
        problem = f"it asks for {match[1]}, which could run code" if match else f"it is damaged or no checkpoint ({type(error).__name__})"
        raise ValueError(f"{path} was not read: {problem}; expected tensors and plain values alone") from None
    weights = file_content.get("model_state_dict") if isinstance(file_content, dict) else None
    if not isinstance(weights, dict) or not weights:
        keys_text = f"dict of {', '.join(map(str, file_content))}" if isinstance(file_content, dict) else type(file_content).__name__
        raise ValueError(f"{path} holds a {keys_text}; expected a dict with model_state_dict, the parameters by name")
    while prefix := next((prefix for prefix in WRAPPER_PREFIXES if all(str(name).startswith(prefix) for name in weights)), None):
        weights = {name.removeprefix(prefix) if isinstance(name, str) else name: tensor for name, tensor in weights.items()}
    non_tensor_names = [str(name) for name, tensor in weights.items() if not isinstance(name, str) or not isinstance(tensor, Tensor)]
    if non_tensor_names:
        raise ValueError(f"{path}: model_state_dict holds {', '.join(non_tensor_names)}; expected names of tensors alone")
    non_finite_names = [name for name, tensor in weights.items() if tensor.layout != torch.strided or not tensor.isfinite().all()]
    if non_finite_names:
        raise ValueError(f"{path}: {', '.join(non_finite_names)} of model_state_dict: expected dense tensors of finite numbers")
    epoch = file_content.get("epoch")
    return dict(weights), {"file": path.name, "sha256": sha256(file_bytes).hexdigest(), "epoch": epoch if isinstance(epoch, int) else None}


def match_layers(file_weights: StateDict, network_weights: StateDict) -> tuple[StateDict, list[str]]:
    """Return the file's tensors under the network's parameter names, and all problems in words; layers of a kind are matched in order."""
    file_layers, network_layers = group_weights_by_layer(file_weights), group_weights_by_layer(network_weights)
    problems = [
        f"{name} {tuple(file_weights[name].shape)} belongs to no whole {', '.join(LAYER_KINDS)}"
        for layer, parameters in file_layers.items()
        if _kind_of_layer(parameters) is None
        for name in (f"{layer}.{parameter}" if layer else parameter for parameter in parameters)
    ]
    matched_weights = dict(network_weights)
    for layer_kind in LAYER_KINDS:
        file_layers_of_kind, network_layers_of_kind = (
            {layer: parameters for layer, parameters in layers.items() if _kind_of_layer(parameters) == layer_kind}
            for layers in (file_layers, network_layers)
        )
        problems += _layer_order_problems(list(file_layers_of_kind))
        if len(file_layers_of_kind) != len(network_layers_of_kind):
            file_layers_text = f"{len(file_layers_of_kind)} in the file ({', '.join(file_layers_of_kind) or 'none'})"
            problems.append(f"{layer_kind}: {file_layers_text}, {len(network_layers_of_kind)} in the network")
            continue
        layer_pairs = zip(file_layers_of_kind.items(), network_layers_of_kind.items(), strict=True)
        for (file_layer, file_tensors), (network_layer, network_tensors) in layer_pairs:
            matched_weights |= {f"{network_layer}.{name}": tensor for name, tensor in file_tensors.items()}
            for name, tensor in file_tensors.items():
                if tensor.shape != (expected_shape := network_tensors[name].shape):
                    shapes_text = f"{tuple(tensor.shape)}; expected {tuple(expected_shape)}"
                    problems.append(f"{file_layer}.{name} is {shapes_text}, as {network_layer}.{name}")
    return matched_weights, problems


def group_weights_by_layer(weights: StateDict) -> dict[str, StateDict]:
    """Return a dictionary LAYER -> its parameters by name, from a state dict, with the layers in the order of their first parameters."""
    weights_by_layer: dict[str, StateDict] = {}
    for name, tensor in weights.items():
        layer, _, parameter = name.rpartition(".")
        weights_by_layer.setdefault(layer, {})[parameter] = tensor
    return weights_by_layer


def _kind_of_layer(parameters: StateDict) -> str | None:
    """Return the kind of a layer, a key of LAYER_KINDS, from its parameters by name; None if no kind has exactly these parameters."""
    for layer_kind, (weight_ndim, parameter_names) in LAYER_KINDS.items():
        optional_parameter_names = {IGNORED_BUFFER} if "running_var" in parameter_names else set()
        if parameters.keys() - optional_parameter_names == parameter_names and parameters["weight"].ndim == weight_ndim:
            return layer_kind
    return None


def _layer_order_problems(layer_names: list[str]) -> Iterator[str]:
    """Yield a message for each layer name with lower numbers than an earlier one: the file's order is then not the network's."""
    previous_layer_by_pattern: dict[str, tuple[list[int], str]] = {}
    for layer_name in layer_names:
        name_pattern, layer_numbers = re.sub(r"\d+", "#", layer_name), [int(number) for number in re.findall(r"\d+", layer_name)]
        if name_pattern in previous_layer_by_pattern and layer_numbers < previous_layer_by_pattern[name_pattern][0]:
            yield f"{layer_name} stands after {previous_layer_by_pattern[name_pattern][1]}, so the order of the layers is unknown"
        previous_layer_by_pattern[name_pattern] = (layer_numbers, layer_name)
