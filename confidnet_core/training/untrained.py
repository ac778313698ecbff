"""Networks that are not trained: a classifier that takes weights from elsewhere, and networks that a benchmark leaves out."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from confidnet_core import paths
from confidnet_core.config.params import Benchmark
from confidnet_core.data import Dataset
from confidnet_core.networks.artifacts import (
    describe_trained_network,
    load_attached_classifier,
    save_history,
    save_left_out_network,
    save_network,
)
from confidnet_core.networks.inference import classifier_validation_metrics
from confidnet_core.system.processes import leave_to_first_process


def save_attached_classifier(
    benchmark_name: str,
    benchmark: Benchmark,
    seed: int,
    dataset: Dataset,
    weights_path: Path,
    device: torch.device,
    origin_json: dict[str, Any],
) -> dict[str, float | None]:
    """Write a classifier with the weights in a file as the network `baseline`; return its metrics on validation data, {metric: value}.

    Of several processes, all but the first end here, as in `leave_out_network`.

    origin_json: from `training_origin`; the name and the SHA-256 of the weights are added
    Raises ValueError where the weights do not fit the model, or the model not the data.
    """
    weights_origin = {"file": weights_path.name, "sha256": sha256(weights_path.read_bytes()).hexdigest()}
    classifier = load_attached_classifier(benchmark, dataset, weights_path)
    val_metrics = classifier_validation_metrics(classifier, dataset, device, "fp32")
    leave_to_first_process()
    save_history(paths.history_path(benchmark_name, seed, "baseline"), [{"epoch": 0, "train_loss": None, **val_metrics}], best_epoch=0)
    model_json = describe_trained_network(benchmark, dataset, best_epoch=0, **val_metrics)
    network_folder = paths.network_folder(benchmark_name, seed, "baseline")
    save_network(network_folder, classifier.state_dict(), model_json, origin_json | {"weights": weights_origin})
    return val_metrics


def chance_warning(val_metrics: dict[str, float | None], dataset: Dataset, weights_path: Path) -> str | None:
    """Return a warning if attached weights are hardly more accurate on validation data than chance, else None."""
    if (val_metrics["val_accuracy"] or 0) >= 2 / len(dataset.classes):
        return None
    problem_text = f"the accuracy of {weights_path} is hardly above chance; compare the order of its outputs with the classes"
    return f"{problem_text} ({', '.join(dataset.classes[:3])}, ...), and mean, std and size"


def leave_out_network(benchmark_name: str, benchmark: Benchmark, seed: int, dataset: Dataset, recipe_name: str) -> str | None:
    """Write the files of a network that cannot be trained, and return why; None, and no file, if it can.

    recipe_name: the recipe's section in params.yaml, which is also the network's name
    """
    if len(dataset.splits["train"]) == 0:
        reason = "there are no training images"
    elif getattr(benchmark, recipe_name) is None:
        reason = f"benchmarks.{benchmark_name} has no recipe {recipe_name}"
    else:
        return None
    leave_to_first_process()
    network_folder, history_path = (path(benchmark_name, seed, recipe_name) for path in (paths.network_folder, paths.history_path))
    save_left_out_network(network_folder, history_path, reason)
    return reason
