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
from confidnet_core.checkpoints import CheckpointKind, import_checkpoint
from confidnet_core.config.params import Params
from confidnet_core.data import load_dataset
from confidnet_core.files import read_json
from confidnet_core.networks.artifacts import save_history
from confidnet_core.networks.device import select_device
from confidnet_core.revision import package_code
from stages._command import run_stage, stage_params

STAGE_BY_CHECKPOINT_KIND = {
    CheckpointKind.BASELINE: "train_baseline",
    CheckpointKind.HEAD: "train_confidnet",
    CheckpointKind.FINETUNED: "finetune",
}


def main(params: Params, benchmark_name: str, seed: int, checkpoint_kind: str, checkpoint_path: Path) -> None:
    benchmark, dataset = params.benchmark(benchmark_name), load_dataset(paths.prepared(benchmark_name))

    data_sha256 = read_json(paths.prepared(benchmark_name) / "facts.json")["sha256"]
    data_origin = {"data_sha256": data_sha256, "data_source": dataset.source}
    origin = {"params": stage_params(params, benchmark_name, "data", "model"), "seed": seed, **data_origin, "code": package_code()}
    networks_folder = paths.seed_folder(paths.MODELS_FOLDER, benchmark_name, seed)

    imported = import_checkpoint(checkpoint_kind, checkpoint_path, benchmark, dataset, networks_folder, select_device(), **origin)
    history_row = {"epoch": imported.epoch, **imported.validation_metrics}
    save_history(paths.history(benchmark_name, seed, checkpoint_kind), [history_row], imported.epoch)

    epoch_text = "" if imported.epoch is None else f" of epoch {imported.epoch}"
    metric_texts = [
        f"{metric} {'undefined' if value is None else format(value, '.4f')}" for metric, value in imported.validation_metrics.items()
    ]
    size_text = f"{imported.layer_count} layers, {imported.parameter_count} parameters"
    print(f"{networks_folder / checkpoint_kind}: {size_text} from {checkpoint_path.name}{epoch_text}; {', '.join(metric_texts)}")
    for note in imported.notes:
        print(f"note: {note}")
    print(f"next: dvc commit -f {STAGE_BY_CHECKPOINT_KIND[CheckpointKind(checkpoint_kind)]}@{benchmark_name}-{seed}")


if __name__ == "__main__":
    run_stage(main, benchmark=str, seed=int, kind=str, path=Path)
