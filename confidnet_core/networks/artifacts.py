"""Trained networks on disk: weights.pt (tensors only), model.json (architecture and quality), origin.json (parameters, data and code).

No stage depends on origin.json, so equal weights rerun nothing, whichever code or commit they come from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from confidnet_core.config.choices import RegistryEntryChoice
from confidnet_core.config.params import Benchmark
from confidnet_core.config.recipes import ConfidenceHeadRecipe, ConfidnetRecipe, CorrectedMcpRecipe
from confidnet_core.config.registry import find_entry
from confidnet_core.data import Dataset
from confidnet_core.files import atomic_write, read_json, write_json, write_text
from confidnet_core.networks.classifier import Classifier
from confidnet_core.networks.confidnet import ConfidNet, CorrectedMcp, freeze
from confidnet_core.networks.device import to_device
from confidnet_core.networks.dropout import with_fast_dropout
from confidnet_core.networks.head import ConfidenceHead, build_confidence_head, head_from_weights
from confidnet_core.networks.inference import classifier_validation_metrics
from confidnet_core.networks.weights_file import load_tensors, load_weights_file, require_finite

NetworkT = TypeVar("NetworkT", bound=nn.Module)


def build_classifier(model: RegistryEntryChoice, dataset: Dataset) -> Classifier:
    """Build the untrained classifier that `model` names, with its settings, for the classes and the image shape of the data set."""
    network = find_entry("models", model.name)(classes=len(dataset.classes), image_shape=dataset.image_shape, **model.settings)
    return with_fast_dropout(network)


def build_confidnet(classifier: Classifier, recipe: ConfidnetRecipe, dataset: Dataset) -> ConfidNet:
    """Build ConfidNet with an untrained head on the frozen classifier.

    Raises ValueError for a recipe with a kernel where the data set is no segmentation.
    """
    return ConfidNet(classifier, _build_head_from_recipe(classifier.feature_channels, recipe, dataset, "confidnet"), dropout=recipe.dropout)


def build_corrected_mcp(classifier: Classifier, recipe: CorrectedMcpRecipe, dataset: Dataset) -> CorrectedMcp:
    """Build the network that corrects MCP, with an untrained head, which adds 0 to MCP's log-odds, on the frozen classifier.

    Raises ValueError for a recipe with a kernel where the data set is no segmentation.
    """
    input_channels = classifier.feature_channels + len(dataset.classes) + 1  # the last classes + 1 come from logit_features
    return CorrectedMcp(classifier, _build_head_from_recipe(input_channels, recipe, dataset, "corrected_mcp"), dropout=recipe.dropout)


def _build_head_from_recipe(input_channels: int, recipe: ConfidenceHeadRecipe, dataset: Dataset, params_section: str) -> ConfidenceHead:
    if recipe.pixel_share < 1 and not dataset.is_segmentation:
        raise ValueError(f"{params_section}.pixel_share is {recipe.pixel_share}, but {dataset.source} is no segmentation; remove the key")
    if recipe.kernel and not dataset.is_segmentation:
        raise ValueError(f"{params_section}.kernel is {recipe.kernel}, but {dataset.source} is no segmentation; remove the key")
    if recipe.feature_passes and dataset.is_segmentation:
        problem_text = f"{params_section}.feature_passes is {recipe.feature_passes}, but the features of {dataset.source} are maps"
        raise ValueError(f"{problem_text}, too large to be stored; remove the key, and train on a sample of pixels: pixel_share")
    kernel_size = (recipe.kernel or 3) if dataset.is_segmentation else None
    return build_confidence_head(input_channels, hidden_widths=recipe.widths, kernel_size=kernel_size)


def save_network(
    network_folder: Path, weights: dict[str, Tensor], model_json: dict[str, Any], origin_json: dict[str, Any], **json_reports: Any
) -> None:
    """Write a trained network into a folder: weights.pt, model.json, origin.json, and each of json_reports as NAME.json; all or none.

    weights: the network's state_dict; model_json: as from describe_trained_network; origin_json: parameters, data and code of the training
    All contents are JSON-like and without times, so that equal trainings give equal files.
    """
    with atomic_write(network_folder) as temporary_folder:
        temporary_folder.mkdir()
        torch.save(
            {parameter_name: tensor.cpu().contiguous() for parameter_name, tensor in weights.items()}, temporary_folder / "weights.pt"
        )
        for file_stem, json_content in {"model": model_json, "origin": origin_json, **json_reports}.items():
            write_json(temporary_folder / f"{file_stem}.json", json_content)


def save_history(history_path: Path, epoch_metrics: Sequence[Mapping[str, float | None]], best_epoch: int | None) -> None:
    """Write the metrics of each epoch of a training as one line of a CSV file.

    epoch_metrics: {metric: value} of each epoch, with its number under "epoch". The column `kept` is 1 for best_epoch, whose weights were
    kept, else 0.
    """
    import pandas as pd  # imported here, since most stages load networks and only trainings write a history

    epoch_table = pd.DataFrame(epoch_metrics)
    write_text(history_path, epoch_table.assign(kept=(epoch_table["epoch"] == best_epoch).astype(int)).to_csv(index=False))


def save_left_out_network(network_folder: Path, history_path: Path, reason: str) -> None:
    """Write the files of a network that is not trained, and of its history: no weights, no epoch, and the reason in model.json."""
    save_network(network_folder, {}, {"left_out": reason}, {})
    write_text(history_path, "epoch,kept\n")


def is_trained(network_folder: Path) -> bool:
    """Return whether a network is there, and was not left out."""
    path = network_folder / "model.json"
    return path.exists() and "left_out" not in read_json(path)


def weights_digest(network_folder: Path) -> str:
    """Return the SHA-256, in hex, of weights.pt in the folder of a trained network. Raises ValueError where the file does not exist."""
    return sha256(_existing_weights_file(network_folder).read_bytes()).hexdigest()


def describe_trained_network(benchmark: Benchmark, dataset: Dataset, **training_results: Any) -> dict[str, Any]:
    """Return the content of model.json, which describes a trained network: its model, classes and image shape, and results of its training.

    training_results: such as validation metrics. Loading a network compares only model, classes and image_shape, so that a network also
    fits other images of the same kind.
    """
    return {
        "model": asdict(benchmark.model),
        "classes": list(dataset.classes),
        "image_shape": list(dataset.image_shape),
        **training_results,
    }


def load_classifier(network_folder: Path, benchmark: Benchmark, dataset: Dataset) -> Classifier:
    """Load the trained classifier from its folder, in eval mode.

    Raises ValueError where its model.json has another model, other classes or another image shape than the benchmark and data set.
    """
    model_json = read_json(Path(network_folder) / "model.json")
    expected_model_json = _with_tuples_as_lists(describe_trained_network(benchmark, dataset))
    model_differences = [
        f"{key}: file {model_json.get(key)}, wanted {value}" for key, value in expected_model_json.items() if model_json.get(key) != value
    ]
    if model_differences:
        raise ValueError(f"{network_folder} holds another network ({'; '.join(model_differences)}); `dvc repro` trains the right one")
    classifier = build_classifier(_without_pretrained(benchmark.model), dataset)
    return _load_module_weights(classifier, classifier, _read_weights_file(network_folder), network_folder)


def load_second_opinion(network_folder: Path, benchmark: Benchmark, dataset: Dataset) -> Classifier:
    """Load the trained second opinion from its folder, in eval mode. Raises ValueError as `load_classifier` does."""
    return load_classifier(network_folder, benchmark.model_copy(update={"model": benchmark.second_opinion_model}), dataset)


def load_attached_classifier(benchmark: Benchmark, dataset: Dataset, weights_path: Path) -> Classifier:
    """Return the benchmark's classifier, in eval mode, with the weights in a file, see networks/weights_file.py.

    Raises ValueError where the weights do not fit the model, or its logits not the labels.
    """
    classifier = build_classifier(_without_pretrained(benchmark.model), dataset)
    load_weights_file(getattr(classifier, "network", classifier), weights_path)
    with torch.no_grad():
        logits = classifier.eval()(torch.zeros(1, *dataset.image_shape))
    if logits.ndim != dataset.labels.ndim + 1:
        label_text = "one label for each pixel" if dataset.is_segmentation else "one label for each image"
        raise ValueError(f"{benchmark.model.name} gives logits {tuple(logits.shape)} for an image, but {dataset.source} has {label_text}")
    return classifier


def load_verified_classifier(network_folder: Path, benchmark: Benchmark, dataset: Dataset, device: torch.device) -> Classifier:
    """Load the frozen classifier onto the device, and check that it still has the validation accuracy that its training noted.

    Raises ValueError for an accuracy that differs by more than 0.001 from the one in model.json.
    """
    classifier = to_device(freeze(load_classifier(network_folder, benchmark, dataset)), device)
    recorded_accuracy = read_json(network_folder / "model.json")["val_accuracy"]
    measured_accuracy = classifier_validation_metrics(classifier, dataset, device, "fp32")["val_accuracy"]
    if abs(recorded_accuracy - measured_accuracy) > 1e-3:  # devices differ in the last bits of a sum, never by more than a few predictions
        accuracy_difference = f"the classifier's validation accuracy is {measured_accuracy:.4f}, its training noted {recorded_accuracy:.4f}"
        raise ValueError(f"{network_folder}: {accuracy_difference}; train it again")
    return classifier


def _without_pretrained(model: RegistryEntryChoice) -> RegistryEntryChoice:
    """Return the model without weights to start from, which are not needed where saved weights replace them."""
    return RegistryEntryChoice(model.name, {key: value for key, value in model.settings.items() if key != "pretrained"})


def load_confidnet_head(network_folder: Path, classifier: Classifier) -> ConfidNet:
    """Load ConfidNet before fine-tuning, in eval mode: the classifier's own encoder with the trained head."""
    head_weights = _read_weights_file(network_folder)
    network = ConfidNet(classifier, _build_head_for_weights(head_weights, network_folder), dropout=False)
    return _load_module_weights(network, network.head, head_weights, network_folder)


def load_corrected_mcp(network_folder: Path, classifier: Classifier) -> CorrectedMcp:
    """Load the network that corrects MCP, in eval mode: the classifier's own encoder with the trained head of the correction."""
    head_weights = _read_weights_file(network_folder)
    network = CorrectedMcp(classifier, _build_head_for_weights(head_weights, network_folder), dropout=False)
    return _load_module_weights(network, network.head, head_weights, network_folder)


def load_finetuned_confidnet(network_folder: Path, classifier: Classifier) -> ConfidNet:
    """Load the fine-tuned ConfidNet in eval mode: its head and its fine-tuned copy of the encoder. The classifier stays as it is."""
    weights = _read_weights_file(network_folder)
    head_weights = {
        parameter_name.removeprefix("head."): tensor for parameter_name, tensor in weights.items() if parameter_name.startswith("head.")
    }
    head = _build_head_for_weights(head_weights, network_folder)
    network = ConfidNet(classifier, head, dropout=False).finetuning_copy()
    network.reads_softmax = head.input_channels > classifier.feature_channels
    return _load_module_weights(network, network, weights, network_folder)


def _read_weights_file(network_folder: Path) -> dict[str, Tensor]:
    weights_path, remedy_text = _existing_weights_file(network_folder), f"delete {network_folder} and run `dvc repro`"
    try:
        weights = load_tensors(weights_path)
        if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
            raise ValueError(f"{weights_path} holds no tensors by name")
        require_finite(weights, weights_path)
    except ValueError as error:
        raise ValueError(f"{error}; {remedy_text}") from None
    return weights


def _build_head_for_weights(head_weights: Mapping[str, Tensor], network_folder: Path) -> ConfidenceHead:
    try:
        return head_from_weights(head_weights)
    except ValueError as error:
        raise ValueError(f"{_existing_weights_file(network_folder)}: {error}") from None


def _load_module_weights(network: NetworkT, module: nn.Module, weights: dict[str, Tensor], network_folder: Path) -> NetworkT:
    """Load weights into `module`, which is the network or a part of it, and return the network in eval mode.

    Raises ValueError, naming the file in network_folder, where the weights do not fit.
    """
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        problem, remedy = " ".join(str(error).split()), f"delete {network_folder} and run `dvc repro`"
        raise ValueError(f"{_existing_weights_file(network_folder)} does not fit the network of params.yaml; {remedy}: {problem}") from None
    return network.eval()


def _existing_weights_file(network_folder: Path) -> Path:
    weights_path = Path(network_folder) / "weights.pt"
    if not weights_path.exists():
        raise ValueError(f"{weights_path} does not exist; `dvc repro` makes it")
    return weights_path


def _with_tuples_as_lists(json_content: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of the dictionary in which tuples are lists, so that it equals a dictionary read from a JSON file."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in json_content.items()}
