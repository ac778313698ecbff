"""Import of a released checkpoint: its parameters become a trained network, in a folder as a training stage writes it.

Only two facts are taken from the parameter names of a checkpoint: a fine-tuned copy is below `uncertainty_network`, and other names with
"uncertainty" are the head's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch
from torch import nn

from confidnet_core.checkpoints.weights import IGNORED_BUFFER, StateDict, group_weights_by_layer, match_layers, read_checkpoint
from confidnet_core.config.choices import RegistryEntryChoice
from confidnet_core.config.params import Benchmark
from confidnet_core.config.registry import suggestion
from confidnet_core.data import Dataset
from confidnet_core.metrics import failure_metrics
from confidnet_core.networks import artifacts
from confidnet_core.networks.batches import labels_to_tensor
from confidnet_core.networks.classifier import Classifier
from confidnet_core.networks.confidnet import ConfidNet
from confidnet_core.networks.device import to_device
from confidnet_core.networks.inference import classifier_validation_metrics, map_images
from confidnet_core.networks.probabilities import true_class_probability
from confidnet_core.training.targets import training_target_summary

FINETUNED_PREFIX, HEAD_NAME_SUBSTRING = "uncertainty_network.", "uncertainty"  # in the checkpoint's parameter names


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
    user_notes: tuple[str, ...]


def import_checkpoint(
    checkpoint_kind: str, path: Path, benchmark: Benchmark, dataset: Dataset, networks_folder: Path, device: torch.device, **origin: Any
) -> ImportedCheckpoint:
    """Write the network of a checkpoint file to NETWORKS_FOLDER/KIND, with metrics measured on the validation split; return a summary.

    checkpoint_kind: a value of CheckpointKind; origin: further keys of origin.json
    A head is attached to the classifier in NETWORKS_FOLDER/baseline, which the checkpoint's own classifier must equal. Raises ValueError,
    before anything is written, that names all differences from the network of params.yaml.
    """
    if checkpoint_kind not in list(CheckpointKind):
        raise ValueError(f"KIND is {checkpoint_kind}{suggestion(checkpoint_kind, list(CheckpointKind))}")
    if dataset.is_segmentation:
        raise ValueError(f"{dataset.source} is segmentation; expected classification, for which checkpoints were released")
    file_weights, file_origin = read_checkpoint(path)
    origin, json_report_by_name, user_notes = {**origin, "imported": file_origin}, {}, ()
    if checkpoint_kind == CheckpointKind.BASELINE:
        network = to_device(_load_classifier(path, file_weights, benchmark, dataset), device)
        val_metrics = classifier_validation_metrics(network, dataset, device, "fp32")
    else:
        classifier = artifacts.load_verified_classifier(networks_folder / "baseline", benchmark, dataset, device)
        is_finetuned = checkpoint_kind == CheckpointKind.FINETUNED
        confidnet, user_notes = _load_confidnet(path, file_weights, benchmark, dataset, classifier, is_finetuned)
        origin["upstream_sha256"] = {"baseline": artifacts.weights_digest(networks_folder / "baseline")}
        val_metrics = _validation_metrics(to_device(confidnet, device), classifier, dataset, device)
        network = confidnet
        if checkpoint_kind == CheckpointKind.HEAD:
            network, json_report_by_name["target"] = confidnet.head, training_target_summary(confidnet, dataset, device)
    network_weights, epoch = network.state_dict(), file_origin["epoch"]
    model_json = artifacts.describe_trained_network(benchmark, dataset, best_epoch=epoch, **val_metrics)
    artifacts.save_network(networks_folder / checkpoint_kind, network_weights, model_json, origin, **json_report_by_name)
    layer_count, parameter_count = len(group_weights_by_layer(network_weights)), sum(map(torch.numel, network.parameters()))
    return ImportedCheckpoint(layer_count, parameter_count, epoch, val_metrics, user_notes)


def _load_classifier(path: Path, file_weights: StateDict, benchmark: Benchmark, dataset: Dataset) -> Classifier:
    classifier = _build_untrained_classifier(benchmark, dataset)
    classifier_weights, _, _ = _split_weights(path, file_weights, {"classifier": classifier, "copy": None, "head": None})
    classifier.load_state_dict(classifier_weights)
    return classifier.eval()


def _load_confidnet(
    path: Path, file_weights: StateDict, benchmark: Benchmark, dataset: Dataset, classifier: Classifier, is_finetuned: bool
) -> tuple[ConfidNet, tuple[str, ...]]:
    """Return a ConfidNet with the checkpoint's head, if IS_FINETUNED also its encoder, and notes for the user."""
    if benchmark.confidnet is None:
        raise ValueError("the benchmark has no recipe confidnet in params.yaml; give the one with which the head was trained")
    confidnet, encoder_copy = artifacts.build_confidnet(classifier, benchmark.confidnet, dataset), None
    if is_finetuned:
        confidnet = confidnet.finetuning_copy()
        # As published, the class layer of the copy has one output and is unused.
        encoder_copy = _build_untrained_classifier(benchmark, replace(dataset, classes=dataset.classes[:1]))
    network_by_checkpoint_part = {"classifier": classifier, "copy": encoder_copy, "head": confidnet.head}
    baseline_weights, encoder_copy_weights, head_weights = _split_weights(path, file_weights, network_by_checkpoint_part)
    user_notes = _compare_with_baseline(path, baseline_weights, classifier)
    confidnet.head.load_state_dict(head_weights)
    if is_finetuned:
        merged_weights = confidnet.encoder.state_dict()
        merged_weights |= {name: tensor for name, tensor in encoder_copy_weights.items() if tensor.shape == merged_weights[name].shape}
        confidnet.encoder.load_state_dict(merged_weights)
    return confidnet, user_notes


def _split_weights(path: Path, file_weights: StateDict, network_by_checkpoint_part: Mapping[str, nn.Module | None]) -> list[StateDict]:
    """Return the weights of "classifier", "copy" (of the encoder) and "head" from a checkpoint's parameters, under the networks' own names.

    Where a network is None, the file must hold nothing, and its weights are empty. Raises ValueError with everything that does not fit.
    """
    weights_by_checkpoint_part: dict[str, StateDict] = {checkpoint_part: {} for checkpoint_part in network_by_checkpoint_part}
    for name, tensor in file_weights.items():
        is_head, is_encoder_copy = HEAD_NAME_SUBSTRING in name.removeprefix(FINETUNED_PREFIX), name.startswith(FINETUNED_PREFIX)
        weights_by_checkpoint_part["head" if is_head else "copy" if is_encoder_copy else "classifier"][name] = tensor
    network_weights = {
        checkpoint_part: network.state_dict() if network else {} for checkpoint_part, network in network_by_checkpoint_part.items()
    }
    match_by_checkpoint_part = {
        checkpoint_part: match_layers(weights_by_checkpoint_part[checkpoint_part], weights)
        for checkpoint_part, weights in network_weights.items()
    }
    problems = [
        f"{checkpoint_part}: {problem}"
        for checkpoint_part, (_, match_problems) in match_by_checkpoint_part.items()
        for problem in match_problems
    ]
    if problems:
        remedy = "is it of this KIND, and are the settings of model and confidnet the published ones?"
        raise ValueError(f"{path} does not fit the network of params.yaml: {'; '.join(problems)}; {remedy}")
    return [weights for weights, _ in match_by_checkpoint_part.values()]


def _compare_with_baseline(path: Path, file_weights: StateDict, classifier: Classifier) -> tuple[str, ...]:
    """Return a note for the user if only BatchNorm's statistics differ from the baseline's. ValueError if trained parameters differ."""
    baseline_weights = {name: tensor.cpu() for name, tensor in classifier.state_dict().items() if not name.endswith(IGNORED_BUFFER)}
    different_weights = {name: tensor for name, tensor in baseline_weights.items() if not torch.equal(file_weights[name], tensor)}
    difference_by_tensor = {name: float((file_weights[name] - tensor).abs().max()) for name, tensor in different_weights.items()}
    if not difference_by_tensor:
        return ()
    tensor_name, largest_difference = max(difference_by_tensor.items(), key=itemgetter(1))
    differing_tensors_text = f"{len(difference_by_tensor)} of {len(baseline_weights)} tensors"
    largest_difference_text = f"most in {tensor_name}, by {largest_difference:.3g}"
    message = f"the classifier of {path} differs from the baseline in {differing_tensors_text}, {largest_difference_text}"
    if difference_by_tensor.keys() & dict(classifier.named_parameters()).keys():
        raise ValueError(f"{message}; import the baseline that it was made on first")
    return (f"{message}: BatchNorm's statistics alone, of which the baseline keeps its own",)


def _build_untrained_classifier(benchmark: Benchmark, dataset: Dataset) -> Classifier:
    # ImageNet weights are not needed, because those of the checkpoint replace them.
    model_settings = {setting: value for setting, value in benchmark.model.settings.items() if setting != "pretrained"}
    return artifacts.build_classifier(RegistryEntryChoice(benchmark.model.name, model_settings), dataset)


def _validation_metrics(confidnet: ConfidNet, classifier: Classifier, dataset: Dataset, device: torch.device) -> dict[str, float | None]:
    """Return a dictionary METRIC -> value on the validation split, of those metrics that a training of ConfidNet stores."""
    images, labels = dataset.split("val")
    logits, confidence = (map_images(network, images, dataset, device, "validate") for network in (classifier, confidnet))
    tcp = true_class_probability(torch.from_numpy(logits), labels_to_tensor(labels, torch.device("cpu")))
    loss = (torch.from_numpy(confidence).sigmoid() - tcp).square().mean().item()
    confidence_metrics = failure_metrics(confidence, logits.argmax(1) == labels)
    return {"val_loss": loss, **{f"val_{metric}": confidence_metrics[metric] for metric in ("aupr_error", "auroc", "fpr_at_95_tpr")}}
