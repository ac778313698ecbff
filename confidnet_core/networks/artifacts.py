"""Trained networks on disk: weights.pt (tensors only), model.json (architecture and quality), origin.json (parameters, data and code).

No stage depends on origin.json, so equal weights rerun nothing, whichever code or commit they come from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import pandas as pd
import torch
from torch import Tensor, nn

from confidnet_core.config.params import Benchmark, EntryChoice
from confidnet_core.config.recipes import ConfidenceHeadRecipe, ConfidnetRecipe, CorrectedMcpRecipe
from confidnet_core.config.registry import find_entry
from confidnet_core.data import Dataset
from confidnet_core.files import atomic_write, read_json, write_json, write_text
from confidnet_core.networks.classifier import Classifier
from confidnet_core.networks.confidnet import ConfidNet, CorrectedMcp, freeze
from confidnet_core.networks.device import to_device
from confidnet_core.networks.head import ConfidenceHead, confidence_head, head_from_weights
from confidnet_core.networks.inference import classification_metrics

NetworkT = TypeVar("NetworkT", bound=nn.Module)


def build_classifier(model: EntryChoice, dataset: Dataset) -> Classifier:
    """Build the untrained classifier that params.yaml names, for the classes and the image shape of the data set."""
    return find_entry("models", model.name)(classes=len(dataset.classes), image_shape=dataset.image_shape, **model.settings)


def build_confidnet(classifier: Classifier, recipe: ConfidnetRecipe, dataset: Dataset) -> ConfidNet:
    """Build ConfidNet with an untrained head on the frozen classifier. ValueError for a kernel if the data has no label maps."""
    return ConfidNet(classifier, _build_head(classifier.feature_channels, recipe, dataset, "confidnet"), dropout=recipe.dropout)


def build_corrected_mcp(classifier: Classifier, recipe: CorrectedMcpRecipe, dataset: Dataset) -> CorrectedMcp:
    """Build the network that corrects MCP: an untrained head, adding 0, on the frozen classifier. ValueError as from build_confidnet."""
    input_channels = classifier.feature_channels + len(dataset.classes) + 1  # the last classes + 1 come from logit_features
    return CorrectedMcp(classifier, _build_head(input_channels, recipe, dataset, "corrected_mcp"), dropout=recipe.dropout)


def _build_head(input_channels: int, recipe: ConfidenceHeadRecipe, dataset: Dataset, params_section: str) -> ConfidenceHead:
    if recipe.kernel and not dataset.is_segmentation:
        raise ValueError(f"{params_section}.kernel is {recipe.kernel}, but {dataset.source} is no segmentation; remove the key")
    kernel = (recipe.kernel or 3) if dataset.is_segmentation else None
    return confidence_head(input_channels, widths=recipe.widths, kernel=kernel)


def save_network(folder: Path, weights: dict[str, Tensor], facts: dict[str, Any], origin: dict[str, Any], **reports: Any) -> None:
    """Write a trained network: weights.pt, facts as model.json, origin as origin.json, each report as NAME.json; all files or none.

    facts, origin, reports: JSON-like, without times, so that equal trainings give equal files
    """
    with atomic_write(folder) as temporary:
        temporary.mkdir()
        torch.save({name: value.cpu().contiguous() for name, value in weights.items()}, temporary / "weights.pt")
        for name, content in {"model": facts, "origin": origin, **reports}.items():
            write_json(temporary / f"{name}.json", content)


def save_history(path: Path, history: Sequence[Mapping[str, float | None]], best_epoch: int | None) -> None:
    """Write the metrics of a training as CSV, a line for each epoch; the column `kept` is 1 where the epoch's weights were kept, else 0."""
    epoch_table = pd.DataFrame(history)
    write_text(path, epoch_table.assign(kept=(epoch_table["epoch"] == best_epoch).astype(int)).to_csv(index=False))


def weights_digest(folder: Path) -> str:
    """Return the SHA-256 of weights.pt in the folder of a trained network, in hex. ValueError where the file does not exist."""
    return sha256(_existing_weights_file(folder).read_bytes()).hexdigest()


def model_facts(benchmark: Benchmark, dataset: Dataset, **facts: Any) -> dict[str, Any]:
    """Return the content of model.json for a network of this benchmark and data set. facts: further entries, such as its metrics.

    Loading a network compares only model, classes and image_shape, so a network also fits other images of the same kind.
    """
    return {"model": asdict(benchmark.model), "classes": list(dataset.classes), "image_shape": list(dataset.image_shape), **facts}


def load_classifier(folder: Path, benchmark: Benchmark, dataset: Dataset) -> Classifier:
    """Load the trained classifier in eval mode. ValueError where model.json differs in the model, the classes or the image shape."""
    facts = read_json(Path(folder) / "model.json")
    expected = _with_tuples_as_lists(model_facts(benchmark, dataset))
    differing_facts = [f"{key}: file {facts.get(key)}, wanted {value}" for key, value in expected.items() if facts.get(key) != value]
    if differing_facts:
        raise ValueError(f"{folder} holds another network ({'; '.join(differing_facts)}); `dvc repro` trains the right one")
    settings = {key: value for key, value in benchmark.model.settings.items() if key != "pretrained"}  # the saved weights replace them
    classifier = build_classifier(EntryChoice(benchmark.model.name, settings), dataset)
    return _load_module_weights(classifier, classifier, _read_weights_file(folder), folder)


def load_verified_classifier(folder: Path, benchmark: Benchmark, dataset: Dataset, device: torch.device) -> Classifier:
    """Load the frozen classifier onto the device, after a check that it still has the validation accuracy noted in model.json.

    ValueError for an accuracy that differs by more than 0.001.
    """
    classifier = to_device(freeze(load_classifier(folder, benchmark, dataset)), device)
    recorded_accuracy = read_json(folder / "model.json")["val_accuracy"]
    accuracy = classification_metrics(classifier, dataset, device, "fp32")["val_accuracy"]
    if abs(recorded_accuracy - accuracy) > 1e-3:  # devices differ in the last bits of a sum, never by more than a few predictions
        accuracy_difference = f"the classifier's validation accuracy is {accuracy:.4f}, its training noted {recorded_accuracy:.4f}"
        raise ValueError(f"{folder}: {accuracy_difference}; train it again")
    return classifier


def load_head(folder: Path, classifier: Classifier) -> ConfidNet:
    """Load ConfidNet in eval mode: the classifier's own encoder with the trained head."""
    weights = _read_weights_file(folder)
    network = ConfidNet(classifier, _build_head_for_weights(weights, folder), dropout=False)
    return _load_module_weights(network, network.head, weights, folder)


def load_corrected_mcp(folder: Path, classifier: Classifier) -> CorrectedMcp:
    """Load CorrectedMcp in eval mode: the classifier's own encoder with the trained head that corrects the classifier's MCP."""
    weights = _read_weights_file(folder)
    network = CorrectedMcp(classifier, _build_head_for_weights(weights, folder), dropout=False)
    return _load_module_weights(network, network.head, weights, folder)


def load_finetuned(folder: Path, classifier: Classifier) -> ConfidNet:
    """Load the fine-tuned ConfidNet in eval mode: head and fine-tuned encoder. The classifier, whose encoder is copied, stays as it is."""
    weights = _read_weights_file(folder)
    head_weights = {name.removeprefix("head."): value for name, value in weights.items() if name.startswith("head.")}
    network = ConfidNet(classifier, _build_head_for_weights(head_weights, folder), dropout=False).finetuning_copy()
    return _load_module_weights(network, network, weights, folder)


def _read_weights_file(folder: Path) -> dict[str, Tensor]:
    path = _existing_weights_file(folder)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, UnpicklingError) as error:  # raised by torch.load for a truncated, empty or foreign file
        raise ValueError(f"{path} is damaged ({type(error).__name__}); delete {folder} and run `dvc repro`") from None


def _build_head_for_weights(weights: Mapping[str, Tensor], folder: Path) -> ConfidenceHead:
    try:
        return head_from_weights(weights)
    except ValueError as error:
        raise ValueError(f"{_existing_weights_file(folder)}: {error}") from None


def _load_module_weights(network: NetworkT, module: nn.Module, weights: dict[str, Tensor], folder: Path) -> NetworkT:
    """Load the weights into a module, which is the network or a part of the network, and return the network in eval mode."""
    try:
        module.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{_existing_weights_file(folder)} does not fit the network of params.yaml: {error}") from None
    return network.eval()


def _existing_weights_file(folder: Path) -> Path:
    path = Path(folder) / "weights.pt"
    if not path.exists():
        raise ValueError(f"{path} does not exist; `dvc repro` makes it")
    return path


def _with_tuples_as_lists(content: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of the dictionary in which tuples are lists, so that it equals a dictionary read from a JSON file."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in content.items()}
