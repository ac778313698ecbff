"""Import of the authors' released checkpoints as networks in the format of the training stages.

Corbière et al. 2019, arXiv:1910.04851. A .ckpt is a pickle of PyTorch 1.1 with `model_state_dict`. Only two facts are taken from its
parameter names: a fine-tuned copy is below `uncertainty_network`, and other names with "uncertainty" are the head's. Layers are
recognised by their tensors and matched, in order, to this project's layers of the same kind.
"""

import re
from collections.abc import Iterator, Mapping
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
FINETUNED_PREFIX, HEAD_NAME_PART = "uncertainty_network.", "uncertainty"  # in the checkpoint's parameter names


class CheckpointKind(StrEnum):
    """Kind of network in an authors' checkpoint file; the value is the name of the folder to which the network is written."""

    BASELINE = "baseline"  # a classifier
    HEAD = "confidnet"  # a classifier with a head
    FINETUNED = "finetune"  # a classifier, and a copy of it with a head


@dataclass(frozen=True)
class ImportedCheckpoint:
    """Summary of a network imported from a checkpoint file: size, epoch, validation metrics, and notes for the user."""

    layer_count: int
    parameter_count: int
    epoch: int | None
    validation_metrics: dict[str, float | None]
    notes: tuple[str, ...]


def import_checkpoint(
    kind: str, path: Path, benchmark: Benchmark, dataset: Dataset, networks_folder: Path, device: torch.device, **origin: Any
) -> ImportedCheckpoint:
    """Write the network of a checkpoint file to NETWORKS_FOLDER/KIND, with metrics measured on the validation split; return a summary.

    kind: a value of CheckpointKind; origin: further keys of origin.json. A head is attached to the classifier in NETWORKS_FOLDER/baseline,
    which the checkpoint's own classifier must equal. ValueError, before anything is written, for all difference_by_tensor from params.yaml.
    """
    if kind not in list(CheckpointKind):
        raise ValueError(f"KIND is {kind}{suggestion(kind, list(CheckpointKind))}")
    if dataset.is_segmentation:
        raise ValueError(f"{dataset.source} is segmentation; expected classification, for which checkpoints were released")
    file_weights, file_origin = read_checkpoint(path)
    origin, report_by_name, notes = {**origin, "imported": file_origin}, {}, ()
    if kind == CheckpointKind.BASELINE:
        network = to_device(_load_classifier(path, file_weights, benchmark, dataset), device)
        val_metrics = classification_metrics(network, dataset, device, "fp32")
    else:
        classifier = artifacts.load_verified_classifier(networks_folder / "baseline", benchmark, dataset, device)
        confidnet, notes = _load_confidnet(path, file_weights, benchmark, dataset, classifier, kind == CheckpointKind.FINETUNED)
        origin["upstream_sha256"] = {"baseline": artifacts.weights_digest(networks_folder / "baseline")}
        val_metrics = _validation_metrics(to_device(confidnet, device), classifier, dataset, device)
        network = confidnet
        if kind == CheckpointKind.HEAD:
            network, report_by_name["target"] = confidnet.head, training_target_summary(confidnet, dataset, device)
    network_weights, epoch = network.state_dict(), file_origin["epoch"]
    network_facts = artifacts.model_facts(benchmark, dataset, best_epoch=epoch, **val_metrics)
    artifacts.save_network(networks_folder / kind, network_weights, network_facts, origin, **report_by_name)
    return ImportedCheckpoint(len(_group_layers(network_weights)), sum(map(torch.numel, network.parameters())), epoch, val_metrics, notes)


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
    file_layers, network_layers = _group_layers(file_weights), _group_layers(network_weights)
    problems = [
        f"{name} {tuple(file_weights[name].shape)} belongs to no whole {', '.join(LAYER_KINDS)}"
        for layer, parameters in file_layers.items()
        if _kind_of_layer(parameters) is None
        for name in (f"{layer}.{parameter}" if layer else parameter for parameter in parameters)
    ]
    matched_weights = dict(network_weights)
    for layer_kind in LAYER_KINDS:
        file_subset, network_subset = (
            {layer: parameters for layer, parameters in layers.items() if _kind_of_layer(parameters) == layer_kind}
            for layers in (file_layers, network_layers)
        )
        problems += _layer_order_problems(list(file_subset))
        if len(file_subset) != len(network_subset):
            file_names = ", ".join(file_subset) or "none"
            problems.append(f"{layer_kind}: {len(file_subset)} in the file ({file_names}), {len(network_subset)} in the network")
            continue
        for (file_layer, file_tensors), (network_layer, network_tensors) in zip(file_subset.items(), network_subset.items(), strict=True):
            matched_weights |= {f"{network_layer}.{name}": tensor for name, tensor in file_tensors.items()}
            for name, tensor in file_tensors.items():
                if tensor.shape != (expected_shape := network_tensors[name].shape):
                    shapes_text = f"{tuple(tensor.shape)}; expected {tuple(expected_shape)}"
                    problems.append(f"{file_layer}.{name} is {shapes_text}, as {network_layer}.{name}")
    return matched_weights, problems


def _group_layers(weights: StateDict) -> dict[str, StateDict]:
    """Return a dictionary LAYER -> its parameters by name, from a state dict, with the layers in the order of their first parameters."""
    weights_by_layer: dict[str, StateDict] = {}
    for name, tensor in weights.items():
        layer, _, parameter = name.rpartition(".")
        weights_by_layer.setdefault(layer, {})[parameter] = tensor
    return weights_by_layer


def _kind_of_layer(parameters: StateDict) -> str | None:
    """Return the kind of a layer, a key of LAYER_KINDS, from its parameters by name; None if no kind has exactly these parameters."""
    for layer_kind, (weight_axes, parameter_names) in LAYER_KINDS.items():
        optional_names = {IGNORED_BUFFER} if "running_var" in parameter_names else set()
        if parameters.keys() - optional_names == parameter_names and parameters["weight"].ndim == weight_axes:
            return layer_kind
    return None


def _layer_order_problems(layer_names: list[str]) -> Iterator[str]:
    """Yield a message for each layer name with lower numbers than an earlier one: the file's order is then not the network's."""
    previous_by_pattern: dict[str, tuple[list[int], str]] = {}
    for layer_name in layer_names:
        name_pattern, layer_numbers = re.sub(r"\d+", "#", layer_name), [int(number) for number in re.findall(r"\d+", layer_name)]
        if name_pattern in previous_by_pattern and layer_numbers < previous_by_pattern[name_pattern][0]:
            yield f"{layer_name} stands after {previous_by_pattern[name_pattern][1]}, so the order of the layers is unknown"
        previous_by_pattern[name_pattern] = (layer_numbers, layer_name)


def _load_classifier(path: Path, file_weights: StateDict, benchmark: Benchmark, dataset: Dataset) -> Classifier:
    classifier = _build_untrained_classifier(benchmark, dataset)
    classifier_weights, _, _ = _split_weights(path, file_weights, {"classifier": classifier, "copy": None, "head": None})
    classifier.load_state_dict(classifier_weights)
    return classifier.eval()


def _load_confidnet(
    path: Path, file_weights: StateDict, benchmark: Benchmark, dataset: Dataset, classifier: Classifier, is_finetuned: bool
) -> tuple[ConfidNet, tuple[str, ...]]:
    """Return a ConfidNet with the checkpoint's head, if IS_FINETUNED also its encoder, and notes for the user."""
    confidnet, encoder_copy = artifacts.build_confidnet(classifier, benchmark.confidnet, dataset), None
    if is_finetuned:
        confidnet = confidnet.finetuning_copy()
        # As published, the class layer of the copy has one output and is unused.
        encoder_copy = _build_untrained_classifier(benchmark, replace(dataset, classes=dataset.classes[:1]))
    network_by_part = {"classifier": classifier, "copy": encoder_copy, "head": confidnet.head}
    baseline_weights, copy_weights, head_weights = _split_weights(path, file_weights, network_by_part)
    notes = _compare_with_baseline(path, baseline_weights, classifier)
    confidnet.head.load_state_dict(head_weights)
    if is_finetuned:
        merged_weights = confidnet.encoder.state_dict()
        merged_weights |= {name: tensor for name, tensor in copy_weights.items() if tensor.shape == merged_weights[name].shape}
        confidnet.encoder.load_state_dict(merged_weights)
    return confidnet, notes


def _split_weights(path: Path, file_weights: StateDict, network_by_part: Mapping[str, nn.Module | None]) -> list[StateDict]:
    """Return the weights of "classifier", "copy" (of the encoder) and "head" from a checkpoint's parameters, under the networks' own names.

    Where a network is None, the file must hold nothing, and its weights are empty. Raises ValueError with everything that does not fit.
    """
    weights_by_part: dict[str, StateDict] = {part: {} for part in network_by_part}
    for name, tensor in file_weights.items():
        is_head, is_encoder_copy = HEAD_NAME_PART in name.removeprefix(FINETUNED_PREFIX), name.startswith(FINETUNED_PREFIX)
        weights_by_part["head" if is_head else "copy" if is_encoder_copy else "classifier"][name] = tensor
    network_weights = {part: network.state_dict() if network else {} for part, network in network_by_part.items()}
    match_by_part = {part: match_layers(weights_by_part[part], weights) for part, weights in network_weights.items()}
    problems = [f"{part}: {problem}" for part, (_, part_problems) in match_by_part.items() for problem in part_problems]
    if problems:
        remedy = "is it of this KIND, and are the settings of model and confidnet the published ones?"
        raise ValueError(f"{path} does not fit the network of params.yaml: {'; '.join(problems)}; {remedy}")
    return [weights for weights, _ in match_by_part.values()]


def _compare_with_baseline(path: Path, file_weights: StateDict, classifier: Classifier) -> tuple[str, ...]:
    """Return a note for the user if only BatchNorm's statistics differ from the baseline's. ValueError if trained parameters differ."""
    baseline_weights = {name: tensor.cpu() for name, tensor in classifier.state_dict().items() if not name.endswith(IGNORED_BUFFER)}
    different_weights = {name: tensor for name, tensor in baseline_weights.items() if not torch.equal(file_weights[name], tensor)}
    difference_by_tensor = {name: float((file_weights[name] - tensor).abs().max()) for name, tensor in different_weights.items()}
    if not difference_by_tensor:
        return ()
    tensor_name, counts = (
        max(difference_by_tensor, key=difference_by_tensor.__getitem__),
        f"{len(difference_by_tensor)} of {len(baseline_weights)} tensors",
    )
    message = (
        f"the classifier of {path} differs from the baseline in {counts}, most in {tensor_name}, by {difference_by_tensor[tensor_name]:.3g}"
    )
    if difference_by_tensor.keys() & dict(classifier.named_parameters()).keys():
        raise ValueError(f"{message}; import the baseline that it was made on first")
    return (f"{message}: BatchNorm's statistics alone, of which the baseline keeps its own",)


def _build_untrained_classifier(benchmark: Benchmark, dataset: Dataset) -> Classifier:
    # ImageNet weights are not needed, because those of the checkpoint replace them.
    model_settings = {setting: value for setting, value in benchmark.model.settings.items() if setting != "pretrained"}
    return artifacts.build_classifier(EntryChoice(benchmark.model.name, model_settings), dataset)


def _validation_metrics(confidnet: ConfidNet, classifier: Classifier, dataset: Dataset, device: torch.device) -> dict[str, float | None]:
    """Return a dictionary METRIC -> value on the validation split, of those metrics that a training of ConfidNet stores."""
    images, labels = dataset.split("val")
    logits, confidence = (map_images(network, images, dataset, device, "validate") for network in (classifier, confidnet))
    tcp = true_class_probability(torch.from_numpy(logits), torch.from_numpy(labels).long())
    loss = (torch.from_numpy(confidence).sigmoid() - tcp).square().mean().item()
    confidence_metrics = failure_metrics(confidence, logits.argmax(1) == labels)
    return {"val_loss": loss, **{f"val_{metric}": confidence_metrics[metric] for metric in ("aupr_error", "auroc", "fpr_at_95_tpr")}}
