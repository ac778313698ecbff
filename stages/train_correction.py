"""Train a head that corrects the frozen classifier's MCP: python -m stages.train_correction BENCHMARK SEED

reads   data/prepared/BENCHMARK/, models/BENCHMARK/seedSEED/baseline/, params.yaml
writes  models/BENCHMARK/seedSEED/correction/{weights.pt (head), model.json, history.csv}
"""

from pathlib import Path

import torch

from confidnet_core.artifacts import build_correction, checked_classifier, describe, save_network, weights_digest
from confidnet_core.data import load_dataset
from confidnet_core.params import Params
from confidnet_core.training import train_correction
from stages._command import command, stage_params
from stages._training import training_of


def main(params: Params, name: str, seed: int) -> None:
    benchmark, dataset = params.benchmark(name), load_dataset(Path("data/prepared") / name)
    inputs, models = stage_params(params, name, "data", "model", "correction"), Path("models") / name / f"seed{seed}"
    digest = weights_digest(models / "baseline")

    with training_of("train_correction", name, seed, dataset, benchmark.correction, inputs, baseline=digest) as (training, run, origin):
        classifier = checked_classifier(models / "baseline", benchmark, dataset, training.device)
        torch.manual_seed(seed)
        corrected = build_correction(classifier, benchmark.correction, dataset)
        fit = train_correction(corrected, training)

        facts = describe(benchmark, dataset, **origin, upstream_sha256={"baseline": digest}, best_epoch=fit.best_epoch, **fit.best_metrics)
        save_network(models / "correction", corrected.head.state_dict(), facts, fit.history)
        run.log_metrics({f"best_{key}": value for key, value in fit.best_metrics.items()})
        run.log_artifact(models / "correction" / "history.csv")


if __name__ == "__main__":
    command(main, benchmark=str, seed=int)
