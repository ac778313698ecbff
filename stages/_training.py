"""Shared code of the four training stages: resumable, tracked trainings, and the networks that they read and write."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from confidnet_core import paths
from confidnet_core.config.params import Benchmark, Params
from confidnet_core.data import load_dataset
from confidnet_core.files import read_json, write_json
from confidnet_core.networks.artifacts import load_verified_classifier, model_facts, save_history, save_network, weights_digest
from confidnet_core.networks.classifier import Classifier
from confidnet_core.networks.device import select_device
from confidnet_core.revision import stage_code
from confidnet_core.tracking.stage_run import StageRun, stage_run
from confidnet_core.training.loop import Training, TrainingState
from confidnet_core.training.resume import resumable_training
from stages._command import stage_params


@dataclass(frozen=True)
class TrainingJob:
    """The training of one network for a benchmark and seed: its inputs, its tracked run, and the origin of its result."""

    name: str  # of the benchmark
    benchmark: Benchmark
    training: Training[Any]
    tracked: StageRun
    origin: dict[str, Any]  # content of origin.json

    def classifier(self) -> Classifier:
        """Load the classifier that an earlier stage trained, frozen."""
        folder = paths.network(self.name, self.training.seed, "baseline")
        return load_verified_classifier(folder, self.benchmark, self.training.dataset, self.training.device)

    def save(
        self, network_name: str, weights: dict[str, Tensor], state: TrainingState, metrics: dict | None = None, **reports: Any
    ) -> None:
        """Write the network and its training history, with one JSON file for each report, and log its metrics.

        metrics: the network's validation metrics, if they are not those of the best epoch's row
        """
        metrics, seed = state.best_metrics if metrics is None else metrics, self.training.seed
        facts = model_facts(self.benchmark, self.training.dataset, best_epoch=state.best_epoch, **metrics)
        history = paths.history(self.name, seed, network_name)
        save_history(history, state.history, state.best_epoch)
        save_network(paths.network(self.name, seed, network_name), weights, facts, self.origin, **reports)
        self.tracked.log_metrics({f"best_{key}": value for key, value in metrics.items()})
        self.tracked.log_artifact(history)


@contextmanager
def training_job(stage: str, params: Params, name: str, seed: int, recipe_name: str, *upstream: str) -> Iterator[TrainingJob]:
    """Yield a training that resumes, with its MLflow run, where an interrupted process with the same inputs stopped.

    recipe_name: the recipe's section in params.yaml; upstream: folder names of the networks that the training starts from
    """
    benchmark, dataset = params.benchmark(name), load_dataset(paths.prepared(name))
    inputs = stage_params(params, name, "data", "model", recipe_name)
    sha256 = read_json(paths.prepared(name) / "facts.json")["sha256"]
    upstream_digests = {network_name: weights_digest(paths.network(name, seed, network_name)) for network_name in upstream}
    code = stage_code(stage, inputs["model"]["name"])
    origin = {"params": inputs, "seed": seed, "data_sha256": sha256, "data_source": dataset.source, "code": code}
    origin |= {"upstream_sha256": upstream_digests} if upstream_digests else {}
    device = select_device()
    fingerprinted = {"params": inputs, "seed": seed, "data": sha256, "device": device.type, "code": code, **upstream_digests}
    with resumable_training(stage, fingerprinted) as resume:
        run_file = resume.folder / "mlflow.json"
        resume_id = read_json(run_file)["run_id"] if run_file.exists() else None
        with stage_run(stage=stage, benchmark=name, seed=seed, params=inputs, resume_id=resume_id) as tracked:
            write_json(run_file, {"run_id": tracked.run_id})
            training = Training(stage, dataset, getattr(benchmark, recipe_name), seed, device, resume, tracked.log_metrics)
            yield TrainingJob(name, benchmark, training, tracked, origin)
