"""Train a head that corrects the frozen classifier's MCP: python -m stages.train_correction BENCHMARK SEED

reads   data/prepared/BENCHMARK/, models/BENCHMARK/seedSEED/baseline/, params.yaml
writes  models/BENCHMARK/seedSEED/correction/{weights.pt (head), model.json, history.csv}
"""

import torch

from confidnet_core.config.params import Params
from confidnet_core.networks.artifacts import build_correction
from confidnet_core.training.trainings import train_correction
from stages._command import command
from stages._training import training_of


def main(params: Params, name: str, seed: int) -> None:
    with training_of("train_correction", params, name, seed, "correction", "baseline") as networks:
        classifier = networks.classifier()
        torch.manual_seed(seed)
        corrected = build_correction(classifier, networks.benchmark.correction, networks.training.dataset)
        fit = train_correction(corrected, networks.training)

        networks.save("correction", corrected.head.state_dict(), fit)


if __name__ == "__main__":
    command(main, benchmark=str, seed=int)
