"""Train the classifier whose failures are to be predicted: python -m stages.train_baseline BENCHMARK SEED

reads   data/prepared/BENCHMARK/, params.yaml
writes  models/BENCHMARK/seedSEED/baseline/{weights.pt, model.json, history.csv}
"""

from pathlib import Path

import torch

from confidnet_core.artifacts import build_classifier, describe, save_network
from confidnet_core.data import load_dataset
from confidnet_core.params import Params
from confidnet_core.training import classification_metrics, train_classifier
from stages._command import command, stage_params
from stages._training import training_of


def main(params: Params, name: str, seed: int) -> None:
    benchmark, dataset = params.benchmark(name), load_dataset(Path("data/prepared") / name)
    inputs = stage_params(params, name, "data", "model", "baseline")

    with training_of("train_baseline", name, seed, dataset, benchmark.baseline, inputs) as (training, run, origin):
        torch.manual_seed(seed)
        classifier = build_classifier(benchmark.model, dataset)
        fit = train_classifier(classifier, training)
        figures = classification_metrics(classifier, dataset, training.device, "fp32")

        folder = Path("models") / name / f"seed{seed}" / "baseline"
        facts = describe(benchmark, dataset, **origin, best_epoch=fit.best_epoch, **figures)
        save_network(folder, classifier.state_dict(), facts, fit.history)
        run.log_metrics({f"best_{key}": value for key, value in figures.items()})
        run.log_artifact(folder / "history.csv")


if __name__ == "__main__":
    command(main, benchmark=str, seed=int)
