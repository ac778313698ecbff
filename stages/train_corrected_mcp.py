"""Train a head that corrects the frozen classifier's MCP: python -m stages.train_corrected_mcp BENCHMARK SEED

reads   data/prepared/BENCHMARK/, models/BENCHMARK/seedSEED/baseline/{weights.pt, model.json}, params.yaml
writes  models/BENCHMARK/seedSEED/corrected_mcp/{weights.pt (head), model.json, origin.json},
        data/histories/BENCHMARK/seedSEED/corrected_mcp.csv
"""

import torch

from confidnet_core.config.params import Params
from confidnet_core.networks.artifacts import build_corrected_mcp
from confidnet_core.training.trainings import train_corrected_mcp
from stages._command import command
from stages._training import training_of


def main(params: Params, name: str, seed: int) -> None:
    with training_of("train_corrected_mcp", params, name, seed, "corrected_mcp", "baseline") as networks:
        classifier = networks.classifier()
        torch.manual_seed(seed)
        corrected = build_corrected_mcp(classifier, networks.benchmark.corrected_mcp, networks.training.dataset)
        state = train_corrected_mcp(corrected, networks.training)

        networks.save("corrected_mcp", corrected.head.state_dict(), state)


if __name__ == "__main__":
    command(main, benchmark=str, seed=int)
