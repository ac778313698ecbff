"""Train the classifier whose failures are to be predicted, or take its weights as they are: python -m stages.train_baseline BENCHMARK SEED

reads   data/prepared/BENCHMARK/, data/attached/BENCHMARK/, params.yaml
writes  models/BENCHMARK/seedSEED/baseline/{weights.pt, model.json, origin.json}, data/histories/BENCHMARK/seedSEED/baseline.csv
"""

import sys
from pathlib import Path

import torch

from confidnet_core import paths
from confidnet_core.config.params import Params
from confidnet_core.data import load_dataset
from confidnet_core.networks.artifacts import build_classifier
from confidnet_core.networks.device import select_device
from confidnet_core.networks.inference import classifier_validation_metrics
from confidnet_core.revision import stage_code_version
from confidnet_core.tracking.stage_run import stage_run
from confidnet_core.training.job import training_origin
from confidnet_core.training.trainings import train_classifier
from confidnet_core.training.untrained import chance_warning, save_attached_classifier
from stages._attached import weights_path
from stages._command import run_stage, stage_params
from stages._training import training_job


def main(params: Params, benchmark_name: str, seed: int) -> None:
    if (attached_weights := weights_path(benchmark_name, params.benchmark(benchmark_name))) is not None:
        attach(params, benchmark_name, seed, attached_weights)
        return
    with training_job("train_baseline", params, benchmark_name, seed, "baseline") as (job, _):
        training = job.training
        torch.manual_seed(seed)
        classifier = build_classifier(job.benchmark.model, training.dataset)
        training_state = train_classifier(classifier, training)
        val_metrics = classifier_validation_metrics(classifier, training.dataset, training.device, "fp32")

        job.save("baseline", classifier.state_dict(), training_state, val_metrics)


def attach(params: Params, benchmark_name: str, seed: int, weights: Path) -> None:
    benchmark, dataset = params.benchmark(benchmark_name), load_dataset(paths.prepared_data_folder(benchmark_name))
    used_params = stage_params(params, benchmark_name, "data", "model", "baseline")
    code_version = stage_code_version("train_baseline", benchmark.model.name, benchmark.model.settings)
    origin_json = training_origin(benchmark_name, seed, dataset, used_params, code_version)
    with stage_run(stage="train_baseline", benchmark=benchmark_name, seed=seed, params=used_params) as tracked:
        val_metrics = save_attached_classifier(benchmark_name, benchmark, seed, dataset, weights, select_device(), origin_json)
        tracked.log_metrics({f"best_{metric}": value for metric, value in val_metrics.items()})
        tracked.log_artifact(paths.history_path(benchmark_name, seed, "baseline"))
    metrics_text = ", ".join(f"{metric} {value:.4f}" for metric, value in val_metrics.items() if value is not None)
    print(f"{benchmark_name} seed {seed}: {weights} as it is, on validation data: {metrics_text}")
    if warning := chance_warning(val_metrics, dataset, weights):
        print(f"WARNING {benchmark_name}: {warning}", file=sys.stderr)


if __name__ == "__main__":
    run_stage(main, is_shared=True, benchmark=str, seed=int)
