"""Shared code of the training stages: a training that resumes, with its MLflow run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confidnet_core import paths
from confidnet_core.cli.stage_process import require_room_for_outputs, stage_outputs
from confidnet_core.config.params import Params
from confidnet_core.data import load_dataset
from confidnet_core.networks.device import select_device
from confidnet_core.revision import stage_code_version
from confidnet_core.tracking.mlflow_run import StageRun
from confidnet_core.tracking.stage_run import stage_run
from confidnet_core.training.job import TrainingJob, training_origin
from confidnet_core.training.loop import Metrics, Training
from confidnet_core.training.resume import resumable_work
from confidnet_core.training.untrained import leave_out_network
from stages._command import stage_params


def is_left_out(params: Params, benchmark_name: str, seed: int, recipe_name: str) -> bool:
    """Return whether a network is not trained, for want of a recipe or of images; a line and its files then say so."""
    dataset = load_dataset(paths.prepared_data_folder(benchmark_name))
    reason = leave_out_network(benchmark_name, params.benchmark(benchmark_name), seed, dataset, recipe_name)
    if reason is not None:
        print(f"{benchmark_name} seed {seed}: {recipe_name} is not trained: {reason}")
    return reason is not None


@contextmanager
def training_job(
    stage: str, params: Params, benchmark_name: str, seed: int, recipe_name: str, *upstream: str
) -> Iterator[tuple[TrainingJob, StageRun]]:
    """Yield a training and its MLflow run; both continue where an interrupted process with the same inputs stopped.

    recipe_name: the recipe's section in params.yaml; upstream: names of the networks that the training starts from
    """
    benchmark, dataset, device = params.benchmark(benchmark_name), load_dataset(paths.prepared_data_folder(benchmark_name)), select_device()
    used_params = stage_params(params, benchmark_name, "data", "model", recipe_name)
    recipe = getattr(benchmark, recipe_name)
    model = getattr(recipe, "model", None) or benchmark.model  # a recipe may name a model of its own
    code_version = stage_code_version(stage, model.name, model.settings)
    origin_json = training_origin(benchmark_name, seed, dataset, used_params, code_version, *upstream)

    with (
        resumable_work(stage, origin_json | {"device": device.type}) as resume_folder,
        stage_run(stage=stage, benchmark=benchmark_name, seed=seed, params=used_params, resume_id=resume_folder.run_id()) as tracked,
    ):
        resume_folder.save_run_id(tracked.run_id)

        def log_result(metrics: Metrics, history: Path) -> None:
            tracked.log_metrics({f"best_{metric}": value for metric, value in metrics.items()})
            tracked.log_artifact(history)

        training = Training(stage, dataset, recipe, seed, device, resume_folder, tracked.log_metrics)
        yield TrainingJob(benchmark_name, benchmark, training, origin_json, log_result), tracked
        # Here, while the training can still be resumed after its last epoch: DVC removes the outputs of a stage that fails.
        require_room_for_outputs(stage_outputs(stage, benchmark=benchmark_name, seed=seed))
