"""Trained networks on disk: weights.pt (tensors only), model.json (what they are of, and how good), origin.json (where they come from).

No stage depends on origin.json: equal weights rerun nothing, whichever code or commit they come from.
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
from confidnet_core.files import read_json, replacing, write_json, write_text
from confidnet_core.networks.classifier import Classifier
from confidnet_core.networks.confidnet import ConfidNet, CorrectedMcp, freeze
from confidnet_core.networks.device import moved
from confidnet_core.networks.head import ConfidenceHead, confidence_head, head_of
from confidnet_core.networks.inference import classification_metrics

Network = TypeVar("Network", bound=nn.Module)


def build_classifier(model: EntryChoice, dataset: Dataset) -> Classifier:
    return find_entry("models", model.name)(classes=len(dataset.classes), image_shape=dataset.image_shape, **model.settings)


def build_confidnet(classifier: Classifier, recipe: ConfidnetRecipe, dataset: Dataset) -> ConfidNet:
    """A fresh head on the frozen classifier. ValueError for a kernel where there is no image to slide it over."""
    return ConfidNet(classifier, _head(classifier.feature_channels, recipe, dataset, "confidnet"), dropout=recipe.dropout)


def build_corrected_mcp(classifier: Classifier, recipe: CorrectedMcpRecipe, dataset: Dataset) -> CorrectedMcp:
    """A head on the frozen classifier that adds nothing to MCP yet. ValueError as from build_confidnet."""
    seen = classifier.feature_channels + len(dataset.classes) + 1  # logit_features
    return CorrectedMcp(classifier, _head(seen, recipe, dataset, "corrected_mcp"), dropout=recipe.dropout)


def _head(features: int, recipe: ConfidenceHeadRecipe, dataset: Dataset, section: str) -> ConfidenceHead:
    if recipe.kernel and not dataset.is_segmentation:
        raise ValueError(f"{section}.kernel is {recipe.kernel}, but {dataset.source} is no segmentation; remove the key")
    kernel = (recipe.kernel or 3) if dataset.is_segmentation else None
    return confidence_head(features, widths=recipe.widths, kernel=kernel)


def save_network(folder: Path, weights: dict[str, Tensor], facts: dict[str, Any], origin: dict[str, Any], **reports: Any) -> None:
    """All files or none: weights.pt, and facts, origin and reports (NAME.json each) as model.json, origin.json, ...

    facts, origin, reports: JSON-like, without times, so that equal trainings give equal files
    """
    with replacing(folder) as temporary:
        temporary.mkdir()
        torch.save({name: value.cpu().contiguous() for name, value in weights.items()}, temporary / "weights.pt")
        for name, content in {"model": facts, "origin": origin, **reports}.items():
            write_json(temporary / f"{name}.json", content)


def save_history(path: Path, history: Sequence[Mapping[str, float | None]], best_epoch: int | None) -> None:
    """A CSV file of one row an epoch; `kept` is 1 at the epoch whose weights were taken, 0 elsewhere."""
    rows = pd.DataFrame(history)
    write_text(path, rows.assign(kept=(rows["epoch"] == best_epoch).astype(int)).to_csv(index=False))


def weights_digest(folder: Path) -> str:
    """SHA-256 of the file. ValueError where there is none."""
    return sha256(_weights_file(folder).read_bytes()).hexdigest()


def describe(benchmark: Benchmark, dataset: Dataset, **facts: Any) -> dict[str, Any]:
    """What a model.json says of a network that belongs to this benchmark and data. facts: how good it is.

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
    classifier = build_classifier(EntryChoice(benchmark.model.name, settings), dataset)
    return _filled(classifier, classifier, _weights(folder), folder)


def checked_classifier(folder: Path, benchmark: Benchmark, dataset: Dataset, device: torch.device) -> Classifier:
    """The frozen classifier on the device, after its validation accuracy was found to be the one that its training noted."""
    classifier = moved(freeze(load_classifier(folder, benchmark, dataset)), device)
    noted = read_json(folder / "model.json")["val_accuracy"]
    found = classification_metrics(classifier, dataset, device, "fp32")["val_accuracy"]
    if abs(noted - found) > 1e-3:  # devices differ in the last bits of a sum, never by more than a few predictions
        raise ValueError(f"{folder}: the classifier's validation accuracy is {found:.4f}, its training noted {noted:.4f}; train it again")
    return classifier


def load_head(folder: Path, classifier: Classifier) -> ConfidNet:
    """The classifier's own encoder with the trained head, in eval mode."""
    weights = _weights(folder)
    network = ConfidNet(classifier, _head_of(weights, folder), dropout=False)
    return _filled(network, network.head, weights, folder)


def load_corrected_mcp(folder: Path, classifier: Classifier) -> CorrectedMcp:
    """The classifier's own encoder with the head that corrects its MCP, in eval mode."""
    weights = _weights(folder)
    network = CorrectedMcp(classifier, _head_of(weights, folder), dropout=False)
    return _filled(network, network.head, weights, folder)


def load_finetuned(folder: Path, classifier: Classifier) -> ConfidNet:
    """The fine-tuned encoder copy with its head, in eval mode; the classifier stays as it is."""
    weights = _weights(folder)
    head = {name.removeprefix("head."): value for name, value in weights.items() if name.startswith("head.")}
    network = ConfidNet(classifier, _head_of(head, folder), dropout=False).finetuning()
    return _filled(network, network, weights, folder)


def _weights(folder: Path) -> dict[str, Tensor]:
    path = _weights_file(folder)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, EOFError, UnpicklingError) as error:  # what torch.load makes of a cut, empty or foreign file
        raise ValueError(f"{path} is damaged ({type(error).__name__}); delete {folder} and run `dvc repro`") from None


def _head_of(weights: Mapping[str, Tensor], folder: Path) -> ConfidenceHead:
    try:
        return head_of(weights)
    except ValueError as error:
        raise ValueError(f"{_weights_file(folder)}: {error}") from None


def _filled(network: Network, part: nn.Module, weights: dict[str, Tensor], folder: Path) -> Network:
    """The network in eval mode, after its PART took these weights."""
    try:
        part.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{_weights_file(folder)} does not fit the network of params.yaml: {error}") from None
    return network.eval()


def _weights_file(folder: Path) -> Path:
    path = Path(folder) / "weights.pt"
    if not path.exists():
        raise ValueError(f"{path} does not exist; `dvc repro` makes it")
    return path


def read_back(content: dict[str, Any]) -> dict[str, Any]:
    """As JSON would give it back: tuples are lists."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in content.items()}
