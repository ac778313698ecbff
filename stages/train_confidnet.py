"""Train a confidence head on the frozen classifier: python -m stages.train_confidnet BENCHMARK SEED

reads   data/prepared/BENCHMARK/, models/BENCHMARK/seedSEED/baseline/{weights.pt, model.json}, params.yaml
writes  models/BENCHMARK/seedSEED/confidnet/{weights.pt (head), model.json, origin.json, target.json (TCP of the training split)},
        data/histories/BENCHMARK/seedSEED/confidnet.csv
"""

import torch

from confidnet_core.config.params import Params
from confidnet_core.networks.artifacts import build_confidnet
from confidnet_core.reporting.plots import tcp_target_histogram
from confidnet_core.training.trainings import train_confidnet, training_target_summary, warn_if_target_collapsed
from stages._command import run_stage
from stages._training import training_job


def main(params: Params, name: str, seed: int) -> None:
    with training_job("train_confidnet", params, name, seed, "confidnet", "baseline") as job:
        training, tracked, recipe = job.training, job.tracked, job.benchmark.confidnet
        classifier = job.classifier()
        torch.manual_seed(seed)
        confidnet = build_confidnet(classifier, recipe, training.dataset)
        target = training_target_summary(confidnet, training.dataset, training.device)
        warn_if_target_collapsed(target, name)
        tracked.log_metrics({"train_errors": target["errors"], "train_tcp_mean": target["mean"], "train_tcp_std": target["std"]})
        tracked.set_tag("target_collapsed", target["collapsed"])
        tracked.log_figure(tcp_target_histogram(target), "train_tcp.png")

        if recipe.first_confidence == "mean_tcp":
            confidnet.head.set_initial_confidence(target["mean"])
        state = train_confidnet(confidnet, training)

        job.save("confidnet", confidnet.head.state_dict(), state, target=target)


if __name__ == "__main__":
    run_stage(main, benchmark=str, seed=int)
