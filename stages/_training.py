"""Shared code of the four training stages: a training that resumes, with its MLflow run."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from confidnet_core import paths
from confidnet_core.config.params import Params
from confidnet_core.data import load_dataset
from confidnet_core.networks.artifacts import (
    describe_trained_network,
    load_attached_classifier,
    save_history,
    save_left_out_network,
    save_network,
)
from confidnet_core.networks.device import select_device
from confidnet_core.networks.inference import classifier_validation_metrics
from confidnet_core.revision import stage_code_version
from confidnet_core.tracking.mlflow_run import StageRun
from confidnet_core.tracking.stage_run import stage_run
from confidnet_core.training.job import TrainingJob, training_origin
from confidnet_core.training.loop import Metrics, Training
from confidnet_core.training.resume import resumable_training
from stages._command import stage_params


def attach_classifier(stage: str, params: Params, benchmark_name: str, seed: int, weights_path: Path) -> None:
    """Write a classifier with the weights in a file as the network `baseline`, with its metrics on validation data; nothing is trained.

    Raises ValueError where the weights do not fit the model, or the model not the data.
    """
    benchmark, dataset, device = params.benchmark(benchmark_name), load_dataset(paths.prepared_data_folder(benchmark_name)), select_device()
    used_params = stage_params(params, benchmark_name, "data", "model", "baseline")
    code_version = stage_code_version(stage, benchmark.model.name, benchmark.model.settings)
    origin_json = training_origin(benchmark_name, seed, dataset, used_params, code_version)
    origin_json["weights"] = {"file": weights_path.name, "sha256": sha256(weights_path.read_bytes()).hexdigest()}

    with stage_run(stage=stage, benchmark=benchmark_name, seed=seed, params=used_params) as tracked:
        classifier = load_attached_classifier(benchmark, dataset, weights_path)
        val_metrics = classifier_validation_metrics(classifier, dataset, device, "fp32")

        history_path = paths.history_path(benchmark_name, seed, "baseline")
        save_history(history_path, [{"epoch": 0, "train_loss": None, **val_metrics}], best_epoch=0)
        model_json = describe_trained_network(benchmark, dataset, best_epoch=0, **val_metrics)
        save_network(paths.network_folder(benchmark_name, seed, "baseline"), classifier.state_dict(), model_json, origin_json)
        tracked.log_metrics({f"best_{metric}": value for metric, value in val_metrics.items()})
        tracked.log_artifact(history_path)
    metrics_text = ", ".join(f"{metric} {value:.4f}" for metric, value in val_metrics.items() if value is not None)
    if (val_metrics["val_accuracy"] or 0) < 2 / len(dataset.classes):
        problem_text = f"the accuracy of {weights_path} is hardly above chance; compare the order of its outputs with the classes"
        print(f"WARNING {benchmark_name}: {problem_text} ({', '.join(dataset.classes[:3])}, ...), and mean, std and size", file=sys.stderr)
    print(f"{benchmark_name} seed {seed}: {weights_path} as it is, on validation data: {metrics_text}")


def is_left_out(params: Params, benchmark_name: str, seed: int, recipe_name: str) -> bool:
    """Return whether a network is not trained: without its recipe, or without training images. Its files then say so, and so does a line.

    recipe_name: the recipe's section in params.yaml, which is also the network's name
    """
    dataset = load_dataset(paths.prepared_data_folder(benchmark_name))
    if len(dataset.splits["train"]) == 0:
        reason = "there are no training images"
    elif getattr(params.benchmark(benchmark_name), recipe_name) is None:
        reason = f"benchmarks.{benchmark_name} has no recipe {recipe_name}"
    else:
        return False
    network_folder, history_path = (path(benchmark_name, seed, recipe_name) for path in (paths.network_folder, paths.history_path))
    save_left_out_network(network_folder, history_path, reason)
    print(f"{benchmark_name} seed {seed}: {recipe_name} is not trained: {reason}")
    return True


@contextmanager
def training_job(
    stage: str, params: Params, benchmark_name: str, seed: int, recipe_name: str, *upstream: str
) -> Iterator[tuple[TrainingJob, StageRun]]:
    """Yield a training and its MLflow run; both continue where an interrupted process with the same inputs stopped.

    recipe_name: the recipe's section in params.yaml; upstream: names of the networks that the training starts from
    """
    benchmark, dataset, device = params.benchmark(benchmark_name), load_dataset(paths.prepared_data_folder(benchmark_name)), select_device()
    used_params = stage_params(params, benchmark_name, "data", "model", recipe_name)
    code_version = stage_code_version(stage, benchmark.model.name, benchmark.model.settings)
    origin_json = training_origin(benchmark_name, seed, dataset, used_params, code_version, *upstream)

    with (
        resumable_training(stage, origin_json | {"device": device.type}) as resume_folder,
        stage_run(stage=stage, benchmark=benchmark_name, seed=seed, params=used_params, resume_id=resume_folder.run_id()) as tracked,
    ):
        resume_folder.save_run_id(tracked.run_id)

        def log_result(metrics: Metrics, history: Path) -> None:
            tracked.log_metrics({f"best_{metric}": value for metric, value in metrics.items()})
            tracked.log_artifact(history)

        training = Training(stage, dataset, getattr(benchmark, recipe_name), seed, device, resume_folder, tracked.log_metrics)
        yield TrainingJob(benchmark_name, benchmark, training, origin_json, log_result), tracked
