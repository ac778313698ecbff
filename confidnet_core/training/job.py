"""The training of one network for a benchmark and seed: what determines its result, what it starts from, and what it writes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from confidnet_core import paths
from confidnet_core.config.choices import RegistryEntryChoice
from confidnet_core.config.params import Benchmark
from confidnet_core.data import Dataset
from confidnet_core.files import read_json
from confidnet_core.networks.artifacts import describe_trained_network, load_verified_classifier, save_history, save_network, weights_digest
from confidnet_core.networks.classifier import Classifier
from confidnet_core.system.processes import leave_to_first_process
from confidnet_core.training.loop import Metrics, Training, TrainingState


@dataclass(frozen=True)
class TrainingJob:
    """The training of one network for a benchmark and seed, the origin of its result, and where to log the result."""

    benchmark_name: str
    benchmark: Benchmark
    training: Training[Any]
    origin_json: dict[str, Any]  # from training_origin
    log_result: Callable[[Metrics, Path], None]  # called with the network's validation metrics and the file of the training history

    def load_classifier(self) -> Classifier:
        """Load the classifier that an earlier stage trained, frozen."""
        folder = paths.network_folder(self.benchmark_name, self.training.seed, "baseline")
        return load_verified_classifier(folder, self.benchmark, self.training.dataset, self.training.device)

    def save(
        self,
        network_name: str,
        weights: dict[str, Tensor],
        state: TrainingState,
        metrics: Metrics | None = None,
        model: RegistryEntryChoice | None = None,
        **reports: Any,
    ) -> None:
        """Write the network and its training history, with one JSON file for each report, and log the network's validation metrics.

        Of several processes, all but the first end here.
        metrics: the network's validation metrics, if they are not those of its best epoch; model: the network's, if not the benchmark's
        """
        leave_to_first_process()
        metrics, seed = state.best_metrics if metrics is None else metrics, self.training.seed
        benchmark = self.benchmark if model is None else self.benchmark.model_copy(update={"model": model})
        model_json = describe_trained_network(benchmark, self.training.dataset, best_epoch=state.best_epoch, **metrics)
        history = paths.history_path(self.benchmark_name, seed, network_name)
        save_history(history, state.history, state.best_epoch)
        save_network(paths.network_folder(self.benchmark_name, seed, network_name), weights, model_json, self.origin_json, **reports)
        self.log_result(metrics, history)


def training_origin(
    benchmark_name: str, seed: int, dataset: Dataset, used_params: Mapping[str, Any], code: Mapping[str, str], *upstream: str
) -> dict[str, Any]:
    """Return the content of origin.json, all that determines a trained network: parameters, seed, data, code, and earlier networks.

    used_params: the benchmark's sections of params.yaml that the training reads; code: from revision.stage_code_version;
    upstream: names of the networks that the training starts from, whose weights are named by their SHA-256
    """
    data_sha256 = read_json(paths.prepared_data_folder(benchmark_name) / "facts.json")["sha256"]
    origin_json = {"params": used_params, "seed": seed, "data_sha256": data_sha256, "data_source": dataset.source, "code": code}
    weights_sha256 = {network: weights_digest(paths.network_folder(benchmark_name, seed, network)) for network in upstream}
    return origin_json | ({"upstream_sha256": weights_sha256} if weights_sha256 else {})
