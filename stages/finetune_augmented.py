"""Fine-tune a copy of the encoder together with the head, on changed images: python -m stages.finetune_augmented BENCHMARK SEED

reads   data/prepared/BENCHMARK/, models/BENCHMARK/seedSEED/baseline/{weights.pt, model.json},
        models/BENCHMARK/seedSEED/confidnet/{weights.pt, model.json}, params.yaml
writes  models/BENCHMARK/seedSEED/finetune_augmented/{weights.pt (encoder and head), model.json, origin.json},
        data/histories/BENCHMARK/seedSEED/finetune_augmented.csv
"""

from confidnet_core.config.params import Params
from stages._command import run_stage
from stages._finetuning import finetune_and_save
from stages._training import is_left_out, training_job


def main(params: Params, benchmark_name: str, seed: int) -> None:
    if is_left_out(params, benchmark_name, seed, "finetune_augmented"):
        return
    with training_job("finetune_augmented", params, benchmark_name, seed, "finetune_augmented", "baseline", "confidnet") as (job, _):
        finetune_and_save(job, "finetune_augmented")


if __name__ == "__main__":
    run_stage(main, is_shared=True, benchmark=str, seed=int)
