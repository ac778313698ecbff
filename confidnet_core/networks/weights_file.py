"""Weights of a network that was trained elsewhere: read from a file without running code, and matched to the network by name.

A file is in the format safetensors (huggingface.co/docs/safetensors) or a PyTorch checkpoint of tensors and plain values.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from confidnet_core.files import require_regular_file

StateDict = dict[str, Tensor]

STATE_DICT_KEYS = ("state_dict", "model_state_dict", "model", "weights", "network", "net")  # under which checkpoints keep parameters
BATCH_COUNT = "num_batches_tracked"  # of BatchNorm, which reads it only if it has no momentum; older files lack it
MAX_LISTED_PROBLEMS = 12


def load_weights_file(network: nn.Module, path: Path) -> None:
    """Load the weights in a file into a network, strictly: each parameter and buffer by its name, after a prefix that they share.

    Prefixes such as those of DataParallel (module.), Lightning (model.) and torch.compile (_orig_mod.) are found by comparing the names.
    Raises ValueError, one problem a line, where the file cannot be read or does not fit; the network then is as it was.
    """
    file_weights = read_weights_file(path)
    prefix = _shared_prefix(file_weights, network.state_dict())
    network_weights = network.state_dict()
    named_weights = {name.removeprefix(prefix): tensor for name, tensor in file_weights.items()}
    problems = _list_problems(named_weights, network_weights)
    if problems:
        listed = [
            *problems[:MAX_LISTED_PROBLEMS],
            *[f"and {len(problems) - MAX_LISTED_PROBLEMS} more"] * (len(problems) > MAX_LISTED_PROBLEMS),
        ]
        remedy_text = "the architecture must be the one whose weights these are"
        raise ValueError("\n  ".join([f"{path} does not fit the network that model in params.yaml builds; {remedy_text}:", *listed]))
    counts = {name: tensor for name, tensor in network_weights.items() if name.endswith(BATCH_COUNT)}
    network.load_state_dict({name: tensor for name, tensor in (counts | named_weights).items() if name in network_weights})


def load_tensors(path: Path) -> Any:
    """Return what torch.save wrote to a file, tensors and plain values alone, on the CPU; no code in it is run.

    FileNotFoundError for a missing file, ValueError that names one that is damaged or holds something else.
    """
    require_regular_file(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise ValueError(f"{path} is damaged ({type(error).__name__})") from None


def require_finite(weights: Mapping[str, Tensor], path: Path) -> None:
    """Raise ValueError for weights with NaN or infinity, with which every output would be undefined."""
    for name, tensor in weights.items():
        if (tensor.is_floating_point() or tensor.is_complex()) and not tensor.isfinite().all():
            raise ValueError(f"{path}: {name} holds NaN or infinity; expected finite numbers")


def read_weights_file(path: Path) -> StateDict:
    """Return the tensors of a file by name, on the CPU. ValueError for a file that is missing, damaged, or needs more than tensors."""
    if not path.is_file():
        raise ValueError(f"{path} does not exist; give the path of a .safetensors file or of a checkpoint, from the project's root")
    content: Any
    try:
        content = load_file(path) if _is_safetensors(path) else torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise ValueError(f"{path} is damaged ({error}); put a whole copy there") from None
    except Exception as error:  # a damaged pickle can raise anything
        reason = _unreadable_reason(error)
        remedy_text = "save torch.save(network.state_dict(), FILE), or a .safetensors file"
        raise ValueError(f"{path} was not read: {reason}; expected tensors by name: {remedy_text}") from None
    weights = _find_state_dict(content)
    if weights is None:
        keys_text = f"a dictionary of {', '.join(map(str, list(content)[:8]))}" if isinstance(content, Mapping) else type(content).__name__
        raise ValueError(f"{path} holds {keys_text}; expected tensors by name, at the top or under {', '.join(STATE_DICT_KEYS)}")
    require_finite(weights, path)
    return weights


def _is_safetensors(path: Path) -> bool:
    """Return whether a file begins as safetensors does: the length of a header in 8 bytes, and the header's bracket."""
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{" or path.suffix == ".safetensors"


def _unreadable_reason(error: Exception) -> str:
    _, found, rest = str(error).partition("GLOBAL ")
    if found:
        return f"it asks for {rest.split()[0]}, which could run code"
    return f"it is damaged or no checkpoint ({type(error).__name__})"


def _find_state_dict(content: Any) -> StateDict | None:
    """Return the tensors by name in the content of a file: the content itself, or what lies under one of STATE_DICT_KEYS."""
    if not isinstance(content, Mapping):
        return None
    for key in STATE_DICT_KEYS:
        if isinstance(content.get(key), Mapping) and (weights := _find_state_dict(content[key])):
            return weights
    is_state_dict = content and all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in content.items())
    return dict(content) if is_state_dict else None


def _shared_prefix(file_names: Iterable[str], network_names: Iterable[str]) -> str:
    """Return the prefix of names in a file after which most of them are the network's; "" if that is as good as any."""
    file_names, wanted_names = list(file_names), set(network_names)
    prefixes = [""]
    for name in file_names[:1]:
        parts = name.split(".")
        prefixes += [".".join(parts[:depth]) + "." for depth in range(1, len(parts))]
    prefixes += sorted({f"{name.partition('.')[0]}." for name in file_names} - set(prefixes))

    def count_matches(prefix: str) -> int:
        return sum(name.startswith(prefix) and name.removeprefix(prefix) in wanted_names for name in file_names)

    return max(prefixes, key=count_matches)


def _list_problems(file_weights: Mapping[str, Tensor], network_weights: Mapping[str, Tensor]) -> list[str]:
    """Return in words what the file lacks, what has another shape, and what the network lacks, in this order."""
    missing = [name for name in network_weights if name not in file_weights and not name.endswith(BATCH_COUNT)]
    unexpected = [name for name in file_weights if name not in network_weights and not name.endswith(BATCH_COUNT)]
    return [
        *(f"missing in the file: {name} {tuple(network_weights[name].shape)}" for name in missing),
        *(
            f"{name} is {tuple(tensor.shape)}, the network's is {tuple(network_weights[name].shape)}"
            for name, tensor in file_weights.items()
            if name in network_weights and tensor.shape != network_weights[name].shape
        ),
        *(f"not in the network: {name} {tuple(file_weights[name].shape)}" for name in unexpected),
    ]
