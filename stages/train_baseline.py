"""Train the classifier whose failures are to be predicted: python -m stages.train_baseline BENCHMARK SEED

reads   data/prepared/BENCHMARK/, params.yaml
writes  models/BENCHMARK/seedSEED/baseline/{weights.pt, model.json, origin.json}, data/histories/BENCHMARK/seedSEED/baseline.csv
"""

import torch

from confidnet_core.config.params import Params
from confidnet_core.networks.artifacts import build_classifier
from confidnet_core.training.trainings import classification_metrics, train_classifier
from stages._command import command
from stages._training import training_of


def main(params: Params, name: str, seed: int) -> None:
    with training_of("train_baseline", params, name, seed, "baseline") as networks:
        training = networks.training
        torch.manual_seed(seed)
        classifier = build_classifier(networks.benchmark.model, training.dataset)
        state = train_classifier(classifier, training)
        figures = classification_metrics(classifier, training.dataset, training.device, "fp32")

        networks.save("baseline", classifier.state_dict(), state, figures)


if __name__ == "__main__":
    command(main, benchmark=str, seed=int)
