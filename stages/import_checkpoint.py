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
from confidnet_core.networks.artifacts import save_history
from confidnet_core.networks.device import select_device
from confidnet_core.revision import package_code
from confidnet_core.training.job import training_origin
from stages._command import run_stage, stage_params

STAGE_OF_KIND = {CheckpointKind.BASELINE: "train_baseline", CheckpointKind.HEAD: "train_confidnet", CheckpointKind.FINETUNED: "finetune"}


def main(params: Params, name: str, seed: int, kind: str, path: Path) -> None:
    benchmark, dataset = params.benchmark(name), load_dataset(paths.prepared(name))
    models = paths.seed_folder(paths.MODELS, name, seed)
    origin = training_origin(name, seed, dataset, stage_params(params, name, "data", "model"), package_code())
    imported = import_checkpoint(kind, path, benchmark, dataset, models, select_device(), **origin)
    save_history(paths.history(name, seed, kind), [{"epoch": imported.epoch, **imported.metrics}], imported.epoch)

    epoch = "" if imported.epoch is None else f" of epoch {imported.epoch}"
    formatted_metrics = [f"{key} {'undefined' if value is None else format(value, '.4f')}" for key, value in imported.metrics.items()]
    size = f"{imported.layers} layers, {imported.parameters} parameters"
    print(f"{models / kind}: {size} from {path.name}{epoch}; {', '.join(formatted_metrics)}")
    for note in imported.notes:
        print(f"note: {note}")
    print(f"next: dvc commit -f {STAGE_OF_KIND[CheckpointKind(kind)]}@{name}-{seed}")


if __name__ == "__main__":
    run_stage(main, benchmark=str, seed=int, kind=str, path=Path)
