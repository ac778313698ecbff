"""Train a confidence head on the frozen classifier: python -m stages.train_confidnet BENCHMARK SEED

reads   data/prepared/BENCHMARK/, models/BENCHMARK/seedSEED/baseline/, params.yaml
writes  models/BENCHMARK/seedSEED/confidnet/{weights.pt (head), model.json, history.csv, target.json (TCP of the training split)}
"""

from pathlib import Path

import torch

from confidnet_core.artifacts import build_confidnet, checked_classifier, describe, save_network, weights_digest
from confidnet_core.data import load_dataset
from confidnet_core.params import Params
from confidnet_core.plots import target_histogram
from confidnet_core.training import train_confidnet, training_target, warn_collapsed
from stages._command import command, stage_params
from stages._training import training_of


def main(params: Params, name: str, seed: int) -> None:
    benchmark, dataset = params.benchmark(name), load_dataset(Path("data/prepared") / name)
    inputs, models = stage_params(params, name, "data", "model", "confidnet"), Path("models") / name / f"seed{seed}"
    digest = weights_digest(models / "baseline")

    with training_of("train_confidnet", name, seed, dataset, benchmark.confidnet, inputs, baseline=digest) as (training, run, origin):
        classifier = checked_classifier(models / "baseline", benchmark, dataset, training.device)
        torch.manual_seed(seed)
        confidnet = build_confidnet(classifier, benchmark.confidnet, dataset)
        target = training_target(confidnet, dataset, training.device)
        warn_collapsed(target, name)
        run.log_metrics({"train_errors": target["errors"], "train_tcp_mean": target["mean"], "train_tcp_std": target["std"]})
        run.set_tag("target_collapsed", target["collapsed"])
        run.log_figure(target_histogram(target), "train_tcp.png")

        if benchmark.confidnet.first_confidence == "mean_tcp":
            confidnet.head.start_at(target["mean"])
        fit = train_confidnet(confidnet, training)

        facts = describe(benchmark, dataset, **origin, upstream_sha256={"baseline": digest}, best_epoch=fit.best_epoch, **fit.best_metrics)
        save_network(models / "confidnet", confidnet.head.state_dict(), facts, fit.history, target=target)
        run.log_metrics({f"best_{key}": value for key, value in fit.best_metrics.items()})
        run.log_artifact(models / "confidnet" / "history.csv")


if __name__ == "__main__":
    command(main, benchmark=str, seed=int)
