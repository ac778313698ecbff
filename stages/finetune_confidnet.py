"""Fine-tune a copy of the encoder with the head, dropout off: python -m stages.finetune_confidnet BENCHMARK SEED

reads   data/prepared/BENCHMARK/, models/BENCHMARK/seedSEED/{baseline,confidnet}/, params.yaml
writes  models/BENCHMARK/seedSEED/finetuned/{weights.pt (encoder and head), model.json, history.csv}
"""

from confidnet_core.config.params import Params
from confidnet_core.networks.artifacts import load_head
from confidnet_core.training.trainings import finetune_confidnet
from stages._command import command
from stages._training import training_of


def main(params: Params, name: str, seed: int) -> None:
    with training_of("finetune_confidnet", params, name, seed, "finetune", "baseline", "confidnet") as networks:
        benchmark, training = networks.benchmark, networks.training
        classifier = networks.classifier()
        head = load_head(networks.folder / "confidnet", classifier, benchmark.confidnet, training.dataset)
        confidnet = head.finetuning()
        fit = finetune_confidnet(confidnet, classifier, training)

        networks.save("finetuned", confidnet.state_dict(), fit)


if __name__ == "__main__":
    command(main, benchmark=str, seed=int)
