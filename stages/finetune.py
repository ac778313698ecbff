"""Fine-tune a copy of the encoder with the head, dropout off: python -m stages.finetune BENCHMARK SEED

reads   data/prepared/BENCHMARK/, models/BENCHMARK/seedSEED/baseline/{weights.pt, model.json},
        models/BENCHMARK/seedSEED/confidnet/{weights.pt, model.json}, params.yaml
writes  models/BENCHMARK/seedSEED/finetune/{weights.pt (encoder and head), model.json, origin.json},
        data/histories/BENCHMARK/seedSEED/finetune.csv
"""

from confidnet_core import paths
from confidnet_core.config.params import Params
from confidnet_core.networks.artifacts import load_head
from confidnet_core.training.trainings import finetune_confidnet
from stages._command import command
from stages._training import training_of


def main(params: Params, name: str, seed: int) -> None:
    with training_of("finetune", params, name, seed, "finetune", "baseline", "confidnet") as networks:
        classifier = networks.classifier()
        confidnet = load_head(paths.network(name, seed, "confidnet"), classifier).finetuning()
        state = finetune_confidnet(confidnet, classifier, networks.training)

        networks.save("finetune", confidnet.state_dict(), state)


if __name__ == "__main__":
    command(main, benchmark=str, seed=int)
