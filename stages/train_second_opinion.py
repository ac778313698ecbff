"""Train a second network for the classifier's question, under augmentation: python -m stages.train_second_opinion BENCHMARK SEED

reads   data/prepared/BENCHMARK/, models/BENCHMARK/seedSEED/baseline/{weights.pt, model.json}, data/attached/BENCHMARK/,
        data/sources/BENCHMARK/second_model.txt (which stands for the code of its model), params.yaml
writes  models/BENCHMARK/seedSEED/second_opinion/{weights.pt, model.json, origin.json},
        data/histories/BENCHMARK/seedSEED/second_opinion.csv
"""

import torch

from confidnet_core.config.params import Params
from confidnet_core.networks.artifacts import build_classifier
from confidnet_core.networks.dropout import derive_random_seed
from confidnet_core.training.trainings import train_second_opinion
from stages._command import run_stage
from stages._training import is_left_out, training_job


def main(params: Params, benchmark_name: str, seed: int) -> None:
    if is_left_out(params, benchmark_name, seed, "second_opinion"):
        return
    with training_job("train_second_opinion", params, benchmark_name, seed, "second_opinion", "baseline") as (job, _):
        classifier, model = job.load_classifier(), job.benchmark.second_opinion_model
        torch.manual_seed(derive_random_seed("train_second_opinion", seed))  # not the seed of the classifier: other weights at the start
        network = build_classifier(model, job.training.dataset)
        training_state = train_second_opinion(network, classifier, job.training)

        job.save("second_opinion", network.state_dict(), training_state, model=model)


if __name__ == "__main__":
    run_stage(main, is_shared=True, benchmark=str, seed=int)
