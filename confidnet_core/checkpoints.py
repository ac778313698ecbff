"""Import of the authors' released checkpoints as networks in the format of the training stages.

Corbière et al. 2019, arXiv:1910.04851. A .ckpt is a pickle of PyTorch 1.1 with `model_state_dict`. Only two facts are taken from its
parameter names: a fine-tuned copy is below `uncertainty_network`, and other names with "uncertainty" are the head's. Layers are
recognised by their tensors and matched, in order, to this project's layers of the same kind.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from confidnet_core.config.params import Benchmark, EntryChoice
from confidnet_core.config.registry import suggestion
from confidnet_core.data import Dataset
from confidnet_core.metrics import failure_metrics
from confidnet_core.networks import artifacts
from confidnet_core.networks.classifier import Classifier
from confidnet_core.networks.confidnet import ConfidNet
from confidnet_core.networks.device import to_device
from confidnet_core.networks.inference import classification_metrics, map_images
from confidnet_core.networks.probabilities import true_class_probability
from confidnet_core.training.trainings import training_target_summary

StateDict = dict[str, Tensor]

LAYER_KINDS = {  # kind of layer: (axes of its weight, names of its parameters)
    "convolution": (4, {"weight", "bias"}),
    "linear layer": (2, {"weight", "bias"}),
    "BatchNorm": (1, {"weight", "bias", "running_mean", "running_var"}),
}
IGNORED_BUFFER = "num_batches_tracked"  # BatchNorm reads it only if it has no momentum
FINETUNED_PREFIX, HEAD_MARKER = "uncertainty_network.", "uncertainty"  # in the checkpoint's parameter names


class CheckpointKind(StrEnum):
    """Kind of network in an authors' checkpoint file; the value is the name of the folder to which the network is written."""

    BASELINE = "baseline"  # a classifier
    HEAD = "confidnet"  # a classifier with a head
    FINETUNED = "finetune"  # a classifier, and a copy of it with a head


@dataclass(frozen=True)
class ImportedCheckpoint:
    """Summary of a network imported from a checkpoint file: size, epoch, validation metrics, and notes for the user."""

    layers: int
    parameters: int
    epoch: int | None
    metrics: dict[str, float | None]  # on validation data
    notes: tuple[str, ...]


def import_checkpoint(
    kind: str, path: Path, benchmark: Benchmark, dataset: Dataset, models: Path, device: torch.device, **origin: Any
) -> ImportedCheckpoint:
    """Write the network of a checkpoint file to MODELS/KIND, with metrics measured on the validation split; return a summary.

    A head is attached to the classifier in MODELS/baseline, which the checkpoint's own classifier must equal. origin: further entries of
    origin.json, JSON-like. Raises ValueError, before anything is written, with every difference from the network of params.yaml.
    """
    if kind not in list(CheckpointKind):
        raise ValueError(f"KIND is {kind}{suggestion(kind, list(CheckpointKind))}")
    if dataset.is_segmentation:
        raise ValueError(f"{dataset.source} is segmentation; expected classification, for which checkpoints were released")
    state, checkpoint = read_checkpoint(path)
    origin, reports, notes = {**origin, "imported": checkpoint}, {}, ()
    if kind == CheckpointKind.BASELINE:
        network = to_device(_load_classifier(path, state, benchmark, dataset), device)
        metrics = classification_metrics(network, dataset, device, "fp32")
    else:
        classifier = artifacts.load_verified_classifier(models / "baseline", benchmark, dataset, device)
        confidnet, notes = _load_confidnet(path, state, benchmark, dataset, classifier, finetuned=kind == CheckpointKind.FINETUNED)
        origin["upstream_sha256"] = {"baseline": artifacts.weights_digest(models / "baseline")}
        metrics = _validation_metrics(to_device(confidnet, device), classifier, dataset, device)
        network = confidnet
        if kind == CheckpointKind.HEAD:
            network, reports["target"] = confidnet.head, training_target_summary(confidnet, dataset, device)
    weights, epoch = network.state_dict(), checkpoint["epoch"]
    facts = artifacts.model_facts(benchmark, dataset, best_epoch=epoch, **metrics)
    artifacts.save_network(models / kind, weights, facts, origin, **reports)
    return ImportedCheckpoint(len(_group_layers(weights)), sum(tensor.numel() for tensor in network.parameters()), epoch, metrics, notes)


def read_checkpoint(path: Path) -> tuple[StateDict, dict[str, Any]]:
    """Return a checkpoint file's parameters in its order, and {"file", "sha256", "epoch"}; epoch is None if the file has none.

    ValueError for a file that is damaged, needs more than tensors and plain values, or has no model_state_dict of dense, finite tensors.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist; give the path of a .ckpt file")
    data = path.read_bytes()
    try:
        content = torch.load(BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise anything
        match = re.search(r"GLOBAL (\S+)", str(error))
        problem = f"it asks for {match[1]}, which could run code" if match else f"it is damaged or no checkpoint ({type(error).__name__})"
        raise ValueError(f"{path} was not read: {problem}; expected tensors and plain values alone") from None
    state = content.get("model_state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not state:
        description = f"a dict of {', '.join(map(str, content))}" if isinstance(content, dict) else f"a {type(content).__name__}"
        raise ValueError(f"{path} holds {description}; expected a dict with model_state_dict, the parameters by name")
    not_tensors = [str(name) for name, value in state.items() if not isinstance(name, str) or not isinstance(value, Tensor)]
    if not_tensors:
        raise ValueError(f"{path}: model_state_dict holds {', '.join(not_tensors)}; expected names of tensors alone")
    not_finite = [name for name, value in state.items() if value.layout != torch.strided or not value.isfinite().all()]
    if not_finite:
        raise ValueError(f"{path}: {', '.join(not_finite)} of model_state_dict: expected dense tensors of finite numbers")
    epoch = content.get("epoch")
    return dict(state), {"file": path.name, "sha256": sha256(data).hexdigest(), "epoch": epoch if isinstance(epoch, int) else None}


def match_layers(source: StateDict, target: StateDict) -> tuple[StateDict, list[str]]:
    """Return the source's tensors under the target's names, by matching layers of a kind in order, and a list of all problems."""
    file_layers, network_layers = _group_layers(source), _group_layers(target)
    problems = [
        f"{name} {tuple(source[name].shape)} belongs to no whole {', '.join(LAYER_KINDS)}"
        for layer, parameters in file_layers.items()
        if _layer_kind(parameters) is None
        for name in (f"{layer}.{parameter}" if layer else parameter for parameter in parameters)
    ]
    matched = dict(target)
    for kind in LAYER_KINDS:
        in_file, in_network = (
            {layer: parameters for layer, parameters in layers.items() if _layer_kind(parameters) == kind}
            for layers in (file_layers, network_layers)
        )
        problems += _layer_order_problems(list(in_file))
        if len(in_file) != len(in_network):
            problems.append(f"{kind}: {len(in_file)} in the file ({', '.join(in_file) or 'none'}), {len(in_network)} in the network")
            continue
        for (file_layer, tensors), (network_layer, expected) in zip(in_file.items(), in_network.items(), strict=True):
            matched |= {f"{network_layer}.{name}": tensor for name, tensor in tensors.items()}
            problems += [
                f"{file_layer}.{name} is {tuple(tensors[name].shape)}; expected {tuple(expected[name].shape)}, as {network_layer}.{name}"
                for name in tensors
                if tensors[name].shape != expected[name].shape
            ]
    return matched, problems


def _group_layers(state: StateDict) -> dict[str, StateDict]:
    """Return {layer name: its parameters} from a state dict, in the order of their first parameters."""
    layers: dict[str, StateDict] = {}
    for name, tensor in state.items():
        layer, _, parameter = name.rpartition(".")
        layers.setdefault(layer, {})[parameter] = tensor
    return layers


def _layer_kind(parameters: StateDict) -> str | None:
    """Return the kind of a layer: the key of LAYER_KINDS that has exactly these parameters, or None."""
    for kind, (axes, names) in LAYER_KINDS.items():
        optional = {IGNORED_BUFFER} if "running_var" in names else set()
        if parameters.keys() - optional == names and parameters["weight"].ndim == axes:
            return kind
    return None


def _layer_order_problems(names: list[str]) -> Iterator[str]:
    """Yield a problem for layer names that differ only in decreasing numbers: the file's order is then not the network's."""
    previous: dict[str, tuple[list[int], str]] = {}
    for name in names:
        pattern, numbers = re.sub(r"\d+", "#", name), [int(number) for number in re.findall(r"\d+", name)]
        if pattern in previous and numbers < previous[pattern][0]:
            yield f"{name} stands after {previous[pattern][1]}, so the order of the layers is unknown"
        previous[pattern] = (numbers, name)


def _load_classifier(path: Path, state: StateDict, benchmark: Benchmark, dataset: Dataset) -> Classifier:
    classifier = _build_untrained_classifier(benchmark, dataset)
    weights, _, _ = _match_parts(path, state, classifier, None, None)
    classifier.load_state_dict(weights)
    return classifier.eval()


def _load_confidnet(
    path: Path, state: StateDict, benchmark: Benchmark, dataset: Dataset, classifier: Classifier, finetuned: bool
) -> tuple[ConfidNet, tuple[str, ...]]:
    """Return a ConfidNet with the checkpoint's head, if `finetuned` also its encoder, and notes about the checkpoint's classifier."""
    confidnet, encoder_copy = artifacts.build_confidnet(classifier, benchmark.confidnet, dataset), None
    if finetuned:
        confidnet = confidnet.finetuning_copy()
        # As published, the class layer of the copy has one output and is unused.
        encoder_copy = _build_untrained_classifier(benchmark, replace(dataset, classes=dataset.classes[:1]))
    baseline, encoder, head = _match_parts(path, state, classifier, encoder_copy, confidnet.head)
    notes = _compare_with_baseline(path, baseline, classifier)
    confidnet.head.load_state_dict(head)
    if finetuned:
        weights = confidnet.encoder.state_dict()
        weights |= {name: tensor for name, tensor in encoder.items() if tensor.shape == weights[name].shape}
        confidnet.encoder.load_state_dict(weights)
    return confidnet, notes


def _match_parts(path: Path, state: StateDict, classifier: Classifier, copy: Classifier | None, head: nn.Module | None) -> list[StateDict]:
    """Split the checkpoint's parameters by network; return the weights of classifier, encoder copy and head.

    For a network that is None the file must hold nothing, and its weights are empty. Raises ValueError with everything that does not fit.
    """
    networks = {"classifier": classifier, "copy": copy, "head": head}
    parts: dict[str, StateDict] = {name: {} for name in networks}
    for name, tensor in state.items():
        is_head, is_copy = HEAD_MARKER in name.removeprefix(FINETUNED_PREFIX), name.startswith(FINETUNED_PREFIX)
        parts["head" if is_head else "copy" if is_copy else "classifier"][name] = tensor
    matches = {part: match_layers(parts[part], network.state_dict() if network else {}) for part, network in networks.items()}
    problems = [f"{part}: {problem}" for part, (_, part_problems) in matches.items() for problem in part_problems]
    if problems:
        remedy = "is it of this KIND, and are the settings of model and confidnet the published ones?"
        raise ValueError(f"{path} does not fit the network of params.yaml: {'; '.join(problems)}; {remedy}")
    return [weights for weights, _ in matches.values()]


def _compare_with_baseline(path: Path, weights: StateDict, classifier: Classifier) -> tuple[str, ...]:
    """Return a note if only BatchNorm's statistics differ from the baseline's. Raises ValueError if trained parameters differ."""
    baseline = {name: value.cpu() for name, value in classifier.state_dict().items() if not name.endswith(IGNORED_BUFFER)}
    differences = {
        name: float((weights[name] - value).abs().max()) for name, value in baseline.items() if not torch.equal(weights[name], value)
    }
    if not differences:
        return ()
    count, largest = f"{len(differences)} of {len(baseline)} tensors", max(differences, key=differences.__getitem__)
    difference = f"the classifier of {path} differs from the baseline in {count}, most in {largest}, by {differences[largest]:.3g}"
    if differences.keys() & dict(classifier.named_parameters()).keys():
        raise ValueError(f"{difference}; import the baseline that it was made on first")
    return (f"{difference}: BatchNorm's statistics alone, of which the baseline keeps its own",)


def _build_untrained_classifier(benchmark: Benchmark, dataset: Dataset) -> Classifier:
    # ImageNet weights are not needed, because those of the checkpoint replace them.
    settings = {key: value for key, value in benchmark.model.settings.items() if key != "pretrained"}
    return artifacts.build_classifier(EntryChoice(benchmark.model.name, settings), dataset)


def _validation_metrics(confidnet: ConfidNet, classifier: Classifier, dataset: Dataset, device: torch.device) -> dict[str, float | None]:
    """Return the validation metrics of a ConfidNet that a training stores for its best epoch."""
    images, labels = dataset.split("val")
    logits, confidence = (map_images(network, images, dataset, device, "validate") for network in (classifier, confidnet))
    tcp = true_class_probability(torch.from_numpy(logits), torch.from_numpy(labels).long())
    loss = (torch.from_numpy(confidence).sigmoid() - tcp).square().mean().item()
    ranking = failure_metrics(confidence, logits.argmax(1) == labels)
    return {"val_loss": loss, **{f"val_{key}": ranking[key] for key in ("aupr_error", "auroc", "fpr_at_95_tpr")}}
