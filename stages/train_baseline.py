"""Train the classifier whose failures are to be predicted: python -m stages.train_baseline BENCHMARK SEED

reads   data/prepared/BENCHMARK/, params.yaml
writes  models/BENCHMARK/seedSEED/baseline/{weights.pt, model.json, origin.json}, data/histories/BENCHMARK/seedSEED/baseline.csv
"""

import torch

from confidnet_core.config.params import Params
from confidnet_core.networks.artifacts import build_classifier
from confidnet_core.training.trainings import classifier_validation_metrics, train_classifier
from stages._command import run_stage
from stages._training import training_job


def main(params: Params, benchmark_name: str, seed: int) -> None:
    with training_job("train_baseline", params, benchmark_name, seed, "baseline") as (job, _):
        training = job.training
        torch.manual_seed(seed)
        classifier = build_classifier(job.benchmark.model, training.dataset)
        training_state = train_classifier(classifier, training)
        val_metrics = classifier_validation_metrics(classifier, training.dataset, training.device, "fp32")

        job.save("baseline", classifier.state_dict(), training_state, val_metrics)


if __name__ == "__main__":
    run_stage(main, benchmark=str, seed=int)
