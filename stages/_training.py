"""What the four training stages share: a resumable training that an MLflow run follows, and what is written of its network."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from confidnet_core.artifacts import checked_classifier, describe, save_network, weights_digest
from confidnet_core.data import load_dataset
from confidnet_core.device import device
from confidnet_core.files import read_json, write_json
from confidnet_core.fitting import Fit
from confidnet_core.models._classifier import Classifier
from confidnet_core.params import Benchmark, Params
from confidnet_core.resume import resumable
from confidnet_core.revision import stage_code
from confidnet_core.tracking import StageRun, stage_run
from confidnet_core.training import Training
from stages._command import stage_params


@dataclass(frozen=True)
class Networks:
    """Those of one benchmark and seed, one of which is trained."""

    benchmark: Benchmark
    training: Training
    run: StageRun
    folder: Path
    origin: dict[str, Any]  # what model.json states of where the trained one comes from

    def classifier(self) -> Classifier:
        """Trained before, frozen."""
        return checked_classifier(self.folder / "baseline", self.benchmark, self.training.dataset, self.training.device)

    def save(self, part: str, weights: dict[str, Tensor], fit: Fit, figures: dict[str, float | None] | None = None, **more: Any) -> None:
        """PART/ beside the others: weights.pt, model.json, history.csv and a JSON file for each of `more`.

        figures: how good the network is, where this is not what the best epoch's row says
        """
        figures = fit.best_metrics if figures is None else figures
        facts = describe(self.benchmark, self.training.dataset, **self.origin, best_epoch=fit.best_epoch, **figures)
        save_network(self.folder / part, weights, facts, fit.history, **more)
        self.run.log_metrics({f"best_{key}": value for key, value in figures.items()})
        self.run.log_artifact(self.folder / part / "history.csv")


@contextmanager
def training_of(stage: str, params: Params, name: str, seed: int, section: str, *upstream: str) -> Iterator[Networks]:
    """Training and run go on where an interrupted process with the same inputs left them.

    section: the recipe's name in params.yaml; upstream: the networks that the training starts from, as their folders are called
    """
    benchmark, dataset = params.benchmark(name), load_dataset(Path("data/prepared") / name)
    inputs, folder = stage_params(params, name, "data", "model", section), Path("models") / name / f"seed{seed}"
    sha256 = read_json(Path("data/prepared") / name / "facts.json")["sha256"]
    digests = {part: weights_digest(folder / part) for part in upstream}
    code = stage_code(stage, inputs["model"]["name"])
    origin = {"params": inputs, "seed": seed, "data_sha256": sha256, "data_source": dataset.source, "code": code}
    origin |= {"upstream_sha256": digests} if digests else {}
    where = device()
    with resumable(stage, {"params": inputs, "seed": seed, "data": sha256, "device": where.type, **digests}) as resume:
        remembered = resume.folder / "mlflow.json"
        resume_id = read_json(remembered)["run_id"] if remembered.exists() else None
        with stage_run(stage=stage, benchmark=name, seed=seed, params=inputs, resume_id=resume_id) as run:
            write_json(remembered, {"run_id": run.run_id})
            training = Training(stage, dataset, getattr(benchmark, section), seed, where, resume, run.log_metrics)
            yield Networks(benchmark, training, run, folder, origin)
