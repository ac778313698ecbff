"""Train a confidence head on the frozen classifier: python -m stages.train_confidnet BENCHMARK SEED

reads   data/prepared/BENCHMARK/, models/BENCHMARK/seedSEED/baseline/{weights.pt, model.json}, params.yaml
writes  models/BENCHMARK/seedSEED/confidnet/{weights.pt (head), model.json, origin.json, target.json (TCP of the training split)},
        data/histories/BENCHMARK/seedSEED/confidnet.csv
"""

import torch

from confidnet_core.config.params import Params
from confidnet_core.networks.artifacts import build_confidnet
from confidnet_core.reporting.plots import tcp_target_histogram
from confidnet_core.training.targets import training_target_summary, warn_if_target_collapsed
from confidnet_core.training.trainings import train_confidnet
from stages._command import run_stage
from stages._training import is_left_out, training_job


def main(params: Params, benchmark_name: str, seed: int) -> None:
    if is_left_out(params, benchmark_name, seed, "confidnet"):
        return
    with training_job("train_confidnet", params, benchmark_name, seed, "confidnet", "baseline") as (job, tracked):
        training, confidnet_recipe = job.training, job.training.recipe
        classifier = job.load_classifier()
        torch.manual_seed(seed)
        confidnet = build_confidnet(classifier, confidnet_recipe, training.dataset)
        target_summary = training_target_summary(confidnet, training.dataset, training.device)
        warn_if_target_collapsed(target_summary, benchmark_name)
        tcp_metrics = {"train_tcp_mean": target_summary["mean"], "train_tcp_std": target_summary["std"]}
        tracked.log_metrics({"train_errors": target_summary["errors"], **tcp_metrics})
        tracked.set_tag("target_collapsed", target_summary["collapsed"])
        tracked.log_figure(tcp_target_histogram(target_summary), "train_tcp.png")

        if confidnet_recipe.first_confidence == "mean_tcp":
            confidnet.head.set_initial_confidence(target_summary["mean"])
        training_state = train_confidnet(confidnet, training)

        job.save("confidnet", confidnet.head.state_dict(), training_state, target=target_summary)


if __name__ == "__main__":
    run_stage(main, is_shared=True, benchmark=str, seed=int)
