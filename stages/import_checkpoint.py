"""Import a released checkpoint of the authors as a trained network: python -m stages.import_checkpoint BENCHMARK SEED KIND PATH

KIND is baseline (a classifier), confidnet (a classifier with a head) or finetune (a classifier and its fine-tuned copy with a head).
Validation metrics are fair only on the authors' split: split_seed 42, with 6000 validation images for MNIST and 5000 for CIFAR-10, as
in params.yaml.

reads   data/prepared/BENCHMARK/, models/BENCHMARK/seedSEED/baseline/ (but for a baseline), params.yaml, PATH
writes  models/BENCHMARK/seedSEED/KIND/ and data/histories/BENCHMARK/seedSEED/KIND.csv, as the training stage does;
        `dvc commit` then takes them for that stage's outputs
"""

from pathlib import Path

from confidnet_core import paths
from confidnet_core.checkpoints.importing import CheckpointKind, import_checkpoint
from confidnet_core.config.params import Params
from confidnet_core.data import load_dataset
from confidnet_core.networks.artifacts import save_history
from confidnet_core.networks.device import select_device
from confidnet_core.revision import package_code_version
from confidnet_core.training.job import training_origin
from stages._command import run_stage, stage_params

STAGE_BY_CHECKPOINT_KIND = {
    CheckpointKind.BASELINE: "train_baseline",
    CheckpointKind.HEAD: "train_confidnet",
    CheckpointKind.FINETUNED: "finetune",
}


def main(params: Params, benchmark_name: str, seed: int, checkpoint_kind: str, checkpoint_path: Path) -> None:
    benchmark, dataset = params.benchmark(benchmark_name), load_dataset(paths.prepared_data_folder(benchmark_name))
    origin_json = training_origin(
        benchmark_name, seed, dataset, stage_params(params, benchmark_name, "data", "model"), package_code_version()
    )
    networks_folder, device = paths.seed_folder(paths.MODELS_FOLDER, benchmark_name, seed), select_device()

    imported_checkpoint = import_checkpoint(checkpoint_kind, checkpoint_path, benchmark, dataset, networks_folder, device, **origin_json)
    history_row = {"epoch": imported_checkpoint.epoch, **imported_checkpoint.validation_metrics}
    save_history(paths.history_path(benchmark_name, seed, checkpoint_kind), [history_row], imported_checkpoint.epoch)

    epoch_text = "" if imported_checkpoint.epoch is None else f" of epoch {imported_checkpoint.epoch}"
    metric_texts = [
        f"{metric} {'undefined' if metric_value is None else format(metric_value, '.4f')}"
        for metric, metric_value in imported_checkpoint.validation_metrics.items()
    ]
    network_size_text = f"{imported_checkpoint.layer_count} layers, {imported_checkpoint.parameter_count} parameters"
    print(f"{networks_folder / checkpoint_kind}: {network_size_text} from {checkpoint_path.name}{epoch_text}; {', '.join(metric_texts)}")
    for user_note in imported_checkpoint.user_notes:
        print(f"note: {user_note}")
    print(f"next: dvc commit -f {STAGE_BY_CHECKPOINT_KIND[CheckpointKind(checkpoint_kind)]}@{benchmark_name}-{seed}")


if __name__ == "__main__":
    run_stage(main, benchmark=str, seed=int, kind=str, path=Path)
