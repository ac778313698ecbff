"""Train the classifier whose failures are to be predicted, or take its weights as they are: python -m stages.train_baseline BENCHMARK SEED

reads   data/prepared/BENCHMARK/, data/attached/BENCHMARK/, params.yaml
writes  models/BENCHMARK/seedSEED/baseline/{weights.pt, model.json, origin.json}, data/histories/BENCHMARK/seedSEED/baseline.csv
"""

import torch

from confidnet_core.config.params import Params
from confidnet_core.networks.artifacts import build_classifier
from confidnet_core.training.trainings import classifier_validation_metrics, train_classifier
from stages._attached import weights_path
from stages._command import run_stage
from stages._training import attach_classifier, training_job


def main(params: Params, benchmark_name: str, seed: int) -> None:
    if (attached_weights := weights_path(benchmark_name, params.benchmark(benchmark_name))) is not None:
        attach_classifier("train_baseline", params, benchmark_name, seed, attached_weights)
        return
    with training_job("train_baseline", params, benchmark_name, seed, "baseline") as (job, _):
        training = job.training
        torch.manual_seed(seed)
        classifier = build_classifier(job.benchmark.model, training.dataset)
        training_state = train_classifier(classifier, training)
        val_metrics = classifier_validation_metrics(classifier, training.dataset, training.device, "fp32")

        job.save("baseline", classifier.state_dict(), training_state, val_metrics)


if __name__ == "__main__":
    run_stage(main, benchmark=str, seed=int)
