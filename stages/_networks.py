"""The networks of one benchmark and seed, as the four training stages read and write them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from confidnet_core.config.params import Benchmark
from confidnet_core.networks.artifacts import checked_classifier, describe, save_network
from confidnet_core.networks.classifier import Classifier
from confidnet_core.tracking.stage_run import StageRun
from confidnet_core.training.loop import Fit
from confidnet_core.training.trainings import Training


@dataclass(frozen=True)
class Networks:
    """One of them is trained."""

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
