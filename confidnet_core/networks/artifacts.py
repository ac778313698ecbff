"""Trained networks on disk: weights.pt (tensors only), model.json (what they are of, where from, and how good), history.csv."""

from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import pandas as pd
import torch
from torch import Tensor, nn

from confidnet_core.config.params import Benchmark, Choice
from confidnet_core.config.recipes import Confidnet, Correction, Head
from confidnet_core.config.registry import find
from confidnet_core.data import Dataset
from confidnet_core.files import read_json, replacing, write_json
from confidnet_core.networks.classifier import Classifier
from confidnet_core.networks.confidnet import ConfidNet, CorrectedMcp, freeze
from confidnet_core.networks.head import ConfidenceHead, confidence_head
from confidnet_core.networks.inference import classification_metrics

Network = TypeVar("Network", bound=nn.Module)


def build_classifier(model: Choice, dataset: Dataset) -> Classifier:
    return find("models", model.name)(classes=len(dataset.classes), image_shape=dataset.image_shape, **model.settings)


def build_confidnet(classifier: Classifier, recipe: Confidnet, dataset: Dataset) -> ConfidNet:
    """A fresh head on the frozen classifier. ValueError for a kernel where there is no image to slide it over."""
    return ConfidNet(classifier, _head(classifier.feature_channels, recipe, dataset, "confidnet"), dropout=recipe.dropout)


def build_correction(classifier: Classifier, recipe: Correction, dataset: Dataset) -> CorrectedMcp:
    """A head on the frozen classifier that adds nothing to MCP yet. ValueError as from build_confidnet."""
    seen = classifier.feature_channels + len(dataset.classes) + 1  # logit_features
    return CorrectedMcp(classifier, _head(seen, recipe, dataset, "correction"), dropout=recipe.dropout)


def _head(features: int, recipe: Head, dataset: Dataset, section: str) -> ConfidenceHead:
    if recipe.kernel and not dataset.is_segmentation:
        raise ValueError(f"{section}.kernel is {recipe.kernel}, but {dataset.source} is no segmentation; remove the key")
    kernel = (recipe.kernel or 3) if dataset.is_segmentation else None
    return confidence_head(features, widths=recipe.widths, kernel=kernel)


def save_network(folder: Path, weights: dict[str, Tensor], facts: dict[str, Any], history: list[dict], **reports: Any) -> None:
    """All files or none. facts and reports (NAME.json each): JSON-like, without times, so that equal trainings give equal files."""
    with replacing(folder) as temporary:
        temporary.mkdir()
        torch.save({name: value.cpu().contiguous() for name, value in weights.items()}, temporary / "weights.pt")
        write_json(temporary / "model.json", facts)
        for name, report in reports.items():
            write_json(temporary / f"{name}.json", report)
        pd.DataFrame(history).to_csv(temporary / "history.csv", index=False)


def weights_digest(folder: Path) -> str:
    """SHA-256 of the file. ValueError where there is none."""
    return sha256(_weights_file(folder).read_bytes()).hexdigest()


def describe(benchmark: Benchmark, dataset: Dataset, **facts: Any) -> dict[str, Any]:
    """What a model.json says of a network that belongs to this benchmark and data; facts: where it comes from, and how good it is.

    Of these, loading a network asks for model, classes and image_shape alone: other images of the same kind are for it, too.
    """
    return {"model": asdict(benchmark.model), "classes": list(dataset.classes), "image_shape": list(dataset.image_shape), **facts}


def load_classifier(folder: Path, benchmark: Benchmark, dataset: Dataset) -> Classifier:
    """The trained classifier in eval mode. ValueError where the file is of another model or data."""
    facts = read_json(Path(folder) / "model.json")
    expected = read_back(describe(benchmark, dataset))
    differing = [f"{key}: file {facts.get(key)}, wanted {value}" for key, value in expected.items() if facts.get(key) != value]
    if differing:
        raise ValueError(f"{folder} holds another network ({'; '.join(differing)}); `dvc repro` trains the right one")
    settings = {key: value for key, value in benchmark.model.settings.items() if key != "pretrained"}  # its weights follow
    classifier = build_classifier(Choice(benchmark.model.name, settings), dataset)
    return _load(classifier, folder).eval()


def checked_classifier(folder: Path, benchmark: Benchmark, dataset: Dataset, device: torch.device) -> Classifier:
    """The frozen classifier on the device, after its validation accuracy was found to be the one that its training noted."""
    classifier = freeze(load_classifier(folder, benchmark, dataset)).to(device, memory_format=torch.channels_last)
    noted = read_json(folder / "model.json")["val_accuracy"]
    found = classification_metrics(classifier, dataset, device, "fp32")["val_accuracy"]
    if abs(noted - found) > 1e-3:  # devices differ in the last bits of a sum, never by more than a few predictions
        raise ValueError(f"{folder}: the classifier's validation accuracy is {found:.4f}, its training noted {noted:.4f}; train it again")
    return classifier


def load_head(folder: Path, classifier: Classifier, recipe: Confidnet, dataset: Dataset) -> ConfidNet:
    """The classifier's own encoder with the trained head, in eval mode."""
    network = build_confidnet(classifier, recipe, dataset)
    _load(network.head, folder)
    return network.eval()


def load_correction(folder: Path, classifier: Classifier, recipe: Correction, dataset: Dataset) -> CorrectedMcp:
    """The classifier's own encoder with the head that corrects its MCP, in eval mode."""
    network = build_correction(classifier, recipe, dataset)
    _load(network.head, folder)
    return network.eval()


def load_finetuned(folder: Path, classifier: Classifier, recipe: Confidnet, dataset: Dataset) -> ConfidNet:
    """The fine-tuned encoder copy with its head, in eval mode; the classifier stays as it is."""
    return _load(build_confidnet(classifier, recipe, dataset).finetuning(), folder).eval()


def _load(network: Network, folder: Path) -> Network:
    path = _weights_file(folder)
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, UnpicklingError) as error:  # what torch.load makes of a cut, empty or foreign file
        raise ValueError(f"{path} is damaged ({type(error).__name__}); delete {folder} and run `dvc repro`") from None
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit the network of params.yaml: {error}") from None
    return network


def _weights_file(folder: Path) -> Path:
    path = Path(folder) / "weights.pt"
    if not path.exists():
        raise ValueError(f"{path} does not exist; `dvc repro` makes it")
    return path


def read_back(content: dict[str, Any]) -> dict[str, Any]:
    """As JSON would give it back: tuples are lists."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in content.items()}
