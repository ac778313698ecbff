"""The authors' released checkpoints, written as the training stages write networks.

Corbière et al. 2019, arXiv:1910.04851. A .ckpt is a pickle of PyTorch 1.1 with `model_state_dict`. Its names tell two things: all
of a fine-tuned copy is in `uncertainty_network`, and what else has "uncertainty" in its name is the head. Layers are told by their
tensors, and matched in order to ours of the same sort.
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
from confidnet_core.networks.artifacts import build_classifier, build_confidnet, checked_classifier, describe, save_network, weights_digest
from confidnet_core.networks.classifier import Classifier
from confidnet_core.networks.confidnet import ConfidNet
from confidnet_core.networks.device import moved
from confidnet_core.networks.inference import classification_metrics, map_images
from confidnet_core.networks.probabilities import true_class_probability
from confidnet_core.training.trainings import training_target

State = dict[str, Tensor]

SORTS = {
    "convolution": (4, {"weight", "bias"}),
    "linear layer": (2, {"weight", "bias"}),
    "BatchNorm": (1, {"weight", "bias", "running_mean", "running_var"}),
}
UNUSED = "num_batches_tracked"  # BatchNorm reads it only where it has no momentum
COPY, HEAD = "uncertainty_network.", "uncertainty"


class Kind(StrEnum):
    """What a checkpoint holds, named as the folder that it fills."""

    BASELINE = "baseline"  # a classifier
    HEAD = "confidnet"  # a classifier with a head
    FINETUNED = "finetune"  # a classifier, and a copy of it with a head


@dataclass(frozen=True)
class Imported:
    layers: int
    parameters: int
    epoch: int | None
    figures: dict[str, float | None]  # on validation data
    notes: tuple[str, ...]


def import_checkpoint(
    kind: str, path: Path, benchmark: Benchmark, dataset: Dataset, models: Path, device: torch.device, **origin: Any
) -> Imported:
    """Write MODELS/KIND from the checkpoint, with figures measured on the validation split, and say what was imported.

    A head goes on the classifier in MODELS/baseline, which the checkpoint's own must equal. origin: for origin.json, JSON-like.
    ValueError, before anything is written, with every difference from the network of params.yaml.
    """
    if kind not in list(Kind):
        raise ValueError(f"KIND is {kind}{suggestion(kind, list(Kind))}")
    if dataset.is_segmentation:
        raise ValueError(f"{dataset.source} is segmentation; expected classification, for which checkpoints were released")
    state, checkpoint = read_checkpoint(path)
    origin, reports, notes = {**origin, "imported": checkpoint}, {}, ()
    if kind == Kind.BASELINE:
        network = moved(_classifier(path, state, benchmark, dataset), device)
        figures = classification_metrics(network, dataset, device, "fp32")
    else:
        classifier = checked_classifier(models / "baseline", benchmark, dataset, device)
        confidnet, notes = _confidnet(path, state, benchmark, dataset, classifier, finetuned=kind == Kind.FINETUNED)
        origin["upstream_sha256"] = {"baseline": weights_digest(models / "baseline")}
        figures = _confidence_metrics(moved(confidnet, device), classifier, dataset, device)
        network = confidnet
        if kind == Kind.HEAD:
            network, reports["target"] = confidnet.head, training_target(confidnet, dataset, device)
    weights, epoch = network.state_dict(), checkpoint["epoch"]
    save_network(models / kind, weights, describe(benchmark, dataset, best_epoch=epoch, **figures), origin, **reports)
    return Imported(len(_layers(weights)), sum(parameter.numel() for parameter in network.parameters()), epoch, figures, notes)


def read_checkpoint(path: Path) -> tuple[State, dict[str, Any]]:
    """The parameters in the file's order, and {"file", "sha256", "epoch"}; epoch is None where the file names none.

    ValueError for a file that is damaged, asks for more than tensors and plain values, or has no model_state_dict of dense, finite
    tensors.
    """
    if not path.is_file():
        raise ValueError(f"{path} does not exist; give the path of a .ckpt file")
    data = path.read_bytes()
    try:
        content = torch.load(BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise anything
        asked = re.search(r"GLOBAL (\S+)", str(error))
        problem = f"it asks for {asked[1]}, which could run code" if asked else f"it is damaged or no checkpoint ({type(error).__name__})"
        raise ValueError(f"{path} was not read: {problem}; expected tensors and plain values alone") from None
    state = content.get("model_state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict) or not state:
        found = f"a dict of {', '.join(map(str, content))}" if isinstance(content, dict) else f"a {type(content).__name__}"
        raise ValueError(f"{path} holds {found}; expected a dict with model_state_dict, the parameters by name")
    foreign = [str(name) for name, value in state.items() if not isinstance(name, str) or not isinstance(value, Tensor)]
    if foreign:
        raise ValueError(f"{path}: model_state_dict holds {', '.join(foreign)}; expected names of tensors alone")
    faulty = [name for name, value in state.items() if value.layout != torch.strided or not value.isfinite().all()]
    if faulty:
        raise ValueError(f"{path}: {', '.join(faulty)} of model_state_dict: expected dense tensors of finite numbers")
    epoch = content.get("epoch")
    return dict(state), {"file": path.name, "sha256": sha256(data).hexdigest(), "epoch": epoch if isinstance(epoch, int) else None}


def match(source: State, target: State) -> tuple[State, list[str]]:
    """The source's tensors under the target's names, and everything in which the two differ; the first is whole if nothing does."""
    theirs, ours = _layers(source), _layers(target)
    problems = [
        f"{name} {tuple(source[name].shape)} belongs to no whole {', '.join(SORTS)}"
        for layer, parameters in theirs.items()
        if _sort(parameters) is None
        for name in _names(layer, parameters)
    ]
    matched = dict(target)
    for sort in SORTS:
        found, wanted = ({name: layer for name, layer in layers.items() if _sort(layer) == sort} for layers in (theirs, ours))
        problems += _disorder(list(found))
        if len(found) != len(wanted):
            problems.append(f"{sort}: {len(found)} in the file ({', '.join(found) or 'none'}), {len(wanted)} in the network")
            continue
        for (their_name, layer), (our_name, own) in zip(found.items(), wanted.items(), strict=True):
            matched |= {f"{our_name}.{name}": tensor for name, tensor in layer.items()}
            problems += [
                f"{their_name}.{name} is {tuple(layer[name].shape)}; expected {tuple(own[name].shape)}, as {our_name}.{name}"
                for name in layer
                if layer[name].shape != own[name].shape
            ]
    return matched, problems


def _layers(state: State) -> dict[str, State]:
    """Layer -> its parameters, in the order of their first ones."""
    layers: dict[str, State] = {}
    for name, tensor in state.items():
        layer, _, parameter = name.rpartition(".")
        layers.setdefault(layer, {})[parameter] = tensor
    return layers


def _names(layer: str, parameters: State) -> list[str]:
    return [f"{layer}.{name}" if layer else name for name in parameters]


def _sort(layer: State) -> str | None:
    for sort, (axes, parameters) in SORTS.items():
        optional = {UNUSED} if "running_var" in parameters else set()
        if layer.keys() - optional == parameters and layer["weight"].ndim == axes:
            return sort
    return None


def _disorder(names: list[str]) -> Iterator[str]:
    """Names that differ in their numbers alone, and whose numbers fall: then the file's order is not the network's."""
    last: dict[str, tuple[list[int], str]] = {}
    for name in names:
        pattern, numbers = re.sub(r"\d+", "#", name), [int(number) for number in re.findall(r"\d+", name)]
        if pattern in last and numbers < last[pattern][0]:
            yield f"{name} stands after {last[pattern][1]}, so the order of the layers is unknown"
        last[pattern] = (numbers, name)


def _classifier(path: Path, state: State, benchmark: Benchmark, dataset: Dataset) -> Classifier:
    classifier = _untrained(benchmark, dataset)
    weights, _, _ = _fitted(path, state, classifier, None, None)
    classifier.load_state_dict(weights)
    return classifier.eval()


def _confidnet(
    path: Path, state: State, benchmark: Benchmark, dataset: Dataset, classifier: Classifier, finetuned: bool
) -> tuple[ConfidNet, tuple[str, ...]]:
    """The network, and what is to be said about its classifier."""
    confidnet, copy = build_confidnet(classifier, benchmark.confidnet, dataset), None
    if finetuned:
        confidnet = confidnet.finetuning()
        copy = _untrained(benchmark, replace(dataset, classes=dataset.classes[:1]))  # so published; its class layer is unused
    found, encoder, head = _fitted(path, state, classifier, copy, confidnet.head)
    notes = _differences(path, found, classifier)
    confidnet.head.load_state_dict(head)
    if finetuned:
        own = confidnet.encoder.state_dict()
        confidnet.encoder.load_state_dict(own | {name: tensor for name, tensor in encoder.items() if tensor.shape == own[name].shape})
    return confidnet, notes


def _fitted(path: Path, state: State, classifier: Classifier, copy: Classifier | None, head: nn.Module | None) -> list[State]:
    """The weights of each; of None, for which the file may hold nothing, empty. ValueError with all that does not fit."""
    networks = {"classifier": classifier, "copy": copy, "head": head}
    parts: dict[str, State] = {name: {} for name in networks}
    for name, tensor in state.items():
        parts["head" if HEAD in name.removeprefix(COPY) else "copy" if name.startswith(COPY) else "classifier"][name] = tensor
    matches = {part: match(parts[part], network.state_dict() if network else {}) for part, network in networks.items()}
    problems = [f"{part}: {problem}" for part, (_, found) in matches.items() for problem in found]
    if problems:
        remedy = "is it of this KIND, and are the settings of model and confidnet the published ones?"
        raise ValueError(f"{path} does not fit the network of params.yaml: {'; '.join(problems)}; {remedy}")
    return [weights for weights, _ in matches.values()]


def _differences(path: Path, found: State, classifier: Classifier) -> tuple[str, ...]:
    """A note where BatchNorm's statistics alone differ from the baseline's. ValueError where learnt parameters do."""
    own = {name: value.cpu() for name, value in classifier.state_dict().items() if not name.endswith(UNUSED)}
    by = {name: float((found[name] - own[name]).abs().max()) for name in own if not torch.equal(found[name], own[name])}
    if not by:
        return ()
    most = max(by, key=by.__getitem__)
    difference = f"the classifier of {path} differs from the baseline in {len(by)} of {len(own)} tensors, most in {most}, by {by[most]:.3g}"
    if by.keys() & dict(classifier.named_parameters()).keys():
        raise ValueError(f"{difference}; import the baseline that it was made on first")
    return (f"{difference}: BatchNorm's statistics alone, of which the baseline keeps its own",)


def _untrained(benchmark: Benchmark, dataset: Dataset) -> Classifier:
    settings = {key: value for key, value in benchmark.model.settings.items() if key != "pretrained"}  # other weights follow
    return build_classifier(EntryChoice(benchmark.model.name, settings), dataset)


def _confidence_metrics(confidnet: ConfidNet, classifier: Classifier, dataset: Dataset, device: torch.device) -> dict[str, float | None]:
    """What the trainings note of the best epoch, on the validation split."""
    images, labels = dataset.split("val")
    logits, confidence = (map_images(network, images, dataset, device, "validate") for network in (classifier, confidnet))
    tcp = true_class_probability(torch.from_numpy(logits), torch.from_numpy(labels).long())
    loss = (torch.from_numpy(confidence).sigmoid() - tcp).square().mean().item()
    ranking = failure_metrics(confidence, logits.argmax(1) == labels)
    return {"val_loss": loss, **{f"val_{key}": ranking[key] for key in ("aupr_error", "auroc", "fpr_at_95_tpr")}}
