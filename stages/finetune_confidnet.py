"""Fine-tune a copy of the encoder with the head, dropout off: python -m stages.finetune_confidnet BENCHMARK SEED

reads   data/prepared/BENCHMARK/, models/BENCHMARK/seedSEED/{baseline,confidnet}/, params.yaml
writes  models/BENCHMARK/seedSEED/finetuned/{weights.pt (encoder and head), model.json, history.csv}
"""

from pathlib import Path

from confidnet_core.artifacts import checked_classifier, describe, load_head, save_network, weights_digest
from confidnet_core.data import load_dataset
from confidnet_core.params import Params
from confidnet_core.training import finetune_confidnet
from stages._command import command, stage_params
from stages._training import training_of


def main(params: Params, name: str, seed: int) -> None:
    benchmark, dataset = params.benchmark(name), load_dataset(Path("data/prepared") / name)
    inputs, models = stage_params(params, name, "data", "model", "finetune"), Path("models") / name / f"seed{seed}"
    digests = {part: weights_digest(models / part) for part in ("baseline", "confidnet")}

    with training_of("finetune_confidnet", name, seed, dataset, benchmark.finetune, inputs, **digests) as (training, run, origin):
        classifier = checked_classifier(models / "baseline", benchmark, dataset, training.device)
        confidnet = load_head(models / "confidnet", classifier, benchmark.confidnet, dataset).finetuning()
        fit = finetune_confidnet(confidnet, classifier, training)

        facts = describe(benchmark, dataset, **origin, upstream_sha256=digests, best_epoch=fit.best_epoch, **fit.best_metrics)
        save_network(models / "finetuned", confidnet.state_dict(), facts, fit.history)
        run.log_metrics({f"best_{key}": value for key, value in fit.best_metrics.items()})
        run.log_artifact(models / "finetuned" / "history.csv")


if __name__ == "__main__":
    command(main, benchmark=str, seed=int)
