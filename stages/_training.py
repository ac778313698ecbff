"""How the four training stages train, resumable and tracked, and the networks that they read and write."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from confidnet_core import paths
from confidnet_core.config.params import Benchmark, Params
from confidnet_core.data import load_dataset
from confidnet_core.files import read_json, write_json
from confidnet_core.networks.artifacts import checked_classifier, describe, save_history, save_network, weights_digest
from confidnet_core.networks.classifier import Classifier
from confidnet_core.networks.device import device
from confidnet_core.revision import stage_code
from confidnet_core.tracking.stage_run import StageRun, stage_run
from confidnet_core.training.loop import Training, TrainingState
from confidnet_core.training.resume import resumable
from stages._command import stage_params


@dataclass(frozen=True)
class Networks:
    """Those of a benchmark and seed, of which one is trained."""

    name: str
    benchmark: Benchmark
    training: Training[Any]  # by the recipe of the one
    tracked: StageRun
    origin: dict[str, Any]  # where the trained one comes from

    def classifier(self) -> Classifier:
        """Trained before, frozen."""
        folder = paths.network(self.name, self.training.seed, "baseline")
        return checked_classifier(folder, self.benchmark, self.training.dataset, self.training.device)

    def save(self, part: str, weights: dict[str, Tensor], state: TrainingState, figures: dict | None = None, **reports: Any) -> None:
        """The network PART, with a JSON file for each of the reports, and its history.

        figures: how good the network is, where this is not what the best epoch's row says
        """
        figures, seed = state.best_metrics if figures is None else figures, self.training.seed
        facts = describe(self.benchmark, self.training.dataset, best_epoch=state.best_epoch, **figures)
        history = paths.history(self.name, seed, part)
        save_history(history, state.history, state.best_epoch)
        save_network(paths.network(self.name, seed, part), weights, facts, self.origin, **reports)
        self.tracked.log_metrics({f"best_{key}": value for key, value in figures.items()})
        self.tracked.log_artifact(history)


@contextmanager
def training_of(stage: str, params: Params, name: str, seed: int, section: str, *upstream: str) -> Iterator[Networks]:
    """Training and run go on where an interrupted process with the same inputs left them.

    section: the recipe's name in params.yaml; upstream: the networks that the training starts from, as their folders are called
    """
    benchmark, dataset = params.benchmark(name), load_dataset(paths.prepared(name))
    inputs = stage_params(params, name, "data", "model", section)
    sha256 = read_json(paths.prepared(name) / "facts.json")["sha256"]
    digests = {part: weights_digest(paths.network(name, seed, part)) for part in upstream}
    code = stage_code(stage, inputs["model"]["name"])
    origin = {"params": inputs, "seed": seed, "data_sha256": sha256, "data_source": dataset.source, "code": code}
    origin |= {"upstream_sha256": digests} if digests else {}
    where = device()
    with resumable(stage, {"params": inputs, "seed": seed, "data": sha256, "device": where.type, "code": code, **digests}) as resume:
        remembered = resume.folder / "mlflow.json"
        resume_id = read_json(remembered)["run_id"] if remembered.exists() else None
        with stage_run(stage=stage, benchmark=name, seed=seed, params=inputs, resume_id=resume_id) as tracked:
            write_json(remembered, {"run_id": tracked.run_id})
            training = Training(stage, dataset, getattr(benchmark, section), seed, where, resume, tracked.log_metrics)
            yield Networks(name, benchmark, training, tracked, origin)
